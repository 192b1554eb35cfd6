//! The exposition formats: the bodies of pods go in, one merged body comes out.
//!
//! [`SeriesCache::parse`] turns one body of lines into an [`Exposition`], which knows where in each sample the labels
//! of its target go, or into the first [`LineError`]. Pods of a job mostly send the same series, so the cache of a
//! request knows what a line means from the bodies before. A body in protobuf is read by [`Body::protobuf`]. [`merge`]
//! orders many bodies into one [`Merged`], which is put together as it is sent.
//! What is valid is what the parsers of Prometheus 3 take; two departures: in the text format CRLF line ends are
//! taken, and a missing Content-Type counts as text.
//!
//! ```
//! use kubernetes_metrics_aggregator::exposition::{
//!     Body, Exposition, Format, IdentityLabels, Part, Report, merge, parse,
//! };
//! use std::time::Duration;
//!
//! let part = |pod, body| {
//!     let labels = IdentityLabels::new([("instance", pod), ("job", "web")]);
//!     let exposition = parse(Format::Text, body, &labels).ok();
//!     let report = Report {
//!         up: exposition.is_some(),
//!         duration: Duration::from_millis(20),
//!         samples_scraped: exposition.as_ref().map_or(0, Exposition::samples),
//!     };
//!     Part { labels, body: exposition.map(Body::from), report }
//! };
//! let parts = vec![
//!     part("web-0", "# TYPE requests_total counter\nrequests_total{code=\"200\"} 5\n"),
//!     part("web-1", "requests_total 7\nrequests_total{instance=\"a\"} 1\n"),
//!     part("web-2", "<html>"),
//! ];
//! let mut text = Vec::new();
//! merge(parts, Format::Text).write_to(&mut text)?;
//! let text = String::from_utf8_lossy(&text);
//! let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("requests_total")).collect();
//! assert_eq!(samples, [
//!     r#"requests_total{code="200",instance="web-0",job="web"} 5"#,
//!     r#"requests_total{instance="web-1",job="web"} 7"#,
//!     r#"requests_total{exported_instance="a",instance="web-1",job="web"} 1"#,
//! ]);
//! assert!(text.ends_with("up{instance=\"web-2\",job=\"web\"} 0\n"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Pure: bytes in, bytes out; no I/O, no clock, no log, and nothing of ours is imported. Bodies are read in the client
//! workers, `merge` runs in the thread of the request.
//!
//! * `accept.rs`, `content_type.rs`: which formats a scraper accepts, and which one a body has
//! * `asked.rs`: all that a scraper asks for: formats and families
//! * `body.rs`, `merged.rs`: a body of any format, and a response of any format
//! * `escaping.rs`: names as the scraper can read them
//! * `text/`, `openmetrics.rs`: what the lines of each format say; `line.rs`: what a line can say
//! * `series_cache/`: what is known of lines, and bodies read with it
//! * `layout.rs`, `values.rs`: a body without its values, and values without a body
//! * `timestamp.rs`: what follows a value, in either format
//! * `protobuf/`: bodies in protobuf, checked and spliced; bodies of lines, converted to it
//! * `merge/`: many expositions in one text, of either format
//! * `labels.rs`: identity labels, escapes, the `exported_` rule
//! * `metric_type.rs`, `untyped.rs`: types of families, and which of them cannot be histograms or summaries
//! * `report.rs`: the series that report on the targets themselves
//! * `number.rs`: what counts as a number

mod accept;
mod asked;
mod body;
mod content_type;
mod error;
mod escaping;
mod labels;
mod layout;
mod line;
mod merge;
mod merged;
mod metric_type;
mod number;
mod openmetrics;
pub mod protobuf;
mod report;
mod series_cache;
mod text;
mod timestamp;
mod untyped;
mod values;

pub use accept::Accept;
pub use asked::{Asked, AskedFamilies};
pub use body::{Body, BodyError, Part};
pub use content_type::{ContentTypeError, Format};
pub use error::{LineError, LineErrorKind};
pub use escaping::Escaping;
pub use labels::IdentityLabels;
pub use merged::{Merged, MergedReader, Position, merge, merge_with};
pub use report::Report;
pub use series_cache::{SeriesCache, parse};

use layout::Layout;
use metric_type::MetricType;
use std::sync::Arc;
use values::Values;

/// One complete, valid body: of every sample it is known where the labels of its target are put in.
#[derive(Debug, Default)]
pub struct Exposition {
    format: Format,
    layout: Arc<Layout>,
    /// Of each sample that is kept, in the order of the body and in its format.
    values: Values,
    samples: u64,
    duplicates_dropped: u64,
}

impl Exposition {
    /// The format of the body.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Number of samples that were left out: because the same series with the same timestamp, or also without one,
    /// stands before them, or because their series is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        self.duplicates_dropped
    }
}

/// An offset or number as it is stored. Bodies over `u32::MAX` bytes are refused before this is called.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
