//! What the bodies of a job have in common: a body without its values.
//!
//! Pods of a job run the same program, so most of them send the same lines in the same order, and only values differ,
//! or some lines do. Whoever knows one such body need not take the next one apart: see `alike.rs`.

use super::series_table::SeriesTable;
use super::{Family, IdentityLabels, Run};

/// Families and series of a body, and where its values stand.
///
/// It keeps the body itself, and about forty bytes for each sample.
#[derive(Debug, Default)]
pub struct Layout {
    /// The body, and behind it the sample lines whose series could not stay as they stand in it.
    pub(super) text: Vec<u8>,
    /// The body's part of the text.
    pub(super) body_bytes: usize,
    /// The samples that are kept, in the order of the body.
    pub(super) lines: Vec<Line>,
    /// Names and HELP texts of the families.
    pub(super) heads: Vec<u8>,
    /// In the order of the body, of what names them first.
    pub(super) families: Vec<Family>,
    /// Where the samples stand, family by family, within a family in the order of the body.
    pub(super) runs: Vec<Run>,
    pub(super) lengths: Lengths,
    pub(super) samples: u64,
    pub(super) duplicates_dropped: u64,
    /// `None` if it cannot serve to read other bodies.
    pub(super) reuse: Option<Reuse>,
}

/// Where a sample stands in a text. The bound of a body's size is checked where this is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) start: u32,
    /// Where the identity labels go: the closing brace stands here, or the blank behind a name without labels.
    pub(super) split: u32,
    /// Value and timestamp, without the line end. In the body, unless there is a timestamp that is written anew.
    pub(super) value: u32,
    pub(super) end: u32,
}

/// What is needed for the length of all lines with whatever identity labels.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lengths {
    /// Names and labels, without the closing braces.
    pub(super) series: usize,
    /// Lines that have labels.
    pub(super) braces: usize,
    /// Values and timestamps.
    pub(super) values: usize,
}

impl Lengths {
    pub(super) fn add(&mut self, line: Line, has_brace: bool) {
        self.series += (line.split - line.start) as usize;
        self.braces += usize::from(has_brace);
        self.values += (line.end - line.value) as usize;
    }
}

/// What is needed to read other bodies.
#[derive(Debug)]
pub(super) struct Reuse {
    /// The series of the lines.
    pub(super) series: SeriesTable,
    /// Names of the identity labels of the target: they decide which labels of its own are renamed.
    pub(super) identity_names: Vec<Vec<u8>>,
}

impl Layout {
    /// Whether it can serve to read other bodies for targets whose identity labels have these names: not if what its
    /// own body means hangs on more than its series, such as timestamps.
    #[must_use]
    pub fn is_reusable(&self, labels: &IdentityLabels) -> bool {
        let reuse = self.reuse.as_ref();
        reuse.is_some_and(|reuse| labels.names() == reuse.identity_names)
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.text[..self.body_bytes]
    }

    pub(super) fn name(&self, family: &Family) -> &[u8] {
        &self.heads[family.name.range()]
    }

    pub(super) fn help(&self, family: &Family) -> Option<&[u8]> {
        family.help.map(|help| &self.heads[help.range()])
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.text.len() + 2 * size_of_val(self.lines.as_slice()) + self.heads.len()
    }
}
