//! A quick way for sample lines of a body that is much like one whose layout is known.
//!
//! Where a body differs from the layout in some lines, most others still stand in the same order. So it is enough to
//! compare a line with the one that should come next, instead of taking it apart. It must agree with the ways in
//! `ordinary.rs` and `sample_line.rs`.

use super::layout::{Layout, Line};
use super::offset;
use super::ordinary::number_length;
use super::parse::Parser;

/// The line that should come next may be one that this body has not: so many more are tried, which is right where a
/// line has a label value of its own in each body.
const SKIPPED_MAX: usize = 1;
/// After a line that was not expected: so far ahead the place is looked for at which the body goes on in the layout.
const AHEAD_MAX: usize = 256;
/// After so many lines that were not expected, with none between that was, the layout is of no use.
const MISSES_MAX: usize = 64;

/// The layout of another body, and how far this body has come in it.
pub(super) struct Known<'k> {
    layout: &'k Layout,
    /// The line that should come next.
    next: usize,
    /// Unexpected lines since the last expected one.
    misses: usize,
}

impl<'k> Known<'k> {
    /// The layout has to be reusable.
    pub(super) fn new(layout: &'k Layout) -> Known<'k> {
        Known {
            layout,
            next: 0,
            misses: 0,
        }
    }
}

impl Parser<'_, '_, '_> {
    /// Takes the line that starts here if it is the one that should come next; says whether it is.
    pub(super) fn take_known_line(&mut self) -> bool {
        self.known_line().is_some_and(|line| {
            self.at = line.end as usize + 1;
            self.builder.add_unreported(line);
            true
        })
    }

    fn known_line(&mut self) -> Option<Line> {
        let known = self.known.as_ref().filter(|_| self.is_plain)?;
        let expected = known.layout.lines.get(known.next..)?;
        let rest = &self.body[self.at..];
        let (skipped, line, series) =
            (0..=SKIPPED_MAX)
                .zip(expected)
                .find_map(|(skipped, line)| {
                    // There is no such range for a line that is written anew.
                    let range = line.start as usize..line.value as usize;
                    let series = known.layout.text.get(range)?;
                    rest.starts_with(series)
                        .then_some((skipped, *line, series.len()))
                })?;
        let length = number_length(&rest[series..])?;
        if rest.get(series + length) != Some(&b'\n') {
            return None;
        }
        self.name_end()?;
        // The values of a label are to be rewritten here, which they may not have been there.
        if self.builder.current.care.float_label.is_some() {
            return None;
        }
        if let Some(known) = &mut self.known {
            known.next += skipped + 1;
            known.misses = 0;
        }
        let start = offset(self.at);
        let value = start + (line.value - line.start);
        Some(Line {
            start,
            split: start + (line.split - line.start),
            value,
            end: value + offset(length),
            tag: line.tag,
        })
    }

    /// Looks for the line that was read last, in another way, in the layout.
    pub(super) fn find_in_layout(&mut self) {
        let (Some(known), Some(line)) = (&mut self.known, self.builder.last_line()) else {
            return;
        };
        let ahead = known.layout.lines[known.next..].iter().take(AHEAD_MAX);
        if let Some(position) = ahead.map(|line| line.tag).position(|tag| tag == line.tag) {
            known.next += position + 1;
            return;
        }
        known.misses += 1;
        if known.misses > MISSES_MAX {
            self.known = None;
        }
    }
}
