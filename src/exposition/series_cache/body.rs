//! Reads one body, line by line.

use super::known_lines::{Key, KnownLines, Means, NONE, Seen};
use super::places::EntryId;
use crate::exposition::error::{Fault, LineError, LineErrorKind};
use crate::exposition::labels::IdentityLabels;
use crate::exposition::line::{Line, SampleLine, Timestamp};
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::text::{self, sample_line::skip_line_end};
use crate::exposition::values::Values;
use crate::exposition::{Exposition, Format, number, offset, openmetrics, timestamp};
use std::collections::HashSet;
use std::ops::Range;

/// Most exporters write more for each sample, with HELP and TYPE lines counted in.
const BODY_BYTES_PER_SAMPLE: usize = 64;
/// Most values are shorter.
const VALUE_BYTES: usize = 8;

/// Stands for "none" among timestamps, which are never negative.
const NO_TIMESTAMP: i64 = -1;

impl KnownLines {
    /// Reads one body for a target with these labels. One of which more samples would be kept is not read to its end.
    pub(super) fn read(
        &mut self,
        body: &[u8],
        identity: &IdentityLabels,
        samples_max: u64,
    ) -> Result<Exposition, LineError> {
        // Bodies of a job have about as many samples, also where their lines are unusually long.
        let samples_about = match self.ids.len() {
            0 => body.len() / BODY_BYTES_PER_SAMPLE,
            before => before + before / 8,
        };
        if self.entries.is_empty() {
            self.reserve(samples_about, body.len());
        }
        self.ids.clear();
        self.body += 1;
        // Where not all families are asked for, it is known only at the end how many samples are kept.
        let samples_before_end = match self.asked {
            None => usize::try_from(samples_max).unwrap_or(usize::MAX),
            Some(_) => usize::MAX,
        };
        let mut reader = Reader {
            lines: self,
            identity,
            body,
            at: 0,
            last: NONE,
            standing: None,
            values: Values::with_capacity(samples_about, samples_about * VALUE_BYTES),
            samples: 0,
            samples_max: samples_before_end,
            dropped: Vec::new(),
            unknown: None,
            repeated: HashSet::new(),
        };
        let read = reader.lines();
        let Reader {
            at,
            values,
            samples,
            dropped,
            ..
        } = reader;
        self.texts.seal();
        read.map_err(|fault| fault.describe(body, samples))?;
        let exposition = self.exposition(values, dropped);
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
}

struct Reader<'r, 'b> {
    lines: &'r mut KnownLines,
    identity: &'r IdentityLabels,
    body: &'b [u8],
    /// Where the next line starts.
    at: usize,
    /// The last line that can be found, or [`NONE`].
    last: EntryId,
    /// The label whose values Prometheus rewrites under the TYPE line that stands.
    standing: Option<FloatLabel>,
    values: Values,
    samples: u64,
    samples_max: usize,
    /// The samples that are not kept.
    dropped: Vec<EntryId>,
    /// The key of the line that starts here, if it has been looked for in vain.
    unknown: Option<Key<'b>>,
    /// Series that the body has several times, with their timestamps.
    repeated: HashSet<(EntryId, i64)>,
}

/// Where in the body a value stands, and a timestamp that does not stand right behind it.
struct Value<'b> {
    range: Range<usize>,
    apart: Option<&'b [u8]>,
    milliseconds: i64,
}

impl<'b> Reader<'_, 'b> {
    /// Reads to the end, or until more samples are kept than may be.
    fn lines(&mut self) -> Result<(), Fault> {
        while self.at < self.body.len() {
            if self.values.count() > self.samples_max {
                return Ok(());
            }
            if self.known_line().is_none() && self.other_line()? {
                return Ok(());
            }
            self.unknown = None;
        }
        match self.lines.format {
            Format::OpenMetrics => openmetrics::end(self.body),
            _ => Ok(()),
        }
    }

    /// Takes a line that is known; `None` if it is not, or if there is anything unusual behind its value.
    #[inline(always)]
    fn known_line(&mut self) -> Option<()> {
        let expected = match self.lines.entries.get(self.last as usize) {
            Some(last) => last.follower,
            None => self.lines.first,
        };
        let rest = &self.body[self.at..];
        let id = if self.lines.starts(expected, rest, self.standing) {
            expected
        } else {
            let key = self.lines.key_of(self.key()?);
            let known = self.lines.find(key, self.standing);
            let id = known.or_else(|| self.lines.add_plain(key, self.standing, self.identity));
            if id.is_none() {
                self.unknown = Some(key);
            }
            self.follow(id?);
            id?
        };
        let entry = &self.lines.entries[id as usize];
        let key_end = self.at + entry.key_length as usize;
        let series = match entry.means {
            Means::Sample { series, .. } => series,
            Means::Reported(_) => NONE,
            Means::Help(..) | Means::Type(..) | Means::Unit(..) => {
                self.at = key_end;
                self.take_head(id);
                return Some(());
            }
        };
        let (value, next) = self.value(key_end)?;
        self.at = next;
        self.samples += 1;
        self.last = id;
        self.take_sample(id, series, value);
        Some(())
    }

    /// What of the line that starts here must be its bytes before the value, if it is an ordinary one.
    fn key(&self) -> Option<&'b [u8]> {
        let rest = &self.body[self.at..];
        let mut line = &rest[..memchr::memchr(b'\n', rest)?];
        if line.first() == Some(&b'#') {
            let starts: [&[u8]; 3] = [b"# HELP ", b"# TYPE ", b"# UNIT "];
            let is_head = starts.iter().any(|start| line.starts_with(start));
            return is_head.then(|| &rest[..=line.len()]);
        }
        if self.lines.format == Format::OpenMetrics
            && let Some(exemplar) = memchr::memmem::find(line, b" # {")
        {
            line = &line[..exemplar];
        }
        let end = match memchr::memrchr(b'}', line) {
            Some(brace) => brace + 1,
            None => memchr::memchr(b' ', line)?,
        };
        (line.get(end) == Some(&b' ')).then(|| &line[..=end])
    }

    /// The value that stands here, with what follows it in an ordinary line, and the start of the next one.
    #[inline(always)]
    fn value(&self, start: usize) -> Option<(Value<'b>, usize)> {
        let end = start + number::value_length(&self.body[start..])?;
        if self.body.get(end) == Some(&b'\n') {
            let value = Value {
                range: start..end,
                apart: None,
                milliseconds: NO_TIMESTAMP,
            };
            return Some((value, end + 1));
        }
        self.value_and_more(start, end)
    }

    fn value_and_more(&self, start: usize, end: usize) -> Option<(Value<'b>, usize)> {
        if self.lines.format == Format::OpenMetrics {
            let (milliseconds, next) = openmetrics::read_rest(self.body, end).ok()?;
            let value = Value {
                range: start..next - 1,
                apart: None,
                milliseconds: milliseconds.unwrap_or(NO_TIMESTAMP),
            };
            return Some((value, next));
        }
        let rest = &self.body[end..];
        let mut value = Value::new(start..end, None);
        if let [b' ', digits @ ..] = rest {
            let length = number::leading_digits(digits);
            value.range.end = end + 1 + length;
            value.milliseconds = number::timestamp(&digits[..length])?;
        }
        let next = skip_line_end(self.body, value.range.end)?;
        Some((value, next))
    }

    /// Any line. Says whether the body ends here.
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
                // Without a line end it would be found in a longer line.
                let key = if line.ends_with(b"\n") { line } else { b"" };
                let id = match self.find(key) {
                    Ok(id) => Some(id),
                    Err(key) => self.lines.add_head(key, head).map_err(size)?,
                };
                if let Some(id) = id {
                    self.follow(id);
                    self.take_head(id);
                }
            }
            Line::Nothing => {}
            Line::End => return Ok(true),
        }
        Ok(false)
    }

    /// The entry of a line with this key, or the key.
    fn find(&mut self, bytes: &'b [u8]) -> Result<EntryId, Key<'b>> {
        // Mostly just this key has been looked for.
        if let Some(key) = self.unknown.take()
            && key.bytes.len() == bytes.len()
        {
            return Err(key);
        }
        let key = self.lines.key_of(bytes);
        let known = (!bytes.is_empty()).then(|| self.lines.find(key, self.standing));
        known.flatten().ok_or(key)
    }

    fn other_sample(
        &mut self,
        start: usize,
        mut sample: SampleLine<'b>,
    ) -> Result<(), LineErrorKind> {
        self.samples += 1;
        let value = Value::new(sample.value.clone(), sample.timestamp.take());
        let key = &self.body[start..sample.value.start];
        // Without a blank, another value might go on with the name.
        let key = if key.ends_with(b" ") || key.ends_with(b"\t") {
            key
        } else {
            b""
        };
        let id = match self.find(key) {
            Ok(id) => id,
            Err(key) => self
                .lines
                .add_sample(key, sample, self.standing, self.identity)?,
        };
        self.follow(id);
        let series = match self.lines.entries[id as usize].means {
            Means::Sample { series, .. } => series,
            _ => NONE,
        };
        self.last = self.findable(id);
        self.take_sample(id, series, value);
        // What is read from a text must not be longer than a text can be.
        if self.values.len() >= u32::MAX as usize {
            return Err(LineErrorKind::Size);
        }
        Ok(())
    }

    /// This line comes behind the last one: so it may in the next body.
    fn follow(&mut self, id: EntryId) {
        let id = self.findable(id);
        match self.lines.entries.get_mut(self.last as usize) {
            Some(last) => last.follower = id,
            None if self.lines.ids.is_empty() => self.lines.first = id,
            None => {}
        }
    }

    fn findable(&self, id: EntryId) -> EntryId {
        match self.lines.entries[id as usize].key_length {
            0 => NONE,
            _ => id,
        }
    }

    fn take_head(&mut self, id: EntryId) {
        self.last = self.findable(id);
        self.lines.ids.push(id);
        if let Means::Type(_, metric_type, _) = self.lines.entries[id as usize].means {
            self.standing = metric_type.float_label();
        }
    }

    /// Keeps a sample unless it is reported for each target, or a sample of the same series and with the same timestamp
    /// is there already.
    #[inline(always)]
    fn take_sample(&mut self, id: EntryId, series: EntryId, value: Value<'b>) {
        let body = self.lines.body;
        let is_new = match self.lines.seen.get_mut(series as usize) {
            Some(seen) if seen.body != body => {
                *seen = Seen {
                    body,
                    sample: offset(self.values.count()),
                };
                true
            }
            Some(seen) => {
                let first = seen.sample;
                self.is_new_timestamp(series, first, value.milliseconds)
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

    /// Whether a series that the body has already is there with another timestamp.
    #[cold]
    fn is_new_timestamp(&mut self, series: EntryId, first: u32, milliseconds: i64) -> bool {
        let first = self.values.get(first as usize);
        let of_first = timestamp::milliseconds(first, self.lines.format).unwrap_or(NO_TIMESTAMP);
        self.repeated.insert((series, of_first));
        self.repeated.insert((series, milliseconds))
    }
}

impl<'b> Value<'b> {
    fn new(range: Range<usize>, timestamp: Option<Timestamp<'b>>) -> Value<'b> {
        Value {
            range,
            milliseconds: timestamp
                .as_ref()
                .map_or(NO_TIMESTAMP, |timestamp| timestamp.milliseconds),
            apart: timestamp.and_then(|timestamp| timestamp.apart),
        }
    }
}

/// Samples in lines that nobody reads; counted, so that `scrape_samples_scraped` is that of the whole body, as it is in
/// Prometheus beyond `sample_limit`.
fn sample_lines(lines: &[u8]) -> u64 {
    let lines = lines
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_start);
    let samples = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    samples.count() as u64
}
