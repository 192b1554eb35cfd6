//! Lines that are known by their bytes, and what they mean.

use super::series::{rewritten, same_series};
use super::texts::Texts;
use crate::exposition::error::LineErrorKind;
use crate::exposition::escaping::Escaping;
use crate::exposition::labels::{IdentityLabels, rename_clashing};
use crate::exposition::layout::{Layout, TextRef};
use crate::exposition::line::{HeadLine, Label, SampleLine, Says};
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::report::REPORTED;
use crate::exposition::{Format, MetricType, offset};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Index of an [`Entry`].
pub(super) type EntryId = u32;
/// Index of a name.
pub(super) type NameId = u32;

/// No entry.
pub(super) const NONE: EntryId = u32::MAX;

/// What is known of all lines so far.
#[derive(Debug)]
pub(super) struct KnownLines {
    pub(super) format: Format,
    escaping: Escaping,
    identity_names: Vec<Vec<u8>>,
    pub(super) texts: Texts,
    pub(super) entries: Vec<Entry>,
    /// Series that Prometheus stores with another text than they are written with.
    stored: HashMap<EntryId, TextRef>,
    by_key: HashTable<EntryId>,
    /// With the upper half of the hash.
    by_series: HashTable<(u32, EntryId)>,
    pub(super) names: Vec<TextRef>,
    by_name: HashTable<NameId>,
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
    },
    /// A sample that is reported for each target, and dropped.
    Reported,
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

/// What the body with these lines has.
#[derive(Debug)]
pub(super) struct KnownLayout {
    /// Its HELP, TYPE and UNIT lines and the samples that were kept.
    pub(super) ids: Vec<EntryId>,
    pub(super) layout: Arc<Layout>,
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
    pub(super) fn new(format: Format, labels: &IdentityLabels, escaping: Escaping) -> KnownLines {
        KnownLines {
            format,
            escaping,
            identity_names: labels.names().to_vec(),
            texts: Texts::default(),
            entries: Vec::new(),
            stored: HashMap::new(),
            by_key: HashTable::new(),
            by_series: HashTable::new(),
            names: Vec::new(),
            by_name: HashTable::new(),
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

    /// Bytes of memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        let of_entry = size_of::<Entry>() + size_of::<Seen>();
        self.texts.held_bytes()
            + self.entries.capacity() * of_entry
            + self.by_key.allocation_size()
            + self.by_series.allocation_size()
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

    /// The entry of a line with just these bytes before its value.
    pub(super) fn find(&self, key: &[u8], standing: Option<FloatLabel>) -> Option<EntryId> {
        let is_it = |id: &EntryId| {
            let entry = &self.entries[*id as usize];
            self.key(entry) == key && entry.fits(standing)
        };
        self.by_key.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Adds a HELP, TYPE or UNIT line; `None` if it says nothing.
    pub(super) fn add_head(
        &mut self,
        key: &[u8],
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

    /// Adds a sample line that was not found. It can be found from here on if there are any bytes before its value.
    pub(super) fn add_sample(
        &mut self,
        key: &[u8],
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
            return self.add(key, Means::Reported);
        }
        let key_start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key);
        let written = self.texts.write_series(key_start, &name, &labels)?;
        let text = match &stored {
            Some(labels) => {
                let text = self
                    .texts
                    .write_series(self.texts.fresh.len(), &name, labels)?;
                self.stored.insert(id, text);
                text
            }
            None => written,
        };
        let hash = self.series_hash(name_id, stored.as_ref().unwrap_or(&labels));
        let series = self.series(hash, text, id);
        let means = Means::Sample {
            name: name_id,
            written,
            series,
            under,
        };
        self.insert(key_start, key.len(), means)
    }

    /// The sum of the hashes of its parts, so that the order of labels does not matter.
    fn series_hash(&self, name: NameId, labels: &[Label<'_>]) -> u64 {
        let of_label = |(name, value): &Label<'_>| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write(name);
            hasher.write_u8(b'=');
            hasher.write(value);
            hasher.finish()
        };
        let labels = labels.iter().map(of_label);
        labels.fold(self.hasher.hash_one(name), u64::wrapping_add)
    }

    /// The first entry of the series that is stored with this text; if there is none, this one.
    fn series(&mut self, hash: u64, text: TextRef, id: EntryId) -> EntryId {
        let tag = upper(hash);
        let is_same = |&(known, first): &(u32, EntryId)| {
            known == tag && same_series(self.texts.at(self.stored_text(first)), self.texts.at(text))
        };
        // Only the upper half is kept, so only that decides the place.
        let place = |tag: u32| u64::from(tag) << 32 | u64::from(tag);
        if let Some((_, first)) = self.by_series.find(place(tag), is_same) {
            return *first;
        }
        self.by_series
            .insert_unique(place(tag), (tag, id), |(tag, _)| place(*tag));
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

    /// Whether Prometheus stores the series of this entry with another text.
    pub(super) fn is_stored_otherwise(&self, id: EntryId) -> bool {
        !self.stored.is_empty() && self.stored.contains_key(&id)
    }

    fn add(&mut self, key: &[u8], means: Means) -> Result<EntryId, LineErrorKind> {
        let start = self.texts.fresh.len();
        self.texts.fresh.extend_from_slice(key);
        self.insert(start, key.len(), means)
    }

    /// The key has been appended to the text.
    fn insert(
        &mut self,
        key_start: usize,
        key_length: usize,
        means: Means,
    ) -> Result<EntryId, LineErrorKind> {
        let text = self.texts.number();
        let key = TextRef::new(text, key_start, key_length, false).ok_or(LineErrorKind::Size)?;
        let id = offset(self.entries.len());
        self.entries.push(Entry {
            text,
            key_start: key.start,
            key_length: offset(key_length),
            follower: NONE,
            means,
        });
        self.seen.push(Seen::default());
        if key_length > 0 {
            let hash = self.hasher.hash_one(self.texts.at(key));
            let (hasher, texts, entries) = (&self.hasher, &self.texts, &self.entries);
            self.by_key.insert_unique(hash, id, |id| {
                let entry = &entries[*id as usize];
                hasher.hash_one(texts.get(entry.text, entry.key_start, entry.key_length))
            });
        }
        Ok(id)
    }

    /// The number of a name that may be new.
    pub(super) fn name(&mut self, name: &[u8]) -> Result<NameId, LineErrorKind> {
        let hash = self.hasher.hash_one(name);
        if let Some(id) = self.find_name(hash, name) {
            return Ok(id);
        }
        let id = offset(self.names.len());
        let text = self.texts.push(name).ok_or(LineErrorKind::Size)?;
        self.names.push(text);
        let (hasher, texts, names) = (&self.hasher, &self.texts, &self.names);
        self.by_name.insert_unique(hash, id, |id| {
            hasher.hash_one(texts.at(names[*id as usize]))
        });
        Ok(id)
    }

    fn find_name(&self, hash: u64, name: &[u8]) -> Option<NameId> {
        let is_it = |id: &NameId| self.texts.at(self.names[*id as usize]) == name;
        self.by_name.find(hash, is_it).copied()
    }

    /// The number of a name, if it is known.
    pub(super) fn known_name(&self, name: &[u8]) -> Option<NameId> {
        self.find_name(self.hasher.hash_one(name), name)
    }
}

fn upper(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
