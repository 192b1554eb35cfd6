//! Decides whether to ask a pod for gzip. Compression costs processor time on both sides and saves bytes on the
//! network. So it pays if the network is slow, which shows in the time that scrapes take.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// One scrape in this many uses the slower encoding, in case that has changed.
const LOOK_AGAIN: u32 = 32;
/// The weight of a new time is a quarter.
const NEW_PART: u64 = 4;

/// How long scrapes of one pod took with each encoding.
///
/// If two requests scrape the pod at once, one of the times may be lost, which does no harm.
#[derive(Debug, Default)]
pub(super) struct EncodingTimes {
    /// In nanoseconds; 0 before the first scrape.
    gzip: AtomicU64,
    identity: AtomicU64,
    scrapes: AtomicU32,
}

impl EncodingTimes {
    /// Whether to ask for gzip now: the first time yes, as Prometheus does, the second time no, and from then on if
    /// gzip takes less than four fifths of the time.
    pub(super) fn is_gzip_next(&self) -> bool {
        let [gzip, identity] = [&self.gzip, &self.identity].map(|n| n.load(Ordering::Relaxed));
        if gzip == 0 || identity == 0 {
            return gzip == 0;
        }
        let pays = gzip.saturating_mul(5) < identity.saturating_mul(4);
        let looks_again = self
            .scrapes
            .load(Ordering::Relaxed)
            .is_multiple_of(LOOK_AGAIN);
        pays != looks_again
    }

    /// Records how long a scrape took, from the request to the last byte, decompression included.
    pub(super) fn note(&self, was_gzip: bool, took: Duration) {
        let known = if was_gzip { &self.gzip } else { &self.identity };
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let time = match known.load(Ordering::Relaxed) {
            0 => took,
            before => before - before / NEW_PART + took / NEW_PART,
        };
        known.store(time.max(1), Ordering::Relaxed);
        self.scrapes.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the `scrapes` ask for gzip, if the encodings take this many milliseconds.
    fn gzip_of(times: &EncodingTimes, scrapes: u32, gzip: u64, identity: u64) -> u32 {
        (0..scrapes)
            .map(|_| {
                let is_gzip = times.is_gzip_next();
                let took = if is_gzip { gzip } else { identity };
                times.note(is_gzip, Duration::from_millis(took));
                u32::from(is_gzip)
            })
            .sum()
    }

    #[test]
    fn gzip_first_then_both_are_known() {
        let times = EncodingTimes::default();
        assert!(times.is_gzip_next());
        times.note(true, Duration::ZERO);
        assert!(!times.is_gzip_next());
        assert!(!times.is_gzip_next(), "a scrape that fails says nothing");
    }

    #[test]
    fn what_takes_less_time_is_asked_for_nearly_always() {
        assert_eq!(gzip_of(&EncodingTimes::default(), 320, 10, 11), 10);
        assert_eq!(gzip_of(&EncodingTimes::default(), 320, 10, 100), 310);
    }

    #[test]
    fn a_network_that_becomes_slow_is_noticed() {
        let times = EncodingTimes::default();
        gzip_of(&times, 100, 10, 5);
        gzip_of(&times, 3 * LOOK_AGAIN, 10, 100);
        assert!(gzip_of(&times, LOOK_AGAIN, 10, 100) >= LOOK_AGAIN - 1);
    }
}
