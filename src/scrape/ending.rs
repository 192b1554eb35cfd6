//! When the scrapes of a request have to end, so that its answer leaves before the deadline.

use std::time::{Duration, Instant};

/// The end of a request's scrapes: the earlier, the more bytes there are to merge and to send after them.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    deadline: Instant,
    /// What the smallest answer takes.
    spare: Duration,
    nanoseconds_per_kib: u64,
    /// Time for scrapes is never cut by more than this.
    spare_max: Duration,
}

/// A scrape ends so much before the others are not waited for any more, so that it can say why it failed; at most an
/// eighth of what is left until the deadline.
const HAND_IN_TIME: Duration = Duration::from_millis(50);

impl Ending {
    /// For an answer due at `deadline`, each KiB of whose bodies takes so long after the last scrape.
    ///
    /// A hundredth of the time is spared in any case: for what has no size, such as threads that wait for a core.
    /// Never more than a quarter: an answer that takes longer is late anyway, and should not be empty as well.
    #[must_use]
    pub fn new(deadline: Instant, nanoseconds_per_kib: u64) -> Ending {
        let left = deadline.saturating_duration_since(Instant::now());
        Ending {
            deadline,
            spare: left / 100,
            nanoseconds_per_kib,
            spare_max: left / 4,
        }
    }

    /// Until when results are waited for, where the bodies have so many bytes together.
    #[must_use]
    pub fn of_results(&self, body_bytes: usize) -> Instant {
        let kib = u64::try_from(body_bytes / 1024).unwrap_or(u64::MAX);
        let after = Duration::from_nanos(self.nanoseconds_per_kib.saturating_mul(kib));
        self.deadline - self.spare.saturating_add(after).min(self.spare_max)
    }

    /// Until when a scrape may go on that begins when the bodies have so many bytes together.
    #[must_use]
    pub fn of_scrapes(&self, body_bytes: usize) -> Instant {
        self.of_results(body_bytes) - HAND_IN_TIME.min(self.spare_max / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_answers_end_earlier_but_never_by_more_than_a_quarter() {
        let deadline = Instant::now() + Duration::from_secs(8);
        // 4 ms a MiB.
        let ending = Ending::new(deadline, 4_000_000 / 1024);
        let spared = |bytes| (deadline - ending.of_results(bytes)).as_millis();
        // 80 ms is a hundredth; `new` looks at the clock.
        for (bytes, least, most) in [
            (0, 78, 80),
            (50 << 20, 270, 280),
            (1 << 40, 1950, 2000),
            (usize::MAX, 1950, 2000),
        ] {
            let spared = spared(bytes);
            assert!((least..=most).contains(&spared), "{bytes}: {spared}");
        }
        assert!(ending.of_scrapes(0) < ending.of_results(0));
    }
}
