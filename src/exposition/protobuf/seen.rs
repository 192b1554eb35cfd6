//! The series of a body so far, to find duplicates.

use super::metric::Metric;
use super::wire::low_32;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// The metrics so far that have one series each. No two of them have the same series and timestamp.
pub(super) struct SeenSeries<'b> {
    metrics: HashTable<SeenMetric<'b>>,
    /// The numbers of the family names so far. A name may be as long as the body, so it is compared once for each
    /// family, not for each metric.
    names: HashMap<&'b [u8], u32, RandomState>,
    /// The number of the name of the current family.
    name: u32,
    state: RandomState,
}

struct SeenMetric<'b> {
    /// The lower half of the hash.
    hash: u32,
    /// The number of the name of its family.
    name: u32,
    /// The shortest message with this series.
    message: &'b [u8],
}

impl<'b> SeenSeries<'b> {
    /// No series yet, with space for those of a body of this size.
    pub(super) fn of_body(body: &[u8]) -> SeenSeries<'b> {
        SeenSeries {
            metrics: HashTable::with_capacity((body.len() / METRIC_BYTES).min(RESERVED_MAX)),
            names: HashMap::default(),
            name: 0,
            state: RandomState::default(),
        }
    }

    /// Starts a family with this name, to which the next metrics belong.
    pub(super) fn begin_family(&mut self, name: &'b [u8]) {
        // A family takes several bytes, and no body has gigabytes.
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.name = *self.names.entry(name).or_insert(next);
    }

    /// Whether an earlier metric has the same series and the same timestamp, or neither has one. If there is none, the
    /// metric is added.
    pub(super) fn contains_or_insert(&mut self, metric: &Metric<'b>) -> bool {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(self.name);
        hasher.write_u64(metric.timestamp);
        hasher.write_u64(metric.labels.hash());
        let (hash, name) = (low_32(hasher.finish()), self.name);
        let is_same = |other: &SeenMetric<'b>| {
            other.hash == hash && other.name == name && metric.is_same_series(other.message)
        };
        let message = metric.message;
        match self
            .metrics
            .entry(twice(hash), is_same, |other| twice(other.hash))
        {
            Entry::Occupied(mut seen) => {
                // The next duplicate is compared with the shorter one, so that no long message is read many times.
                let seen = seen.get_mut();
                if message.len() < seen.message.len() {
                    seen.message = message;
                }
                true
            }
            Entry::Vacant(vacant) => {
                vacant.insert(SeenMetric {
                    hash,
                    name,
                    message,
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

/// The length of a short metric in bytes.
const METRIC_BYTES: usize = 48;
/// For more metrics than this, the table grows as they come.
const RESERVED_MAX: usize = 1 << 14;
