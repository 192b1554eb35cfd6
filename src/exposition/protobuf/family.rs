//! The fields of a family without its metrics, and the length that the family will have.

use super::error::Problem;
use super::schema::{
    FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, FAMILY_UNIT, MetricType,
};
use super::wire::{Fields, field_len};
use crate::exposition::IdentityLabels;

/// The fields of a family without its metrics.
#[derive(Debug, Default)]
pub(super) struct FamilyFields<'b> {
    pub(super) name: &'b [u8],
    help: &'b [u8],
    type_number: u64,
    unit: &'b [u8],
    pub(super) has_metrics: bool,
    /// The length of the message once each Metric has the labels of the target.
    pub(super) len: usize,
}

impl<'b> FamilyFields<'b> {
    /// # Errors
    /// The bytes are not a valid family. Its metrics are not validated here.
    pub(super) fn read(
        message: &'b [u8],
        target: &IdentityLabels,
    ) -> Result<FamilyFields<'b>, Problem> {
        let labels_len = target.fields().len();
        let mut family = FamilyFields {
            len: message.len(),
            ..FamilyFields::default()
        };
        let mut fields = Fields::of(message);
        loop {
            let start = fields.position();
            if let Some(metric) = fields.next_plain(FAMILY_METRIC) {
                family.add_metric(metric.len() + labels_len, fields.position() - start);
                continue;
            }
            let Some(field) = fields.next()? else {
                return Ok(family);
            };
            match u8::try_from(field.number).unwrap_or(u8::MAX) {
                FAMILY_NAME => family.name = field.bytes()?,
                FAMILY_HELP => family.help = field.bytes()?,
                FAMILY_TYPE => family.type_number = field.varint()?,
                FAMILY_METRIC => {
                    family.add_metric(field.bytes()?.len() + labels_len, field.range.len());
                }
                FAMILY_UNIT => family.unit = field.bytes()?,
                _ => {}
            }
        }
    }

    /// Counts a Metric that will have `len` bytes, and whose field in the body has `replaced` bytes.
    fn add_metric(&mut self, len: usize, replaced: usize) {
        self.has_metrics = true;
        self.len += field_len(len) - replaced;
    }

    /// The type of the family, provided that it has what Prometheus requires of a family with metrics.
    ///
    /// # Errors
    /// The first fault.
    pub(super) fn check(&self) -> Result<MetricType, Problem> {
        if self.name.is_empty() || std::str::from_utf8(self.name).is_err() {
            return Err(Problem::with_text("a metric name in UTF-8", self.name));
        }
        if std::str::from_utf8(self.help).is_err() {
            return Err(Problem::with_text("a help text in UTF-8", self.help));
        }
        let metric_type = MetricType::from_number(self.type_number)
            .ok_or_else(|| Problem::new("a type from 0 to 5", self.type_number))?;
        if self.unit.is_empty() || is_unit_of(self.unit, self.name, metric_type) {
            return Ok(metric_type);
        }
        Err(Problem::with_text(
            "a unit that the metric name ends with",
            self.unit,
        ))
    }
}

/// Whether the name of a family ends with this unit. If it does not, Prometheus refuses the body.
pub(super) fn is_unit_of(unit: &[u8], name: &[u8], metric_type: MetricType) -> bool {
    let base = match metric_type {
        MetricType::Counter => name.strip_suffix(b"_total").unwrap_or(name),
        _ => name,
    };
    let before_unit = base.strip_suffix(unit);
    before_unit.is_some_and(|before| before.ends_with(b"_"))
}
