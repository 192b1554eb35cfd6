//! Finds what each line of a text has in common with earlier lines.
//!
//! In a merged text, most lines repeat a line of the pod before with other identity labels and another value, and they
//! have the identity labels of the line before. So each line is compared with these two lines, which needs no search.
//! Only the bytes that differ are looked up by hash, as other compressors do with all bytes.
//!
//! The line to compare with follows from the order: if a line resembles another one, the next line is expected to
//! resemble the line after that one. If this fails, because the lines of the pods differ, more bytes become literals.

use memchr::{memchr, memchr2};

use super::deflate::{DISTANCE_MAX, Deflate, LENGTH_MAX};

/// A shorter match is written as literals.
const LENGTH_MIN: usize = 4;
/// The size of the hash table, and the number of bytes that are hashed.
const HASH_BITS: u32 = 12;
const HASHED_BYTES: u32 = 6;
/// After this many bytes that were not found, each step skips one more byte.
const MISSES_PER_SKIP: usize = 16;

/// Memory that is used for one text after the other.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lines: Vec<Line>,
    /// For each hash, the position after the last one where it was looked up; 0 if there is none.
    searched: Vec<usize>,
}

/// Positions in the text.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: usize,
    /// The start of the bytes before the value that the line before also has.
    tail: usize,
    /// The position after the labels and the blank, or after the line if it has no labels.
    value: usize,
}

/// Compresses the text into the stream. Matches do not reach back to earlier texts.
pub(super) fn compress(text: &[u8], memory: &mut Memory, out: &mut Deflate) {
    memory.lines.clear();
    memory.searched.clear();
    memory.searched.resize(1 << HASH_BITS, 0);
    let mut finder = Finder {
        text,
        out,
        memory,
        done: 0,
        expected: usize::MAX,
        longer: 0,
        first: 0,
    };
    let mut start = 0;
    while start < text.len() {
        let line = match finder.expected(start) {
            Some(line) => line,
            None => finder.unexpected(start),
        };
        start = finder.end(line);
        finder.memory.lines.push(line);
    }
    finder.out.literals(&text[finder.done..]);
}

struct Finder<'a> {
    text: &'a [u8],
    out: &'a mut Deflate,
    memory: &'a mut Memory,
    /// The number of bytes of the text that are written.
    done: usize,
    /// The index of the line that the next line is expected to resemble.
    expected: usize,
    /// How much longer the lines of this pod are, up to their values, than the lines that they resemble.
    longer: isize,
    /// The index of the first line of the family, or of the first line of a later pod.
    first: usize,
}

impl Finder<'_> {
    /// Writes the line up to its value, if it is as expected.
    #[inline(always)]
    fn expected(&mut self, start: usize) -> Option<Line> {
        let (text, lines) = (self.text, &self.memory.lines);
        let (like, last) = (*lines.get(self.expected)?, *lines.last()?);
        let tail = start + (like.tail - like.start);
        let value = (start + (like.value - like.start)).checked_add_signed(self.longer)?;
        let length = value.checked_sub(tail)?;
        let last_tail = last.value.checked_sub(length)?;
        let (distance, tail_distance) = (start - like.start, value.checked_sub(last.value)?);
        let is_expected = value > start
            && distance.max(tail_distance) <= DISTANCE_MAX
            && text.get(start..tail)? == &text[like.start..like.tail]
            && text.get(tail..value)? == &text[last_tail..last.value];
        if !is_expected {
            return None;
        }
        if self.expected == self.first {
            self.first = lines.len();
        }
        self.expected += 1;
        self.copy(start, tail - start, distance);
        self.copy(tail, length, tail_distance);
        Some(Line { start, tail, value })
    }

    /// Writes any other line up to its value.
    #[inline(never)]
    fn unexpected(&mut self, start: usize) -> Line {
        let text = self.text;
        let Some((like, common)) = self.most_like(start) else {
            return self.unlike(start);
        };
        let number = self.memory.lines.len();
        let (model, last) = (self.memory.lines[like], self.memory.lines[number - 1]);
        self.copy(start, common, start - model.start);
        let differs = start + common;
        let value = if common == model.value - model.start {
            differs
        } else {
            behind_labels(text, differs)
        };
        let distance = value - last.value;
        let tail_length = if distance <= DISTANCE_MAX {
            common_end(&text[..last.value], &text[start..value])
        } else {
            0
        };
        let mut tail = value - tail_length;
        let searched = tail.max(differs);
        self.search(differs, searched);
        self.copy(searched, value - searched, distance);
        if last.tail == last.value {
            // The first line of the family: no other was there to compare its labels with.
            self.memory.lines[number - 1].tail = last.start.max(last.value - tail_length);
        }
        if like != number - 1 || like == self.first {
            if like == self.expected && like == self.first {
                self.first = number;
            }
            self.expected = like + 1;
            let length = model.value - model.start;
            self.longer = (value - start).wrapping_sub(length).cast_signed();
            // The first line of a pod has hardly a tail in common with the line before, but the next pod's will.
            if common >= model.tail - model.start {
                tail = start + (model.tail - model.start);
            }
        }
        Line { start, tail, value }
    }

    /// The index of the line with the most bytes in common with the line at `start`, and the number of these bytes.
    fn most_like(&mut self, start: usize) -> Option<(usize, usize)> {
        let (text, lines) = (self.text, &self.memory.lines);
        let before = lines.len().wrapping_sub(1);
        let behind_expected = self.expected.wrapping_add(1);
        let (mut most, mut common) = (None, LENGTH_MIN - 1);
        for number in [self.expected, before, behind_expected, self.first] {
            let Some(line) = lines.get(number) else {
                continue;
            };
            if start - line.start > DISTANCE_MAX {
                if number == self.first {
                    self.first = lines.len();
                }
                continue;
            }
            let like = &text[line.start..line.value];
            // A line that differs at this byte cannot have more in common.
            if like.get(common) == text.get(start + common) {
                let length = common_start(like, &text[start..]);
                if length > common {
                    (most, common) = (Some(number), length);
                }
            }
        }
        Some((most?, common))
    }

    /// Writes a line that has nothing in common with others, up to its value.
    fn unlike(&mut self, start: usize) -> Line {
        let (text, lines) = (self.text, &self.memory.lines);
        let is_behind_comment = lines.last().is_none_or(|last| text[last.start] == b'#');
        if text[start] != b'#' && is_behind_comment {
            (self.first, self.expected) = (lines.len(), usize::MAX);
        }
        let value = behind_labels(text, start);
        self.search(start, value);
        Line {
            start,
            tail: value,
            value,
        }
    }

    /// Looks up the bytes after the value, and returns the end of the line.
    #[inline(always)]
    fn end(&mut self, line: Line) -> usize {
        let text = self.text;
        if text[line.value - 1] == b'\n' {
            return line.value;
        }
        let Some(length) = memchr2(b' ', b'\n', &text[line.value..]) else {
            return text.len();
        };
        let behind = line.value + length;
        if text[behind] == b'\n' {
            return behind + 1;
        }
        // A timestamp, or an exemplar.
        let length = memchr(b'\n', &text[behind..]);
        let end = length.map_or(text.len(), |length| behind + length + 1);
        self.search(behind, end);
        end
    }

    /// Looks up the bytes of a range, and writes matches for those that occurred before.
    fn search(&mut self, from: usize, end: usize) {
        let text = self.text;
        let (mut at, mut misses) = (from, 0);
        while at + size_of::<u64>() <= end {
            let bytes = hashed(text, at);
            let hash = bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HASH_BITS);
            let before = std::mem::replace(&mut self.memory.searched[hash as usize], at + 1);
            let distance = at + 1 - before;
            if before > 0 && distance <= DISTANCE_MAX && hashed(text, before - 1) == bytes {
                let length = common_start(&text[before - 1..], &text[at..end]);
                self.copy(at, length, distance);
                at += length;
                misses = 0;
            } else {
                misses += 1;
                at += 1 + misses / MISSES_PER_SKIP;
            }
        }
    }

    /// Writes bytes as matches at this distance, unless they are too few.
    #[inline(always)]
    fn copy(&mut self, mut at: usize, length: usize, distance: usize) {
        let end = at + length;
        while end - at >= LENGTH_MIN {
            let length = LENGTH_MAX.min(end - at);
            self.out.literals(&self.text[self.done..at]);
            self.out.copy(length, distance);
            at += length;
            self.done = at;
        }
    }
}

/// The start of the value, or of the next line.
fn behind_labels(text: &[u8], from: usize) -> usize {
    match memchr2(b'}', b'\n', &text[from..]) {
        Some(length) if text[from + length] == b'}' => text.len().min(from + length + 2),
        Some(length) => from + length + 1,
        None => text.len(),
    }
}

/// The bytes that are hashed, in the upper bytes of a number.
fn hashed(text: &[u8], at: usize) -> u64 {
    let bytes = text[at..].first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(bytes) << (u64::BITS - 8 * HASHED_BYTES)
}

/// The number of bytes that both have in common at the start.
#[inline(always)]
fn common_start(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..length].as_chunks(), b[..length].as_chunks());
    for (number, (a, b)) in a.iter().zip(b).enumerate() {
        let difference = u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b);
        if difference != 0 {
            return number * size_of::<u128>() + (difference.trailing_zeros() / 8) as usize;
        }
    }
    let rest = a_rest.iter().zip(b_rest);
    length - a_rest.len() + rest.take_while(|(a, b)| a == b).count()
}

/// The number of bytes that both have in common at the end.
#[inline(always)]
fn common_end(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[a.len() - length..], &b[b.len() - length..]);
    let ((a_rest, a), (b_rest, b)) = (a.as_rchunks(), b.as_rchunks());
    for (number, (a, b)) in a.iter().rev().zip(b.iter().rev()).enumerate() {
        let difference = u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b);
        if difference != 0 {
            return number * size_of::<u128>() + (difference.leading_zeros() / 8) as usize;
        }
    }
    let rest = a_rest.iter().rev().zip(b_rest.iter().rev());
    length - a_rest.len() + rest.take_while(|(a, b)| a == b).count()
}
