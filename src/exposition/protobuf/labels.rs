//! The labels of a metric, which are LabelPair messages.
//!
//! Most metrics of a family have the same label names. What depends only on the names is computed once, and again when
//! a metric has other names.

use super::error::Problem;
use super::schema::MetricType;
use super::wire::{Fields, short_length};
use crate::exposition::IdentityLabels;
use crate::exposition::escaping::Escaping;
use crate::exposition::labels::{is_label_name, name_bit, rename_clashing, repeated_name};
use crate::exposition::line;
use foldhash::fast::{FoldHasher, RandomState};
use std::hash::{BuildHasher, Hasher};

/// The labels of the metric that is being read.
#[derive(Default)]
pub(super) struct MetricLabels<'b> {
    /// The labels of this metric. While it is being read, labels of the last metric may follow them.
    labels: Vec<Label<'b>>,
    /// How many labels of this metric have been read.
    read: usize,
    /// Whether a name differs from the one at the same place in the last metric.
    has_new_names: bool,
    /// The bits of the names, see [`name_bit`].
    bits: u64,
    /// Whether a name requires that the labels are rewritten; `None` if this is not known yet.
    needs_renaming: Option<bool>,
    state: RandomState,
}

struct Label<'b> {
    name: &'b [u8],
    value: &'b [u8],
    /// A hasher that has read the name.
    hasher: FoldHasher<'static>,
}

impl<'b> MetricLabels<'b> {
    /// Reads the labels at the start of a Metric that are encoded as nearly every client does it, and returns the rest
    /// of the message. Call [`MetricLabels::push`] for each other label, and [`MetricLabels::end`] after the last one.
    ///
    /// # Errors
    /// The errors of [`MetricLabels::push`].
    #[inline]
    pub(super) fn begin(&mut self, message: &'b [u8]) -> Result<&'b [u8], Problem> {
        self.read = 0;
        self.has_new_names = false;
        let mut rest = message;
        while let Some((name, value, behind)) = plain_label(rest) {
            self.add(name, value);
            rest = behind;
        }
        if !message[..message.len() - rest.len()].is_ascii() {
            for label in &self.labels[..self.read] {
                check_text(label.name, label.value)?;
            }
        }
        Ok(rest)
    }

    /// Reads one LabelPair.
    ///
    /// # Errors
    /// The name is missing, empty or not UTF-8, the value is not UTF-8, or the bytes are not a LabelPair.
    pub(super) fn push(&mut self, message: &'b [u8]) -> Result<(), Problem> {
        let (mut name, mut value) = (&b""[..], &b""[..]);
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        check_text(name, value)?;
        self.add(name, value);
        Ok(())
    }

    #[inline]
    fn add(&mut self, name: &'b [u8], value: &'b [u8]) {
        match self.labels.get_mut(self.read) {
            Some(label) if label.name == name => label.value = value,
            _ => self.add_new(name, value),
        }
        self.read += 1;
    }

    fn add_new(&mut self, name: &'b [u8], value: &'b [u8]) {
        self.has_new_names = true;
        self.labels.truncate(self.read);
        let mut hasher = self.state.build_hasher();
        hasher.write(name);
        let label = Label {
            name,
            value,
            hasher,
        };
        self.labels.push(label);
    }

    /// Ends the labels of the metric.
    #[inline]
    pub(super) fn end(&mut self) {
        if self.read < self.labels.len() {
            self.labels.truncate(self.read);
            self.has_new_names = true;
        }
        if self.has_new_names {
            self.needs_renaming = None;
            let names = self.labels.iter();
            self.bits = names.fold(0, |bits, label| bits | name_bit(label.name));
        }
    }

    /// Whether Prometheus stores the series without labels, because all their values are empty.
    pub(super) fn are_all_empty(&self) -> bool {
        self.labels.iter().all(|label| label.value.is_empty())
    }

    /// Whether Prometheus stores the same labels for both.
    pub(super) fn are_same(&self, other: &MetricLabels<'_>) -> bool {
        let (mut own, mut others) = (self.with_value(), other.with_value());
        if own == others {
            return true;
        }
        own.sort_unstable();
        others.sort_unstable();
        own == others
    }

    fn with_value(&self) -> Vec<line::Label<'b>> {
        let labels = self.labels.iter().filter(|label| !label.value.is_empty());
        labels
            .map(|label| (label.name.into(), label.value.into()))
            .collect()
    }

    /// A hash that does not depend on the order of the labels. Labels with empty values are ignored.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        let with_value = self.labels.iter().filter(|label| !label.value.is_empty());
        with_value.fold(0, |sum, label| {
            let mut hasher = label.hasher.clone();
            hasher.write(label.value);
            sum.wrapping_add(hasher.finish())
        })
    }

    /// Checks that names are unique, and that none of them is one that Prometheus adds to series of this type. The last
    /// metric must have passed this check.
    ///
    /// # Errors
    /// The first name that is not allowed.
    #[inline]
    pub(super) fn check(&self, metric_type: MetricType) -> Result<(), Problem> {
        if self.has_new_names {
            let names = self.labels.iter().map(|label| label.name);
            if let Some(n) = repeated_name(names) {
                let name = self.labels[n].name;
                return Err(Problem::with_text(UNIQUE_NAMES, name));
            }
        }
        if self.bits & RESERVED_BITS == 0 {
            return Ok(());
        }
        let reserved = [Some(METRIC_NAME), metric_type.bound_label()];
        for reserved in reserved.into_iter().flatten() {
            if self.labels.iter().any(|label| label.name == reserved) {
                return Err(Problem::with_text(NO_RESERVED_NAME, reserved));
            }
        }
        Ok(())
    }

    /// Whether a label has the name of one of the target, or must be escaped. Target and escaping must be the same for
    /// all metrics.
    #[inline]
    pub(super) fn need_renaming(&mut self, target: &IdentityLabels, escaping: Escaping) -> bool {
        let names = self.labels.iter().map(|label| label.name);
        *self.needs_renaming.get_or_insert_with(|| {
            let must_be_escaped =
                |name: &[u8]| escaping != Escaping::AllowUtf8 && !is_label_name(name);
            names
                .into_iter()
                .any(|name| target.contains(name) || must_be_escaped(name))
        })
    }

    /// The labels that have a value, with escaped names. Labels that clash with those of the target are renamed.
    ///
    /// # Errors
    /// Two names become the same by escaping, or one becomes a name that Prometheus adds.
    pub(super) fn renamed(
        &self,
        target: &IdentityLabels,
        escaping: Escaping,
    ) -> Result<Vec<line::Label<'b>>, Problem> {
        let mut labels = self.with_value();
        let escaped = escaping.label_names(&mut labels);
        escaped.map_err(|_| Problem::new(UNIQUE_NAMES, "two that escaping makes one"))?;
        if labels.iter().any(|(name, _)| **name == *METRIC_NAME) {
            return Err(Problem::with_text(NO_RESERVED_NAME, METRIC_NAME));
        }
        rename_clashing(&mut labels, target);
        Ok(labels)
    }
}

/// The bits of the names that Prometheus adds, see [`name_bit`].
const RESERVED_BITS: u64 = name_bit(METRIC_NAME) | name_bit(b"le") | name_bit(b"quantile");
/// What is expected of the names of the labels.
const UNIQUE_NAMES: &str = "every label name once";
const NO_RESERVED_NAME: &str = "no label that Prometheus adds itself";
/// The label that the name of a metric becomes.
const METRIC_NAME: &[u8] = b"__name__";

/// The name and value of the label field at the start, and the bytes after it. `None` if the name is empty, or if the
/// label is not encoded as nearly every client does it: name, value, lengths of up to two bytes, and nothing else.
#[inline]
fn plain_label(message: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (pair, behind) = short_length(message.strip_prefix(b"\x0a")?)?;
    let (name, rest) = short_length(pair.strip_prefix(b"\x0a")?)?;
    let (value, []) = short_length(rest.strip_prefix(b"\x12")?)? else {
        return None;
    };
    (!name.is_empty()).then_some((name, value, behind))
}

fn check_text(name: &[u8], value: &[u8]) -> Result<(), Problem> {
    if name.is_empty() || std::str::from_utf8(name).is_err() {
        return Err(Problem::with_text("a label name in UTF-8", name));
    }
    match std::str::from_utf8(value) {
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::with_text("a label value in UTF-8", value)),
    }
}
