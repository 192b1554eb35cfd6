//! The labels of a metric, which are LabelPair messages.

use super::schema::MetricType;
use super::wire::{Fields, push_label};
use super::{Expected, Problem};
use crate::exposition::IdentityLabels;
use crate::exposition::escaping::Escaping;
use crate::exposition::labels::{is_label_name, name_bit, rename_clashing, repeated_name};
use crate::exposition::line::Label;
use std::hash::{BuildHasher, Hasher};

/// The labels of the metric that is being read.
#[derive(Debug, Default)]
pub(super) struct MetricLabels<'b> {
    pairs: Vec<(&'b [u8], &'b [u8])>,
    /// The bits of the names: see [`name_bit`].
    bits: u64,
    has_repeated_bit: bool,
}

impl<'b> MetricLabels<'b> {
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.bits = 0;
        self.has_repeated_bit = false;
    }

    /// Whether Prometheus would store the series without labels: one without a value does not exist there.
    pub(super) fn are_all_empty(&self) -> bool {
        self.pairs.iter().all(|(_, value)| value.is_empty())
    }

    /// Whether Prometheus would store the same labels.
    pub(super) fn are_same(&self, other: &MetricLabels<'_>) -> bool {
        let (mut own, mut others) = (self.with_value(), other.with_value());
        own.sort_unstable();
        others.sort_unstable();
        own == others
    }

    fn with_value(&self) -> Vec<Label<'b>> {
        let pairs = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        pairs
            .map(|&(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// A hash of what the labels mean, in whatever order they stand. Those without a value do not exist.
    pub(super) fn hash(&self, hasher: &impl BuildHasher) -> u64 {
        let with_value = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        with_value.fold(0, |sum, (name, value)| {
            let mut hasher = hasher.build_hasher();
            hasher.write(name);
            hasher.write(value);
            sum.wrapping_add(hasher.finish())
        })
    }

    /// Takes in the labels at the start of a Metric, as far as all is as every client writes it, and in ASCII; gives
    /// where the rest of the message begins.
    pub(super) fn push_leading(&mut self, message: &'b [u8]) -> usize {
        let mut end = 0;
        while let [0x0a, length @ 0..0x80, rest @ ..] = &message[end..]
            && let Some(pair) = rest.get(..usize::from(*length))
            && let Some((name, value)) = plain_pair(pair)
            && !name.is_empty()
        {
            self.add(name, value);
            end += 2 + pair.len();
        }
        if message[..end].is_ascii() {
            return end;
        }
        self.clear();
        0
    }

    /// Takes in one LabelPair.
    ///
    /// # Errors
    /// A name that is missing, empty or not UTF-8, a value that is not UTF-8, bytes that are no LabelPair.
    pub(super) fn push(&mut self, message: &'b [u8]) -> Result<(), Problem> {
        let (name, value) = match plain_pair(message) {
            Some(pair) => pair,
            None => any_pair(message)?,
        };
        if name.is_empty() || std::str::from_utf8(name).is_err() {
            return Err(Problem::with_text(Expected::LabelName, name));
        }
        if std::str::from_utf8(value).is_err() {
            return Err(Problem::with_text(Expected::LabelValue, value));
        }
        self.add(name, value);
        Ok(())
    }

    fn add(&mut self, name: &'b [u8], value: &'b [u8]) {
        let bit = name_bit(name);
        self.has_repeated_bit |= self.bits & bit != 0;
        self.bits |= bit;
        self.pairs.push((name, value));
    }

    /// Whether each name stands once, and none is one that Prometheus adds to series of this type.
    ///
    /// # Errors
    /// The first name that should not be there.
    pub(super) fn check(&self, metric_type: MetricType) -> Result<(), Problem> {
        if self.has_repeated_bit {
            let names = self.pairs.iter().map(|(name, _)| *name);
            if let Some(n) = repeated_name(names) {
                return Err(Problem::with_text(
                    Expected::UniqueLabelName,
                    self.pairs[n].0,
                ));
            }
        }
        if self.bits & RESERVED_BITS == 0 {
            return Ok(());
        }
        for reserved in [Some(METRIC_NAME), metric_type.bound_label()]
            .into_iter()
            .flatten()
        {
            if self.pairs.iter().any(|(name, _)| *name == reserved) {
                return Err(Problem::with_text(Expected::NoReservedLabel, reserved));
            }
        }
        Ok(())
    }

    /// Whether a label is named like one of the target.
    pub(super) fn clash_with(&self, target: &IdentityLabels) -> bool {
        let is_clash = |(name, _): &(&[u8], _)| target.contains(name);
        self.bits & target.name_bits() != 0 && self.pairs.iter().any(is_clash)
    }

    /// Whether a name has to be escaped.
    pub(super) fn need(&self, escaping: Escaping) -> bool {
        escaping != Escaping::AllowUtf8 && !self.pairs.iter().all(|(name, _)| is_label_name(name))
    }

    /// Writes the labels with their names escaped, and those renamed that clash with the target's, as label fields of a
    /// Metric.
    ///
    /// # Errors
    /// [`Expected::UniqueLabelName`] if two names become one by escaping, [`Expected::NoReservedLabel`] if one becomes
    /// one that Prometheus adds.
    pub(super) fn push_renamed(
        &self,
        target: &IdentityLabels,
        escaping: Escaping,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let mut labels = self.with_value();
        let escaped = escaping.label_names(&mut labels);
        escaped
            .map_err(|_| Problem::new(Expected::UniqueLabelName, "two that escaping makes one"))?;
        if labels.iter().any(|(name, _)| **name == *METRIC_NAME) {
            return Err(Problem::with_text(Expected::NoReservedLabel, METRIC_NAME));
        }
        rename_clashing(&mut labels, target);
        for (name, value) in &labels {
            push_label(out, name, value);
        }
        Ok(())
    }
}

/// The bits of the names that Prometheus adds: see [`name_bit`].
const RESERVED_BITS: u64 = name_bit(METRIC_NAME) | name_bit(b"le") | name_bit(b"quantile");
/// The label that the name of a metric becomes.
const METRIC_NAME: &[u8] = b"__name__";

/// A LabelPair as every client writes it: name, value, both under 128 bytes.
fn plain_pair(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, length @ 0..0x80, rest @ ..] = message else {
        return None;
    };
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let [0x12, length @ 0..0x80, value @ ..] = rest else {
        return None;
    };
    (value.len() == usize::from(*length)).then_some((name, value))
}

fn any_pair(message: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}
