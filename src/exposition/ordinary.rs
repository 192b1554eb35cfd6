//! The fast way for sample lines that have the form in which nearly all are written. It must agree with the slow way in
//! `sample_line.rs`, which decides wherever this one does not.
//!
//! `name value`, `name{label="value",label="value"} value`, each with or without a timestamp, with
//! single blanks, with no escapes but `\\`, `\"` and `\n`, and with no label that must be renamed or rewritten or may
//! stand twice.

use super::builder::{Care, Series};
use super::labels::{is_metric_byte, is_name_byte, is_name_start, name_bit};
use super::layout::Line;
use super::parse::Parser;
use super::sample_line::skip_line_end;
use super::{number, offset};
use std::ops::Range;

/// The parts of an ordinary sample line, as offsets in the body.
pub(super) struct Ordinary {
    /// Where the closing brace stands, or the end of the name if there are no labels.
    labels_end: usize,
    /// Value and timestamp.
    pub(super) value: Range<usize>,
    pub(super) timestamp: Option<i64>,
    /// The sum of the hashes of the labels that have a value.
    labels_hash: u64,
    /// Whether there is a label that has a value.
    has_labels: bool,
    /// Whether there is one that has none.
    has_empty_label: bool,
    /// Where the next line starts.
    pub(super) next: usize,
}

/// The label names of an ordinary line, in their order. The next line mostly has the same, which is quick to see, and
/// then none of them has to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Shape {
    heads: Vec<Head>,
    /// Under which these labels need none.
    care: Care,
}

/// A label name, the `=` and the opening quote behind it.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// The first eight bytes, and which of them count.
    word: u64,
    mask: u64,
    /// Where in the body all of it stands.
    start: usize,
    length: usize,
    /// The bits of the names up to this one, and of those that need care: see [`name_bit`].
    seen_bits: u64,
}

impl Head {
    fn new(body: &[u8], start: usize, length: usize, seen_bits: u64) -> Option<Head> {
        let mask = u64::MAX >> (64 - 8 * length.min(8));
        Some(Head {
            word: word(body, start)? & mask,
            mask,
            start,
            length,
            seen_bits,
        })
    }

    fn stands_at(&self, body: &[u8], at: usize) -> bool {
        word(body, at).is_some_and(|word| word & self.mask == self.word)
            && (self.length <= 8
                || body[at + 8..].starts_with(&body[self.start + 8..self.start + self.length]))
    }
}

impl Parser<'_, '_> {
    /// Takes an ordinary line apart; of other lines nothing is decided.
    pub(super) fn ordinary_line(&mut self) -> Option<Ordinary> {
        if !self.is_plain {
            return None;
        }
        let name_end = self.name_end()?;
        let mut line = Ordinary {
            labels_end: name_end,
            value: 0..0,
            timestamp: None,
            labels_hash: 0,
            has_labels: false,
            has_empty_label: false,
            next: 0,
        };
        let mut blank = name_end;
        if self.body[name_end] == b'{' {
            blank = self.ordinary_labels(name_end + 1, &mut line)?;
        }
        let value = blank + 1;
        self.body.get(blank..)?.strip_prefix(b" ")?;
        let (end, timestamp) = value_and_timestamp(self.body, value)?;
        line.value = value..end;
        line.timestamp = timestamp;
        line.next = skip_line_end(self.body, end)?;
        Some(line)
    }

    /// Where the name ends that starts the line, if `{` or a blank follows; it is the current name from here on.
    fn name_end(&mut self) -> Option<usize> {
        let rest = &self.body[self.at..];
        if let Some(length) = self.builder.expected_name(rest) {
            return Some(self.at + length);
        }
        let is_in_name = |byte: &&u8| is_metric_byte(**byte);
        let length = rest.iter().take_while(is_in_name).count();
        if !matches!(rest.get(length), Some(b'{' | b' ')) {
            return None;
        }
        self.builder.set_current(&rest[..length]);
        Some(self.at + length)
    }

    /// Reads the labels from behind the opening brace on, and gives the position behind the closing one.
    fn ordinary_labels(&mut self, mut at: usize, line: &mut Ordinary) -> Option<usize> {
        let body = self.body;
        if self.shape.care != self.builder.current.care {
            self.shape.heads.clear();
            self.shape.care = self.builder.current.care;
        }
        let labels_start = at;
        for number in 0.. {
            let start = at;
            at += match self.shape.heads.get(number) {
                Some(head) if head.stands_at(body, at) => head.length,
                _ => self.label_head(labels_start, at, number)?,
            };
            let value_start = at;
            at = value_end(body, at)?;
            if at > value_start {
                let hash = self.builder.series.hash(&body[start..at]);
                line.labels_hash = line.labels_hash.wrapping_add(hash);
                line.has_labels = true;
            } else {
                line.has_empty_label = true;
            }
            match body.get(at + 1)? {
                b',' => at += 2,
                b'}' => break,
                _ => return None,
            }
        }
        line.labels_end = at + 1;
        Some(at + 2)
    }

    /// The length of a label name with `="` that is not the one that stood here in the last line, if all is well with
    /// it. The shape ends with it from here on.
    fn label_head(&mut self, labels_start: usize, at: usize, number: usize) -> Option<usize> {
        let rest = &self.body[at..];
        let is_in_name = |byte: &&u8| is_name_byte(**byte);
        let length = rest.iter().take_while(is_in_name).count();
        if !is_name_start(*rest.first()?) || !rest[length..].starts_with(b"=\"") {
            return None;
        }
        let name = &rest[..length];
        let before = number
            .checked_sub(1)
            .map(|last| self.shape.heads[last].seen_bits);
        let seen_bits = before.unwrap_or(self.shape.care.bits);
        let bit = name_bit(name);
        if seen_bits & bit != 0
            && (self.builder.needs_care(name) || may_contain(&self.body[labels_start..at], name))
        {
            return None;
        }
        self.shape.heads.truncate(number);
        let head = Head::new(self.body, at, length + 2, seen_bits | bit)?;
        self.shape.heads.push(head);
        Some(length + 2)
    }

    /// Takes an ordinary line as a sample. It stays where it is; gives that place, and the tag of its series, unless it is
    /// a duplicate.
    pub(super) fn take(&mut self, ordinary: &Ordinary) -> Option<(Line, u32)> {
        let line = Line {
            start: offset(self.at),
            split: offset(ordinary.labels_end),
            value: offset(ordinary.value.start),
            end: offset(ordinary.value.end),
        };
        self.at = ordinary.next;
        let series = Series {
            labels_hash: ordinary.labels_hash,
            timestamp: ordinary.timestamp,
            is_without_labels: !ordinary.has_labels,
            has_empty_label: ordinary.has_empty_label,
        };
        let tag = self.builder.add(line, &series)?;
        Some((line, tag))
    }
}

/// Whether a label of this name may stand among these. `"` or `{` or `,` before and `=` behind it can also be found
/// within values; then the line goes the slow way.
fn may_contain(labels: &[u8], name: &[u8]) -> bool {
    memchr::memmem::find_iter(labels, name).any(|found| {
        let is_start = found == 0 || labels[found - 1] == b',';
        is_start && labels.get(found + name.len()) == Some(&b'=')
    })
}

/// Where the value ends that starts here, if its escapes are those that every writer makes.
fn value_end(body: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = next_mark(body, at)?;
        match body[at] {
            b'"' => return Some(at),
            b'\\' if matches!(body.get(at + 1)?, b'\\' | b'"' | b'n') => at += 2,
            _ => return None,
        }
    }
}

/// Where the next `"`, `\` or line end stands. Most are near, so eight bytes are looked at together; a call of `memchr3`
/// for each value takes longer.
fn next_mark(body: &[u8], mut at: usize) -> Option<usize> {
    while let Some(word) = word(body, at) {
        let marks = equal_bytes(word, b'"') | equal_bytes(word, b'\\') | equal_bytes(word, b'\n');
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = body.get(at..)?;
    let length = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | b'\n'))?;
    Some(at + length)
}

fn word(body: &[u8], at: usize) -> Option<u64> {
    let word = body.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*word))
}

/// The highest bit of each byte of the word that equals this byte. Above the first such byte there may be wrong ones.
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let zeros = word ^ (ONES * u64::from(byte));
    zeros.wrapping_sub(ONES) & !zeros & (ONES << 7)
}

/// Where the value that starts here ends, with its timestamp if one follows behind a single blank; and that timestamp.
#[inline]
pub(super) fn value_and_timestamp(body: &[u8], start: usize) -> Option<(usize, Option<i64>)> {
    let end = start + number_length(&body[start..])?;
    let [b' ', digits @ ..] = &body[end..] else {
        return Some((end, None));
    };
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let length = digits.iter().take_while(is_digit).count();
    if length == 0 {
        return Some((end, None));
    }
    let timestamp = number::timestamp(&digits[..length])?;
    Some((end + 1 + length, Some(timestamp)))
}

/// The length of the number that starts here and ends before a blank or a line end.
fn number_length(rest: &[u8]) -> Option<usize> {
    if let Some(length) = plain_number_length(rest) {
        return Some(length);
    }
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'{');
    let length = rest.iter().position(is_end).unwrap_or(rest.len());
    number::is_value(&rest[..length]).then_some(length)
}

/// The same for a few dozen digits with at most one point among them, which are no number that is too large. Eight
/// bytes are looked at together.
fn plain_number_length(rest: &[u8]) -> Option<usize> {
    let mut points = 0;
    let mut length = 0;
    while let Some(word) = word(rest, length)
        && length < PLAIN_NUMBER_BYTES_MAX
    {
        let others = bytes_but_digits(word);
        if others == 0 {
            length += 8;
            continue;
        }
        length += others.trailing_zeros() as usize / 8;
        match rest[length] {
            b'.' => {
                points += 1;
                length += 1;
            }
            b' ' | b'\n' => return (points <= 1 && length > points).then_some(length),
            _ => return None,
        }
    }
    None
}

const PLAIN_NUMBER_BYTES_MAX: usize = 64;

/// The highest bit of each byte of the word that is no digit.
fn bytes_but_digits(word: u64) -> u64 {
    const LOW_BITS: u64 = u64::from_le_bytes([0x7f; 8]);
    let digits = word ^ u64::from_le_bytes([b'0'; 8]);
    // Beyond 9, the sum of the seven low bits reaches the highest one.
    let beyond = (digits & LOW_BITS) + u64::from_le_bytes([0x76; 8]);
    (beyond | digits) & !LOW_BITS
}
