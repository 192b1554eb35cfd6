//! What the bodies of a job have in common: a body without its values.

use super::MetricType;
use std::ops::Range;
use std::sync::Arc;

/// Families and series of a body, in its order. Bodies that have the same share it.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What its lines were written into. Other layouts have some of these texts too.
    pub(super) texts: Vec<Arc<Vec<u8>>>,
    /// One for each sample that is kept, in the order of the body.
    pub(super) series: Vec<TextRef>,
    /// The number of a sample, and the series as Prometheus stores it, where that is another text: because the TYPE
    /// line of a histogram or summary stands over it. In the order of the samples.
    pub(super) stored: Vec<(u32, TextRef)>,
    /// What is said of each name that has samples, a HELP or a TYPE, in the order in which they came.
    pub(super) names: Vec<NameInBody>,
    /// Samples of one name that stand together, name by name, within one in the order of the body.
    pub(super) runs: Vec<Run>,
    pub(super) lengths: Lengths,
}

/// A range of the samples of a body.
pub(super) type Run = Range<u32>;

/// Bytes in one of the texts of a [`Layout`]: of a series those up to the place for identity labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextRef {
    /// Index of the text.
    pub(super) text: u32,
    pub(super) start: u32,
    /// Twice the length, and one more if it is a series with labels, which needs a closing brace.
    length_and_brace: u32,
}

impl TextRef {
    /// `None` if it is too long or starts too far behind.
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

    /// Whether identity labels follow a comma, and a closing brace follows them.
    pub(super) fn needs_brace(self) -> bool {
        self.length_and_brace & 1 == 1
    }

    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len()
    }
}

/// What a body says of one name.
#[derive(Debug, Clone)]
pub(super) struct NameInBody {
    /// Unescaped.
    pub(super) name: TextRef,
    /// Of its last HELP line, escaped as in the text format; never empty.
    pub(super) help: Option<TextRef>,
    /// Of its last TYPE line; `Untyped` for a histogram or summary that cannot be one.
    pub(super) metric_type: Option<MetricType>,
    /// Of its last UNIT line, as it is written there; never empty.
    pub(super) unit: Option<TextRef>,
    /// Whether any of its samples has a label `le` or `quantile`.
    pub(super) has_float_labels: bool,
    pub(super) standing: Standing,
    /// Indexes of the runs of its samples.
    pub(super) runs: Range<u32>,
}

impl NameInBody {
    /// Not, where HELP and TYPE have gone to the name with a suffix, or where there is a UNIT alone.
    pub(super) fn says_something(&self) -> bool {
        self.help.is_some() || self.metric_type.is_some() || !self.runs.is_empty()
    }
}

/// The TYPE line under which all samples of one name stand.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    WithoutSamples,
    /// The index of the name that it types.
    Under(u32, MetricType),
    /// Under none, under one for a name that no sample can have, or under several that differ.
    Elsewhere,
}

impl Standing {
    /// That of all samples, if some more stand there.
    pub(super) fn and(self, more: Standing) -> Standing {
        match (self, more) {
            (Standing::WithoutSamples, standing) | (standing, Standing::WithoutSamples) => standing,
            (before, more) if before == more => before,
            _ => Standing::Elsewhere,
        }
    }
}

/// What is needed for the length of all lines with whatever identity labels.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lengths {
    /// Names and labels, without the closing braces.
    pub(super) series: usize,
    /// Lines that have labels.
    pub(super) braces: usize,
}

impl Layout {
    pub(super) fn text(&self, at: TextRef) -> &[u8] {
        &self.texts[at.text as usize][at.range()]
    }

    /// Those of these samples whose series Prometheus stores with another text.
    pub(super) fn stored_of(&self, samples: &Range<usize>) -> &[(u32, TextRef)] {
        let position = |sample: usize| {
            self.stored
                .partition_point(|(number, _)| (*number as usize) < sample)
        };
        &self.stored[position(samples.start)..position(samples.end)]
    }

    /// Bytes of memory that it takes beside its texts, about.
    pub(super) fn held_bytes(&self) -> usize {
        size_of_val(self.series.as_slice())
            + size_of_val(self.stored.as_slice())
            + size_of_val(self.names.as_slice())
            + size_of_val(self.runs.as_slice())
    }
}
