//! Whether a pod is asked for gzip. That costs the pod and us processor time, and spares the network some: it pays
//! where the network is slow, and what is slow is what takes long.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// One scrape in so many asks for the encoding that took longer, in case that has changed.
const LOOK_AGAIN: u32 = 32;
/// A new time counts for a quarter, what was known for the rest.
const NEW_PART: u64 = 4;

/// How long scrapes of one pod took, by the encoding that it was asked for.
///
/// Two requests may scrape the pod at once, and one of two times get lost: no harm.
#[derive(Debug, Default)]
pub(super) struct EncodingTimes {
    /// In nanoseconds; 0 before the first.
    gzip: AtomicU64,
    identity: AtomicU64,
    scrapes: AtomicU32,
}

impl EncodingTimes {
    /// Whether to ask for gzip now: first of all, as Prometheus does, then once not, and from then on where it takes
    /// less than four fifths of the time.
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

    /// Takes note of a scrape that took so long, from the request to the last byte, decompressed.
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

    /// How often of `scrapes` gzip is asked for, where the encodings take so many milliseconds.
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
