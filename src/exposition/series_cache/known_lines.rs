//! Lines that are known by their bytes, and what they mean.

use super::known_layout::KnownLayout;
use super::names::{NameId, Names};
use super::places::{EntryId, Places};
use super::series::{rewritten, same_series};
use super::texts::Texts;
use crate::exposition::asked::{Asked, AskedNames};
use crate::exposition::error::LineErrorKind;
use crate::exposition::escaping::Escaping;
use crate::exposition::labels::{IdentityLabels, name_bit, rename_clashing};
use crate::exposition::layout::TextRef;
use crate::exposition::line::{HeadLine, SampleLine, Says};
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::number;
use crate::exposition::report::REPORTED;
use crate::exposition::text::plain;
use crate::exposition::{Format, MetricType, offset};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// No entry.
pub(super) const NONE: EntryId = u32::MAX;

/// What is known of all lines so far.
#[derive(Debug)]
pub(super) struct KnownLines {
    pub(super) format: Format,
    escaping: Escaping,
    /// `None`: all families are asked for.
    pub(super) asked: Option<AskedNames>,
    identity_names: Vec<Vec<u8>>,
    pub(super) texts: Texts,
    pub(super) entries: Vec<Entry>,
    /// Series that Prometheus stores with another text than they are written with.
    stored: HashMap<EntryId, TextRef>,
    by_key: Places,
    by_series: Places,
    pub(super) names: Names,
    hasher: RandomState,
    /// The entry of the first line of the last body.
    pub(super) first: EntryId,
    /// For each series, which is known by its first entry, where it was seen last.
    pub(super) seen: Vec<Seen>,
    /// Number of the body that is being read.
    pub(super) body: u32,
    pub(super) layouts: Vec<KnownLayout>,
    /// The entries of the body that is being read.
    pub(super) ids: Vec<EntryId>,
}

/// A line up to its value, or a whole HELP, TYPE or UNIT line.
#[derive(Debug)]
pub(super) struct Entry {
    /// The text that has all of it.
    text: u32,
    key_start: u32,
    /// 0: it cannot be found by its bytes.
    pub(super) key_length: u32,
    /// The entry that followed this one in the last body that had it.
    pub(super) follower: EntryId,
    pub(super) means: Means,
}

/// What a known line means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Means {
    Sample {
        name: NameId,
        /// Name and labels as they are written.
        written: TextRef,
        /// The first entry of the same series.
        series: EntryId,
        /// Which label the TYPE line that stands makes Prometheus rewrite, if the series has a label of such a name at
        /// all: then this is a part of what the line means.
        under: Option<Option<FloatLabel>>,
        /// Whether Prometheus stores it with another text because of that.
        is_rewritten: bool,
    },
    /// A sample that is reported for each target, and dropped.
    Reported(NameId),
    /// `None`: says nothing.
    Help(NameId, Option<TextRef>),
    /// `None`: without a unit.
    Unit(NameId, Option<TextRef>),
    /// Without a name if no sample can have it.
    Type(Option<NameId>, MetricType, &'static [u8]),
}

/// Where a series was seen last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// Number of the body, from 1.
    pub(super) body: u32,
    /// Number of the first sample of this series there.
    pub(super) sample: u32,
}

/// The bytes before the value of a line, or all of a HELP or TYPE line. Without any, a line cannot be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'b> {
    pub(super) bytes: &'b [u8],
    hash: u64,
}

impl Entry {
    /// Whether a line with these bytes means this under the TYPE line that stands.
    #[inline(always)]
    fn fits(&self, standing: Option<FloatLabel>) -> bool {
        match self.means {
            Means::Sample {
                under: Some(under), ..
            } => under == standing,
            _ => true,
        }
    }
}

impl KnownLines {
    pub(super) fn new(format: Format, labels: &IdentityLabels, asked: &Asked) -> KnownLines {
        let escaping = asked.accept.escaping(format);
        KnownLines {
            format,
            escaping,
            asked: asked.families.written(format, escaping),
            identity_names: labels.names().to_vec(),
            texts: Texts::default(),
            entries: Vec::new(),
            stored: HashMap::new(),
            by_key: Places::default(),
            by_series: Places::default(),
            names: Names::default(),
            hasher: RandomState::default(),
            first: NONE,
            seen: Vec::new(),
            body: 0,
            layouts: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Whether lines of this format mean the same for a target with these labels.
    pub(super) fn are_of(&self, format: Format, labels: &IdentityLabels) -> bool {
        self.format == format && self.identity_names == labels.names()
    }

    /// Makes room for a body of about so many lines and bytes of which none is known.
    pub(super) fn reserve(&mut self, lines: usize, bytes: usize) {
        self.entries.reserve(lines);
        self.seen.reserve(lines);
        self.by_key.reserve(lines);
        self.by_series.reserve(lines);
        self.texts.fresh.reserve(bytes);
    }

    /// Bytes of memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        let of_entry = size_of::<Entry>() + size_of::<Seen>();
        self.texts.held_bytes()
            + self.entries.capacity() * of_entry
            + self.by_key.held_bytes()
            + self.by_series.held_bytes()
    }

    #[inline(always)]
    fn key(&self, entry: &Entry) -> &[u8] {
        self.texts
            .get(entry.text, entry.key_start, entry.key_length)
    }

    /// Whether the line that starts here is the one of this entry.
    #[inline(always)]
    pub(super) fn starts(&self, id: EntryId, rest: &[u8], standing: Option<FloatLabel>) -> bool {
        self.entries
            .get(id as usize)
            .is_some_and(|entry| rest.starts_with(self.key(entry)) && entry.fits(standing))
    }

    /// What a line is found by: its bytes before the value.
    pub(super) fn key_of<'b>(&self, bytes: &'b [u8]) -> Key<'b> {
        Key {
            bytes,
            hash: self.hasher.hash_one(bytes),
        }
    }

    /// The entry of a line with this key.
    pub(super) fn find(&self, key: Key<'_>, standing: Option<FloatLabel>) -> Option<EntryId> {
        self.by_key.find(key.hash, |id| {
            let entry = &self.entries[id as usize];
            self.key(entry) == key.bytes && entry.fits(standing)
        })
    }

    /// Adds a HELP, TYPE or UNIT line; `None` if it says nothing.
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

    /// A text of blanks alone says nothing: read again, it is empty. Carriage returns at its end would look like a part
    /// of the line end.
    fn help(&mut self, text: &[u8]) -> Result<Option<TextRef>, LineErrorKind> {
        let end = text.iter().rposition(|byte| *byte != b'\r');
        let text = &text[..end.map_or(0, |last| last + 1)];
        if text.iter().all(|byte| matches!(byte, b' ' | b'\t' | 0)) {
            return Ok(None);
        }
        self.texts.push(text).map(Some).ok_or(LineErrorKind::Size)
    }

    /// Adds a sample line that was not found, if its series is written in the usual way, and stays as it is.
    pub(super) fn add_plain(
        &mut self,
        key: Key<'_>,
        standing: Option<FloatLabel>,
        identity: &IdentityLabels,
    ) -> Option<EntryId> {
        let (mut hash, mut seen_bits, mut under, mut has_labels) = (0_u64, 0, None, false);
        let name = plain::read(key.bytes, |label| {
            let bit = name_bit(label.name);
            let is_clear = seen_bits & bit == 0 && !identity.contains(label.name);
            seen_bits |= bit;
            has_labels = true;
            hash = hash.wrapping_add(self.hasher.hash_one(label.whole));
            let float_label = FloatLabel::of_name(label.name);
            if float_label.is_some() {
                under = Some(standing);
            }
            let is_rewritten = float_label.is_some()
                && float_label == standing
                && !number::is_canonical_float(label.value);
            is_clear && !is_rewritten && label.name != b"__name__"
        })?;
        if !has_labels && REPORTED.contains(&name) {
            return None;
        }
        let name_id = self.name(name).ok()?;
        let hash = hash.wrapping_add(self.hasher.hash_one(name));
        let id = offset(self.entries.len());
        let start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key.bytes);
        // The closing brace and the blank are not written.
        let length = key.bytes.len() - if has_labels { 2 } else { 1 };
        let written = TextRef::new(self.texts.number(), start, length, has_labels)?;
        let means = Means::Sample {
            name: name_id,
            written,
            series: self.series(hash, written, id),
            under,
            is_rewritten: false,
        };
        self.insert(start, key, means).ok()
    }

    /// Adds any sample line that was not found. It can be found from here on if there are any bytes before its value.
    pub(super) fn add_sample(
        &mut self,
        key: Key<'_>,
        sample: SampleLine<'_>,
        standing: Option<FloatLabel>,
        identity: &IdentityLabels,
    ) -> Result<EntryId, LineErrorKind> {
        let SampleLine {
            name, mut labels, ..
        } = sample;
        let name = self.escaping.metric_name(&name);
        self.escaping.label_names(&mut labels)?;
        let name_id = self.name(&name)?;
        let has_float = labels
            .iter()
            .any(|(name, _)| FloatLabel::of_name(name).is_some());
        let under = has_float.then_some(standing);
        let mut stored = under.flatten().and_then(|label| rewritten(&labels, label));
        rename_clashing(&mut labels, identity);
        if let Some(stored) = &mut stored {
            rename_clashing(stored, identity);
        }
        let id = offset(self.entries.len());
        if labels.is_empty() && REPORTED.contains(&&*name) {
            return self.add(key, Means::Reported(name_id));
        }
        let key_start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key.bytes);
        let (written, hash) = self
            .texts
            .write_series(key_start, &name, &labels, &self.hasher)?;
        let (text, hash) = match &stored {
            Some(labels) => {
                let start = self.texts.fresh.len();
                let stored = self
                    .texts
                    .write_series(start, &name, labels, &self.hasher)?;
                self.stored.insert(id, stored.0);
                stored
            }
            None => (written, hash),
        };
        let series = self.series(hash, text, id);
        let means = Means::Sample {
            name: name_id,
            written,
            series,
            under,
            is_rewritten: stored.is_some(),
        };
        self.insert(key_start, key, means)
    }

    /// The first entry of the series that is stored with this text; if there is none, this one.
    fn series(&mut self, hash: u64, text: TextRef, id: EntryId) -> EntryId {
        let is_same = |first: EntryId| {
            same_series(self.texts.at(self.stored_text(first)), self.texts.at(text))
        };
        if let Some(first) = self.by_series.find(hash, is_same) {
            return first;
        }
        self.by_series.insert(hash, id);
        id
    }

    /// Name and labels as Prometheus stores them; those of a sample that is not known yet are not asked for.
    pub(super) fn stored_text(&self, id: EntryId) -> TextRef {
        match (self.stored.get(&id), self.entries[id as usize].means) {
            (Some(stored), _) => *stored,
            (None, Means::Sample { written, .. }) => written,
            (None, _) => TextRef::EMPTY,
        }
    }

    fn add(&mut self, key: Key<'_>, means: Means) -> Result<EntryId, LineErrorKind> {
        let start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key.bytes);
        self.insert(start, key, means)
    }

    /// The key has been appended to the text.
    fn insert(
        &mut self,
        key_start: usize,
        key: Key<'_>,
        means: Means,
    ) -> Result<EntryId, LineErrorKind> {
        let text = self.texts.number();
        let place = TextRef::new(text, key_start, key.bytes.len(), false);
        let place = place.ok_or(LineErrorKind::Size)?;
        let id = offset(self.entries.len());
        self.entries.push(Entry {
            text,
            key_start: place.start,
            key_length: offset(place.len()),
            follower: NONE,
            means,
        });
        self.seen.push(Seen::default());
        if !key.bytes.is_empty() {
            self.by_key.insert(key.hash, id);
        }
        Ok(id)
    }

    /// The number of a name that may be new.
    pub(super) fn name(&mut self, name: &[u8]) -> Result<NameId, LineErrorKind> {
        self.names.number(name, &mut self.texts, &self.hasher)
    }

    /// The number of a name, if it is known.
    pub(super) fn known_name(&self, name: &[u8]) -> Option<NameId> {
        self.names.find(name, &self.texts, &self.hasher)
    }
}
