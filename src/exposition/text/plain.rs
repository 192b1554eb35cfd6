//! The series of a sample in the form in which nearly all are written, and in which all are written here: `name ` or
//! `name{label="value",label="value"} `, with no escapes but `\\`, `\"` and `\n`. It must mean what `sample_line.rs`
//! says, which reads all others.

use crate::exposition::labels::{is_metric_byte, is_metric_start, is_name_byte, is_name_start};

/// A label of such a series, as it is written.
#[derive(Debug, Clone, Copy)]
pub(in crate::exposition) struct PlainLabel<'k> {
    pub(in crate::exposition) name: &'k [u8],
    /// Escaped, not empty.
    pub(in crate::exposition) value: &'k [u8],
    /// Name, value and what stands between them.
    pub(in crate::exposition) whole: &'k [u8],
}

/// Hands over each label, in order; gives the name of the metric. `None` if the key of a line has another form, or a
/// label is not taken.
pub(in crate::exposition) fn read<'k>(
    key: &'k [u8],
    mut take: impl FnMut(PlainLabel<'k>) -> bool,
) -> Option<&'k [u8]> {
    let is_text = std::str::from_utf8(key).is_ok() && memchr::memchr(0, key).is_none();
    if !is_text || !is_metric_start(*key.first()?) {
        return None;
    }
    let length = key.iter().take_while(|byte| is_metric_byte(**byte)).count();
    let (name, rest) = key.split_at(length);
    if rest == b" " {
        return Some(name);
    }
    let mut rest = rest.strip_prefix(b"{")?;
    loop {
        let (label, behind) = label(rest)?;
        if !take(label) {
            return None;
        }
        rest = match behind {
            [b',', rest @ ..] => rest,
            b"} " => return Some(name),
            _ => return None,
        };
    }
}

/// The label at the start, and what follows it.
fn label(rest: &[u8]) -> Option<(PlainLabel<'_>, &[u8])> {
    if !is_name_start(*rest.first()?) {
        return None;
    }
    let name = rest.iter().take_while(|byte| is_name_byte(**byte)).count();
    let value = &rest[name..].strip_prefix(b"=\"")?;
    let length = value_length(value).filter(|length| *length > 0)?;
    let end = name + 2 + length + 1;
    let label = PlainLabel {
        name: &rest[..name],
        value: &value[..length],
        whole: &rest[..end],
    };
    Some((label, &rest[end..]))
}

/// The length of the value that ends at the next quote.
fn value_length(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match value.get(at)? {
            b'"' => return Some(at),
            b'\\' if matches!(value.get(at + 1)?, b'\\' | b'"' | b'n') => at += 2,
            b'\\' | b'\n' => return None,
            _ => at += 1,
        }
    }
}
