//! A hash for texts from outside: a multiplication for sixteen bytes, with a key of its own for each table. Pure.

use std::hash::{BuildHasher, RandomState};

/// A key that nobody outside can know, so that none can choose texts whose hashes collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyedHash {
    keys: [u64; 2],
}

/// An odd number with well mixed bits (the golden ratio).
pub(crate) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl KeyedHash {
    pub(crate) fn new() -> KeyedHash {
        let key = RandomState::new().hash_one(0);
        KeyedHash {
            keys: [key, fold(key, MULTIPLIER)],
        }
    }

    /// Sixteen bytes are folded at once, each group with another key, the last one overlapping the one before it: so
    /// no multiplication waits for another.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let [mut first_key, second_key] = self.keys;
        let length = bytes.len() as u64;
        let mut hash = 0_u64;
        let (groups, _) = bytes.as_chunks::<16>();
        for group in groups {
            hash = hash.wrapping_add(fold_group(*group, first_key, second_key));
            first_key = first_key.wrapping_add(MULTIPLIER);
        }
        let (a, b) = match bytes {
            [.., _, _, _, _, _, _, _, _] => (first_word(bytes), last_word(bytes)),
            _ => (short_word(bytes), 0),
        };
        let last = match bytes.last_chunk::<16>() {
            Some(group) => fold_group(*group, first_key ^ length, second_key),
            None => fold(a ^ first_key ^ length, b ^ second_key),
        };
        hash.wrapping_add(last)
    }
}

/// Both halves of the product, mixed.
#[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn fold_group(group: [u8; 16], first_key: u64, second_key: u64) -> u64 {
    fold(
        first_word(&group) ^ first_key,
        last_word(&group) ^ second_key,
    )
}

fn first_word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word))
}

fn last_word(bytes: &[u8]) -> u64 {
    bytes
        .last_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// All of up to seven bytes.
fn short_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}
