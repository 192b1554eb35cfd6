//! What stands where in one body.

use super::wire::varint_len;
use std::ops::Range;

/// What stands in a body.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Metrics that could not stay as they stand in the body, and the other fields of such families.
    pub(super) rewritten: Vec<u8>,
    pub(super) families: Vec<Family>,
    pub(super) metrics: Vec<MetricEntry>,
    pub(super) samples: u64,
    pub(super) duplicates_dropped: u64,
    /// In bytes, with the labels of the target.
    pub(super) len: u64,
}

/// A family of which at least one metric is kept. Without metrics Prometheus skips a family, whatever it holds.
#[derive(Debug)]
pub(super) struct Family {
    /// In the body, without the length.
    pub(super) message: Range<u32>,
    /// What stands in `rewritten` in place of all fields but the metrics: those of a family whose name is escaped.
    pub(super) head: Option<Range<u32>>,
    /// Indexes of the metrics.
    pub(super) metrics: Range<u32>,
    /// How long the message is with the labels of the target.
    pub(super) new_len: u32,
}

#[derive(Debug)]
pub(super) struct MetricEntry {
    /// In the body: the whole field, tag and length included.
    pub(super) field: Range<u32>,
    pub(super) content: Content,
}

/// Where the message of a Metric stands.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Body(Range<u32>),
    Rewritten(Range<u32>),
    /// Nowhere: the series came before, or is one that is reported for every target.
    Dropped,
}

/// How far a body is written. Starts at its beginning.
#[derive(Debug, Default)]
pub struct Position {
    pub(super) family: usize,
    /// Within the family.
    pub(super) metric: usize,
}

/// Field numbers of a MetricFamily.
pub(super) const FAMILY_NAME: u8 = 1;
pub(super) const FAMILY_HELP: u8 = 2;
pub(super) const FAMILY_TYPE: u8 = 3;
pub(super) const FAMILY_METRIC: u8 = 4;
pub(super) const FAMILY_UNIT: u8 = 5;

impl Contents {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.rewritten.capacity()
            + self.families.capacity() * size_of::<Family>()
            + self.metrics.capacity() * size_of::<MetricEntry>()
    }
}

impl Family {
    /// In bytes, with its length in front.
    pub(super) fn len(&self) -> u64 {
        let len = self.new_len as usize;
        (varint_len(len) + len) as u64
    }
}

impl Content {
    /// In bytes, without the labels of the target; `None` if it is dropped.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Content::Body(at) | Content::Rewritten(at) => Some(range(at).len()),
            Content::Dropped => None,
        }
    }
}

/// How many bytes a Metric field has whose message has so many.
pub(super) fn metric_field_len(message: usize) -> usize {
    1 + varint_len(message) + message
}

/// As an index of bytes.
pub(super) fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
