//! Collects what the lines of a body say, and groups it into the families of an [`Exposition`].

use super::error::LineErrorKind;
use super::labels::{IdentityLabels, Label, is_metric_name, name_bit, push_label, push_quoted};
use super::names::{NameId, Names};
use super::sample_line;
use super::series_table::SeriesTable;
use super::{Exposition, Family, MetricType, Span, number, offset, split_suffix};

/// Metrics that are reported for every target. A pod's own series of such a name without labels would be identical to
/// the reported one, and is dropped.
pub(super) const REPORTED: [&[u8]; 3] =
    [b"up", b"scrape_duration_seconds", b"scrape_samples_scraped"];

/// An [`Exposition`] in the making.
#[derive(Debug)]
pub(super) struct Builder<'l> {
    pub(super) identity: &'l IdentityLabels,
    pub(super) text: Vec<u8>,
    pub(super) names: Names,
    pub(super) series: SeriesTable,
    pub(super) samples: u64,
    duplicates_dropped: u64,
    /// Samples of one name that stand together in `text`: the name, and where they start.
    runs: Vec<(NameId, u32)>,
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
    float_label: Option<&'static [u8]>,
    /// The bits of all labels that need a closer look: see [`name_bit`].
    pub(super) bits: u64,
}

impl<'l> Builder<'l> {
    pub(super) fn new(identity: &'l IdentityLabels, body_bytes: usize) -> Builder<'l> {
        Builder {
            identity,
            text: Vec::with_capacity(body_bytes * 2),
            names: Names::new(body_bytes),
            series: SeriesTable::with_capacity(body_bytes / 128),
            samples: 0,
            duplicates_dropped: 0,
            runs: Vec::new(),
            last_type: None,
            current: Current::default(),
        }
    }

    /// `suffix` is what the text format has behind this name, and OpenMetrics has not.
    pub(super) fn type_line(
        &mut self,
        name: &[u8],
        metric_type: MetricType,
        suffix: &'static [u8],
    ) {
        let id = self.names.intern(name);
        let name = self.names.get_mut(id);
        // The last one stands, but nothing displaces a histogram or summary: what belongs to it must stay with it.
        let is_known_better = name.metric_type.is_some_and(MetricType::has_children);
        if metric_type.has_children() || !is_known_better {
            name.metric_type = Some(metric_type);
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

    /// `le` or `quantile` if the last TYPE line is that of a histogram or summary to which the name does not belong.
    fn misplaced_float_label(&self, id: NameId) -> Option<&'static [u8]> {
        let (type_id, metric_type) = self.last_type?;
        let label = metric_type.float_label()?;
        let name = self.names.text(id);
        let belongs = type_id.is_some_and(|type_id| {
            let family = self.names.text(type_id);
            let is_part = |(base, suffix)| base == family && metric_type.takes(suffix);
            name == family || split_suffix(name).is_some_and(is_part)
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
        body: &[u8],
        mut sample: sample_line::SampleLine,
    ) -> Result<(), LineErrorKind> {
        self.set_current(&sample.name);
        self.rewrite_float_label(&mut sample.labels);
        super::labels::rename_clashing(&mut sample.labels, self.identity);
        let start = self.text.len();
        let hash = self.write_series(&sample.name, &sample.labels);
        let (timestamp, milliseconds) = sample.timestamp.unzip();
        for part in [Some(&body[sample.value]), timestamp.as_deref()]
            .into_iter()
            .flatten()
        {
            self.text.push(b' ');
            self.text.extend_from_slice(part);
        }
        self.text.push(b'\n');
        self.finish_sample(start, hash, milliseconds, sample.labels.is_empty())
    }

    /// Writes name and labels; gives the sum of the hashes of the labels.
    fn write_series(&mut self, name: &[u8], labels: &[Label]) -> u64 {
        let out = &mut self.text;
        let is_bare = is_metric_name(name);
        if is_bare {
            out.extend_from_slice(name);
            if labels.is_empty() {
                out.extend_from_slice(self.identity.alone());
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
        out.extend_from_slice(self.identity.behind());
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

    /// Counts the sample that was written to `text` from `start` on, and takes it back if it is a duplicate.
    ///
    /// `labels_hash` is the sum of the hashes of its own labels.
    pub(super) fn finish_sample(
        &mut self,
        start: usize,
        labels_hash: u64,
        timestamp: Option<i64>,
        is_without_labels: bool,
    ) -> Result<(), LineErrorKind> {
        self.samples += 1;
        if is_without_labels && self.current.is_reported {
            self.text.truncate(start);
            self.duplicates_dropped += 1;
            return Ok(());
        }
        if self.text.len() >= u32::MAX as usize {
            return Err(LineErrorKind::Size);
        }
        let mut hash = self.current.hash.wrapping_add(labels_hash);
        if let Some(milliseconds) = timestamp {
            hash = hash.wrapping_add(self.series.hash(&milliseconds.to_le_bytes()));
        }
        let (text, new) = (&self.text, &self.text[start..]);
        let is_same = |before: u32| same_series(&text[before as usize..], new);
        if !self.series.insert(hash, offset(start), is_same) {
            self.text.truncate(start);
            self.duplicates_dropped += 1;
            return Ok(());
        }
        if let Some(id) = self.current.id
            && self.runs.last().is_none_or(|(last, _)| *last != id)
        {
            self.runs.push((id, offset(start)));
        }
        Ok(())
    }

    /// Groups names into families, and orders the families by name.
    pub(super) fn finish(mut self) -> Exposition {
        self.names.append_suffixes();
        let family_of = self.family_of_names();
        let text_end = offset(self.text.len());
        let mut pieces: Vec<(NameId, Span)> = Vec::with_capacity(self.runs.len());
        for (n, (name, start)) in self.runs.iter().enumerate() {
            let end = self.runs.get(n + 1).map_or(text_end, |next| next.1);
            let family = family_of[*name as usize];
            match pieces.last_mut() {
                Some((last, span)) if *last == family => span.end = end,
                _ => pieces.push((family, Span { start: *start, end })),
            }
        }
        let order = self.families_in_order(&family_of);
        let (runs, bounds) = group(&pieces, self.names.list.len());
        let families = order
            .into_iter()
            .map(|id| {
                let name = self.names.get(id);
                Family {
                    name: name.text,
                    help: name.help,
                    metric_type: name.metric_type,
                    runs: Span {
                        start: bounds[id as usize],
                        end: bounds[id as usize + 1],
                    },
                }
            })
            .collect();
        Exposition {
            text: self.text,
            heads: self.names.heads,
            families,
            runs,
            samples: self.samples,
            duplicates_dropped: self.duplicates_dropped,
        }
    }

    /// For each name the family its samples belong to: itself, or the histogram or summary it is a part of.
    fn family_of_names(&self) -> Vec<NameId> {
        let ids = 0..offset(self.names.list.len());
        ids.map(|id| {
            let family = split_suffix(self.names.text(id)).and_then(|(base, suffix)| {
                let base = self.names.find(base)?;
                let metric_type = self.names.get(base).metric_type?;
                metric_type.takes(suffix).then_some(base)
            });
            family.unwrap_or(id)
        })
        .collect()
    }

    /// The names that are families, in name order: those with samples and those with a HELP or TYPE line.
    fn families_in_order(&self, family_of: &[NameId]) -> Vec<NameId> {
        let mut has_samples = vec![false; family_of.len()];
        for (name, _) in &self.runs {
            has_samples[family_of[*name as usize] as usize] = true;
        }
        let mut ids: Vec<NameId> = (0..offset(family_of.len()))
            .filter(|&id| {
                let name = self.names.get(id);
                let is_named = !self.names.text(id).is_empty();
                is_named
                    && (has_samples[id as usize]
                        || name.help.is_some()
                        || name.metric_type.is_some())
            })
            .collect();
        if !ids.is_sorted_by_key(|&id| self.names.text(id)) {
            ids.sort_unstable_by_key(|&id| self.names.text(id));
        }
        ids
    }
}

/// Sorts the spans by family, keeping their order within one: the spans, and for each family where its own start
/// among them, with one more bound at the end.
fn group(pieces: &[(NameId, Span)], families: usize) -> (Vec<Span>, Vec<u32>) {
    let mut bounds = vec![0_u32; families + 1];
    for (family, _) in pieces {
        bounds[*family as usize + 1] += 1;
    }
    for n in 1..bounds.len() {
        bounds[n] += bounds[n - 1];
    }
    let mut next = bounds.clone();
    let mut spans = vec![Span { start: 0, end: 0 }; pieces.len()];
    for (family, span) in pieces {
        let at = &mut next[*family as usize];
        spans[*at as usize] = *span;
        *at += 1;
    }
    (spans, bounds)
}

/// Whether two written sample lines have the same name, labels and timestamp. The lines start the slices.
fn same_series(before: &[u8], new: &[u8]) -> bool {
    let (Ok(before), Ok(new)) = (sample_line::read(before, 0), sample_line::read(new, 0)) else {
        return false;
    };
    let sorted = |mut labels: Vec<Label>| {
        labels.sort_unstable();
        labels
    };
    before.name == new.name
        && before.timestamp.map(|t| t.1) == new.timestamp.map(|t| t.1)
        && sorted(before.labels) == sorted(new.labels)
}
