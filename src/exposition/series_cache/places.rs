//! Where entries are, by hash.

use hashbrown::HashTable;

/// Index of a known line.
pub(super) type EntryId = u32;

/// A table of entries. Half of the hash is kept with each, so that few entries are looked at in vain, and none when the
/// table grows.
#[derive(Debug, Default)]
pub(super) struct Places(HashTable<(u32, EntryId)>);

impl Places {
    /// With room for so many.
    pub(super) fn reserve(&mut self, entries: usize) {
        self.0.reserve(entries, |(half, _)| place(*half));
    }

    /// The entry with this hash for which this holds.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(EntryId) -> bool) -> Option<EntryId> {
        let half = half(hash);
        let found = self
            .0
            .find(place(half), |(known, id)| *known == half && is_it(*id));
        found.map(|(_, id)| *id)
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, hash: u64, id: EntryId) {
        let half = half(hash);
        self.0
            .insert_unique(place(half), (half, id), |(half, _)| place(*half));
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.allocation_size()
    }
}

fn half(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The table looks at both ends of a hash.
fn place(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}
