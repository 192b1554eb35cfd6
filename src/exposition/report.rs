//! The series that the aggregator adds for each target: `up`, `scrape_duration_seconds` and `scrape_samples_scraped`.

use std::time::Duration;

/// The metrics that are added for every target. A pod's own series with such a name and without labels would be the
/// same series, so it is dropped.
pub(super) const REPORTED: [&[u8]; 3] =
    [b"up", b"scrape_duration_seconds", b"scrape_samples_scraped"];

/// HELP texts of the reported metrics, in the order of [`REPORTED`].
pub(super) const REPORTED_HELP: [&str; 3] = [
    "Whether the last scrape of the target succeeded (1) or failed (0).",
    "How long the last scrape of the target took.",
    "Number of samples in the last scrape of the target.",
];

/// The values of the series that are added for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Whether the scrape succeeded, and the target's samples are in the response.
    pub up: bool,
    /// How long the scrape took.
    pub duration: Duration,
    /// [`super::Exposition::samples`], or `samples_before` of the error that refused the body, or 0.
    pub samples_scraped: u64,
}

impl Report {
    /// The value of a reported metric, by its index in [`REPORTED`].
    pub(super) fn value(&self, reported: usize) -> String {
        match reported {
            0 => u8::from(self.up).to_string(),
            1 => decimal_seconds(self.duration),
            _ => self.samples_scraped.to_string(),
        }
    }

    /// The same as a number.
    #[expect(clippy::cast_precision_loss, reason = "no body has 2^53 samples")]
    pub(super) fn float(&self, reported: usize) -> f64 {
        match reported {
            0 => f64::from(u8::from(self.up)),
            1 => self.duration.as_secs_f64(),
            _ => self.samples_scraped as f64,
        }
    }
}

/// Seconds as a decimal number without trailing zeros: `0.25`, `3`.
fn decimal_seconds(duration: Duration) -> String {
    let digits = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    digits
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}
