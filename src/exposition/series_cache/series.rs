//! Series: how they are written, how Prometheus stores them, and when two are the same.

use super::places::hash;
use super::texts::Texts;
use crate::exposition::error::LineErrorKind;
use crate::exposition::labels::{
    is_metric_name, push_label, push_quoted, split_written, written_labels,
};
use crate::exposition::layout::TextRef;
use crate::exposition::line::Label;
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::number;
use crate::exposition::text::plain::PlainLabel;
use foldhash::fast::RandomState;
use std::borrow::Cow;

impl Texts {
    /// Writes name and labels without a closing brace, unless they are already at `known`. Also returns the sum of the
    /// hashes of name and labels, which does not depend on the order of the labels.
    pub(super) fn write_series(
        &mut self,
        known: usize,
        name: &[u8],
        labels: &[Label<'_>],
        hasher: &RandomState,
    ) -> Result<(TextRef, u64), LineErrorKind> {
        let number = self.number();
        let out = &mut self.fresh;
        let mut start = out.len();
        let is_bare = is_metric_name(name);
        if is_bare {
            out.extend_from_slice(name);
        }
        let needs_brace = !is_bare || !labels.is_empty();
        if needs_brace {
            out.push(b'{');
        }
        if !is_bare {
            push_quoted(out, name);
        }
        let mut sum = hash(hasher, name);
        for (n, (name, value)) in labels.iter().enumerate() {
            if n > 0 || !is_bare {
                out.push(b',');
            }
            let label = out.len();
            push_label(out, name, value);
            sum = sum.wrapping_add(hash(hasher, &out[label..]));
        }
        let length = out.len() - start;
        let (before, written) = out.split_at(start);
        if before[known..].starts_with(written) {
            out.truncate(start);
            start = known;
        }
        let text = TextRef::new(number, start, length, needs_brace).ok_or(LineErrorKind::Size)?;
        Ok((text, sum))
    }
}

impl Texts {
    /// Writes name and labels of the plain form, without labels with empty values and without a closing brace. `stored`
    /// replaces the label with this index. `None` if there is no room.
    pub(super) fn write_plain(
        &mut self,
        name: &[u8],
        labels: &[PlainLabel<'_>],
        other: Option<&(usize, Vec<u8>)>,
    ) -> Option<TextRef> {
        let out = &mut self.fresh;
        let start = out.len();
        out.extend_from_slice(name);
        let mut separator = b'{';
        for (number, label) in labels.iter().enumerate() {
            if label.value.is_empty() {
                continue;
            }
            out.push(separator);
            separator = b',';
            let other = other.filter(|(other, _)| *other == number);
            out.extend_from_slice(other.map_or(label.whole, |(_, label)| label));
        }
        let length = out.len() - start;
        TextRef::new(self.number(), start, length, separator == b',')
    }
}

/// The labels as Prometheus stores them under a TYPE line under which it rewrites this label; `None` if they stay the
/// same.
pub(super) fn rewritten<'b>(labels: &[Label<'b>], label: FloatLabel) -> Option<Vec<Label<'b>>> {
    let at = labels
        .iter()
        .position(|(name, _)| FloatLabel::of_name(name) == Some(label))?;
    let value = number::rewritten_float(&labels[at].1)?;
    let mut labels = labels.to_vec();
    labels[at].1 = Cow::Owned(value.into_bytes());
    Some(labels)
}

/// Whether two written series are the same. The order of their labels may differ.
pub(super) fn same_series(known: &[u8], new: &[u8]) -> bool {
    if known == new {
        return true;
    }
    if known.len() != new.len() {
        return false;
    }
    let [known, new] = [known, new].map(|series| {
        let mut labels: Vec<Label<'_>> = written_labels(series).collect();
        labels.sort_unstable();
        (split_written(series).0, labels)
    });
    known == new
}

/// The label with another value, which must not need escapes.
pub(super) fn stored_label(label: &PlainLabel<'_>, value: &str) -> Vec<u8> {
    let before_value = &label.whole[..label.whole.len() - label.value.len() - 1];
    [before_value, value.as_bytes(), b"\""].concat()
}
