//! The exposition formats: the bodies of pods go in, one merged body comes out.
//!
//! [`SeriesCache::parse`] parses a body of lines into an [`Exposition`], which knows where the labels of its target go
//! in each sample, or returns the first [`LineError`]. Pods of a job mostly send the same series, so the cache of a
//! request parses a line once and recognizes it in the other bodies. [`Body::protobuf`] reads a body in protobuf.
//! [`merge`] orders many bodies into one [`Merged`], which is assembled while it is sent.
//!
//! A body is valid if the parsers of Prometheus 3 accept it. There are two differences: the text format may have CRLF
//! line ends, and a missing Content-Type counts as text.
//!
//! ```
//! use kubernetes_metrics_aggregator::exposition::{
//!     Body, Exposition, Format, IdentityLabels, TargetResult, Report, merge, parse,
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
//!     TargetResult { labels, body: exposition.map(Body::from), report }
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
//! This module is pure: no I/O, no clock, no log, and no imports from other modules of the crate. Bodies are parsed in
//! the client workers; `merge` runs in the thread of the request.
//!
//! * `accept.rs`, `content_type.rs`: which formats a scraper accepts, and which one a body has
//! * `asked.rs`: everything that a scraper asks for: formats and metric families
//! * `body.rs`, `merged.rs`: a body of any format, and a response of any format
//! * `escaping.rs`: names that are escaped for the scraper
//! * `text/`, `openmetrics.rs`: the parsers of the two formats of lines; `line.rs`: their result
//! * `series_cache/`: the lines that a request already knows, and bodies parsed with it
//! * `layout.rs`, `values.rs`: the lines of a body without their values, and the values
//! * `timestamp.rs`: timestamps of both formats of lines
//! * `protobuf/`: bodies in protobuf, validated and spliced; bodies of lines, converted to protobuf
//! * `merge/`: many expositions merged into one text of either format
//! * `labels.rs`: identity labels, names that are valid, escapes, and the `exported_` rule
//! * `metric_type.rs`, `untyped.rs`: types of families, and which families cannot be histograms or summaries
//! * `report.rs`: the series `up`, `scrape_duration_seconds` and `scrape_samples_scraped`
//! * `number.rs`: numbers
//!
//! To add a format, add:
//!
//! * a variant of [`Format`] with its media type (`content_type.rs`), and how it is asked for (`accept.rs`);
//! * its parser: for lines a file like `openmetrics.rs`, which `series_cache/body.rs` calls; for anything else a
//!   variant of [`Body`], as for `protobuf/`;
//! * how a response is written in it (`merged.rs`, and `merge/` for lines), and what is converted (`metric_type.rs`,
//!   `timestamp.rs`, `protobuf/from_lines.rs`);
//! * a variant of `BodyFormat` in `telemetry/labels.rs`, bodies in `fixtures/exposition`, a target in `tests/fuzz`, and
//!   its rules in "Formats" of `k8s/prometheus/README.md`.
//!
//! The compiler finds the matches that lack the variant. Other places compare with [`Format::OpenMetrics`].

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
pub use body::{Body, BodyError, TargetResult};
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

/// One complete, valid body of lines, with the place for the labels of its target in every sample.
#[derive(Debug, Default)]
pub struct Exposition {
    format: Format,
    layout: Arc<Layout>,
    /// The values of the samples that are kept, in the order of the body and in its format.
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

    /// The number of samples in the body as Prometheus counts them for `scrape_samples_scraped`, with duplicates.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The number of samples that were dropped. A sample is dropped if an earlier one has the same series and the same
    /// timestamp, or neither has a timestamp, or if its series is one that the aggregator adds for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        self.duplicates_dropped
    }
}

/// An offset or number in the form in which it is stored. Bodies over `u32::MAX` bytes are refused before.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
