//! Lines that are known by their bytes, and what they mean.

use super::known_layout::KnownLayout;
use super::names::{NameId, Names};
use super::places::{EntryId, Places, half, hash};
use super::texts::Texts;
use crate::exposition::asked::{Asked, AskedNames};
use crate::exposition::error::LineErrorKind;
use crate::exposition::escaping::Escaping;
use crate::exposition::labels::IdentityLabels;
use crate::exposition::layout::TextRef;
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::{Format, MetricType, offset};
use foldhash::fast::RandomState;

/// No entry.
pub(super) const NONE: EntryId = u32::MAX;

/// Of so many lines that were forgotten it is known, about, that they came.
const FORGOTTEN_LINES: usize = 1 << 14;

/// What is known of all lines so far.
#[derive(Debug)]
pub(super) struct KnownLines {
    pub(super) format: Format,
    pub(super) escaping: Escaping,
    /// `None`: all families are asked for.
    pub(super) asked: Option<AskedNames>,
    identity_names: Vec<Vec<u8>>,
    pub(super) texts: Texts,
    pub(super) entries: Vec<Entry>,
    /// For each entry.
    pub(super) means: Vec<Means>,
    /// So many entries, names and texts are from bodies before.
    kept: (usize, usize, usize),
    /// A byte of the hash of each line that was forgotten, if none came over it.
    forgotten: Vec<u8>,
    /// New lines of the body that is being read that have been forgotten once, about.
    come_again: usize,
    by_key: Places,
    pub(super) by_series: Places,
    pub(super) names: Names,
    pub(super) hasher: RandomState,
    /// The entry of the first line of the last body.
    pub(super) first: EntryId,
    /// Number of the body that is being read, from 1.
    pub(super) body: u32,
    pub(super) layouts: Vec<KnownLayout>,
    /// The entries of the body that is being read.
    pub(super) ids: Vec<EntryId>,
}

/// A line up to its value, or a whole HELP, TYPE or UNIT line: what is needed to find it, and to see whether a sample
/// is a duplicate.
#[derive(Debug)]
pub(super) struct Entry {
    /// The text that has all of it.
    pub(super) text: u32,
    pub(super) key_start: u32,
    /// 0: it cannot be found by its bytes.
    pub(super) key_length: u32,
    /// The entry that followed this one in the last body that had it.
    pub(super) follower: EntryId,
    /// The first entry of the same series; [`NONE`] for what is no sample, or one that is dropped.
    pub(super) series: EntryId,
    /// Where this series was seen last, if this is its first entry.
    pub(super) seen: Seen,
    /// Which label the TYPE line that stands makes Prometheus rewrite, if the series has a label of such a name at
    /// all: then this is a part of what the line means.
    pub(super) under: Option<Option<FloatLabel>>,
    pub(super) is_head: bool,
}

/// What a known line means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Means {
    Sample {
        name: NameId,
        /// Name and labels as they are written, and as Prometheus stores them under the TYPE line that stands.
        written: TextRef,
        stored: TextRef,
        has_float_label: bool,
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
        self.under.is_none_or(|under| under == standing)
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
            by_key: Places::default(),
            by_series: Places::default(),
            names: Names::default(),
            hasher: RandomState::default(),
            first: NONE,
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
        self.means.reserve(lines);
        self.by_key.reserve(lines);
        self.by_series.reserve(lines);
        self.texts.fresh.reserve(bytes);
    }

    /// Bytes of memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.texts.held_bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.means.capacity() * size_of::<Means>()
            + self.by_key.held_bytes()
            + self.by_series.held_bytes()
    }

    /// Whether the lines that are new in this body are worth keeping for other bodies. Many pods send lines that no
    /// other pod sends, and these would only make the tables slow. So what is new is forgotten, unless half of it was
    /// forgotten before, or a metric is new.
    pub(super) fn are_worth_keeping(&self) -> bool {
        let (entries, names, _) = self.kept;
        let fresh = self.entries.len() - entries;
        entries == 0 || names < self.names.len() || fresh <= 2 * self.come_again
    }

    /// What is done at the end of a body, when all texts are sealed.
    pub(super) fn keep_or_forget(&mut self) {
        if self.are_worth_keeping() {
            self.by_key.keep();
            self.by_series.keep();
            self.kept = (self.entries.len(), self.names.len(), self.texts.count());
        } else {
            let (entries, _, texts) = self.kept;
            self.forgotten.resize(FORGOTTEN_LINES, 0);
            for half in self.by_key.fresh_hashes() {
                self.forgotten[half as usize % FORGOTTEN_LINES] = forgotten_mark(half);
            }
            self.by_key.forget();
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

    /// The entry of the line that starts here, if it is the expected one, or the one behind that.
    #[inline(always)]
    pub(super) fn guess(
        &self,
        expected: EntryId,
        rest: &[u8],
        standing: Option<FloatLabel>,
    ) -> Option<EntryId> {
        let is_it = |entry: &Entry| rest.starts_with(self.key(entry)) && entry.fits(standing);
        let entry = self.entries.get(expected as usize)?;
        if is_it(entry) {
            return Some(expected);
        }
        let behind = self.entries.get(entry.follower as usize)?;
        is_it(behind).then_some(entry.follower)
    }

    /// What of the line that starts here must be its bytes before the value, if it is an ordinary one.
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

    /// What a line is found by: its bytes before the value.
    pub(super) fn key_of<'b>(&self, bytes: &'b [u8]) -> Key<'b> {
        Key {
            bytes,
            hash: hash(&self.hasher, bytes),
        }
    }

    /// The entry of a line with this key.
    pub(super) fn find(&self, key: Key<'_>, standing: Option<FloatLabel>) -> Option<EntryId> {
        self.by_key.find(key.hash, |id| {
            let entry = &self.entries[id as usize];
            self.key(entry) == key.bytes && entry.fits(standing)
        })
    }

    /// Adds a line that was not found; its key has been appended to the text.
    pub(super) fn insert(&mut self, key: Key<'_>, entry: Entry, means: Means) -> EntryId {
        let id = offset(self.entries.len());
        self.entries.push(entry);
        self.means.push(means);
        if !key.bytes.is_empty() {
            self.by_key.insert(key.hash, id);
            let half = half(key.hash);
            let mark = self.forgotten.get(half as usize % FORGOTTEN_LINES);
            self.come_again += usize::from(mark == Some(&forgotten_mark(half)));
        }
        id
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

/// A byte of the hash that does not say where it is kept; never 0.
fn forgotten_mark(half: u32) -> u8 {
    half.to_be_bytes()[0] | 1
}
