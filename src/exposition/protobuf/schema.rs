//! The messages within a Metric, except histograms: which fields they have, and whether bytes are such a message.
//!
//! Source: `io/prometheus/client/metrics.proto` of prometheus/client_model.

use super::wire::{Fields, Value, WireError, low_32};
use std::ops::Range;

/// Field numbers of a MetricFamily.
pub(super) const FAMILY_NAME: u8 = 1;
pub(super) const FAMILY_HELP: u8 = 2;
pub(super) const FAMILY_TYPE: u8 = 3;
pub(super) const FAMILY_METRIC: u8 = 4;
pub(super) const FAMILY_UNIT: u8 = 5;

/// The message of a Metric, and the range of its field in the message of the family.
pub(super) type MetricField<'b> = (&'b [u8], Range<usize>);

/// The next Metric of a family. Other fields are skipped.
///
/// # Errors
/// [`WireError`] if the bytes are not a field.
#[inline]
pub(super) fn next_metric<'b>(
    family: &mut Fields<'b>,
) -> Result<Option<MetricField<'b>>, WireError> {
    loop {
        let start = family.position();
        if let Some(metric) = family.next_plain(FAMILY_METRIC) {
            return Ok(Some((metric, start..family.position())));
        }
        let Some(field) = family.next()? else {
            return Ok(None);
        };
        if field.number == u32::from(FAMILY_METRIC) {
            return Ok(Some((field.bytes()?, field.range)));
        }
    }
}

/// The content of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// An unknown field, with any content.
    Unknown,
    Varint,
    Double,
    Bytes,
    Message(&'static [Kind]),
}

use Kind::{Bytes, Double, Message, Unknown, Varint};

// Each list has the kind of field number N at index N; field numbers start at 1.
pub(super) const TIMESTAMP: &[Kind] = &[Unknown, Varint, Varint];
const LABEL_PAIR: &[Kind] = &[Unknown, Bytes, Bytes];
pub(super) const EXEMPLAR: &[Kind] = &[Unknown, Message(LABEL_PAIR), Double, Message(TIMESTAMP)];
const QUANTILE: &[Kind] = &[Unknown, Double, Double];

/// A gauge, and a metric without a type.
pub(super) const GAUGE: &[Kind] = &[Unknown, Double];
pub(super) const COUNTER: &[Kind] = &[Unknown, Double, Message(EXEMPLAR), Message(TIMESTAMP)];
pub(super) const SUMMARY: &[Kind] = &[
    Unknown,
    Varint,
    Double,
    Message(QUANTILE),
    Message(TIMESTAMP),
];

/// Checks that the bytes are a message with these fields. Like the decoder of Prometheus, this checks wire types and
/// lengths at every depth, but not whether strings are UTF-8.
///
/// # Errors
/// The first [`WireError`].
pub(super) fn check(kinds: &[Kind], message: &[u8]) -> Result<(), WireError> {
    check_each(kinds, message, |_| {})
}

/// The same. `each` is called with the number of each field of the message itself.
///
/// # Errors
/// The first [`WireError`].
#[inline]
pub(super) fn check_each(
    kinds: &[Kind],
    message: &[u8],
    mut each: impl FnMut(u32),
) -> Result<(), WireError> {
    // Most messages are one double in field 1.
    if let [_, Double, ..] = kinds
        && message.len() == 9
        && message[0] == 0x09
    {
        each(1);
        return Ok(());
    }
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        let kind = kinds.get(field.number as usize).unwrap_or(&Unknown);
        match (kind, field.value) {
            (Message(inner), Value::Bytes(bytes)) => check(inner, bytes)?,
            (Unknown, _)
            | (Varint, Value::Varint(_))
            | (Double, Value::Double(_))
            | (Bytes, Value::Bytes(_)) => {}
            _ => return Err(WireError::WireType),
        }
        each(field.number);
    }
    Ok(())
}

/// Field number of the labels in a Metric.
pub(super) const LABEL: u8 = 1;

/// The type of a family, with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Summary = 2,
    Untyped = 3,
    Histogram = 4,
    GaugeHistogram = 5,
}

impl MetricType {
    /// `None` if the number is not a type. As in Prometheus, only the low 32 bits count.
    pub(super) fn from_number(number: u64) -> Option<MetricType> {
        Some(match low_32(number) {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            3 => MetricType::Untyped,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            _ => return None,
        })
    }

    /// The number that means this type.
    pub(super) fn number(self) -> u64 {
        self as u64
    }

    /// The label that Prometheus adds to some series of this type.
    pub(super) fn bound_label(self) -> Option<&'static [u8]> {
        match self {
            MetricType::Histogram | MetricType::GaugeHistogram => Some(b"le"),
            MetricType::Summary => Some(b"quantile"),
            _ => None,
        }
    }

    pub(super) fn is_histogram(self) -> bool {
        matches!(self, MetricType::Histogram | MetricType::GaugeHistogram)
    }

    /// Whether a Metric of this type is one series, named like its family.
    pub(super) fn is_one_series(self) -> bool {
        matches!(
            self,
            MetricType::Counter | MetricType::Gauge | MetricType::Untyped
        )
    }
}
