//! When the scrapes of a request have to end, so that its response leaves before the deadline.

use std::time::{Duration, Instant};

/// For ordering the lines and putting them together while they are sent, in nanoseconds for each byte of the bodies:
/// four times what it takes on an idle core. A response that is late is lost as a whole, a scrape that ends early costs
/// nothing but what a very slow pod would have sent.
const PLAIN_NANOSECONDS_PER_BYTE: u64 = 8;
/// The same with gzip.
const GZIP_NANOSECONDS_PER_BYTE: u64 = 32;
/// A scrape ends so much before the others are not waited for any more, so that it can say why it failed; at most an
/// eighth of what is left until the deadline.
const HAND_IN_TIME: Duration = Duration::from_millis(50);

/// The end of a request's scrapes: the earlier, the more bytes there are to merge and to send after them.
#[derive(Debug, Clone, Copy)]
pub struct ScrapeDeadline {
    /// When the response is due.
    response: Instant,
    /// What the smallest response takes.
    spare: Duration,
    nanoseconds_per_byte: u64,
    /// Time for scrapes is never cut by more than this.
    spare_max: Duration,
}

impl ScrapeDeadline {
    /// For a response due at `response`, gzipped or not.
    ///
    /// A hundredth of the time is spared in any case: for what has no size, such as threads that wait for a core.
    /// Never more than a quarter: a response that takes longer is late anyway, and should not be empty as well.
    #[must_use]
    pub fn new(response: Instant, is_gzipped: bool) -> ScrapeDeadline {
        let left = response.saturating_duration_since(Instant::now());
        ScrapeDeadline {
            response,
            spare: left / 100,
            nanoseconds_per_byte: if is_gzipped {
                GZIP_NANOSECONDS_PER_BYTE
            } else {
                PLAIN_NANOSECONDS_PER_BYTE
            },
            spare_max: left / 4,
        }
    }

    /// Until when results are waited for, where the bodies have so many bytes together.
    #[must_use]
    pub fn of_results(&self, body_bytes: usize) -> Instant {
        let bytes = u64::try_from(body_bytes).unwrap_or(u64::MAX);
        let after = Duration::from_nanos(self.nanoseconds_per_byte.saturating_mul(bytes));
        self.response - self.spare.saturating_add(after).min(self.spare_max)
    }

    /// Until when a scrape may go on that begins when the bodies have so many bytes together.
    #[must_use]
    pub fn of_scrapes(&self, body_bytes: usize) -> Instant {
        self.of_results(body_bytes) - HAND_IN_TIME.min(self.spare_max / 2)
    }
}
