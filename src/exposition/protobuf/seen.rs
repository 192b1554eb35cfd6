//! The series of a body so far, to find those that come again.

use super::metric::Metric;
use super::wire::low_32;
use foldhash::fast::{FoldHasher, RandomState};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, Hasher};

/// Metrics of one series each, no two of them with the same series and timestamp.
pub(super) struct SeenSeries<'b> {
    metrics: HashTable<SeenMetric<'b>>,
    /// The names of the families so far.
    names: Vec<&'b [u8]>,
    /// Has taken in the name of the current family.
    hasher: FoldHasher<'static>,
    state: RandomState,
}

struct SeenMetric<'b> {
    /// The low half.
    hash: u32,
    /// Index of the name of its family.
    name: u32,
    message: &'b [u8],
}

impl<'b> SeenSeries<'b> {
    /// No series yet, with space for those of a body of this size.
    pub(super) fn of_body(body: &[u8]) -> SeenSeries<'b> {
        let state = RandomState::default();
        SeenSeries {
            metrics: HashTable::with_capacity((body.len() / METRIC_BYTES).min(RESERVED_MAX)),
            names: Vec::new(),
            hasher: state.build_hasher(),
            state,
        }
    }

    /// The metrics that follow belong to a family with this name.
    pub(super) fn begin_family(&mut self, name: &'b [u8]) {
        self.names.push(name);
        self.hasher = self.state.build_hasher();
        self.hasher.write(name);
    }

    /// Whether the series of the metric came before with the same timestamp, or also without one. If not, it is
    /// noted.
    pub(super) fn contains_or_insert(&mut self, metric: &Metric<'b>) -> bool {
        let mut hasher = self.hasher.clone();
        hasher.write_u64(metric.timestamp);
        hasher.write_u64(metric.labels.hash());
        let hash = low_32(hasher.finish());
        let (names, last) = (&self.names, self.names.len() - 1);
        let is_same = |other: &SeenMetric<'b>| {
            other.hash == hash
                && names[other.name as usize] == names[last]
                && metric.is_same_series(other.message)
        };
        match self
            .metrics
            .entry(twice(hash), is_same, |other| twice(other.hash))
        {
            Entry::Occupied(_) => true,
            Entry::Vacant(vacant) => {
                vacant.insert(SeenMetric {
                    hash,
                    // A family takes several bytes, and no body has gigabytes.
                    name: u32::try_from(last).unwrap_or(u32::MAX),
                    message: metric.message,
                });
                false
            }
        }
    }
}

/// The table uses the highest and the lowest bits of a hash.
fn twice(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Bytes of a short metric.
const METRIC_BYTES: usize = 48;
/// Beyond so many metrics the table grows with them.
const RESERVED_MAX: usize = 1 << 14;
