//! Adds lines that are not known yet.

use super::known_lines::{Entry, Key, KnownLines, Means, NONE, Seen};
use super::places::{EntryId, hash};
use super::series::{rewritten, same_series, stored_label};
use crate::exposition::error::LineErrorKind;
use crate::exposition::labels::{IdentityLabels, rename_clashing};
use crate::exposition::layout::TextRef;
use crate::exposition::line::{HeadLine, SampleLine, Says};
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::number::rewritten_float;
use crate::exposition::offset;
use crate::exposition::report::REPORTED;
use crate::exposition::text::plain::PlainSeries;

/// The parts of an [`Entry`] that differ between new lines.
struct NewEntry {
    key_start: usize,
    series: EntryId,
    under: Option<Option<FloatLabel>>,
}

/// The series of a sample in the plain form.
struct PlainMeaning {
    /// The sum of the hashes of name and labels, as Prometheus stores them.
    hash: u64,
    under: Option<Option<FloatLabel>>,
    /// Labels that have a value.
    present: usize,
    /// The index of a label that Prometheus rewrites, and the rewritten label.
    stored: Option<(usize, Vec<u8>)>,
}

impl KnownLines {
    /// Adds a HELP, TYPE or UNIT line. `None` for a HELP or UNIT line with a name that no sample can have.
    pub(super) fn add_head(
        &mut self,
        key: Key<'_>,
        head: HeadLine<'_>,
    ) -> Result<Option<EntryId>, LineErrorKind> {
        let name = match &head.name {
            Some(name) => Some(self.name(&self.escaping.metric_name(name))?),
            None => None,
        };
        let means = match (name, head.says) {
            (Some(name), Says::Help(text)) => Means::Help(name, self.help(&text)?),
            (Some(name), Says::Unit(b"")) => Means::Unit(name, None),
            (Some(name), Says::Unit(unit)) => {
                let unit = self.texts.push(unit).ok_or(LineErrorKind::Size)?;
                Means::Unit(name, Some(unit))
            }
            (None, Says::Help(_) | Says::Unit(_)) => return Ok(None),
            (
                name,
                Says::Type {
                    metric_type,
                    suffix,
                },
            ) => Means::Type(name, metric_type, suffix),
        };
        self.add(key, means).map(Some)
    }

    /// Stores a help text. `None` if it is blank, because a parser reads such a text as empty. Carriage returns at its
    /// end are removed: they would look like a part of the line end.
    fn help(&mut self, text: &[u8]) -> Result<Option<TextRef>, LineErrorKind> {
        let end = text.iter().rposition(|byte| *byte != b'\r');
        let text = &text[..end.map_or(0, |last| last + 1)];
        if text.iter().all(|byte| matches!(byte, b' ' | b'\t' | 0)) {
            return Ok(None);
        }
        self.texts.push(text).map(Some).ok_or(LineErrorKind::Size)
    }

    /// Adds a sample line in the plain form without a label that clashes. `None` if the aggregator adds this series for
    /// each target, or if the body is too large.
    pub(super) fn add_plain(
        &mut self,
        key: Key<'_>,
        series: &PlainSeries<'_>,
        float_label: Option<FloatLabel>,
    ) -> Option<EntryId> {
        let PlainSeries { name, labels, .. } = series;
        let meaning = self.plain_meaning(series, float_label);
        let has_labels = meaning.present > 0;
        if !has_labels && REPORTED.contains(name) {
            return None;
        }
        let name_id = self.name(name).ok()?;
        let key_start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key.bytes);
        let written = if meaning.present == labels.len() {
            // Without the closing brace and the blank.
            let length = key.bytes.len() - if has_labels { 2 } else { 1 };
            TextRef::new(self.texts.number(), key_start, length, has_labels)?
        } else {
            self.texts.write_plain(name, labels, None)?
        };
        let stored = match &meaning.stored {
            Some(label) => self.texts.write_plain(name, labels, Some(label))?,
            None => written,
        };
        let series = self.series(meaning.hash, stored);
        if self.is_repeated(series, key, float_label) {
            self.texts.fresh.truncate(key_start);
            return Some(series);
        }
        let new = NewEntry {
            key_start,
            series,
            under: meaning.under,
        };
        let means = Means::Sample {
            name: name_id,
            written,
            stored,
            has_float_label: meaning.under.is_some(),
        };
        self.add_at(key, &new, means).ok()
    }

    fn plain_meaning(
        &self,
        series: &PlainSeries<'_>,
        float_label: Option<FloatLabel>,
    ) -> PlainMeaning {
        let mut meaning = PlainMeaning {
            hash: hash(&self.hasher, series.name),
            under: None,
            present: 0,
            stored: None,
        };
        let labels = series.labels.iter().enumerate();
        for (number, label) in labels.filter(|(_, label)| !label.value.is_empty()) {
            meaning.present += 1;
            let mut whole = label.whole;
            if label.float.is_some() {
                meaning.under = Some(float_label);
                if label.float == float_label
                    && let Some(value) = rewritten_float(label.value)
                {
                    let stored = stored_label(label, &value);
                    whole = &meaning.stored.insert((number, stored)).1;
                }
            }
            let of_label = hash(&self.hasher, whole);
            meaning.hash = meaning.hash.wrapping_add(of_label);
        }
        meaning
    }

    /// Adds a sample line of any form. It can be found later if its key is not empty.
    pub(super) fn add_sample(
        &mut self,
        key: Key<'_>,
        sample: SampleLine<'_>,
        float_label: Option<FloatLabel>,
        identity: &IdentityLabels,
    ) -> Result<EntryId, LineErrorKind> {
        let SampleLine {
            name, mut labels, ..
        } = sample;
        let name = self.escaping.metric_name(&name);
        self.escaping.label_names(&mut labels)?;
        let name_id = self.name(&name)?;
        let has_float_label = labels
            .iter()
            .any(|(name, _)| FloatLabel::of_name(name).is_some());
        let under = has_float_label.then_some(float_label);
        let mut stored = under.flatten().and_then(|label| rewritten(&labels, label));
        rename_clashing(&mut labels, identity);
        if let Some(stored) = &mut stored {
            rename_clashing(stored, identity);
        }
        if labels.is_empty() && REPORTED.contains(&&*name) {
            return self.add(key, Means::Reported(name_id));
        }
        let key_start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key.bytes);
        let (written, mut hash) =
            self.texts
                .write_series(key_start, &name, &labels, &self.hasher)?;
        let mut stored_text = written;
        if let Some(labels) = &stored {
            let start = self.texts.fresh.len();
            (stored_text, hash) = self
                .texts
                .write_series(start, &name, labels, &self.hasher)?;
        }
        let series = self.series(hash, stored_text);
        if self.is_repeated(series, key, float_label) {
            self.texts.fresh.truncate(key_start);
            return Ok(series);
        }
        let new = NewEntry {
            key_start,
            series,
            under,
        };
        let means = Means::Sample {
            name: name_id,
            written,
            stored: stored_text,
            has_float_label,
        };
        self.add_at(key, &new, means)
    }

    /// The first entry of the series that is stored with this text, or the number of the next entry if there is none.
    fn series(&mut self, hash: u64, text: TextRef) -> EntryId {
        let (means, texts) = (&self.means, &self.texts);
        let is_same = |first: EntryId| match means.get(first as usize) {
            Some(Means::Sample { stored, .. }) => same_series(texts.at(*stored), texts.at(text)),
            _ => false,
        };
        let new = offset(self.entries.len());
        self.by_series.find_or_insert(hash, new, is_same)
    }

    /// Whether this entry has the same key, because the line is not the first of its kind in the body.
    fn is_repeated(&self, first: EntryId, key: Key<'_>, float_label: Option<FloatLabel>) -> bool {
        let first = self.entries.get(first as usize);
        !key.bytes.is_empty() && first.is_some_and(|first| self.is_of(first, key, float_label))
    }

    /// Adds a line that is not a sample, or a sample that is dropped.
    fn add(&mut self, key: Key<'_>, means: Means) -> Result<EntryId, LineErrorKind> {
        let new = NewEntry {
            key_start: self.texts.fresh.len(),
            series: NONE,
            under: None,
        };
        self.texts.fresh.extend_from_slice(key.bytes);
        self.add_at(key, &new, means)
    }

    /// Adds an entry whose key is in the text already.
    fn add_at(
        &mut self,
        key: Key<'_>,
        new: &NewEntry,
        means: Means,
    ) -> Result<EntryId, LineErrorKind> {
        let text = self.texts.number();
        let of_key = TextRef::new(text, new.key_start, key.bytes.len(), false);
        let of_key = of_key.ok_or(LineErrorKind::Size)?;
        let entry = Entry {
            text,
            key_start: of_key.start,
            key_length: offset(of_key.len()),
            follower: NONE,
            series: new.series,
            seen: Seen::default(),
            under: new.under,
            is_head: !matches!(means, Means::Sample { .. } | Means::Reported(_)),
        };
        Ok(self.insert(key, entry, means))
    }
}
