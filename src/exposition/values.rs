//! Values of samples without the lines that they come from.

use super::offset;
use std::mem;
use std::ops::Range;

/// The values of a body, each with its timestamp, without what stands between them.
#[derive(Debug)]
pub(super) struct Values {
    text: Vec<u8>,
    /// Where each one ends; it starts where the one before ends.
    ends: Vec<u32>,
}

impl Values {
    pub(super) fn with_capacity(values: usize, bytes: usize) -> Values {
        Values {
            text: Vec::with_capacity(bytes + SHORT),
            ends: Vec::with_capacity(values),
        }
    }

    /// Appends the value that stands here in a body.
    #[inline]
    pub(super) fn push(&mut self, body: &[u8], value: Range<usize>) {
        push_short(&mut self.text, body, value);
        self.ends.push(offset(self.text.len()));
    }

    /// Bytes of all values.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity() + size_of::<u32>() * self.ends.capacity()
    }

    /// Where the values of these samples stand in the text.
    pub(super) fn range(&self, samples: Range<usize>) -> Range<usize> {
        let before = |sample: usize| sample.checked_sub(1).map_or(0, |before| self.ends[before]);
        before(samples.start) as usize..before(samples.end) as usize
    }

    /// The same for each of these samples.
    pub(super) fn ranges(&self, samples: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = self.range(samples.start..samples.start).start;
        self.ends[samples].iter().map(move |end| {
            let end = *end as usize;
            mem::replace(&mut start, end)..end
        })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// As many bytes as nearly every value has at most.
const SHORT: usize = 32;

/// Appends a part of a text that is likely to be short. To copy a fixed number of bytes, and to forget those that are
/// too many, takes less time than to copy the right number.
#[inline]
pub(super) fn push_short(out: &mut Vec<u8>, text: &[u8], part: Range<usize>) {
    let length = part.len();
    match text[part.start..].first_chunk::<SHORT>() {
        Some(chunk) if length <= SHORT => {
            out.extend_from_slice(chunk);
            out.truncate(out.len() - SHORT + length);
        }
        _ => out.extend_from_slice(&text[part]),
    }
}
