//! Labels as LabelPair messages: those that a metric has, and those that its target adds.

use super::schema::{LABEL, MetricType};
use super::wire::{Fields, push_field, push_message};
use super::{Expected, Problem};
use crate::exposition::labels::{IdentityLabels, name_bit, rename_clashing};
use crate::exposition::line::Label;

/// The labels of a target, ready to be copied to the end of each of its metrics.
#[derive(Debug, Clone)]
pub struct TargetLabels {
    identity: IdentityLabels,
    /// The bits of the names: see [`name_bit`].
    bits: u64,
    /// Label fields of a Metric.
    fields: Vec<u8>,
}

impl TargetLabels {
    /// Renders names and values in the given order. A label without a value is left out: for Prometheus it does not
    /// exist.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)> + Clone) -> TargetLabels {
        let mut target = TargetLabels {
            identity: IdentityLabels::new(labels.clone()),
            bits: 0,
            fields: Vec::new(),
        };
        for (name, value) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            target.bits |= name_bit(name.as_bytes());
            push_label(&mut target.fields, name.as_bytes(), value.as_bytes());
        }
        target
    }

    /// Label fields of a Metric.
    pub(super) fn fields(&self) -> &[u8] {
        &self.fields
    }
}

/// Writes a label field of a Metric or of an exemplar.
pub(super) fn push_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_message(out, LABEL, |pair| {
        push_field(pair, NAME, name);
        push_field(pair, VALUE, value);
    });
}

const NAME: u8 = 1;
const VALUE: u8 = 2;

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

    pub(super) fn pairs(&self) -> &[(&'b [u8], &'b [u8])] {
        &self.pairs
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
        let bit = name_bit(name);
        self.has_repeated_bit |= self.bits & bit != 0;
        self.bits |= bit;
        self.pairs.push((name, value));
        Ok(())
    }

    /// Whether each name stands once, and none is one that Prometheus adds to series of this type.
    ///
    /// # Errors
    /// The first name that should not be there.
    pub(super) fn check(&self, metric_type: MetricType) -> Result<(), Problem> {
        if self.has_repeated_bit {
            for (n, (name, _)) in self.pairs.iter().enumerate() {
                if self.pairs[..n].iter().any(|(before, _)| before == name) {
                    return Err(Problem::with_text(Expected::UniqueLabelName, name));
                }
            }
        }
        for reserved in [Some(b"__name__".as_slice()), metric_type.bound_label()]
            .into_iter()
            .flatten()
        {
            if self.bits & name_bit(reserved) != 0
                && self.pairs.iter().any(|(name, _)| *name == reserved)
            {
                return Err(Problem::with_text(Expected::NoReservedLabel, reserved));
            }
        }
        Ok(())
    }

    /// Whether a label is named like one of the target.
    pub(super) fn clash_with(&self, target: &TargetLabels) -> bool {
        let is_clash = |(name, _): &(&[u8], _)| target.identity.contains(name);
        self.bits & target.bits != 0 && self.pairs.iter().any(is_clash)
    }

    /// Writes the labels with those renamed that clash with the target's, as label fields of a Metric.
    pub(super) fn push_renamed(&self, target: &TargetLabels, out: &mut Vec<u8>) {
        let mut labels = self.with_value();
        rename_clashing(&mut labels, &target.identity);
        for (name, value) in &labels {
            push_label(out, name, value);
        }
    }
}

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
