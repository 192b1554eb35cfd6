//! What the bodies of a job have in common: a body without its values.
//!
//! Pods of a job run the same program, so most of them send the same lines in the same order, and only values differ.
//! Whoever knows one such body need not take the next one apart: it is enough to compare all between the values, and to
//! check the values. That takes a quarter of the time, and of the body nothing but the values has to be kept.

use super::keyed_hash::KeyedHash;
use super::ordinary::number_length;
use super::{Exposition, Family, IdentityLabels, Run, number, offset};
use std::sync::Arc;

/// Families and series of a body, and where its values stand.
///
/// It keeps the body itself, and twenty bytes for each sample.
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
    /// What the tags of the lines were made with; `None` without lines.
    pub(super) key: Option<KeyedHash>,
    /// Names of the identity labels of the target: they decide which labels of its own are renamed.
    pub(super) identity_names: Vec<Vec<u8>>,
    /// Whether nothing in it hangs on a value or timestamp.
    pub(super) is_reusable: bool,
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

/// Where a sample stands in the text of a layout. The bound of a body's size is checked where this is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) start: u32,
    /// Where the identity labels go: the closing brace stands here, or the blank behind a name without labels.
    pub(super) split: u32,
    /// Value and timestamp, without the line end. In the body, unless there is a timestamp that is written anew.
    pub(super) value: u32,
    pub(super) end: u32,
    /// Of its series and timestamp: see [`super::series_table`].
    pub(super) tag: u32,
}

impl Layout {
    /// Whether it can serve to read other bodies for targets whose identity labels have these names: not if there are
    /// timestamps or duplicates in its own.
    #[must_use]
    pub fn is_reusable(&self, labels: &IdentityLabels) -> bool {
        self.is_reusable && labels.names() == self.identity_names
    }

    /// Reads a body of the text format that says the same as the one this is the layout of, but for values.
    ///
    /// # Errors
    /// The body differs, be it in one byte: the number of samples before that place. [`super::parse`] then decides.
    /// So it does where the layout is not reusable with these labels.
    pub fn read(
        self: &Arc<Layout>,
        body: &[u8],
        labels: &IdentityLabels,
    ) -> Result<Exposition, usize> {
        if !self.is_reusable(labels) {
            return Err(0);
        }
        let known = &self.text[..self.body_bytes];
        let mut values = Values::with_capacity(self);
        let (mut read, mut at) = (0, 0);
        for (number, line) in self.lines.iter().enumerate() {
            let between = &known[read..line.value as usize];
            if !body[at..].starts_with(between) {
                return Err(number);
            }
            let start = at + between.len();
            at = value_end(body, start).ok_or(number)?;
            values.push(body, start, at);
            read = line.end as usize;
        }
        if body[at..] != known[read..] {
            return Err(self.lines.len());
        }
        Ok(Exposition {
            layout: Arc::clone(self),
            values: Some(values),
        })
    }

    pub(super) fn name(&self, family: &Family) -> &[u8] {
        &self.heads[family.name.range()]
    }

    pub(super) fn help(&self, family: &Family) -> Option<&[u8]> {
        family.help.map(|help| &self.heads[help.range()])
    }

    pub(super) fn runs(&self, family: &Family) -> &[Run] {
        &self.runs[family.runs.range()]
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.text.len() + size_of_val(self.lines.as_slice()) + self.heads.len()
    }
}

/// Where the value that starts here ends, with its timestamp if one follows behind a single blank.
fn value_end(body: &[u8], start: usize) -> Option<usize> {
    let end = start + number_length(&body[start..])?;
    let [b' ', digits @ ..] = &body[end..] else {
        return Some(end);
    };
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if length == 0 {
        return Some(end);
    }
    number::timestamp(&digits[..length])?;
    Some(end + 1 + length)
}

/// The values of a body, each with its timestamp, without what stands between them.
#[derive(Debug)]
pub(super) struct Values {
    text: Vec<u8>,
    /// Where each one ends; it starts where the one before ends.
    ends: Vec<u32>,
}

impl Values {
    /// Room for those of a body that has this layout.
    fn with_capacity(layout: &Layout) -> Values {
        Values {
            text: Vec::with_capacity(layout.lengths.values * 5 / 4 + SHORT),
            ends: Vec::with_capacity(layout.lines.len()),
        }
    }

    fn push(&mut self, body: &[u8], start: usize, end: usize) {
        push_short(&mut self.text, body, start, end);
        self.ends.push(offset(self.text.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity() + size_of_val(self.ends.as_slice())
    }

    /// All of them, and where the value of this sample stands among them.
    pub(super) fn range(&self, sample: usize) -> (usize, usize) {
        let start = sample.checked_sub(1).map_or(0, |before| self.ends[before]);
        (start as usize, self.ends[sample] as usize)
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// As many bytes as nearly every value has at most.
const SHORT: usize = 32;

/// Appends a part of a text that is likely to be short. To copy a fixed number of bytes, and to forget those that are
/// too many, takes less time than to copy the right number.
pub(super) fn push_short(out: &mut Vec<u8>, text: &[u8], start: usize, end: usize) {
    let length = out.len() + (end - start);
    match text[start..].first_chunk::<SHORT>() {
        Some(chunk) if end - start <= SHORT => {
            out.extend_from_slice(chunk);
            out.truncate(length);
        }
        _ => out.extend_from_slice(&text[start..end]),
    }
}
