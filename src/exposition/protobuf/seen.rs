//! The series of a body so far, to find those that come again.

use super::metric::Metric;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Metrics of one series, each with another series or timestamp.
#[derive(Debug, Default)]
pub(super) struct Seen<'b> {
    hasher: RandomState,
    /// Of each metric the hash, the name of its family, and the message.
    metrics: Vec<(u64, &'b [u8], &'b [u8])>,
    /// Indexes of `metrics`.
    by_hash: HashTable<u32>,
}

impl<'b> Seen<'b> {
    /// Whether the series of the metric came before with the same timestamp, or also without one. If not, it has come
    /// now.
    pub(super) fn has(&mut self, name: &'b [u8], metric: &Metric<'b>) -> bool {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(metric.timestamp);
        hasher.write_u64(metric.labels.hash(&self.hasher));
        hasher.write(name);
        let hash = hasher.finish();
        let metrics = &self.metrics;
        let is_same = |index: &u32| {
            let (other, other_name, message) = metrics[*index as usize];
            other == hash && other_name == name && metric.is_same_series(message)
        };
        if self.by_hash.find(hash, is_same).is_some() {
            return true;
        }
        // A body has fewer bytes than a `u32` can count.
        let index = u32::try_from(metrics.len()).unwrap_or(u32::MAX);
        let hash_of = |index: &u32| metrics[*index as usize].0;
        self.by_hash.insert_unique(hash, index, hash_of);
        self.metrics.push((hash, name, metric.message));
        false
    }
}
