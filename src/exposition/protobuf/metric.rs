//! One Metric: what it is, whether it is valid, and how it is written where it cannot stay as it is.

use super::histogram::Histogram;
use super::labels::MetricLabels;
use super::schema::{self, LABEL, MetricType};
use super::wire::{Fields, push_double, push_message};
use super::{Expected, Problem};
use crate::exposition::IdentityLabels;
use crate::exposition::escaping::Escaping;
use std::ops::Range;

/// Field numbers of a Metric, beside [`LABEL`].
pub(super) const GAUGE: u8 = 2;
pub(super) const COUNTER: u8 = 3;
pub(super) const SUMMARY: u8 = 4;
pub(super) const UNTYPED: u8 = 5;
pub(super) const TIMESTAMP: u8 = 6;
pub(super) const HISTOGRAM: u8 = 7;

/// Field number of the quantiles of a summary.
const QUANTILE: u32 = 3;
/// Field number of the value of a gauge, counter or untyped metric.
pub(super) const VALUE: u8 = 1;

/// What there is to know of the Metric that is being read. Serves one after the other.
#[derive(Debug, Default)]
pub(super) struct Metric<'b> {
    pub(super) message: &'b [u8],
    pub(super) labels: MetricLabels<'b>,
    pub(super) histogram: Histogram,
    /// 0: it has none.
    pub(super) timestamp: u64,
    quantiles: u64,
    has_untyped_value: bool,
}

impl<'b> Metric<'b> {
    /// Takes the place of what was read before.
    ///
    /// # Errors
    /// What Prometheus refuses when it parses the body. The rest is found by [`Metric::check`].
    pub(super) fn read(
        &mut self,
        message: &'b [u8],
        metric_type: MetricType,
    ) -> Result<(), Problem> {
        self.message = message;
        self.labels.clear();
        self.timestamp = 0;
        self.quantiles = 0;
        self.has_untyped_value = false;
        if metric_type.is_histogram() {
            self.histogram.clear();
        }
        let start = self.labels.push_leading(self.message);
        let mut fields = Fields::of(&self.message[start..]);
        while let Some(field) = fields.next()? {
            match u8::try_from(field.number).unwrap_or(u8::MAX) {
                LABEL => self.labels.push(field.bytes()?)?,
                GAUGE => schema::check(schema::GAUGE, field.bytes()?)?,
                COUNTER => schema::check(schema::COUNTER, field.bytes()?)?,
                SUMMARY => schema::check_each(schema::SUMMARY, field.bytes()?, |number| {
                    self.quantiles += u64::from(number == QUANTILE);
                })?,
                UNTYPED => schema::check_each(schema::GAUGE, field.bytes()?, |number| {
                    self.has_untyped_value |= number == u32::from(VALUE);
                })?,
                TIMESTAMP => self.timestamp = field.varint()?,
                HISTOGRAM => {
                    schema::check(schema::HISTOGRAM, field.bytes()?)?;
                    if metric_type.is_histogram() {
                        self.histogram.read(field.bytes()?)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks what Prometheus refuses only when it stores the samples, which it has counted by then, given how it read
    /// the first histogram of the family.
    ///
    /// # Errors
    /// The first fault.
    pub(super) fn check(
        &self,
        metric_type: MetricType,
        first_is_native: Option<bool>,
    ) -> Result<(), Problem> {
        self.labels.check(metric_type)?;
        match metric_type.is_histogram() {
            true => self.check_histogram(first_is_native),
            false => Ok(()),
        }
    }

    /// Number of samples that it stands for in Prometheus.
    pub(super) fn samples(&self, metric_type: MetricType) -> u64 {
        match metric_type {
            MetricType::Counter | MetricType::Gauge | MetricType::Untyped => 1,
            MetricType::Summary => 2 + self.quantiles,
            MetricType::Histogram | MetricType::GaugeHistogram => self.histogram.samples(),
        }
    }

    /// Whether it cannot be copied as it stands.
    ///
    /// A metric without a type and without a value is written with a 0: Prometheus would give it the value of the one
    /// before it, which may be that of another pod.
    pub(super) fn needs_rewriting(
        &self,
        metric_type: MetricType,
        target: &IdentityLabels,
        escaping: Escaping,
    ) -> bool {
        self.lacks_value(metric_type)
            || self.labels.clash_with(target)
            || self.labels.need(escaping)
    }

    fn lacks_value(&self, metric_type: MetricType) -> bool {
        metric_type == MetricType::Untyped && !self.has_untyped_value
    }

    /// Writes it with labels renamed and a value, but without the labels of the target; gives where it stands.
    ///
    /// # Errors
    /// [`Expected::UniqueLabelName`] if two names become one by escaping.
    pub(super) fn rewrite(
        &self,
        metric_type: MetricType,
        target: &IdentityLabels,
        escaping: Escaping,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, Problem> {
        let start = out.len();
        let mut fields = Fields::of(self.message);
        while let Some(field) = fields.next()? {
            if field.number != u32::from(LABEL) {
                out.extend_from_slice(&self.message[field.range]);
            }
        }
        if self.lacks_value(metric_type) {
            push_message(out, UNTYPED, |untyped| push_double(untyped, VALUE, 0.0));
        }
        self.labels.push_renamed(target, escaping, out)?;
        Ok(start..out.len())
    }

    /// Whether a valid Metric of a family with the same name has the same labels and timestamp.
    pub(super) fn is_same_series(&self, message: &[u8]) -> bool {
        let mut other = Metric::default();
        let is_read = other.read(message, MetricType::Untyped).is_ok();
        is_read && self.timestamp == other.timestamp && self.labels.are_same(&other.labels)
    }

    /// Whether Prometheus reads a histogram of this family as native, given how it read the first one.
    ///
    /// # Errors
    /// [`Expected::OneKindOfHistogram`]: Prometheus reads all of a family as it began, and refuses the scrape.
    /// An empty classic one behind a native one is harmless: it is stored as an empty native one.
    fn check_histogram(&self, first_is_native: Option<bool>) -> Result<(), Problem> {
        let histogram = &self.histogram;
        let is_native = histogram.is_native();
        match first_is_native {
            Some(first) if first != is_native && (is_native || !histogram.is_empty()) => {
                let found = if is_native {
                    "a native one"
                } else {
                    "a classic one"
                };
                Err(Problem::new(Expected::OneKindOfHistogram, found))
            }
            _ => histogram.validate(),
        }
    }
}
