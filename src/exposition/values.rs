//! Values of samples without the lines that they come from.

use super::offset;

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
    pub(super) fn push(&mut self, body: &[u8], start: usize, end: usize) {
        push_short(&mut self.text, body, start, end);
        self.ends.push(offset(self.text.len()));
    }

    /// Bytes of all values.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity() + size_of::<u32>() * self.ends.capacity()
    }

    /// Where the value of this sample stands in the text.
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
