//! The error of a malformed body: the line, what was expected and what was found.

use std::fmt;

/// The first malformed line of a body. As in Prometheus, one malformed line makes the whole body invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// The number of the line, from 1.
    pub line: u64,
    /// What was expected.
    pub kind: LineErrorKind,
    /// The word that was found instead, escaped and cut to 40 bytes; empty at the end of a line.
    pub found: String,
    /// The line around it, escaped, at most 80 bytes.
    pub excerpt: String,
    /// The number of samples that Prometheus reports as `scrape_samples_scraped` for this body.
    pub samples_before: u64,
}

/// How much of the malformed line is shown, after escaping.
const EXCERPT_BYTES_MAX: usize = 80;
/// How much of the malformed word is shown, after escaping.
const FOUND_BYTES_MAX: usize = 40;

/// What was expected, and what the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineErrorKind {
    /// A line starts with something other than a name, `{`, `#` or a blank.
    LineStart,
    /// No metric name after `# HELP` or `# TYPE`.
    HeadName,
    /// The word in a TYPE line is not one of the five types of the text format.
    TypeWord,
    /// A HELP text that is cut off by a NUL byte.
    HelpText,
    /// Something other than a label name within the braces.
    LabelName,
    /// A second metric name, or a label name without value.
    OneMetricName,
    /// No metric name, or an empty one.
    MetricName,
    /// No `=` after a label name.
    Equals,
    /// No quoted value after `=`, or one that never ends.
    LabelValue,
    /// A label name twice in one sample.
    UniqueLabelName,
    /// An empty label name.
    NonEmptyLabelName,
    /// A name, label value or HELP text that is not UTF-8.
    Utf8,
    /// No value after the name and labels.
    Value,
    /// A value that is not a number, or is too large for a float.
    Number,
    /// Something other than a timestamp or the end of the line after the value, or a timestamp that is too large.
    Timestamp,
    /// Something after the timestamp.
    LineEnd,
    /// OpenMetrics: a blank line or a comment, which OpenMetrics does not allow, or any other unknown line.
    OpenMetricsLine,
    /// OpenMetrics: the word in a TYPE line is not one of its eight types.
    OpenMetricsType,
    /// OpenMetrics: no blank, or no line end, after the name in a HELP, TYPE or UNIT line.
    HeadText,
    /// OpenMetrics: a unit that is not the end of the metric name.
    Unit,
    /// OpenMetrics: neither a comma nor the closing brace after a label.
    LabelEnd,
    /// OpenMetrics: something other than a finite timestamp, an exemplar or the end of the line after the value.
    Seconds,
    /// OpenMetrics: the body ends without `# EOF`, so it may have been cut off.
    EndMark,
    /// OpenMetrics: something after `# EOF`.
    AfterEndMark,
    /// The body, or its text with the labels of the target, is over `u32::MAX` bytes.
    Size,
    /// The body has more samples than this limit, without duplicates.
    Samples(u64),
}

impl fmt::Display for LineErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineErrorKind::LineStart => "a metric name, a comment or an empty line",
            LineErrorKind::HeadName => "a metric name after HELP or TYPE",
            LineErrorKind::TypeWord => "counter, gauge, histogram, summary or untyped as type",
            LineErrorKind::HelpText => "a line end after the help text",
            LineErrorKind::LabelName => "a label name",
            LineErrorKind::OneMetricName => "one metric name",
            LineErrorKind::MetricName => "a metric name",
            LineErrorKind::Equals => "= after a label name",
            LineErrorKind::LabelValue => "a quoted label value",
            LineErrorKind::UniqueLabelName => "every label name once",
            LineErrorKind::NonEmptyLabelName => "a label name that is not empty",
            LineErrorKind::Utf8 => "UTF-8",
            LineErrorKind::Value => "a value",
            LineErrorKind::Number => "a number as value",
            LineErrorKind::Timestamp => "a timestamp in milliseconds or a line end",
            LineErrorKind::LineEnd => "a line end",
            LineErrorKind::OpenMetricsLine => "a metric name, # HELP, # TYPE, # UNIT or # EOF",
            LineErrorKind::OpenMetricsType => "a type of OpenMetrics",
            LineErrorKind::HeadText => "a blank and a text after the metric name",
            LineErrorKind::Unit => "a unit that the metric name ends with",
            LineErrorKind::LabelEnd => "a comma or a closing brace after a label",
            LineErrorKind::Seconds => "a timestamp in seconds, an exemplar or a line end",
            LineErrorKind::EndMark => "# EOF at the end of the body",
            LineErrorKind::AfterEndMark => "nothing after # EOF",
            LineErrorKind::Size => "at most 4294967295 bytes with the labels of the target",
            LineErrorKind::Samples(max) => return write!(f, "at most {max} samples"),
        })
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}, found ", self.line, self.kind)?;
        match self.kind {
            LineErrorKind::Size => return f.write_str("more"),
            LineErrorKind::EndMark => return f.write_str("the end of the body"),
            _ => {}
        }
        if self.found.is_empty() {
            f.write_str("the end of the line")?;
        } else {
            write!(f, "\"{}\"", self.found)?;
        }
        write!(f, " in \"{}\"", self.excerpt)
    }
}

impl std::error::Error for LineError {}

/// A [`LineError`] without its texts: it has only offsets, so that it is cheap to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: LineErrorKind,
    /// The offset of the malformed word in the body.
    pub(super) at: usize,
    /// Whether `samples_before` includes the sample itself: Prometheus counts a sample once its line is well formed,
    /// before it validates the names.
    pub(super) counted: bool,
}

impl Fault {
    /// Makes the error for people: finds the line and cuts the excerpt.
    pub(super) fn describe(self, body: &[u8], samples: u64) -> LineError {
        let at = self.at.min(body.len());
        let line_end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n);
        let line_start = memchr::memrchr(b'\n', &body[..at]).map_or(0, |n| n + 1);
        let word = body[at..line_end]
            .split(|byte| byte.is_ascii_whitespace())
            .next()
            .unwrap_or_default();
        // If the word is far into a long line, the excerpt starts shortly before it.
        let excerpt_start = line_start.max(at.saturating_sub(EXCERPT_BYTES_MAX / 2));
        let lines_before = memchr::memchr_iter(b'\n', &body[..line_start]).count();
        LineError {
            line: lines_before as u64 + 1,
            kind: self.kind,
            found: escaped(word, FOUND_BYTES_MAX),
            excerpt: escaped(&body[excerpt_start..line_end], EXCERPT_BYTES_MAX),
            samples_before: samples + u64::from(self.counted),
        }
    }
}

/// Escapes everything but printable ASCII, and cuts without splitting an escape.
fn escaped(bytes: &[u8], bytes_max: usize) -> String {
    let mut text = String::new();
    for byte in bytes {
        let escape = byte.escape_ascii();
        if text.len() + escape.len() > bytes_max {
            break;
        }
        text.extend(escape.map(char::from));
    }
    text
}
