//! Which families of a body are written.

use super::wire::varint_len;
use std::ops::Range;

/// The families of a body that are written, and what was counted in it.
#[derive(Debug, Default)]
pub(super) struct Families {
    pub(super) list: Vec<Family>,
    /// Messages of families that are not written as they are in the body.
    pub(super) rewritten: Vec<u8>,
    pub(super) samples: u64,
    pub(super) duplicates_dropped: u64,
    /// Bytes of all families, with the labels of the target.
    pub(super) len: u64,
}

#[derive(Debug)]
pub(super) struct Family {
    pub(super) source: Source,
    /// Bytes of the message with the labels of the target.
    pub(super) len: usize,
}

/// Where the message of a family is, without the labels of the target.
#[derive(Debug)]
pub(super) enum Source {
    Body(Range<usize>),
    Rewritten(Range<usize>),
}

impl Families {
    /// Appends a family, whose message has this length with the labels of the target.
    pub(super) fn push(&mut self, source: Source, len: usize) {
        self.len += (varint_len(len) + len) as u64;
        self.list.push(Family { source, len });
    }

    /// Bytes of memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        self.rewritten.capacity() + self.list.capacity() * size_of::<Family>()
    }
}
