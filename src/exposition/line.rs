//! The content of one line of a body, the same for text and OpenMetrics.

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
    /// The end of the body; what follows is ignored.
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
    /// In the order of the line, without labels whose value is empty; each name once.
    pub(super) labels: Vec<Label<'b>>,
    /// Where the value is in the body; in OpenMetrics up to the end of the line.
    pub(super) value: Range<usize>,
    /// Text format only: the digits of the timestamp.
    pub(super) timestamp: Option<&'b [u8]>,
}

/// A HELP, TYPE or UNIT line.
#[derive(Debug)]
pub(super) struct HeadLine<'b> {
    /// Unescaped; `None` if no sample can have this name.
    pub(super) name: Option<Text<'b>>,
    pub(super) says: Says<'b>,
}

/// The content of a HELP, TYPE or UNIT line.
#[derive(Debug)]
pub(super) enum Says<'b> {
    /// Escaped as in the text format.
    Help(Text<'b>),
    /// The end of the name, or empty.
    Unit(&'b [u8]),
    Type {
        metric_type: MetricType,
        /// What the name of the family ends with in the text format, but not in OpenMetrics.
        suffix: &'static [u8],
    },
}
