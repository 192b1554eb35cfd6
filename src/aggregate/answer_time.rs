//! What an answer takes after its last scrape, learnt from the answers before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For what is not measured, because it is at the pace of the client too: putting the lines together while they are
/// sent takes two nanoseconds for a byte of the bodies on an idle core. Twice that is for cores that are not idle.
const SENDING_NANOSECONDS_PER_KIB: u64 = 4096;
/// What is expected of ordering and compressing before anything was measured.
const FIRST_NANOSECONDS_PER_KIB: u64 = 2048;
/// Answers to less than this are made in no time, and say nothing about the speed.
const MEASURED_BYTES_MIN: usize = 1 << 20;

/// The time for ordering and compressing, for each KiB of bodies.
///
/// It rises at once to what an answer took and falls slowly: one late answer is worth more than many in which a hanging
/// pod is given up a tenth of a second sooner.
#[derive(Debug)]
pub(super) struct AnswerTime(AtomicU64);

impl Default for AnswerTime {
    fn default() -> AnswerTime {
        AnswerTime(AtomicU64::new(FIRST_NANOSECONDS_PER_KIB))
    }
}

impl AnswerTime {
    /// Takes note of an answer that took so long after the last scrape.
    pub(super) fn note(&self, body_bytes: usize, took: Duration) {
        if body_bytes < MEASURED_BYTES_MIN {
            return;
        }
        let kib = u128::try_from(body_bytes / 1024).unwrap_or(u128::MAX);
        let measured = u64::try_from(took.as_nanos() / kib).unwrap_or(u64::MAX);
        let before = self.0.load(Ordering::Relaxed);
        // Two answers at once may overwrite each other, either is right.
        let after = measured.max(before - before / 8 + measured / 8);
        self.0.store(after, Ordering::Relaxed);
    }

    /// What is to be expected of the next answer, sending included.
    pub(super) fn nanoseconds_per_kib(&self) -> u64 {
        let made = self.0.load(Ordering::Relaxed);
        made.saturating_add(SENDING_NANOSECONDS_PER_KIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let time = AnswerTime::default();
        let made = || time.nanoseconds_per_kib() - SENDING_NANOSECONDS_PER_KIB;
        time.note(4 << 20, Duration::from_nanos(4096 * 10_000));
        assert_eq!(made(), 10_000);
        time.note(MEASURED_BYTES_MIN - 1, Duration::from_secs(1));
        assert_eq!(made(), 10_000, "a small answer says nothing");
        time.note(4 << 20, Duration::ZERO);
        assert_eq!(made(), 8_750);
        for _ in 0..20 {
            time.note(4 << 20, Duration::from_nanos(4096 * 1_000));
        }
        assert!((1_000..2_000).contains(&made()), "{}", made());
    }
}
