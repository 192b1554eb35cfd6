//! The names of a body: those of its samples and those in its HELP and TYPE lines, each once.

use super::labels::is_metric_name;
use super::{MetricType, Span};
use crate::keyed_hash::KeyedHash;

/// Number of a name in [`Names`], in order of appearance.
pub(super) type NameId = u32;

/// The TYPE line under which all samples of one name stand.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    WithoutSamples,
    Under(NameId, MetricType),
    /// Under none, under one for a name that no sample can have, or under several that differ.
    Elsewhere,
}

impl Standing {
    /// One more sample stands there.
    pub(super) fn add(&mut self, standing: Standing) {
        *self = match *self {
            Standing::WithoutSamples => standing,
            before if before == standing => before,
            _ => Standing::Elsewhere,
        };
    }
}

/// What is known of one name.
#[derive(Debug)]
pub(super) struct Name {
    /// In the heads buffer, unescaped.
    pub(super) text: Span,
    /// Whether it can stand before the braces, without quotes.
    pub(super) is_bare: bool,
    /// Of the last HELP line for this name, in the heads buffer, escaped; never empty.
    pub(super) help: Option<Span>,
    /// Of the last TYPE line for this name.
    pub(super) metric_type: Option<MetricType>,
    /// Whether TYPE lines for this name differ, and one of them says histogram or summary.
    pub(super) is_contested: bool,
    /// The TYPE line under which its samples stand.
    pub(super) standing: Standing,
    /// What HELP and TYPE are written with behind the name; empty except for some types of OpenMetrics.
    pub(super) suffix: &'static [u8],
    /// The name that came after this one the last time: the first guess for what comes next.
    follower: NameId,
}

/// All names of a body, found by guess first and by hash otherwise.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) list: Vec<Name>,
    /// Names and HELP texts, one behind the other. Not much longer than the body they are from.
    pub(super) heads: Vec<u8>,
    /// Open addressing, a power of two long; 0 is free, else the id plus one.
    slots: Vec<NameId>,
    key: KeyedHash,
    last: NameId,
}

/// Room for the names and HELP texts of a few dozen families.
const HEADS_BYTES_AT_FIRST: usize = 4096;

impl Names {
    pub(super) fn new(body_bytes: usize) -> Names {
        Names {
            list: Vec::with_capacity(32),
            heads: Vec::with_capacity(body_bytes.min(HEADS_BYTES_AT_FIRST)),
            slots: vec![0; 64],
            key: KeyedHash::new(),
            last: 0,
        }
    }

    pub(super) fn text(&self, id: NameId) -> &[u8] {
        &self.heads[self.list[id as usize].text.range()]
    }

    pub(super) fn get(&self, id: NameId) -> &Name {
        &self.list[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: NameId) -> &mut Name {
        &mut self.list[id as usize]
    }

    /// The name that is likely to come next: the one that came after the last the last time, or the last itself.
    pub(super) fn guess(&self) -> Option<NameId> {
        self.list.get(self.last as usize).map(|last| last.follower)
    }

    /// The id of a name that may be new.
    pub(super) fn intern(&mut self, name: &[u8]) -> NameId {
        let id = match self.guess() {
            Some(guess) if self.text(guess) == name => guess,
            _ => self.find_or_add(name),
        };
        self.follow(id);
        id
    }

    /// Notes that this name came now.
    pub(super) fn follow(&mut self, id: NameId) {
        if let Some(last) = self.list.get_mut(self.last as usize) {
            last.follower = id;
        }
        self.last = id;
    }

    /// The id of a name, if the body has it.
    pub(super) fn find(&self, name: &[u8]) -> Option<NameId> {
        self.slots[self.slot(name)].checked_sub(1)
    }

    fn find_or_add(&mut self, name: &[u8]) -> NameId {
        let slot = self.slot(name);
        if let Some(id) = self.slots[slot].checked_sub(1) {
            return id;
        }
        let id = super::offset(self.list.len());
        self.slots[slot] = id + 1;
        let text = self.push_head(name);
        self.list.push(Name {
            text,
            is_bare: is_metric_name(name),
            help: None,
            metric_type: None,
            is_contested: false,
            standing: Standing::default(),
            suffix: b"",
            follower: id,
        });
        if self.list.len() * 2 > self.slots.len() {
            self.grow();
        }
        id
    }

    /// Gives HELP and TYPE of each name that has a suffix to the name with the suffix.
    pub(super) fn append_suffixes(&mut self) {
        for id in 0..super::offset(self.list.len()) {
            let (name, suffix) = (self.text(id), self.get(id).suffix);
            if name.ends_with(suffix) {
                continue;
            }
            let whole = self.intern(&[name, suffix].concat());
            let from = self.get_mut(id);
            let (help, metric_type) = (from.help.take(), from.metric_type.take());
            let to = self.get_mut(whole);
            to.help = to.help.or(help);
            to.metric_type = to.metric_type.or(metric_type);
        }
    }

    /// Appends to the heads buffer.
    pub(super) fn push_head(&mut self, bytes: &[u8]) -> Span {
        let start = self.heads.len();
        self.heads.extend_from_slice(bytes);
        Span::new(start, self.heads.len())
    }

    /// The slot that holds the name, or the free one where it belongs.
    fn slot(&self, name: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        // Only the low bits are wanted.
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        let mut at = self.key.hash(name) as usize & mask;
        while let Some(id) = self.slots[at].checked_sub(1) {
            if self.text(id) == name {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for id in 0..super::offset(self.list.len()) {
            let slot = self.slot(&self.heads[self.list[id as usize].text.range()]);
            self.slots[slot] = id + 1;
        }
    }
}
