//! Values of samples without the lines that they come from.

use super::layout::Run;
use super::offset;
use std::ops::Range;

/// The values of a body, each with its timestamp, without what stands between them.
///
/// They are read in another order than they are written in, those of one family of all targets after those of another,
/// so each byte that they take may have to come from far away: hence no offset for each.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: Vec<u8>,
    /// [`LONG`] for those that are as long as that or longer.
    lengths: Vec<u8>,
    /// Number and length of these, in order.
    long: Vec<(u32, u32)>,
    /// Where every [`STEP`]th value starts.
    starts: Vec<u32>,
}

const STEP: usize = 16;
const LONG: u8 = u8::MAX;

impl Values {
    pub(super) fn with_capacity(values: usize, bytes: usize) -> Values {
        Values {
            text: Vec::with_capacity(bytes + SHORT),
            lengths: Vec::with_capacity(values),
            long: Vec::new(),
            starts: Vec::with_capacity(values.div_ceil(STEP)),
        }
    }

    /// Gives back what was reserved for values that did not come, where that is most of it: a response holds the values
    /// of all its bodies until it is sent.
    pub(super) fn shrink(&mut self) {
        if self.lengths.capacity() > 2 * self.lengths.len() {
            self.text.shrink_to_fit();
            self.lengths.shrink_to_fit();
            self.starts.shrink_to_fit();
        }
    }

    /// Appends the value that stands here in a body. It is most of what is done for a sample, and the compiler would
    /// leave it a function of its own.
    #[inline(always)]
    pub(super) fn push(&mut self, body: &[u8], value: Range<usize>) {
        self.push_length(value.len());
        push_short(&mut self.text, body, value);
    }

    /// Appends a value with a timestamp that does not stand right behind it.
    pub(super) fn push_with_timestamp(&mut self, value: &[u8], timestamp: &[u8]) {
        self.push_length(value.len() + 1 + timestamp.len());
        self.text.extend_from_slice(value);
        self.text.push(b' ');
        self.text.extend_from_slice(timestamp);
    }

    #[inline(always)]
    fn push_length(&mut self, length: usize) {
        self.push_start_and_length(self.text.len(), length);
    }

    #[inline(always)]
    fn push_start_and_length(&mut self, start: usize, length: usize) {
        let number = self.lengths.len();
        if number.is_multiple_of(STEP) {
            self.starts.push(offset(start));
        }
        match u8::try_from(length) {
            Ok(short) if short < LONG => self.lengths.push(short),
            _ => {
                self.long.push((offset(number), offset(length)));
                self.lengths.push(LONG);
            }
        }
    }

    /// The same values, each as `write` appends it.
    pub(super) fn each(&self, write: impl Fn(&[u8], &mut Vec<u8>)) -> Values {
        let mut values = Values::with_capacity(self.count(), self.len());
        for range in self.ranges(0..self.count()) {
            let start = values.text.len();
            write(&self.text[range], &mut values.text);
            values.push_start_and_length(start, values.text.len() - start);
        }
        values
    }

    /// These values of all, in this order.
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
        self.lengths.len()
    }

    /// Bytes of all values.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity()
            + self.lengths.capacity()
            + size_of_val(self.starts.as_slice())
            + size_of_val(self.long.as_slice())
    }

    /// Where the values of these samples stand in the text.
    pub(super) fn ranges(&self, samples: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = self.start(samples.start);
        samples.map(move |sample| {
            let range = start..start + self.length(sample);
            start = range.end;
            range
        })
    }

    /// Where the value of this sample starts in the text.
    pub(super) fn start(&self, sample: usize) -> usize {
        let known = sample / STEP;
        let start = self.starts.get(known).map_or(0, |start| *start as usize);
        let between = known * STEP..sample;
        start + between.map(|sample| self.length(sample)).sum::<usize>()
    }

    #[inline(always)]
    fn length(&self, sample: usize) -> usize {
        match self.lengths[sample] {
            LONG => self.long_length(sample),
            length => usize::from(length),
        }
    }

    #[cold]
    fn long_length(&self, sample: usize) -> usize {
        let found = self
            .long
            .binary_search_by_key(&offset(sample), |(number, _)| *number);
        found.map_or(0, |at| self.long[at].1 as usize)
    }

    /// The value of this sample, with its timestamp.
    pub(super) fn get(&self, sample: usize) -> &[u8] {
        let start = self.start(sample);
        &self.text[start..start + self.length(sample)]
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// As many bytes as nearly every value has at most.
const SHORT: usize = 32;

/// Appends a part of a text that is likely to be short. To copy a fixed number of bytes, and to forget those that are
/// too many, takes less time than to copy the right number.
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
