//! The text format: the bodies of pods go in, one merged text comes out.
//!
//! [`parse`] turns one body into an [`Exposition`], which knows where in each sample the labels of its target go, or
//! into the first [`LineError`]. Pods of a job mostly send the same series, so the [`Layout`] of one body serves to
//! read others: [`Layout::read`] compares what it need not take apart. [`merge`] orders the families of many expositions
//! into one [`MergedText`], whose lines are put together as they are sent.
//! What is valid is what the parsers of Prometheus 3 take; two departures: in the text format CRLF line ends are
//! taken, and a missing Content-Type counts as text.
//!
//! Pure: bytes in, bytes out; no I/O, no clock, no log, and nothing of ours is imported but the hash. `parse` runs in the client
//! workers, `merge` in the thread of the request.
//!
//! * `parse.rs`: the lines of a body
//! * `ordinary.rs`: the fast way for ordinary sample lines
//! * `sample_line.rs`: any sample line, token by token
//! * `openmetrics.rs`: OpenMetrics bodies, turned into the text format
//! * `builder.rs`, `names.rs`, `families.rs`, `series_table.rs`: what a body becomes: families, and the series seen
//!   so far
//! * `labels.rs`: identity labels, escapes, the `exported_` rule
//! * `number.rs`: what counts as a number
//! * `layout.rs`, `values.rs`: a body without its values, and values without a body
//! * `alike.rs`: a body that is much like another one
//! * `untyped.rs`, `reparse.rs`: histograms and summaries that are something else for a part of their samples
//! * `merge.rs`, `merged_text.rs`: many expositions in one text
//! * `report.rs`: the series that report on the targets themselves
//!
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>

mod alike;
mod builder;
mod content_type;
mod error;
mod families;
mod labels;
mod layout;
mod merge;
mod merged_text;
mod names;
mod number;
mod openmetrics;
mod ordinary;
mod parse;
mod reparse;
mod report;
mod sample_line;
mod series_table;
mod untyped;
mod values;

pub use content_type::{ContentTypeError, Format};
pub use error::{LineError, LineErrorKind};
pub use labels::IdentityLabels;
pub use layout::Layout;
pub use merge::{Part, merge};
pub use merged_text::{MergedText, MergedTextReader, Position};
pub use parse::parse;
pub use report::Report;

use layout::{Lengths, Line};
use std::ops::Range;
use std::sync::Arc;
use values::Values;

/// One complete, valid body: of every sample it is known where the labels of its target are put in.
#[derive(Debug, Default)]
pub struct Exposition {
    layout: Arc<Layout>,
    /// `None`: the body has the samples of the layout.
    own: Option<Own>,
    /// Of each sample that is kept, in the order of the body; `None`: they stand in the text of the layout.
    values: Option<Values>,
}

/// The samples of a body that has a few others than its layout, and not all of the layout's.
#[derive(Debug)]
struct Own {
    /// All of them, in the order of the body. Where their series stand in `text`, that is counted as standing behind
    /// the text of the layout.
    lines: Vec<Line>,
    /// As the layout has them, with other bounds; some may be empty.
    runs: Vec<Run>,
    text: Vec<u8>,
    lengths: Lengths,
}

impl Own {
    fn byte(&self, layout: &Layout, at: u32) -> Option<u8> {
        let at = at as usize;
        let own = at.checked_sub(layout.text.len());
        own.map_or_else(|| layout.text.get(at), |at| self.text.get(at))
            .copied()
    }
}

impl Exposition {
    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let own = self.own.as_ref().map(|own| own.lines.len() as u64);
        own.unwrap_or(self.layout.samples)
    }

    /// Number of samples that were left out: because the same series with the same timestamp, or also without one,
    /// stands before them, or because their series is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        self.layout.duplicates_dropped
    }

    /// Families and series of the body, or of one much like it.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Gives back the memory that only serves to read other bodies, unless the layout is shared by now.
    pub fn forget_reuse(&mut self) {
        if let Some(layout) = Arc::get_mut(&mut self.layout) {
            layout.reuse = None;
        }
    }

    fn lines(&self) -> &[Line] {
        self.own
            .as_ref()
            .map_or(&self.layout.lines, |own| &own.lines)
    }

    /// Name and labels of a sample, without identity labels.
    fn series(&self, number: usize) -> &[u8] {
        let line = self.lines()[number];
        let (start, split) = (line.start as usize, line.split as usize);
        let behind_layout = start.checked_sub(self.layout.text.len());
        let (text, start, split) = match (behind_layout, &self.own) {
            (Some(own_start), Some(own)) => (&own.text, own_start, own_start + split - start),
            _ => (&self.layout.text, start, split),
        };
        let has_brace = text.get(split) == Some(&b'}');
        &text[start..split + usize::from(has_brace)]
    }

    /// Value and timestamp of a sample.
    fn value(&self, number: usize) -> &[u8] {
        if let Some(values) = &self.values {
            let range = values.ranges(number..number + 1).next().unwrap_or_default();
            return &values.text()[range];
        }
        let line = self.lines()[number];
        &self.layout.text[line.value as usize..line.end as usize]
    }

    /// By the numbers that the layout gives them.
    fn runs(&self) -> &[Run] {
        self.own.as_ref().map_or(&self.layout.runs, |own| &own.runs)
    }
}

/// One metric family of a body.
#[derive(Debug)]
struct Family {
    /// In `heads`, unescaped.
    name: Span,
    /// In `heads`, escaped as in the body; never empty.
    help: Option<Span>,
    /// `None`: the body has no TYPE line for it.
    metric_type: Option<MetricType>,
    /// Indexes of `runs`.
    runs: Span,
}

impl Family {
    /// Whether it has a HELP or TYPE line.
    fn is_declared(&self) -> bool {
        self.help.is_some() || self.metric_type.is_some()
    }
}

/// Samples that stand behind each other: indexes of the lines of a layout.
type Run = Span;

/// What the word in a TYPE line can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum MetricType {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl MetricType {
    fn from_word(word: &[u8]) -> Option<MetricType> {
        match word {
            b"counter" => Some(MetricType::Counter),
            b"gauge" => Some(MetricType::Gauge),
            b"histogram" => Some(MetricType::Histogram),
            b"summary" => Some(MetricType::Summary),
            b"untyped" => Some(MetricType::Untyped),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Summary => "summary",
            MetricType::Untyped => "untyped",
        }
    }

    /// Histogram or summary: samples named with a suffix belong to it.
    fn has_children(self) -> bool {
        matches!(self, MetricType::Histogram | MetricType::Summary)
    }

    /// Whether a family of this type takes the samples that are named like it with this suffix.
    fn takes(self, suffix: Suffix) -> bool {
        match self {
            MetricType::Histogram => true,
            MetricType::Summary => suffix != Suffix::Bucket,
            _ => false,
        }
    }

    /// The label whose values Prometheus rewrites as canonical floats while a TYPE line of this type stands.
    fn float_label(self) -> Option<&'static [u8]> {
        match self {
            MetricType::Histogram => Some(b"le"),
            MetricType::Summary => Some(b"quantile"),
            _ => None,
        }
    }
}

/// The end of the name of a sample that belongs to a histogram or summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suffix {
    Bucket,
    Sum,
    Count,
}

/// Splits the name of a sample into the name of the family it would belong to and the suffix.
fn split_suffix(name: &[u8]) -> Option<(&[u8], Suffix)> {
    let suffixes: [(&[u8], Suffix); 3] = [
        (b"_bucket", Suffix::Bucket),
        (b"_sum", Suffix::Sum),
        (b"_count", Suffix::Count),
    ];
    suffixes
        .into_iter()
        .find_map(|(end, suffix)| Some((name.strip_suffix(end)?, suffix)))
}

/// A range of a buffer or list of which `parse` sees to it that it has at most `u32::MAX` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bound is checked where the buffers grow; offsets beyond it do not occur.
    fn new(start: usize, end: usize) -> Span {
        Span {
            start: offset(start),
            end: offset(end),
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// An offset as it is stored. Bodies over `u32::MAX` bytes are refused before this is called.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
