//! The values of a body without the lines that they come from.

use super::layout::Run;
use super::offset;
use std::ops::Range;

/// The values of a body, each with its timestamp.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: Vec<u8>,
    /// Where each value ends in the text, which is where the next one starts.
    ends: Vec<u32>,
}

impl Values {
    pub(super) fn with_capacity(values: usize, bytes: usize) -> Values {
        Values {
            text: Vec::with_capacity(bytes + SHORT),
            ends: Vec::with_capacity(values),
        }
    }

    /// Frees memory that was reserved for more values than came, if that is most of it: a response holds the values of
    /// all its bodies until it is sent.
    pub(super) fn shrink(&mut self) {
        if self.ends.capacity() > 2 * self.ends.len() {
            self.text.shrink_to_fit();
            self.ends.shrink_to_fit();
        }
    }

    /// Appends a value, given as a range of the body.
    #[inline(always)]
    pub(super) fn push(&mut self, body: &[u8], value: Range<usize>) {
        push_short(&mut self.text, body, value);
        self.ends.push(offset(self.text.len()));
    }

    /// Appends a value and a timestamp that is not next to it in the body.
    pub(super) fn push_with_timestamp(&mut self, value: &[u8], timestamp: &[u8]) {
        self.text.extend_from_slice(value);
        self.text.push(b' ');
        self.text.extend_from_slice(timestamp);
        self.ends.push(offset(self.text.len()));
    }

    /// The same values, each as `write` appends it.
    pub(super) fn each(&self, write: impl Fn(&[u8], &mut Vec<u8>)) -> Values {
        let mut values = Values::with_capacity(self.count(), self.len());
        for sample in 0..self.count() {
            write(self.get(sample), &mut values.text);
            values.ends.push(offset(values.text.len()));
        }
        values
    }

    /// The values of these samples, in this order.
    pub(super) fn only(&self, runs: &[Run]) -> Values {
        let count = runs.iter().map(|run| run.len()).sum();
        let mut values = Values::with_capacity(count, 0);
        for run in runs {
            for range in self.ranges(run.start as usize..run.end as usize) {
                values.push(&self.text, range);
            }
        }
        values
    }

    /// Number of values.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all values.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Bytes of memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// Where in the text the values of these samples are.
    #[inline(always)]
    pub(super) fn ranges(&self, samples: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = self.start(samples.start);
        self.ends[samples].iter().map(move |end| {
            let end = *end as usize;
            std::mem::replace(&mut start, end)..end
        })
    }

    /// Where in the text the value of this sample starts.
    fn start(&self, sample: usize) -> usize {
        sample
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize)
    }

    /// The value of this sample, with its timestamp.
    pub(super) fn get(&self, sample: usize) -> &[u8] {
        &self.text[self.start(sample)..self.ends[sample] as usize]
    }

    /// All values, one after the other.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// As many bytes as nearly every value has at most.
const SHORT: usize = 32;

/// Appends a part of a text that is likely to be short. Copying a fixed number of bytes and dropping the surplus takes
/// less time than copying the right number.
#[inline(always)]
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
