//! When the scrapes of a request have to end, so that its response leaves before the deadline.

use std::time::{Duration, Instant};

/// The time to merge the bodies and to assemble the response while it is sent, in nanoseconds for each byte of the
/// bodies.
///
/// On two idle cores, everything but the fetch takes 1.3, or 2.4 if pods have little in common (`100x1000` and
/// `500x1000-distinct` in `tests/bench/README.md`). The constant is several times larger, because other requests need
/// the cores too: a late response is lost as a whole, but a scrape that ends early only loses a very slow pod.
const PLAIN_NANOSECONDS_PER_BYTE: u64 = 8;
/// The time for gzip at level 1, in nanoseconds for each byte of the bodies; higher levels get a multiple of it. On one
/// core, gzip takes 1 to 2 nanoseconds at level 1, up to 9 at level 6, and up to 26 at level 8, which is the slowest.
const GZIP_NANOSECONDS_PER_BYTE: u64 = 6;
/// A scrape ends this long before its request stops waiting, so that it can still say why it failed; at most an eighth
/// of the time until the deadline.
const HAND_IN_TIME: Duration = Duration::from_millis(50);

/// When the scrapes of a request end: the more bytes there are to merge and to send afterwards, the earlier.
#[derive(Debug, Clone, Copy)]
pub struct ScrapeDeadline {
    /// When the response is due.
    response: Instant,
    /// The time for the smallest response.
    spare: Duration,
    nanoseconds_per_byte: u64,
    /// The time for scrapes is never shortened by more than this.
    spare_max: Duration,
}

impl ScrapeDeadline {
    /// The deadline for a response that is due at `response` and gzipped at this level, or not at all if it is 0.
    ///
    /// A hundredth of the time is always reserved for delays that do not depend on the size, such as threads that wait
    /// for a core. At most a quarter is reserved: a response that takes longer is late anyway, and should at least not
    /// be empty.
    #[must_use]
    pub fn new(response: Instant, gzip_level: u32) -> ScrapeDeadline {
        let left = response.saturating_duration_since(Instant::now());
        ScrapeDeadline {
            response,
            spare: left / 100,
            nanoseconds_per_byte: PLAIN_NANOSECONDS_PER_BYTE
                + u64::from(gzip_level) * GZIP_NANOSECONDS_PER_BYTE,
            spare_max: left / 4,
        }
    }

    /// When to stop waiting for results, if the bodies have this many bytes so far.
    #[must_use]
    pub fn of_results(&self, body_bytes: usize) -> Instant {
        let bytes = u64::try_from(body_bytes).unwrap_or(u64::MAX);
        let after = Duration::from_nanos(self.nanoseconds_per_byte.saturating_mul(bytes));
        self.response - self.spare.saturating_add(after).min(self.spare_max)
    }

    /// When a scrape that begins now has to end, if the bodies have this many bytes so far.
    #[must_use]
    pub fn of_scrapes(&self, body_bytes: usize) -> Instant {
        self.of_results(body_bytes) - HAND_IN_TIME.min(self.spare_max / 2)
    }
}
