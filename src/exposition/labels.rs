//! Labels: the identity labels of a target, valid names, escapes, and how labels that clash are renamed.

use super::line::{Label, Text};
use super::protobuf;
use std::borrow::Cow;
use std::collections::HashSet;

/// The labels that identify a target, encoded once so that they can be copied into each of its samples.
#[derive(Debug, Clone)]
pub struct IdentityLabels {
    names: Vec<Vec<u8>>,
    /// The text between the name and the value of a sample without labels of its own: `{instance="a",job="b"} `, or a
    /// blank if there are no identity labels.
    alone: Vec<u8>,
    /// The text in place of the closing brace of a sample with labels: `,instance="a",job="b"} `.
    behind: Vec<u8>,
    /// The bits of all names, see [`name_bit`].
    name_bits: u64,
    /// The labels as fields of a Metric in protobuf.
    fields: Vec<u8>,
}

/// Enough for most targets.
const IDENTITY_BYTES: usize = 256;

impl IdentityLabels {
    /// Encodes these names and values, both unescaped, in the given order.
    ///
    /// A name that is not valid in Prometheus 2 is written in the quoted form of Prometheus 3. A label with an empty
    /// value is left out: for Prometheus it does not exist.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> IdentityLabels {
        let mut identity = IdentityLabels {
            names: Vec::new(),
            alone: Vec::with_capacity(IDENTITY_BYTES),
            behind: Vec::with_capacity(IDENTITY_BYTES),
            name_bits: 0,
            fields: Vec::with_capacity(IDENTITY_BYTES),
        };
        for (name, value) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            protobuf::push_label(&mut identity.fields, name.as_bytes(), value.as_bytes());
            identity.behind.push(b',');
            push_label(&mut identity.behind, name.as_bytes(), value.as_bytes());
            identity.name_bits |= name_bit(name.as_bytes());
            identity.names.push(name.as_bytes().to_vec());
        }
        if !identity.names.is_empty() {
            identity.alone.push(b'{');
            identity.alone.extend_from_slice(&identity.behind[1..]);
            identity.alone.push(b'}');
        }
        identity.alone.push(b' ');
        identity.behind.extend_from_slice(b"} ");
        identity
    }

    pub(super) fn alone(&self) -> &[u8] {
        &self.alone
    }

    pub(super) fn behind(&self) -> &[u8] {
        &self.behind
    }

    /// Fields of a Metric in protobuf.
    pub(super) fn fields(&self) -> &[u8] {
        &self.fields
    }

    pub(super) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.name_bits & name_bit(name) != 0 && self.names.iter().any(|identity| identity == name)
    }
}

/// No labels.
impl Default for IdentityLabels {
    fn default() -> IdentityLabels {
        IdentityLabels::new([])
    }
}

/// One of 64 bits for a label name. Names with different bits are different names: this rules out most clashes and
/// repeated names without comparing the names.
pub(super) const fn name_bit(name: &[u8]) -> u64 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return 1;
    };
    let mixed = *first as usize * 7 + *last as usize * 13 + name.len();
    1 << (mixed & 63)
}

/// The position of the first name that repeats an earlier one.
///
/// The first names are compared with each other, which is fastest for a few. The others are looked up in a set: a pod
/// may send a line with a million labels, and comparing them all would keep a client worker for hours.
pub(super) fn repeated_name<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Option<usize> {
    let mut bits = 0;
    let mut few = names.clone().take(COMPARED_NAMES_MAX).enumerate();
    let repeated = few.find(|(n, name)| {
        let is_new = bits & name_bit(name) == 0;
        bits |= name_bit(name);
        !is_new && names.clone().take(*n).any(|before| before == *name)
    });
    if let Some((n, _)) = repeated {
        return Some(n);
    }
    let mut rest = names
        .clone()
        .enumerate()
        .skip(COMPARED_NAMES_MAX)
        .peekable();
    rest.peek()?;
    let mut seen: HashSet<&[u8]> = names.take(COMPARED_NAMES_MAX).collect();
    rest.find(|(_, name)| !seen.insert(name)).map(|(n, _)| n)
}

/// The number of names that are compared with each other.
pub(super) const COMPARED_NAMES_MAX: usize = 64;

/// Renames the labels of a sample that are named like an identity label: `exported_` is prepended until neither the
/// sample nor the identity labels have the name. Shorter names are renamed first.
///
/// Same as `resolveConflictingExposedLabels` in Prometheus' `scrape/target.go` with `honor_labels: false`. Labels with
/// empty values must have been removed: they do not count.
pub(super) fn rename_clashing(labels: &mut [Label<'_>], identity: &IdentityLabels) {
    let mut clashing: Vec<usize> = (0..labels.len())
        .filter(|&n| identity.contains(&labels[n].0))
        .collect();
    if clashing.is_empty() {
        return;
    }
    clashing.sort_by(|&a, &b| {
        let (a, b) = (&labels[a].0, &labels[b].0);
        (a.len(), a).cmp(&(b.len(), b))
    });
    // A pod may send a million labels, and names with the prefix many times over: each name is looked up.
    let mut taken: HashSet<Vec<u8>> = labels
        .iter()
        .filter(|(name, _)| name.starts_with(EXPORTED))
        .map(|(name, _)| name.to_vec())
        .collect();
    for n in clashing {
        let mut name = [EXPORTED, &labels[n].0].concat();
        while identity.contains(&name) || taken.contains(&name) {
            name.splice(..0, EXPORTED.iter().copied());
        }
        taken.insert(name.clone());
        labels[n].0 = Cow::Owned(name);
    }
}

/// The prefix of a label that clashes with one of the target.
const EXPORTED: &[u8] = b"exported_";

/// Appends `name="value"`; both are given unescaped.
pub(super) fn push_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if is_label_name(name) {
        out.extend_from_slice(name);
    } else {
        push_quoted(out, name);
    }
    out.push(b'=');
    push_quoted(out, value);
}

/// Appends a name or value, escaped and in quotes.
pub(super) fn push_quoted(out: &mut Vec<u8>, unescaped: &[u8]) {
    out.push(b'"');
    if memchr::memchr3(b'\\', b'"', b'\n', unescaped).is_none() {
        out.extend_from_slice(unescaped);
        out.push(b'"');
        return;
    }
    for &byte in unescaped {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends a HELP text, escaped as in the text format, which does not escape quotes.
pub(super) fn push_help(out: &mut Vec<u8>, unescaped: &[u8]) {
    for &byte in unescaped {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}

/// Removes the escapes of a HELP text of the text format.
pub(super) fn unescape_help(escaped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    loop {
        let (byte, after) = match rest {
            [b'\\', b'\\', after @ ..] => (b'\\', after),
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [byte, after @ ..] => (*byte, after),
            [] => return plain,
        };
        plain.push(byte);
        rest = after;
    }
}

/// Removes the escapes of a name or label value. A backslash before any byte but `\`, `"` and `n` is kept.
pub(super) fn unescape(escaped: &[u8]) -> Cow<'_, [u8]> {
    if !escaped.contains(&b'\\') {
        return Cow::Borrowed(escaped);
    }
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    loop {
        match rest {
            [b'\\', b'\\', after @ ..] => {
                plain.push(b'\\');
                rest = after;
            }
            [b'\\', b'"', after @ ..] => {
                plain.push(b'"');
                rest = after;
            }
            [b'\\', b'n', after @ ..] => {
                plain.push(b'\n');
                rest = after;
            }
            [byte, after @ ..] => {
                plain.push(*byte);
                rest = after;
            }
            [] => return Cow::Owned(plain),
        }
    }
}

/// Splits a series into the name of its metric and the text of its labels.
///
/// The series must be in the form that this crate writes: labels written by [`push_label`], separated by commas,
/// without blanks and without the closing brace.
pub(super) fn split_written(series: &[u8]) -> (Text<'_>, &[u8]) {
    match memchr::memchr(b'{', series) {
        // A quoted metric name is the first thing within the braces.
        Some(0) => split_quoted(&series[1..]).unwrap_or_default(),
        Some(brace) => (Cow::Borrowed(&series[..brace]), &series[brace + 1..]),
        None => (Cow::Borrowed(series), b""),
    }
}

/// The labels of a series in the form that [`split_written`] reads.
pub(super) fn written_labels(series: &[u8]) -> impl Iterator<Item = Label<'_>> {
    let (_, mut rest) = split_written(series);
    std::iter::from_fn(move || {
        rest = rest.strip_prefix(b",").unwrap_or(rest);
        let (name, behind) = match rest.first()? {
            b'"' => split_quoted(rest)?,
            _ => {
                let (name, behind) = rest.split_at(memchr::memchr(b'=', rest)?);
                (Cow::Borrowed(name), behind)
            }
        };
        let (value, behind) = split_quoted(behind.strip_prefix(b"=")?)?;
        rest = behind;
        Some((name, value))
    })
}

/// The quoted text at the start, without its escapes, and the text after it.
fn split_quoted(text: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some((unescape(&text[..at]), &text[at + 1..]));
        }
        at += 2;
    }
}

/// Whether a label of this name needs no quotes.
pub(super) fn is_label_name(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| is_name_start(*byte)) && name.iter().all(|b| is_name_byte(*b))
}

/// Whether a metric of this name needs no quotes.
pub(super) fn is_metric_name(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| is_metric_start(*byte))
        && name.iter().all(|b| is_metric_byte(*b))
}

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const METRIC: u8 = 4;

/// For each byte: whether it may start a label name, be in one, and be in a metric name.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        classes[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => NAME_START | NAME | METRIC,
            b'0'..=b'9' => NAME | METRIC,
            b':' => METRIC,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

pub(super) fn is_name_start(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & NAME_START != 0
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & NAME != 0
}

pub(super) fn is_metric_start(byte: u8) -> bool {
    is_name_start(byte) || byte == b':'
}

pub(super) fn is_metric_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & METRIC != 0
}
