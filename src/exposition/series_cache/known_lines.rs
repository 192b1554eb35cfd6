//! The known lines: their bytes, and what they mean.

use super::names::{NameId, Names};
use super::places::{EntryId, FirstEntries, Keys, half, hash};
use super::texts::Texts;
use crate::exposition::asked::{Asked, AskedNames};
use crate::exposition::error::LineErrorKind;
use crate::exposition::escaping::Escaping;
use crate::exposition::labels::IdentityLabels;
use crate::exposition::layout::{Layout, Run, TextRef};
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::{Format, MetricType, offset};
use foldhash::fast::RandomState;
use std::sync::Arc;

/// No entry.
pub(super) const NONE: EntryId = u32::MAX;

/// About this many forgotten lines are recognized when they come again.
const FORGOTTEN_LINES: usize = 1 << 14;

/// All lines that are known so far.
#[derive(Debug)]
pub(super) struct KnownLines {
    pub(super) format: Format,
    pub(super) escaping: Escaping,
    /// `None` if all families are asked for.
    pub(super) asked: Option<AskedNames>,
    identity_names: Vec<Vec<u8>>,
    pub(super) texts: Texts,
    pub(super) entries: Vec<Entry>,
    /// What each entry means.
    pub(super) means: Vec<Means>,
    /// The number of entries, names and texts that are from earlier bodies.
    kept: (usize, usize, usize),
    /// A byte of the hash of each forgotten line, at a place that its hash gives; a later line may overwrite it.
    forgotten: Vec<u8>,
    /// About the number of new lines in the current body that were forgotten before.
    come_again: usize,
    by_key: Keys,
    pub(super) by_series: FirstEntries,
    pub(super) names: Names,
    pub(super) hasher: RandomState,
    /// The entry of the first line of the last body, or [`NONE`].
    pub(super) first: EntryId,
    /// The number of the current body, from 1.
    pub(super) body: u32,
    pub(super) layouts: Vec<KnownLayout>,
    /// The entries of the current body, without those of dropped samples.
    pub(super) ids: Vec<EntryId>,
}

/// A line up to its value, or a whole HELP, TYPE or UNIT line: what is needed to find it, and to tell whether a sample
/// is a duplicate.
#[derive(Debug)]
pub(super) struct Entry {
    /// The number of the text that contains the key.
    pub(super) text: u32,
    pub(super) key_start: u32,
    /// 0 if the line cannot be found by its bytes.
    pub(super) key_length: u32,
    /// The entry that followed this one in the last body with it, or [`NONE`].
    pub(super) follower: EntryId,
    /// The first entry of the same series. [`NONE`] if this is no sample, or one that is dropped.
    pub(super) series: EntryId,
    /// If this is the first entry of its series: where the series was seen last.
    pub(super) seen: Seen,
    /// For a series with a label `le` or `quantile`: the label that Prometheus rewrites under the TYPE line above it.
    /// Under another TYPE line, the same bytes mean something else.
    pub(super) under: Option<Option<FloatLabel>>,
    pub(super) is_head: bool,
}

/// What a known line means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Means {
    Sample {
        name: NameId,
        /// Name and labels as the pod wrote them, and as Prometheus stores them under the TYPE line above.
        written: TextRef,
        stored: TextRef,
        has_float_label: bool,
    },
    /// A sample that the aggregator adds for each target. It is dropped.
    Reported(NameId),
    /// `None` if the text is empty.
    Help(NameId, Option<TextRef>),
    /// `None` if there is no unit.
    Unit(NameId, Option<TextRef>),
    /// `None` if no sample can have this name.
    Type(Option<NameId>, MetricType, &'static [u8]),
}

/// Where a series was seen last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// The number of the body, from 1.
    pub(super) body: u32,
    /// The number of the first sample of this series in the body.
    pub(super) sample: u32,
}

/// The layout of a body with these lines.
#[derive(Debug)]
pub(super) struct KnownLayout {
    /// The HELP, TYPE and UNIT lines of the body, and the samples that were kept.
    pub(super) ids: Vec<EntryId>,
    pub(super) layout: Arc<Layout>,
    /// The part of the body that is in the layout. `None` if all of it is.
    pub(super) selection: Option<Selection>,
}

/// The families of a body that are asked for.
#[derive(Debug)]
pub(super) struct Selection {
    /// For each known name whether it belongs to one of the families.
    pub(super) names: Vec<bool>,
    /// The samples with these names, among all that the body keeps.
    pub(super) samples: Vec<Run>,
}

impl Selection {
    pub(super) fn has(&self, name: NameId) -> bool {
        self.names.get(name as usize) == Some(&true)
    }
}

/// The bytes of a line before its value, or all of a HELP, TYPE or UNIT line. A line with an empty key cannot be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'b> {
    pub(super) bytes: &'b [u8],
    hash: u64,
}

impl Entry {
    /// Whether the entry is valid under the current TYPE line.
    #[inline(always)]
    fn fits(&self, float_label: Option<FloatLabel>) -> bool {
        self.under.is_none_or(|under| under == float_label)
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
            means: Vec::new(),
            kept: (0, 0, 0),
            forgotten: Vec::new(),
            come_again: 0,
            by_key: Keys::default(),
            by_series: FirstEntries::default(),
            names: Names::default(),
            hasher: RandomState::default(),
            first: NONE,
            body: 0,
            layouts: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Whether a target with these labels can use these lines: the names of its labels decide which labels are renamed.
    pub(super) fn are_of(&self, format: Format, labels: &IdentityLabels) -> bool {
        self.format == format && self.identity_names == labels.names()
    }

    /// Reserves memory for a body without a known line, of about this many lines and bytes.
    pub(super) fn reserve(&mut self, lines: usize, bytes: usize) {
        self.entries.reserve(lines);
        self.means.reserve(lines);
        self.by_series.reserve(lines);
        self.texts.fresh.reserve(bytes);
    }

    /// The memory in bytes, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.texts.held_bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.means.capacity() * size_of::<Means>()
            + self.by_key.held_bytes()
            + self.by_series.held_bytes()
    }

    /// Whether the new lines of this body are kept for other bodies. Many pods send lines that no other pod sends, and
    /// these would only make the tables slow. So new lines are forgotten, unless half of them were forgotten before or
    /// one has a new metric name.
    pub(super) fn are_worth_keeping(&self) -> bool {
        let (entries, names, _) = self.kept;
        let fresh = self.entries.len() - entries;
        entries == 0 || names < self.names.len() || fresh <= 2 * self.come_again
    }

    /// Ends a body: its new lines become known, or are forgotten.
    pub(super) fn keep_or_forget(&mut self) {
        self.texts.seal();
        if self.are_worth_keeping() {
            let (entries, texts) = (&self.entries, &self.texts);
            let found_by = |id: EntryId| {
                let entry = &entries[id as usize];
                let key = texts.get(entry.text, entry.key_start, entry.key_length);
                (key, entry.under)
            };
            self.by_key.keep(|a, b| found_by(a) == found_by(b));
            self.by_series.keep();
            self.kept = (self.entries.len(), self.names.len(), self.texts.count());
        } else {
            let (entries, _, texts) = self.kept;
            self.forgotten.resize(FORGOTTEN_LINES, 0);
            for half in self.by_key.forget() {
                self.forgotten[half as usize % FORGOTTEN_LINES] = forgotten_mark(half);
            }
            self.by_series.forget();
            self.entries.truncate(entries);
            self.means.truncate(entries);
            let is_forgotten =
                |layout: &KnownLayout| layout.ids.iter().any(|id| *id as usize >= entries);
            self.layouts.pop_if(|last| is_forgotten(last));
            self.texts.truncate(texts);
        }
        self.come_again = 0;
    }

    #[inline(always)]
    fn key(&self, entry: &Entry) -> &[u8] {
        self.texts
            .get(entry.text, entry.key_start, entry.key_length)
    }

    /// The entry of the line that starts here, if it is the expected one or its follower.
    #[inline(always)]
    pub(super) fn guess(
        &self,
        expected: EntryId,
        rest: &[u8],
        float_label: Option<FloatLabel>,
    ) -> Option<EntryId> {
        let is_it = |entry: &Entry| rest.starts_with(self.key(entry)) && entry.fits(float_label);
        let entry = self.entries.get(expected as usize)?;
        if is_it(entry) {
            return Some(expected);
        }
        let behind = self.entries.get(entry.follower as usize)?;
        is_it(behind).then_some(entry.follower)
    }

    /// The key of the line that starts here, if it is an ordinary line.
    pub(super) fn key_bytes<'b>(&self, rest: &'b [u8]) -> Option<&'b [u8]> {
        let mut line = &rest[..memchr::memchr(b'\n', rest)?];
        if line.first() == Some(&b'#') {
            let starts: [&[u8]; 3] = [b"# HELP ", b"# TYPE ", b"# UNIT "];
            let is_head = starts.iter().any(|start| line.starts_with(start));
            return is_head.then(|| &rest[..=line.len()]);
        }
        if self.format == Format::OpenMetrics
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

    /// The key with these bytes.
    pub(super) fn key_of<'b>(&self, bytes: &'b [u8]) -> Key<'b> {
        Key {
            bytes,
            hash: hash(&self.hasher, bytes),
        }
    }

    /// The entry with this key, if it was known before this body.
    pub(super) fn find(&self, key: Key<'_>, float_label: Option<FloatLabel>) -> Option<EntryId> {
        let is_of = |id: EntryId| self.is_of(&self.entries[id as usize], key, float_label);
        self.by_key.find(key.hash, is_of)
    }

    /// Whether this is the entry of a line with this key under the current TYPE line.
    pub(super) fn is_of(
        &self,
        entry: &Entry,
        key: Key<'_>,
        float_label: Option<FloatLabel>,
    ) -> bool {
        self.key(entry) == key.bytes && entry.fits(float_label)
    }

    /// Adds the entry of a new line. Its key is in the text already.
    pub(super) fn insert(&mut self, key: Key<'_>, entry: Entry, means: Means) -> EntryId {
        let id = offset(self.entries.len());
        self.entries.push(entry);
        self.means.push(means);
        if !key.bytes.is_empty() {
            self.by_key.push(key.hash, id);
            let half = half(key.hash);
            let mark = self.forgotten.get(half as usize % FORGOTTEN_LINES);
            self.come_again += usize::from(mark == Some(&forgotten_mark(half)));
        }
        id
    }

    /// The number of a name, which is added if it is new.
    pub(super) fn name(&mut self, name: &[u8]) -> Result<NameId, LineErrorKind> {
        self.names.number(name, &mut self.texts, &self.hasher)
    }

    /// The number of a name, if it is known.
    pub(super) fn known_name(&self, name: &[u8]) -> Option<NameId> {
        self.names.find(name, &self.texts, &self.hasher)
    }
}

/// A byte of the hash that is independent of its place in the table; never 0.
fn forgotten_mark(half: u32) -> u8 {
    half.to_be_bytes()[0] | 1
}
