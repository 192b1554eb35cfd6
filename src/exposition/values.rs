//! Values of samples without the lines that they come from.

use super::offset;
use std::ops::Range;

/// The values of a body, each with its timestamp, without what stands between them.
///
/// They are read in another order than they are written in, those of one family of all targets after those of another,
/// so each byte that they take may have to come from far away: hence no offset for each.
#[derive(Debug)]
pub(super) struct Values {
    text: Vec<u8>,
    lengths: Vec<u8>,
    /// Where every [`STEP`]th value starts.
    starts: Vec<u32>,
}

const STEP: usize = 16;

impl Values {
    pub(super) fn with_capacity(values: usize, bytes: usize) -> Values {
        Values {
            text: Vec::with_capacity(bytes + SHORT),
            lengths: Vec::with_capacity(values),
            starts: Vec::new(),
        }
    }

    /// Appends the value that stands here in a body; `None` if it has over 255 bytes, as hardly any has. It is most of
    /// what is done for a sample, and the compiler would leave it a function of its own.
    #[inline(always)]
    pub(super) fn push(&mut self, body: &[u8], value: Range<usize>) -> Option<()> {
        let length = u8::try_from(value.len()).ok()?;
        push_short(&mut self.text, body, value);
        self.lengths.push(length);
        Some(())
    }

    /// All values are there: lets them be found.
    pub(super) fn finish(&mut self) {
        let mut start = 0;
        let starts = self.lengths.chunks(STEP).map(|lengths| {
            let known = start;
            start += sum(lengths);
            offset(known)
        });
        self.starts = starts.collect();
    }

    /// Bytes of all values.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity() + self.lengths.capacity() + size_of::<u32>() * self.starts.capacity()
    }

    /// Where the value of this sample starts in the text.
    pub(super) fn start(&self, sample: usize) -> usize {
        let known = sample / STEP;
        let start = self.starts.get(known).map_or(0, |start| *start as usize);
        start + sum(&self.lengths[known * STEP..sample])
    }

    /// Where the values of these samples stand in the text.
    pub(super) fn ranges(&self, samples: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = self.start(samples.start);
        self.lengths[samples].iter().map(move |length| {
            let range = start..start + usize::from(*length);
            start = range.end;
            range
        })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

fn sum(lengths: &[u8]) -> usize {
    lengths.iter().map(|length| usize::from(*length)).sum()
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
