//! One Metric: its fields, whether it is valid, and how it is rewritten if it cannot be copied.

use super::error::Problem;
use super::histogram::Histogram;
use super::labels::MetricLabels;
use super::schema::{self, FAMILY_METRIC, LABEL, MetricType};
use super::wire::{Fields, push_double, push_label, push_message};
use crate::exposition::IdentityLabels;
use crate::exposition::escaping::Escaping;

/// The field numbers of a Metric other than [`LABEL`].
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

/// The current Metric. It is used again for each Metric.
#[derive(Default)]
pub(super) struct Metric<'b> {
    pub(super) message: &'b [u8],
    /// The message after the labels at its start.
    rest: &'b [u8],
    pub(super) labels: MetricLabels<'b>,
    pub(super) histogram: Histogram,
    /// 0 if it has none.
    pub(super) timestamp: u64,
    quantiles: u64,
    has_untyped_value: bool,
    /// Whether it has labels after other fields.
    has_late_labels: bool,
}

/// The field number of the gauge, counter or untyped message, if these bytes are such a message with only a value.
#[inline]
pub(super) fn lone_double(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [tag @ (0x12 | 0x1a | 0x2a), 9, 0x09, _, _, _, _, _, _, _, _] => Some(tag >> 3),
        _ => None,
    }
}

/// The metrics of one family, which are read one after the other.
pub(super) struct FamilyMetrics {
    metric_type: MetricType,
    first_is_native: Option<bool>,
}

impl FamilyMetrics {
    pub(super) fn new(metric_type: MetricType) -> FamilyMetrics {
        FamilyMetrics {
            metric_type,
            first_is_native: None,
        }
    }

    /// Reads the next metric, counts its samples, and checks it.
    ///
    /// # Errors
    /// The first fault. The samples that Prometheus counts before it finds this fault are added.
    #[inline]
    pub(super) fn read<'b>(
        &mut self,
        metric: &mut Metric<'b>,
        message: &'b [u8],
        samples: &mut u64,
    ) -> Result<(), Problem> {
        metric.read(message, self.metric_type)?;
        *samples += match self.first_is_native {
            // Prometheus reads all histograms of a family like the first.
            Some(true) => 1,
            _ => metric.samples(self.metric_type),
        };
        metric.check(self.metric_type, self.first_is_native)?;
        if self.metric_type.is_histogram() {
            self.first_is_native
                .get_or_insert_with(|| metric.histogram.is_native());
        }
        Ok(())
    }
}

impl<'b> Metric<'b> {
    /// Replaces the last Metric.
    ///
    /// # Errors
    /// A fault that Prometheus finds when it parses the body. [`Metric::check`] finds the others.
    pub(super) fn read(
        &mut self,
        message: &'b [u8],
        metric_type: MetricType,
    ) -> Result<(), Problem> {
        self.message = message;
        self.timestamp = 0;
        self.quantiles = 0;
        self.has_untyped_value = false;
        self.has_late_labels = false;
        if metric_type.is_histogram() {
            self.histogram.clear();
        }
        self.rest = self.labels.begin(message)?;
        // Most metrics contain only one double.
        if let Some(number) = lone_double(self.rest) {
            self.has_untyped_value = number == UNTYPED;
            self.labels.end();
            return Ok(());
        }
        let mut fields = Fields::of(self.rest);
        while let Some(field) = fields.next()? {
            match u8::try_from(field.number).unwrap_or(u8::MAX) {
                LABEL => {
                    self.labels.push(field.bytes()?)?;
                    self.has_late_labels = true;
                }
                GAUGE => schema::check(schema::GAUGE, field.bytes()?)?,
                COUNTER => schema::check(schema::COUNTER, field.bytes()?)?,
                SUMMARY => schema::check_each(schema::SUMMARY, field.bytes()?, |number| {
                    self.quantiles += u64::from(number == QUANTILE);
                })?,
                UNTYPED => schema::check_each(schema::GAUGE, field.bytes()?, |number| {
                    self.has_untyped_value |= number == u32::from(VALUE);
                })?,
                TIMESTAMP => self.timestamp = field.varint()?,
                HISTOGRAM if metric_type.is_histogram() => self.histogram.read(field.bytes()?)?,
                HISTOGRAM => Histogram::default().read(field.bytes()?)?,
                _ => {}
            }
        }
        self.labels.end();
        Ok(())
    }

    /// Finds the faults that Prometheus finds when it stores the samples, after counting them. They depend on how it
    /// read the first histogram of the family.
    ///
    /// # Errors
    /// The first fault.
    fn check(&self, metric_type: MetricType, first_is_native: Option<bool>) -> Result<(), Problem> {
        self.labels.check(metric_type)?;
        match metric_type.is_histogram() {
            true => self.check_histogram(first_is_native),
            false => Ok(()),
        }
    }

    /// The number of samples that Prometheus counts for it.
    fn samples(&self, metric_type: MetricType) -> u64 {
        match metric_type {
            MetricType::Counter | MetricType::Gauge | MetricType::Untyped => 1,
            MetricType::Summary => 2 + self.quantiles,
            MetricType::Histogram | MetricType::GaugeHistogram => self.histogram.samples(),
        }
    }

    /// Whether it must be rewritten: because of its labels, or because it has neither a type nor a value. Prometheus
    /// would give such a metric the value of the metric before it, which may be that of another pod.
    pub(super) fn needs_rewriting(
        &mut self,
        metric_type: MetricType,
        target: &IdentityLabels,
        escaping: Escaping,
    ) -> bool {
        self.lacks_value(metric_type) || self.labels.need_renaming(target, escaping)
    }

    /// The length of the labels at the start of the message. `None` if it has labels elsewhere, or a timestamp.
    pub(super) fn labels_len(&self) -> Option<usize> {
        let is_usual = !self.has_late_labels && self.timestamp == 0;
        is_usual.then(|| self.message.len() - self.rest.len())
    }

    /// Whether it is a metric without a type that has no value.
    pub(super) fn lacks_value(&self, metric_type: MetricType) -> bool {
        metric_type == MetricType::Untyped && !self.has_untyped_value
    }

    /// Writes it as a field of its family, with renamed labels and a value, but without the labels of the target.
    ///
    /// # Errors
    /// The errors of [`MetricLabels::renamed`].
    pub(super) fn rewrite(
        &self,
        metric_type: MetricType,
        target: &IdentityLabels,
        escaping: Escaping,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let labels = self.labels.renamed(target, escaping)?;
        push_message(out, FAMILY_METRIC, |out| {
            let mut fields = Fields::of(self.rest);
            // These fields were read before, so there is no error.
            while let Ok(Some(field)) = fields.next() {
                if field.number != u32::from(LABEL) {
                    out.extend_from_slice(&self.rest[field.range]);
                }
            }
            if self.lacks_value(metric_type) {
                push_message(out, UNTYPED, |untyped| push_double(untyped, VALUE, 0.0));
            }
            for (name, value) in &labels {
                push_label(out, name, value);
            }
        });
        Ok(())
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
    /// It differs from the first one: Prometheus reads all histograms of a family like the first, and refuses
    /// the scrape. An empty classic one after a native one is no error, because Prometheus stores it as an empty native
    /// one.
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
                Err(Problem::new(
                    "only native or only classic histograms in one family",
                    found,
                ))
            }
            _ => histogram.validate(),
        }
    }
}
