//! Hash tables of entries.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// The index of a known line.
pub(super) type EntryId = u32;

/// Each entry has half of its hash, so that few entries are compared in vain, and none when the table grows.
type Table = HashTable<(u32, EntryId)>;

/// Entries by their keys. New entries of the current body are only listed, because most are forgotten after it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    kept: Table,
    fresh: Vec<(u32, EntryId)>,
}

impl Keys {
    /// The known entry with this hash for which `is_it` returns true. New entries are not found.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(EntryId) -> bool) -> Option<EntryId> {
        find(&self.kept, half(hash), &is_it)
    }

    /// Lists a new entry.
    pub(super) fn push(&mut self, hash: u64, id: EntryId) {
        self.fresh.push((half(hash), id));
    }

    /// Makes the new entries known; of those that are the same only the first, because a body may repeat a line a
    /// million times.
    pub(super) fn keep(&mut self, are_same: impl Fn(EntryId, EntryId) -> bool) {
        self.kept
            .reserve(self.fresh.len(), |(half, _)| place(*half));
        for (half, id) in self.fresh.drain(..) {
            let is_it = |(known, other): &(u32, EntryId)| *known == half && are_same(*other, id);
            let entry = self
                .kept
                .entry(place(half), is_it, |(half, _)| place(*half));
            entry.or_insert((half, id));
        }
    }

    /// Forgets the new entries, and returns the halves of their hashes.
    pub(super) fn forget(&mut self) -> impl Iterator<Item = u32> {
        self.fresh.drain(..).map(|(half, _)| half)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.kept.allocation_size() + self.fresh.capacity() * size_of::<(u32, EntryId)>()
    }
}

/// The first entry of each series. New entries of the current body have a table of their own, because most are
/// forgotten after it, and small tables are quick.
#[derive(Debug, Default)]
pub(super) struct FirstEntries {
    kept: Table,
    fresh: Table,
}

impl FirstEntries {
    /// Reserves memory for this many new entries.
    pub(super) fn reserve(&mut self, entries: usize) {
        self.fresh.reserve(entries, |(half, _)| place(*half));
    }

    /// The entry with this hash for which `is_it` returns true. If there is none, adds `new` and returns it.
    pub(super) fn find_or_insert(
        &mut self,
        hash: u64,
        new: EntryId,
        is_it: impl Fn(EntryId) -> bool,
    ) -> EntryId {
        let half = half(hash);
        if let Some(known) = find(&self.kept, half, &is_it) {
            return known;
        }
        let is_it = |(known, id): &(u32, EntryId)| *known == half && is_it(*id);
        let entry = self
            .fresh
            .entry(place(half), is_it, |(half, _)| place(*half));
        entry.or_insert((half, new)).get().1
    }

    /// Makes the new entries known.
    pub(super) fn keep(&mut self) {
        if self.kept.is_empty() {
            std::mem::swap(&mut self.kept, &mut self.fresh);
        }
        for entry in self.fresh.drain() {
            insert(&mut self.kept, entry);
        }
    }

    /// Forgets the new entries.
    pub(super) fn forget(&mut self) {
        self.fresh.clear();
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.kept.allocation_size() + self.fresh.allocation_size()
    }
}

fn find(table: &Table, half: u32, is_it: &impl Fn(EntryId) -> bool) -> Option<EntryId> {
    let found = table.find(place(half), |(known, id)| *known == half && is_it(*id));
    found.map(|(_, id)| *id)
}

fn insert(table: &mut Table, entry: (u32, EntryId)) {
    table.insert_unique(place(entry.0), entry, |(half, _)| place(*half));
}

/// The hash of a key, a name or a label.
pub(super) fn hash(hasher: &RandomState, bytes: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// The half of a hash that a table stores.
pub(super) fn half(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// A hash for the table, which uses the bits at both ends.
fn place(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}
