//! The error of a malformed body in protobuf: which family and metric, what was expected, what was found.

use super::wire::WireError;
use std::fmt;

/// Why a body was refused, at its first fault. One fault refuses the whole body, as in Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtobufError {
    /// Number of the metric family in the body, counted from 1.
    pub family: u64,
    /// Its name, escaped and cut; empty if it was not read.
    pub name: String,
    /// Number of the metric in the family, counted from 1; 0 if the fault is in the family itself.
    pub metric: u64,
    /// What should have stood there, and what does.
    pub problem: Problem,
    /// Number of samples that Prometheus would report as `scrape_samples_scraped` for this body.
    pub samples_before: u64,
}

/// What was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What should have stood there.
    pub expected: Expected,
    /// What stands there, escaped and cut; empty where there is nothing to show.
    pub found: String,
}

/// What was expected where a body is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Bytes that are no message.
    Message(WireError),
    /// A length of more than five bytes before a family.
    FamilyLength,
    /// No name, or one that is not UTF-8.
    Name,
    /// A help text that is not UTF-8.
    Help,
    /// A type that does not exist.
    Type,
    /// A unit that the name does not end with.
    Unit,
    /// A label without a name, or with one that is not UTF-8.
    LabelName,
    /// A label value that is not UTF-8.
    LabelValue,
    /// A label name twice.
    UniqueLabelName,
    /// A label that Prometheus adds itself: `__name__`, `le` of a histogram, `quantile` of a summary.
    NoReservedLabel,
    /// A schema outside of -4 to 8.
    Schema,
    /// Spans that do not have as many buckets as there are counts.
    Spans,
    /// A span that starts before the end of the one before it.
    SpanOffset,
    /// A bucket with less than no observations.
    BucketCount,
    /// A count of observations that is not that of the buckets.
    Count,
    /// Native and classic histograms in one family.
    OneKindOfHistogram,
}

impl Problem {
    pub(super) fn new(expected: Expected, found: impl fmt::Display) -> Problem {
        Problem {
            expected,
            found: found.to_string(),
        }
    }

    /// With text of the pod, which is escaped and cut.
    pub(super) fn with_text(expected: Expected, found: &[u8]) -> Problem {
        Problem::new(expected, format_args!("\"{}\"", excerpt(found)))
    }
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Problem {
        Problem::new(Expected::Message(error), "")
    }
}

/// How much of a name or value is shown, in bytes.
const EXCERPT_BYTES_MAX: usize = 40;

pub(super) fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    cut.escape_ascii().to_string()
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Message(error) => return write!(f, "a protobuf message, found {error}"),
            Expected::FamilyLength => "the length of a metric family in at most five bytes",
            Expected::Name => "a metric name in UTF-8",
            Expected::Help => "a help text in UTF-8",
            Expected::Type => "a type from 0 to 5",
            Expected::Unit => "a unit that the metric name ends with",
            Expected::LabelName => "a label name in UTF-8",
            Expected::LabelValue => "a label value in UTF-8",
            Expected::UniqueLabelName => "every label name once",
            Expected::NoReservedLabel => "no label that Prometheus adds itself",
            Expected::Schema => "a schema from -4 to 8",
            Expected::Spans => "spans with as many buckets as counts",
            Expected::SpanOffset => "no negative offset of a later span",
            Expected::BucketCount => "no negative count of a bucket",
            Expected::Count => "a count that is that of the buckets",
            Expected::OneKindOfHistogram => "only native or only classic histograms in one family",
        })
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WireError::Truncated => "the end of the bytes within a field",
            WireError::Varint => "a varint of more than ten bytes",
            WireError::Length => "a length over 9223372036854775807",
            WireError::FieldNumber => "a field number that is not positive",
            WireError::WireType => "a wire type that the field cannot have",
            WireError::EndGroup => "the end of a group that never began",
        })
    }
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metric family {}", self.family)?;
        if !self.name.is_empty() {
            write!(f, " \"{}\"", self.name)?;
        }
        if self.metric > 0 {
            write!(f, ", metric {}", self.metric)?;
        }
        write!(f, ": expected {}", self.problem.expected)?;
        if !self.problem.found.is_empty() {
            write!(f, ", found {}", self.problem.found)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProtobufError {}
