//! Where entries are, by hash.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Index of a known line.
pub(super) type EntryId = u32;

/// Half of the hash is kept with each entry, so that few are looked at in vain, and none when the table grows.
type Table = HashTable<(u32, EntryId)>;

/// A table of entries, and another one of those that are new in the body that is being read: mostly they are forgotten
/// with it, and small tables are quick.
#[derive(Debug, Default)]
pub(super) struct Places {
    kept: Table,
    fresh: Table,
}

impl Places {
    /// With room for so many that are new.
    pub(super) fn reserve(&mut self, entries: usize) {
        self.fresh.reserve(entries, |(half, _)| place(*half));
    }

    /// The entry with this hash for which this holds.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(EntryId) -> bool) -> Option<EntryId> {
        let half = half(hash);
        let is_it = |(known, id): &(u32, EntryId)| *known == half && is_it(*id);
        let kept = self.kept.find(place(half), &is_it);
        let found = kept.or_else(|| self.fresh.find(place(half), &is_it));
        found.map(|(_, id)| *id)
    }

    /// Adds an entry, which is new.
    pub(super) fn insert(&mut self, hash: u64, id: EntryId) {
        insert(&mut self.fresh, (half(hash), id));
    }

    /// The hashes of the new entries, halved.
    pub(super) fn fresh_hashes(&self) -> impl Iterator<Item = u32> {
        self.fresh.iter().map(|(half, _)| *half)
    }

    /// Those that were new stay.
    pub(super) fn keep(&mut self) {
        if self.kept.is_empty() {
            std::mem::swap(&mut self.kept, &mut self.fresh);
        }
        for entry in self.fresh.drain() {
            insert(&mut self.kept, entry);
        }
    }

    /// Forgets those that were new.
    pub(super) fn forget(&mut self) {
        self.fresh.clear();
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.kept.allocation_size() + self.fresh.allocation_size()
    }
}

fn insert(table: &mut Table, entry: (u32, EntryId)) {
    table.insert_unique(place(entry.0), entry, |(half, _)| place(*half));
}

/// Of a key, a name or a label. What is hashed together has to be told apart by itself.
pub(super) fn hash(hasher: &RandomState, bytes: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// Half of a hash, as it is kept.
pub(super) fn half(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The table looks at both ends of a hash.
fn place(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}
