//! Reads one body, line by line.

use super::known_lines::{Key, KnownLines, Means, NONE, Seen};
use super::places::EntryId;
use crate::exposition::error::{Fault, LineError, LineErrorKind};
use crate::exposition::labels::IdentityLabels;
use crate::exposition::line::{Line, SampleLine};
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::text::{self, plain::PlainSeries, sample_line::skip_line_end};
use crate::exposition::values::Values;
use crate::exposition::{Exposition, Format, number, offset, openmetrics, timestamp};
use std::collections::HashSet;
use std::ops::Range;

/// A low estimate of the bytes of a body for each sample, including HELP and TYPE lines.
const BODY_BYTES_PER_SAMPLE: usize = 64;
/// A high estimate of the length of a value.
const VALUE_BYTES: usize = 8;

impl KnownLines {
    /// Reads one body for a target with these labels. Stops early at a body with too many samples.
    pub(super) fn read(
        &mut self,
        body: &[u8],
        identity: &IdentityLabels,
        samples_max: u64,
    ) -> Result<Exposition, LineError> {
        let samples_about = self.start(body);
        // With `name[]`, the number of samples to keep is known only at the end.
        let samples_before_end = match self.asked {
            None => usize::try_from(samples_max).unwrap_or(usize::MAX),
            Some(_) => usize::MAX,
        };
        let mut reader = LinesReader {
            expected: self.first,
            lines: self,
            identity,
            body,
            at: 0,
            last: NONE,
            float_label: None,
            values: Values::with_capacity(samples_about, samples_about * VALUE_BYTES),
            samples: 0,
            samples_max: samples_before_end,
            dropped: Vec::new(),
            plain: PlainSeries::default(),
            repeated: HashSet::new(),
        };
        let read = reader.lines();
        let LinesReader {
            at,
            values,
            samples,
            dropped,
            ..
        } = reader;
        let read = read
            .map_err(|fault| fault.describe(body, samples))
            .map(|()| self.exposition(values, dropped));
        self.keep_or_forget();
        let exposition = read?;
        if exposition.values.count() as u64 <= samples_max {
            return Ok(exposition);
        }
        let fault = Fault {
            kind: LineErrorKind::Samples(samples_max),
            at: 0,
            counted: false,
        };
        Err(fault.describe(body, exposition.samples + sample_lines(&body[at..])))
    }

    /// Prepares for a body, and estimates the number of its samples.
    fn start(&mut self, body: &[u8]) -> usize {
        // Bodies of a job have about the same number of samples.
        let samples_about = match self.ids.len() {
            0 => body.len() / BODY_BYTES_PER_SAMPLE,
            before => before + before / 8,
        };
        if self.entries.is_empty() {
            self.reserve(samples_about, body.len());
        }
        self.ids.clear();
        self.body += 1;
        samples_about
    }
}

struct LinesReader<'r, 'b> {
    lines: &'r mut KnownLines,
    identity: &'r IdentityLabels,
    body: &'b [u8],
    /// The start of the next line.
    at: usize,
    /// The last line, or [`NONE`] if it cannot be found by its bytes.
    last: EntryId,
    /// The line that followed the last line in an earlier body, or [`NONE`].
    expected: EntryId,
    /// The label whose values Prometheus rewrites under the current TYPE line.
    float_label: Option<FloatLabel>,
    values: Values,
    samples: u64,
    samples_max: usize,
    /// The samples that are dropped.
    dropped: Vec<EntryId>,
    plain: PlainSeries<'b>,
    /// The series that the body has several times, with their timestamps in milliseconds.
    repeated: HashSet<(EntryId, Option<i64>)>,
}

/// A value in the body, with its timestamp and exemplar.
struct Value<'b> {
    range: Range<usize>,
    apart: Option<&'b [u8]>,
}

impl<'b> LinesReader<'_, 'b> {
    /// Reads to the end of the body, or until it has too many samples.
    fn lines(&mut self) -> Result<(), Fault> {
        while self.at < self.body.len() {
            if self.values.count() > self.samples_max {
                return Ok(());
            }
            if self.known_line().is_none() && self.other_line()? {
                return Ok(());
            }
        }
        match self.lines.format {
            Format::OpenMetrics => openmetrics::end(self.body),
            _ => Ok(()),
        }
    }

    /// Reads a line that is known, or in the plain form. `None` if it is neither, or if anything unusual follows its
    /// value.
    #[inline(always)]
    fn known_line(&mut self) -> Option<()> {
        let rest = &self.body[self.at..];
        let id = match self.lines.guess(self.expected, rest, self.float_label) {
            Some(id) => id,
            None => self.found_or_plain_line()?,
        };
        let entry = &self.lines.entries[id as usize];
        let (series, follower) = (entry.series, entry.follower);
        let key_end = self.at + entry.key_length as usize;
        if entry.is_head {
            self.at = key_end;
            self.take_head(id);
            return Some(());
        }
        let (value, next) = self.value(key_end)?;
        self.at = next;
        self.samples += 1;
        self.last = id;
        if follower != NONE {
            self.expected = follower;
        }
        self.take_sample(id, series, value);
        Some(())
    }

    /// The entry of a line that was not expected here: found by its bytes, or added.
    // Apart from the loop over known lines, which is slower if it is larger.
    #[inline(never)]
    fn found_or_plain_line(&mut self) -> Option<EntryId> {
        let rest = &self.body[self.at..];
        let key = self.lines.key_of(self.lines.key_bytes(rest)?);
        if let Some(id) = self.lines.find(key, self.float_label) {
            self.follow(id);
            return Some(id);
        }
        let is_allowed = |name: &[u8]| !self.identity.contains(name) && name != b"__name__";
        self.plain.read(rest, key.bytes.len(), is_allowed)?;
        let id = self.lines.add_plain(key, &self.plain, self.float_label)?;
        self.follow_new(id);
        Some(id)
    }

    /// The value at `start` with its timestamp and exemplar, and the start of the next line.
    #[inline(always)]
    fn value(&self, start: usize) -> Option<(Value<'b>, usize)> {
        let mut end = start + number::value_length(&self.body[start..])?;
        let next = if self.body.get(end) == Some(&b'\n') {
            end + 1
        } else {
            let next;
            (end, next) = self.behind_value(end)?;
            next
        };
        let value = Value {
            range: start..end,
            apart: None,
        };
        Some((value, next))
    }

    /// The end of the timestamp and exemplar after a value, and the start of the next line.
    fn behind_value(&self, end: usize) -> Option<(usize, usize)> {
        if self.lines.format == Format::OpenMetrics {
            let next = openmetrics::read_rest(self.body, end).ok()?;
            return Some((next - 1, next));
        }
        let end = match &self.body[end..] {
            [b' ', digits @ ..] => end + 1 + timestamp::digits_length(digits)?,
            _ => end,
        };
        Some((end, skip_line_end(self.body, end)?))
    }

    /// Reads any line. Returns whether the body ends with it.
    // As above.
    #[inline(never)]
    fn other_line(&mut self) -> Result<bool, Fault> {
        let start = self.at;
        let (line, next) = match self.lines.format {
            Format::OpenMetrics => openmetrics::read_line(self.body, start)?,
            _ => text::read_line(self.body, start)?,
        };
        let size = |kind: LineErrorKind| Fault {
            kind,
            at: start,
            counted: false,
        };
        self.at = next;
        match line {
            Line::Sample(sample) => self.other_sample(start, sample).map_err(size)?,
            Line::Head(head) => {
                let line = &self.body[start..next];
                // Without a line end, it would also match the start of a longer line.
                let key = if line.ends_with(b"\n") { line } else { b"" };
                let id = match self.find(key) {
                    Ok(id) => Some(id),
                    Err(key) => self.lines.add_head(key, head).map_err(size)?,
                };
                if let Some(id) = id {
                    self.follow_new(id);
                    self.take_head(id);
                }
            }
            Line::Nothing => {}
            Line::End => return Ok(true),
        }
        Ok(false)
    }

    /// The entry of a line with this key, or the key.
    fn find(&self, bytes: &'b [u8]) -> Result<EntryId, Key<'b>> {
        let key = self.lines.key_of(bytes);
        let known = (!bytes.is_empty()).then(|| self.lines.find(key, self.float_label));
        known.flatten().ok_or(key)
    }

    fn other_sample(
        &mut self,
        start: usize,
        mut sample: SampleLine<'b>,
    ) -> Result<(), LineErrorKind> {
        self.samples += 1;
        let value = Value {
            range: sample.value.clone(),
            apart: sample.timestamp.take(),
        };
        let key = &self.body[start..sample.value.start];
        // Without a blank at its end, it would also match a longer name.
        let key = if key.ends_with(b" ") || key.ends_with(b"\t") {
            key
        } else {
            b""
        };
        let id = match self.find(key) {
            Ok(id) => id,
            Err(key) => self
                .lines
                .add_sample(key, sample, self.float_label, self.identity)?,
        };
        self.follow_new(id);
        self.go_on_behind(id);
        let series = self.lines.entries[id as usize].series;
        self.take_sample(id, series, value);
        // Offsets into the values are `u32`.
        if self.values.len() >= u32::MAX as usize {
            return Err(LineErrorKind::Size);
        }
        Ok(())
    }

    /// Records that this line followed the last one, as it may in the next body.
    fn follow(&mut self, id: EntryId) {
        let id = self.findable(id);
        match self.lines.entries.get_mut(self.last as usize) {
            Some(last) => last.follower = id,
            None if self.lines.ids.is_empty() => self.lines.first = id,
            None => {}
        }
    }

    /// The same for a new line, which no other body may have: it does not replace a known follower.
    fn follow_new(&mut self, id: EntryId) {
        let last = self.lines.entries.get(self.last as usize);
        if last.map_or(self.lines.first, |last| last.follower) == NONE {
            self.follow(id);
        }
    }

    /// Expects the line that followed this one before. After a line without a known follower, the expected line stays.
    #[inline(always)]
    fn go_on_behind(&mut self, id: EntryId) {
        self.last = self.findable(id);
        let follower = self.lines.entries[id as usize].follower;
        if follower != NONE {
            self.expected = follower;
        }
    }

    #[inline(always)]
    fn findable(&self, id: EntryId) -> EntryId {
        match self.lines.entries[id as usize].key_length {
            0 => NONE,
            _ => id,
        }
    }

    fn take_head(&mut self, id: EntryId) {
        self.go_on_behind(id);
        self.lines.ids.push(id);
        if let Means::Type(_, metric_type, _) = self.lines.means[id as usize] {
            self.float_label = metric_type.float_label();
        }
    }

    /// Keeps a sample, unless the body already has one with the same series and timestamp, or the aggregator adds this
    /// series for each target.
    #[inline(always)]
    fn take_sample(&mut self, id: EntryId, series: EntryId, value: Value<'b>) {
        let body = self.lines.body;
        let is_new = match self.lines.entries.get_mut(series as usize) {
            Some(first) if first.seen.body != body => {
                first.seen = Seen {
                    body,
                    sample: offset(self.values.count()),
                };
                true
            }
            Some(first) => {
                let first = first.seen.sample;
                self.is_new_timestamp(series, first, &value)
            }
            None => false,
        };
        if !is_new {
            self.dropped.push(id);
            return;
        }
        self.lines.ids.push(id);
        match value.apart {
            None => self.values.push(self.body, value.range),
            Some(timestamp) => self
                .values
                .push_with_timestamp(&self.body[value.range], timestamp),
        }
    }

    /// Whether a repeated sample of a series has a timestamp that the earlier ones do not have.
    #[cold]
    fn is_new_timestamp(&mut self, series: EntryId, first: u32, value: &Value<'b>) -> bool {
        let format = self.lines.format;
        let of_first = timestamp::milliseconds(self.values.get(first as usize), format);
        let of_this = match value.apart {
            Some(digits) => timestamp::milliseconds_of_digits(digits),
            None => timestamp::milliseconds(&self.body[value.range.clone()], format),
        };
        self.repeated.insert((series, of_first));
        self.repeated.insert((series, of_this))
    }
}

/// The number of samples in the lines that are not read. `scrape_samples_scraped` counts the whole body, as Prometheus
/// does when `sample_limit` is exceeded.
fn sample_lines(lines: &[u8]) -> u64 {
    let lines = lines
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_start);
    let samples = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    samples.count() as u64
}
