//! The set of series that a body has shown so far, to find those it sends twice.

use crate::keyed_hash::{KeyedHash, MULTIPLIER, fold};

/// Where a series with its timestamp was first seen, by hash. Eight bytes a series, no other memory.
///
/// The hash is keyed for each table, so that no pod can choose series that collide.
#[derive(Debug)]
pub(super) struct SeriesTable {
    /// Open addressing, a power of two long. 0 is free; else the tag above the offset plus one.
    slots: Vec<u64>,
    used: usize,
    key: KeyedHash,
}

impl SeriesTable {
    /// A table for about this many series; it grows where there are more. At most three of four slots are used.
    pub(super) fn with_capacity(series: usize, key: KeyedHash) -> SeriesTable {
        SeriesTable {
            slots: vec![0; (series / 3 * 4).next_power_of_two().max(64)],
            used: 0,
            key,
        }
    }

    pub(super) fn key(&self) -> KeyedHash {
        self.key
    }

    /// What is kept of the hash of a series.
    pub(super) fn tag(hash: u64) -> u32 {
        let [upper, _] = split(fold(hash, MULTIPLIER));
        upper
    }

    /// The hash of one label, metric name or timestamp; the hash of a series is the wrapping sum of those of its
    /// parts, so that the order of its labels does not matter.
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        self.key.hash(bytes)
    }

    /// The offset of the series with this tag for which `same(offset)` holds, if there is one.
    pub(super) fn find(&self, tag: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let slots = (tag as usize..).map(|at| split(self.slots[at & mask]));
        let mut used = slots.take_while(|slot| *slot != [0, 0]);
        used.find_map(|[upper, lower]| (upper == tag && same(lower - 1)).then(|| lower - 1))
    }

    /// Adds the series unless it is there already, and says whether it was added.
    ///
    /// `same(offset)` decides whether the series that was added with this offset is the same one; it is asked only
    /// where the tags agree. Offsets are below `u32::MAX`.
    pub(super) fn insert(
        &mut self,
        tag: u32,
        offset: u32,
        mut same: impl FnMut(u32) -> bool,
    ) -> bool {
        if self.used / 3 * 4 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        while self.slots[at] != 0 {
            let [upper, lower] = split(self.slots[at]);
            if upper == tag && same(lower - 1) {
                return false;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = u64::from(tag) << 32 | (u64::from(offset) + 1);
        self.used += 1;
        true
    }

    fn grow(&mut self) {
        let mut slots = vec![0_u64; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|slot| **slot != 0) {
            let mut at = (slot >> 32) as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }
}

/// The upper and the lower half.
fn split(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes)
}
