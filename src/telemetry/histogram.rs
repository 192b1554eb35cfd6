//! Histograms of durations.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in milliseconds, from a pod on the same node to the longest scrape timeout.
const BOUNDS: [u64; 14] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 300_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Durations {
    /// One for each bound, and one for `+Inf`.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Durations {
    /// Counts one duration.
    pub fn count(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|&bound| Duration::from_millis(bound) < duration);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        // 2^64 ns are 584 years.
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Writes the buckets, sum and count of the family with this name.
    pub(super) fn write(&self, name: &str, text: &mut String) {
        let seconds = |&bound: &u64| Duration::from_millis(bound).as_secs_f64().to_string();
        let bounds = BOUNDS.iter().map(seconds).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            // Writing into a String does not fail.
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {total}");
    }
}
