//! The pause after a failed list or watch.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The shortest and the longest pause, as in client-go's reflector.
const FIRST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(30);

/// The longest `Retry-After` that is obeyed: a typing error in a proxy must not end discovery.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Exponential back-off with jitter: the pause doubles with each failure, and a random time up to the same length is
/// added, so that the clients of an API server do not all come back at the same moment after an outage.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Whether the last list failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure; never less than the server asks for.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>) -> Duration {
        let wait = wait(self.failures, random_fraction());
        self.failures = self.failures.saturating_add(1);
        wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }
}

/// `fraction` is from 0 to 1. The pause is 0.8 s to 1.6 s after a first failure and 15 s to 30 s in the long run.
fn wait(earlier_failures: u32, fraction: f64) -> Duration {
    let base = FIRST
        .saturating_mul(2_u32.saturating_pow(earlier_failures))
        .min(LONGEST / 2);
    base.mul_f64(1.0 + fraction)
}

/// A number from 0 to 1. The keys of the standard hasher are random, which is good enough here.
pub(super) fn random_fraction() -> f64 {
    let [a, b, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(earlier_failures: u32, shortest_millis: u64, longest_millis: u64) {
        let range = [wait(earlier_failures, 0.0), wait(earlier_failures, 1.0)];
        assert_eq!(
            range,
            [shortest_millis, longest_millis].map(Duration::from_millis)
        );
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        check(0, 800, 1_600);
        check(1, 1_600, 3_200);
        check(4, 12_800, 25_600);
        check(5, 15_000, 30_000);
        check(u32::MAX, 15_000, 30_000);
    }

    #[test]
    fn retry_after_is_a_lower_bound() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(Some(60 * second)), 60 * second);
        assert_eq!(backoff.failed(Some(9_999_999 * second)), RETRY_AFTER_MAX);
        assert!(backoff.failed(Some(second)) >= FIRST * 4);
        backoff.succeeded();
        assert!(backoff.failed(None) <= FIRST * 2);
    }
}
