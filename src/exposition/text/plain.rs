//! Reads series in the plain form that nearly all exporters write: `name ` or `name{label="value",label="value"} `,
//! with no escapes but `\\`, `\"` and `\n`. This is also the form that the aggregator writes. All other lines are read
//! by `sample_line.rs`, and both must give the same result for a line in the plain form.

use crate::exposition::labels::{
    COMPARED_NAMES_MAX, is_metric_byte, is_metric_start, is_name_byte, is_name_start, name_bit,
};
use crate::exposition::metric_type::FloatLabel;

/// The last series in the plain form.
///
/// The series of a metric mostly follow each other and have the same label names. So a label name is first compared
/// with that of the last series, and checked only if it differs.
#[derive(Debug, Default)]
pub(in crate::exposition) struct PlainSeries<'b> {
    /// The name of the metric.
    pub(in crate::exposition) name: &'b [u8],
    /// In the order of the line; each name once.
    pub(in crate::exposition) labels: Vec<PlainLabel<'b>>,
    /// The label names of the last series, and possibly further ones of a series before it.
    label_names: Vec<LabelName<'b>>,
}

/// A label as it is written.
#[derive(Debug, Clone, Copy)]
pub(in crate::exposition) struct PlainLabel<'b> {
    /// Escaped.
    pub(in crate::exposition) value: &'b [u8],
    /// From the first byte of the name to the closing quote.
    pub(in crate::exposition) whole: &'b [u8],
    /// Set if the name is `le` or `quantile`.
    pub(in crate::exposition) float: Option<FloatLabel>,
}

#[derive(Debug, Clone, Copy)]
struct LabelName<'b> {
    /// A label name and the `="` after it.
    text: &'b [u8],
    float: Option<FloatLabel>,
    /// The bits of the names up to and including this one, see [`name_bit`].
    seen_bits: u64,
}

impl<'b> PlainSeries<'b> {
    /// Reads the series at the start of these bytes; the first `key_length` bytes of them end with the blank before the
    /// value. `None` if the series is in another form, repeats a label name, or has one that is not allowed. The fields
    /// are then meaningless.
    pub(in crate::exposition) fn read(
        &mut self,
        rest: &'b [u8],
        key_length: usize,
        is_allowed: impl Fn(&[u8]) -> bool,
    ) -> Option<()> {
        self.labels.clear();
        let key = &rest[..key_length];
        let mut at = self.name_length(key)?;
        self.name = &rest[..at];
        if key[at] == b' ' {
            return (at + 1 == key_length).then_some(());
        }
        let mut is_ascii = true;
        for number in 0.. {
            // Skip the brace or comma.
            at += 1;
            let start = at;
            let label_name = match self.label_names.get(number) {
                Some(label_name) if rest[at..].starts_with(label_name.text) => *label_name,
                _ => self.label_name(number, &rest[at..], &is_allowed)?,
            };
            at += label_name.text.len();
            let value = &rest[at..];
            let length = value_length(value, &mut is_ascii)?;
            at += length + 1;
            self.labels.push(PlainLabel {
                value: &value[..length],
                whole: &rest[start..at],
                float: label_name.float,
            });
            match rest.get(at)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let is_text = is_ascii || std::str::from_utf8(key).is_ok();
        (at + 2 == key_length && is_text).then_some(())
    }

    /// The length of the metric's name, which is mostly that of the last line.
    fn name_length(&self, key: &[u8]) -> Option<usize> {
        let is_end = |length: usize| matches!(key.get(length), Some(b'{' | b' '));
        let before = self.name.len();
        if before > 0 && key.starts_with(self.name) && is_end(before) {
            return Some(before);
        }
        let length = key.iter().take_while(|byte| is_metric_byte(**byte)).count();
        (is_metric_start(*key.first()?) && is_end(length)).then_some(length)
    }

    /// Reads a label name that differs from the one at this place in the last series. The names after it are forgotten.
    fn label_name(
        &mut self,
        number: usize,
        rest: &'b [u8],
        is_allowed: impl Fn(&[u8]) -> bool,
    ) -> Option<LabelName<'b>> {
        // Each name is compared with those before it, so lines with more labels are left to the parser of any line.
        if number == COMPARED_NAMES_MAX {
            return None;
        }
        self.label_names.truncate(number);
        let length = rest.iter().take_while(|byte| is_name_byte(**byte)).count();
        let name = &rest[..length];
        let text = rest.get(..length + 2)?;
        let (bits_before, bit) = (
            self.label_names
                .last()
                .map_or(0, |label_name| label_name.seen_bits),
            name_bit(name),
        );
        let is_before = bits_before & bit != 0
            && self
                .label_names
                .iter()
                .any(|label_name| label_name.text == text);
        let is_fitting = text.ends_with(b"=\"")
            && is_name_start(*name.first()?)
            && !is_before
            && is_allowed(name);
        let label_name = LabelName {
            text,
            float: FloatLabel::of_name(name),
            seen_bits: bits_before | bit,
        };
        is_fitting.then(|| self.label_names.push(label_name));
        is_fitting.then_some(label_name)
    }
}

/// The length of the value that ends at the next quote.
fn value_length(rest: &[u8], is_ascii: &mut bool) -> Option<usize> {
    let mut at = 0;
    loop {
        at += unmarked_length(&rest[at..]);
        match rest.get(at)? {
            b'"' => return Some(at),
            b'\\' if matches!(rest.get(at + 1)?, b'\\' | b'"' | b'n') => at += 2,
            b'\\' | b'\n' | 0 => return None,
            byte => {
                *is_ascii &= byte.is_ascii();
                at += 1;
            }
        }
    }
}

/// The number of bytes before the next `"`, `\`, control character or byte that is not ASCII. Reads eight bytes at a
/// time: most values are short, and a call of `memchr` for each of them takes longer.
fn unmarked_length(rest: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    // The highest bit of each byte below this one, and possibly of some above the first such byte.
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word;
    let mut words = rest.chunks_exact(8);
    let mut length = 0;
    for chunk in &mut words {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let marks = (equals(b'"') | equals(b'\\') | below(word, b' ') | word) & HIGHEST;
        if marks != 0 {
            return length + marks.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let is_mark = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ' | 0x80..);
    let rest = words.remainder();
    length + rest.iter().position(is_mark).unwrap_or(rest.len())
}
