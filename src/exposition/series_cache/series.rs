//! Series: how they are written, how Prometheus stores them, and which are the same.

use super::texts::Texts;
use crate::exposition::error::LineErrorKind;
use crate::exposition::labels::{is_metric_name, push_label, push_quoted};
use crate::exposition::layout::TextRef;
use crate::exposition::line::Label;
use crate::exposition::metric_type::FloatLabel;
use crate::exposition::number;
use crate::exposition::text::sample_line;
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::hash::BuildHasher;

impl Texts {
    /// Writes name and labels without a closing brace, unless they stand at `known` already. Gives the sum of the
    /// hashes of the parts too, so that the order of labels does not matter.
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
        let mut hash = hasher.hash_one(name);
        for (n, (name, value)) in labels.iter().enumerate() {
            if n > 0 || !is_bare {
                out.push(b',');
            }
            let label = out.len();
            push_label(out, name, value);
            hash = hash.wrapping_add(hasher.hash_one(&out[label..]));
        }
        let length = out.len() - start;
        let (before, written) = out.split_at(start);
        if before[known..].starts_with(written) {
            out.truncate(start);
            start = known;
        }
        let text = TextRef::new(number, start, length, needs_brace).ok_or(LineErrorKind::Size)?;
        Ok((text, hash))
    }
}

/// The labels as Prometheus stores them under a TYPE line that makes it rewrite this label; `None` if that changes
/// nothing.
pub(super) fn rewritten<'b>(labels: &[Label<'b>], label: FloatLabel) -> Option<Vec<Label<'b>>> {
    let at = labels
        .iter()
        .position(|(name, _)| FloatLabel::of_name(name) == Some(label))?;
    if number::is_canonical_float(&labels[at].1) {
        return None;
    }
    let canonical = number::canonical_float(&labels[at].1)?.into_bytes();
    let mut labels = labels.to_vec();
    labels[at].1 = Cow::Owned(canonical);
    Some(labels)
}

/// Whether two written series are one, which may have its labels in another order.
pub(super) fn same_series(known: &[u8], new: &[u8]) -> bool {
    if known == new {
        return true;
    }
    if known.len() != new.len() {
        return false;
    }
    let lines = [known, new].map(|series| [series, b"} 0"].concat());
    let read = |line| sample_line::read(line, 0).map(|(sample, _)| sample);
    let [Ok(mut known), Ok(mut new)] = [read(&lines[0]), read(&lines[1])] else {
        return false;
    };
    known.labels.sort_unstable();
    new.labels.sort_unstable();
    known.name == new.name && known.labels == new.labels
}
