//! What one line of a body says, in whichever format it is written.

use super::MetricType;
use std::borrow::Cow;
use std::ops::Range;

/// One line of a body.
#[derive(Debug)]
pub(super) enum Line<'b> {
    Sample(SampleLine<'b>),
    Head(HeadLine<'b>),
    /// A comment or a blank line.
    Nothing,
    /// Nothing behind this line counts.
    End,
}

/// A name or value of a sample, unescaped.
pub(super) type Text<'b> = Cow<'b, [u8]>;

/// Name and value of a label, both unescaped.
pub(super) type Label<'b> = (Text<'b>, Text<'b>);

/// The parts of one sample line.
#[derive(Debug)]
pub(super) struct SampleLine<'b> {
    /// Not empty, UTF-8.
    pub(super) name: Text<'b>,
    /// In the order of the line, without those that have no value; every name once.
    pub(super) labels: Vec<Label<'b>>,
    /// Where in the body the value stands; in OpenMetrics with all that follows it.
    pub(super) value: Range<usize>,
    /// Digits that stand apart from the value.
    pub(super) timestamp: Option<&'b [u8]>,
}

/// A HELP, TYPE or UNIT line.
#[derive(Debug)]
pub(super) struct HeadLine<'b> {
    /// Unescaped; `None` if no sample can have this name.
    pub(super) name: Option<Text<'b>>,
    pub(super) says: Says<'b>,
}

/// What a HELP, TYPE or UNIT line says of its name.
#[derive(Debug)]
pub(super) enum Says<'b> {
    /// Escaped as in the text format.
    Help(Text<'b>),
    /// The end of the name, or nothing.
    Unit(&'b [u8]),
    Type {
        metric_type: MetricType,
        /// What the text format has behind the name, and OpenMetrics has not.
        suffix: &'static [u8],
    },
}
