//! Collects what the lines of a body say, and groups it into the families of an [`Exposition`].

use super::error::LineErrorKind;
use super::labels::{IdentityLabels, Label, is_metric_name, name_bit, push_label, push_quoted};
use super::layout::{Layout, Lengths, Line, Reuse};
use super::names::{NameId, Names, Standing};
use super::report::REPORTED;
use super::sample_line;
use super::series_table::SeriesTable;
use super::untyped::UntypedNames;
use super::{MetricType, Run, Span, families, number, offset, split_suffix};
use crate::keyed_hash::KeyedHash;

/// A [`Layout`] in the making.
#[derive(Debug)]
pub(super) struct Builder<'b, 'l> {
    body: &'b [u8],
    identity: &'l IdentityLabels,
    /// Sample lines that could not stay as they stand in the body. Offsets count them as standing behind it.
    pub(super) written_anew: Vec<u8>,
    /// See [`Layout`].
    lines: Vec<Line>,
    lengths: Lengths,
    pub(super) names: Names,
    pub(super) series: SeriesTable,
    pub(super) samples: u64,
    duplicates_dropped: u64,
    /// Whether what is written for the body hangs on more than its series and their order: on timestamps, on a TYPE
    /// line for which labels are rewritten, on a label without a value, which is left out of lines that are written
    /// anew, or on the first byte of a value: without a blank before it, another one would go on with the name.
    pub(super) hangs_on_more: bool,
    /// Families that are `untyped` whatever their TYPE lines say.
    untyped: UntypedNames,
    /// Samples of one name that stand together.
    runs: Vec<(NameId, Run)>,
    /// The last TYPE line: it stands until the next. It has no name if no sample can have that name.
    last_type: Option<(Option<NameId>, MetricType)>,
    /// What is known of the name of the last sample.
    pub(super) current: Current,
}

/// The name of the last sample, and what all samples of this name have in common.
#[derive(Debug, Default)]
pub(super) struct Current {
    id: Option<NameId>,
    /// The name's part of the hash of a series.
    pub(super) hash: u64,
    is_reported: bool,
    pub(super) care: Care,
}

/// Which labels of a sample cannot be copied as they stand, beside those that every sample has: see
/// [`Builder::needs_care`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Care {
    /// The label whose values Prometheus would rewrite here, although it will not do so in the merged text: there
    /// the name stands under the TYPE line of another family.
    pub(super) float_label: Option<&'static [u8]>,
    /// The bits of all labels that need a closer look: see [`name_bit`].
    pub(super) bits: u64,
}

/// What tells a sample from others of the same name.
#[derive(Debug)]
pub(super) struct Series {
    /// The sum of the hashes of its own labels.
    pub(super) labels_hash: u64,
    /// In milliseconds.
    pub(super) timestamp: Option<i64>,
    /// Without any that has a value.
    pub(super) is_without_labels: bool,
    pub(super) has_empty_label: bool,
}

/// Most exporters write more for each sample, with HELP and TYPE lines counted in.
const BODY_BYTES_PER_SAMPLE: usize = 64;

impl<'b, 'l> Builder<'b, 'l> {
    pub(super) fn new(identity: &'l IdentityLabels, body: &'b [u8]) -> Builder<'b, 'l> {
        Builder::for_samples(
            identity,
            body,
            body.len() / BODY_BYTES_PER_SAMPLE,
            KeyedHash::new(),
        )
    }

    /// With room for about so many samples. Where layouts share a key, the tags of their series can be compared.
    pub(super) fn for_samples(
        identity: &'l IdentityLabels,
        body: &'b [u8],
        samples: usize,
        key: KeyedHash,
    ) -> Builder<'b, 'l> {
        Builder {
            body,
            identity,
            written_anew: Vec::new(),
            lines: Vec::with_capacity(samples),
            lengths: Lengths::default(),
            names: Names::new(body.len()),
            series: SeriesTable::with_capacity(samples, key),
            samples: 0,
            duplicates_dropped: 0,
            hangs_on_more: false,
            untyped: UntypedNames::new(),
            runs: Vec::new(),
            last_type: None,
            current: Current::default(),
        }
    }

    /// Makes these families `untyped`. The values of `le` and `quantile` that Prometheus would store are written for
    /// their samples. To be called before the first line.
    pub(super) fn set_untyped(&mut self, untyped: UntypedNames) {
        // A body with a line less may not need it.
        self.hangs_on_more |= !untyped.is_empty();
        self.untyped = untyped;
    }

    /// The families that must be untyped although their TYPE lines say otherwise. To be called after the last line.
    pub(super) fn must_be_untyped(&self) -> UntypedNames {
        families::untyped(&self.names)
    }

    /// The last TYPE line for a name counts. `suffix` is what only the text format has behind this name.
    pub(super) fn type_line(
        &mut self,
        name: &[u8],
        metric_type: MetricType,
        suffix: &'static [u8],
    ) {
        let id = self.names.intern(name);
        let is_untyped = self.untyped.contains(name);
        let name = self.names.get_mut(id);
        if is_untyped {
            name.metric_type = Some(MetricType::Untyped);
        } else {
            let before = name.metric_type.replace(metric_type);
            name.is_contested |= before.is_some_and(|before| {
                before != metric_type && (before.has_children() || metric_type.has_children())
            });
            name.suffix = suffix;
        }
        self.last_type = Some((Some(id), metric_type));
        self.current = Current::default();
    }

    /// A TYPE line for a name that no sample can have.
    pub(super) fn nameless_type_line(&mut self, metric_type: MetricType) {
        self.last_type = Some((None, metric_type));
        self.current = Current::default();
    }

    /// `text` is escaped as in the text format. One of blanks alone says nothing: read again, it is empty. Carriage
    /// returns at its end would look like a part of the line end.
    pub(super) fn help_line(&mut self, name: &[u8], text: &[u8]) {
        let id = self.names.intern(name);
        let end = text.iter().rposition(|byte| *byte != b'\r');
        let text = &text[..end.map_or(0, |last| last + 1)];
        let is_blank = text.iter().all(|byte| matches!(byte, b' ' | b'\t' | 0));
        let help = (!is_blank).then(|| self.names.push_head(text));
        self.names.get_mut(id).help = help;
    }

    /// The length of the name of a sample, before `{` or a blank, that `rest` starts with, if it is the name of the
    /// last sample or the one that is likely to come next; it is the current name from here on.
    pub(super) fn expected_name(&mut self, rest: &[u8]) -> Option<usize> {
        let length_at = |names: &Names, id| {
            let name = names.text(id);
            let is_here =
                rest.starts_with(name) && matches!(rest.get(name.len()), Some(b'{' | b' '));
            (is_here && names.get(id).is_bare).then_some(name.len())
        };
        if let Some(length) = self.current.id.and_then(|id| length_at(&self.names, id)) {
            return Some(length);
        }
        let guess = self.names.guess()?;
        let length = length_at(&self.names, guess)?;
        self.names.follow(guess);
        self.set_current_id(guess);
        Some(length)
    }

    /// Makes this the name of the sample that is being read.
    pub(super) fn set_current(&mut self, name: &[u8]) {
        let id = self.names.intern(name);
        self.set_current_id(id);
    }

    fn set_current_id(&mut self, id: NameId) {
        if self.current.id == Some(id) {
            return;
        }
        let standing = match self.last_type {
            Some((Some(type_id), metric_type)) => Standing::Under(type_id, metric_type),
            _ => Standing::Elsewhere,
        };
        self.names.get_mut(id).standing.add(standing);
        let name = self.names.text(id);
        let float_label = self.misplaced_float_label(id);
        let bits = [b"__name__".as_slice()]
            .into_iter()
            .chain(float_label)
            .fold(self.identity.name_bits(), |bits, name| {
                bits | name_bit(name)
            });
        self.current = Current {
            id: Some(id),
            hash: self.series.hash(name),
            is_reported: REPORTED.contains(&name),
            care: Care { float_label, bits },
        };
    }

    /// `le` or `quantile` if the last TYPE line is that of a histogram or summary to which the name does not belong, or
    /// that is written as `untyped`.
    fn misplaced_float_label(&self, id: NameId) -> Option<&'static [u8]> {
        let (type_id, metric_type) = self.last_type?;
        let label = metric_type.float_label()?;
        let name = self.names.text(id);
        let belongs = type_id.is_some_and(|type_id| {
            let family = self.names.text(type_id);
            let is_part = |(base, suffix)| base == family && metric_type.takes(suffix);
            (name == family || split_suffix(name).is_some_and(is_part))
                && !self.untyped.contains(family)
        });
        (!belongs).then_some(label)
    }

    /// Whether a label of this name cannot be copied as it stands.
    pub(super) fn needs_care(&self, label: &[u8]) -> bool {
        self.identity.contains(label)
            || label == b"__name__"
            || self.current.care.float_label == Some(label)
    }

    /// Writes a sample in canonical form: labels renamed and rewritten where needed, everything escaped.
    pub(super) fn push_sample(
        &mut self,
        mut sample: sample_line::SampleLine,
    ) -> Result<(), LineErrorKind> {
        self.set_current(&sample.name);
        self.rewrite_float_label(&mut sample.labels);
        super::labels::rename_clashing(&mut sample.labels, self.identity);
        let start = self.written_anew.len();
        let labels_hash = self.write_series(&sample.name, &sample.labels);
        let has_brace = self.written_anew.last() == Some(&b'}');
        let split = self.written_anew.len() - usize::from(has_brace);
        self.hangs_on_more |= !matches!(self.body[sample.value.start - 1], b' ' | b'\t');
        let (timestamp, milliseconds) = sample.timestamp.unzip();
        let out = &mut self.written_anew;
        let value_start = out.len() + 1;
        for part in [Some(&self.body[sample.value.clone()]), timestamp.as_deref()]
            .into_iter()
            .flatten()
        {
            out.push(b' ');
            out.extend_from_slice(part);
        }
        let value_end = out.len();
        out.push(b'\n');
        let behind_body = |at: usize| self.body.len() + at;
        if behind_body(out.len()) >= u32::MAX as usize {
            return Err(LineErrorKind::Size);
        }
        // A value that stands in the body as it is written is left there, for bodies with other values to be compared.
        let value = match timestamp {
            None => sample.value,
            Some(_) => behind_body(value_start)..behind_body(value_end),
        };
        let line = Line {
            start: offset(behind_body(start)),
            split: offset(behind_body(split)),
            value: offset(value.start),
            end: offset(value.end),
        };
        let series = Series {
            labels_hash,
            timestamp: milliseconds,
            is_without_labels: sample.labels.is_empty(),
            has_empty_label: sample.has_empty_label,
        };
        if self.add(line, &series).is_none() {
            self.written_anew.truncate(start);
        }
        Ok(())
    }

    /// Writes name and labels; gives the sum of the hashes of the labels.
    fn write_series(&mut self, name: &[u8], labels: &[Label]) -> u64 {
        let out = &mut self.written_anew;
        let is_bare = is_metric_name(name);
        if is_bare {
            out.extend_from_slice(name);
            if labels.is_empty() {
                return 0;
            }
        }
        out.push(b'{');
        if !is_bare {
            push_quoted(out, name);
        }
        let mut hash = 0_u64;
        for (n, (name, value)) in labels.iter().enumerate() {
            if n > 0 || !is_bare {
                out.push(b',');
            }
            let start = out.len();
            push_label(out, name, value);
            // Without the closing quote: the fast way hashes what stands before it.
            let label = &out[start..out.len() - 1];
            hash = hash.wrapping_add(self.series.hash(label));
        }
        out.push(b'}');
        hash
    }

    fn rewrite_float_label(&self, labels: &mut [Label]) {
        for (name, value) in labels {
            if self.current.care.float_label == Some(name)
                && let Some(canonical) = number::canonical_float(value)
            {
                *value = canonical.into_bytes();
            }
        }
    }

    /// Counts a sample of the current name, and keeps its line unless it is a duplicate; gives the tag of what is kept.
    pub(super) fn add(&mut self, line: Line, series: &Series) -> Option<u32> {
        self.samples += 1;
        self.hangs_on_more |= series.timestamp.is_some()
            || series.has_empty_label
            || self.current.care.float_label.is_some();
        let tag = self.tag(series);
        if series.is_without_labels && self.current.is_reported || !self.is_new(line, tag) {
            self.duplicates_dropped += 1;
            return None;
        }
        let has_brace = text_from(self.body, &self.written_anew, line.split).first() == Some(&b'}');
        self.lengths.add(line, has_brace);
        let number = self.lines.len();
        self.lines.push(line);
        if let Some(id) = self.current.id {
            match self.runs.last_mut() {
                Some((last, run)) if *last == id => run.end += 1,
                _ => self.runs.push((id, Span::new(number, number + 1))),
            }
        }
        Some(tag)
    }

    /// What the table of series has for it.
    fn tag(&self, series: &Series) -> u32 {
        let mut hash = self.current.hash.wrapping_add(series.labels_hash);
        if let Some(milliseconds) = series.timestamp {
            hash = hash.wrapping_add(self.series.hash(&milliseconds.to_le_bytes()));
        }
        SeriesTable::tag(hash)
    }

    /// Whether the line is the first with its series and timestamp.
    fn is_new(&mut self, line: Line, tag: u32) -> bool {
        let (body, written_anew) = (self.body, &self.written_anew);
        let from = |offset| text_from(body, written_anew, offset);
        let is_same = |before: u32| sample_line::same_series(from(before), from(line.start));
        self.series.insert(tag, line.start, is_same)
    }

    /// Groups names into families. The text is left to be put in.
    pub(super) fn finish(mut self) -> Layout {
        let is_reusable = !self.hangs_on_more && self.duplicates_dropped == 0;
        self.names.append_suffixes();
        let (families, runs) = families::group(&self.names, &self.runs);
        Layout {
            text: Vec::new(),
            body_bytes: self.body.len(),
            lines: self.lines,
            heads: self.names.heads,
            families,
            runs,
            lengths: self.lengths,
            samples: self.samples,
            duplicates_dropped: self.duplicates_dropped,
            reuse: is_reusable.then(|| Reuse {
                series: self.series,
                identity_names: self.identity.names().to_vec(),
            }),
        }
    }
}

/// What stands at this offset and behind it.
fn text_from<'t>(body: &'t [u8], written_anew: &'t [u8], offset: u32) -> &'t [u8] {
    let offset = offset as usize;
    match offset.checked_sub(body.len()) {
        Some(behind) => &written_anew[behind..],
        None => &body[offset..],
    }
}
