//! The error of a malformed body in protobuf: the family and metric, what was expected and what was found.

use super::wire::WireError;
use std::fmt;

/// The first fault of a body. As in Prometheus, one fault makes the whole body invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtobufError {
    /// Number of the metric family in the body, counted from 1.
    pub family: u64,
    /// Its name, escaped and cut; empty if it was not read.
    pub name: String,
    /// Number of the metric in the family, counted from 1; 0 if the fault is in the family itself.
    pub metric: u64,
    /// What was expected there.
    pub expected: &'static str,
    /// What was found there, escaped and cut; empty if there is nothing to show.
    pub found: String,
    /// Number of samples that Prometheus would report as `scrape_samples_scraped` for this body.
    pub samples_before: u64,
}

/// A fault, before it is known where it is.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) expected: &'static str,
    pub(super) found: String,
}

impl Problem {
    pub(super) fn new(expected: &'static str, found: impl fmt::Display) -> Problem {
        Problem {
            expected,
            found: found.to_string(),
        }
    }

    /// With text of the pod, which is escaped and cut.
    pub(super) fn with_text(expected: &'static str, found: &[u8]) -> Problem {
        Problem::new(expected, format_args!("\"{}\"", excerpt(found)))
    }
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Problem {
        Problem::new("a protobuf message", error)
    }
}

/// How much of a name or value is shown, in bytes.
const EXCERPT_BYTES_MAX: usize = 40;

/// The start of a text of the pod, escaped.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    cut.escape_ascii().to_string()
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
        write!(f, ": expected {}", self.expected)?;
        if !self.found.is_empty() {
            write!(f, ", found {}", self.found)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProtobufError {}
