//! The layout of a body: its families and series without their values. The bodies of a job mostly have the same one.

use super::MetricType;
use std::ops::Range;
use std::sync::Arc;

/// The families and series of a body, in its order. Bodies with the same families and series share one layout.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The texts that the [`TextRef`]s point into. Other layouts may share them.
    pub(super) texts: Vec<Arc<Vec<u8>>>,
    /// The series of each sample that is kept, in the order of the body.
    pub(super) series: Vec<TextRef>,
    /// Samples whose series Prometheus stores with another text, because they are under the TYPE line of a histogram or
    /// summary: the number of the sample and that text. In the order of the samples.
    pub(super) stored: Vec<(u32, TextRef)>,
    /// Each name that has samples, a HELP or a TYPE line, in the order of the body.
    pub(super) names: Vec<NameInBody>,
    /// Ranges of consecutive samples with one name, sorted by name and then in the order of the body.
    pub(super) runs: Vec<Run>,
    pub(super) lengths: Lengths,
}

/// A range of the samples of a body.
pub(super) type Run = Range<u32>;

/// A range of bytes in one of the texts of a [`Layout`]. For a series, these are the bytes before its identity labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextRef {
    /// Index of the text.
    pub(super) text: u32,
    pub(super) start: u32,
    /// Twice the length, plus one if it is a series with labels, which needs a closing brace.
    length_and_brace: u32,
}

impl TextRef {
    /// `None` if the range does not fit into these integers.
    pub(super) fn new(
        text: u32,
        start: usize,
        length: usize,
        needs_brace: bool,
    ) -> Option<TextRef> {
        let length = u32::try_from(length)
            .ok()
            .filter(|length| *length <= u32::MAX >> 1)?;
        Some(TextRef {
            text,
            start: u32::try_from(start).ok()?,
            length_and_brace: length << 1 | u32::from(needs_brace),
        })
    }

    pub(super) fn len(self) -> usize {
        (self.length_and_brace >> 1) as usize
    }

    /// Whether the identity labels need a comma before them and a closing brace after them.
    pub(super) fn needs_brace(self) -> bool {
        self.length_and_brace & 1 == 1
    }

    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len()
    }
}

/// The metadata and samples of one name in a body.
#[derive(Debug, Clone)]
pub(super) struct NameInBody {
    /// Unescaped.
    pub(super) name: TextRef,
    /// The text of its last HELP line, escaped as in the text format; never empty.
    pub(super) help: Option<TextRef>,
    /// The type of its last TYPE line; `Untyped` for a histogram or summary that must not be written as one.
    pub(super) metric_type: Option<MetricType>,
    /// The unit of its last UNIT line; never empty.
    pub(super) unit: Option<TextRef>,
    /// Whether any of its samples has a label `le` or `quantile`.
    pub(super) has_float_labels: bool,
    pub(super) type_line: TypeLine,
    /// The indexes of its samples in [`Layout::runs`].
    pub(super) runs: Range<u32>,
}

impl NameInBody {
    /// Whether it has samples, HELP or TYPE. It has none if these belong to the same name with a suffix, or if there is
    /// only a UNIT.
    pub(super) fn says_something(&self) -> bool {
        self.help.is_some() || self.metric_type.is_some() || !self.runs.is_empty()
    }
}

/// The TYPE line that all samples of one name are under.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeLine {
    #[default]
    NoSamples,
    /// One TYPE line: the index of its name, and its type.
    Of(u32, MetricType),
    /// No TYPE line, several that differ, or one for a name that no sample can have.
    Other,
}

impl TypeLine {
    /// The result for all samples, if these are some of them and `more` are the others.
    pub(super) fn and(self, more: TypeLine) -> TypeLine {
        match (self, more) {
            (TypeLine::NoSamples, type_line) | (type_line, TypeLine::NoSamples) => type_line,
            (before, more) if before == more => before,
            _ => TypeLine::Other,
        }
    }
}

/// What is needed to compute the length of all lines with any identity labels.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lengths {
    /// Bytes of all names and labels, without the closing braces.
    pub(super) series: usize,
    /// Number of lines that have labels.
    pub(super) braces: usize,
}

impl Layout {
    pub(super) fn text(&self, at: TextRef) -> &[u8] {
        &self.texts[at.text as usize][at.range()]
    }

    /// The samples of this range whose series Prometheus stores with another text.
    pub(super) fn stored_of(&self, samples: &Range<usize>) -> &[(u32, TextRef)] {
        let position = |sample: usize| {
            self.stored
                .partition_point(|(number, _)| (*number as usize) < sample)
        };
        &self.stored[position(samples.start)..position(samples.end)]
    }

    /// The memory in bytes that it takes without its texts, approximately.
    pub(super) fn held_bytes(&self) -> usize {
        size_of_val(self.series.as_slice())
            + size_of_val(self.stored.as_slice())
            + size_of_val(self.names.as_slice())
            + size_of_val(self.runs.as_slice())
    }
}
