//! Reads one body, family by family, and decides which metrics are copied, rewritten or dropped.

use super::error::{Problem, ProtobufError, excerpt};
use super::family::{FamilyFields, is_unit_of};
use super::metric::{FamilyMetrics, Metric};
use super::schema::{FAMILY_METRIC, FAMILY_NAME, FAMILY_UNIT, MetricType, next_metric};
use super::seen::SeenSeries;
use super::spliced::{Families, FamilySource};
use super::wire::{Fields, push_field};
use crate::exposition::asked::AskedNames;
use crate::exposition::escaping::Escaping;
use crate::exposition::report::REPORTED;
use crate::exposition::{Asked, Format, IdentityLabels, metric_type};
use std::borrow::Cow;

/// A body that is being read.
pub(super) struct BodyReader<'b> {
    body: &'b [u8],
    target: &'b IdentityLabels,
    escaping: Escaping,
    /// `None`: all families are asked for.
    asked: Option<AskedNames>,
    families: Families,
    metric: Metric<'b>,
    seen: SeenSeries<'b>,
    /// Counted from 1.
    family_number: u64,
    /// In the family, counted from 1.
    metric_number: u64,
    name: &'b [u8],
}

/// Whether a metric is copied, rewritten or dropped.
enum Fate {
    Kept,
    Rewritten,
    Dropped,
}

impl<'b> BodyReader<'b> {
    /// # Errors
    /// The first fault.
    pub(super) fn read(
        body: &'b [u8],
        target: &'b IdentityLabels,
        asked: &Asked,
    ) -> Result<Families, ProtobufError> {
        let escaping = asked.accept.escaping(Format::Protobuf);
        let mut reader = BodyReader {
            body,
            target,
            escaping,
            asked: asked.families.written(Format::Protobuf, escaping),
            families: Families::default(),
            metric: Metric::default(),
            seen: SeenSeries::of_body(body),
            family_number: 0,
            metric_number: 0,
            name: b"",
        };
        match reader.read_families() {
            Ok(()) => Ok(reader.families),
            Err(problem) => Err(ProtobufError {
                family: reader.family_number,
                name: excerpt(reader.name),
                metric: reader.metric_number,
                expected: problem.expected,
                found: problem.found,
                samples_before: reader.families.samples,
            }),
        }
    }

    fn read_families(&mut self) -> Result<(), Problem> {
        let mut families = Fields::of(self.body);
        while families.position() < self.body.len() {
            self.family_number += 1;
            self.metric_number = 0;
            self.name = b"";
            let message = families.next_family()?;
            self.read_family(families.position() - message.len(), message)?;
        }
        Ok(())
    }

    fn read_family(&mut self, start: usize, message: &'b [u8]) -> Result<(), Problem> {
        let family = FamilyFields::read(message, self.target)?;
        self.name = family.name;
        if !family.has_metrics {
            return Ok(());
        }
        let metric_type = family.check()?;
        let name = self.escaping.metric_name(family.name);
        let is_asked = self.is_asked(&name, metric_type);
        // The start of the family in `rewritten`, once it cannot be copied.
        let mut rewritten = match &name {
            Cow::Owned(_) if is_asked => {
                Some(self.begin_rewriting(&name, message, metric_type, 0)?)
            }
            _ => None,
        };
        self.seen.begin_family(family.name);
        let mut metrics = FamilyMetrics::new(metric_type);
        let mut fields = Fields::of(message);
        while let Some((metric, field)) = next_metric(&mut fields)? {
            self.metric_number += 1;
            if !is_asked {
                metrics.read(&mut self.metric, metric, &mut 0)?;
                continue;
            }
            metrics.read(&mut self.metric, metric, &mut self.families.samples)?;
            let fate = self.fate(metric_type);
            if rewritten.is_none() && !matches!(fate, Fate::Kept) {
                let before = field.start;
                rewritten = Some(self.begin_rewriting(&name, message, metric_type, before)?);
            }
            if rewritten.is_some() {
                self.rewrite_metric(&fate, metric_type)?;
            }
        }
        self.metric_number = 0;
        match rewritten {
            _ if !is_asked => {}
            None => {
                let source = FamilySource::Body(start..start + message.len());
                self.families.push(source, family.len);
            }
            Some(start) => self.end_rewriting(start)?,
        }
        Ok(())
    }

    /// Whether a family with this name, as the scraper sees it, is asked for.
    fn is_asked(&self, name: &[u8], metric_type: MetricType) -> bool {
        let declared = match metric_type {
            MetricType::Counter => (metric_type::MetricType::Counter, &b"_total"[..]),
            _ => (metric_type::MetricType::Untyped, &b""[..]),
        };
        let declared = |family: &[u8]| (family == name).then_some(declared);
        let asked = self.asked.as_ref();
        asked.is_none_or(|asked| asked.include(name, declared))
    }

    /// Decides what to do with the current metric.
    fn fate(&mut self, metric_type: MetricType) -> Fate {
        // If a metric has several series, Prometheus may keep some of them.
        let is_duplicate =
            metric_type.is_one_series() && self.seen.contains_or_insert(&self.metric);
        if is_duplicate || self.is_reported(metric_type) {
            self.families.duplicates_dropped += 1;
            return Fate::Dropped;
        }
        let (target, escaping) = (self.target, self.escaping);
        match self.metric.needs_rewriting(metric_type, target, escaping) {
            true => Fate::Rewritten,
            false => Fate::Kept,
        }
    }

    /// Starts to rewrite a family with this name: copies its own fields, and the metrics in the first `before`
    /// bytes of the message. A unit that the new name does not end with is left out. Returns the start of the rewritten
    /// family.
    fn begin_rewriting(
        &mut self,
        name: &[u8],
        message: &[u8],
        metric_type: MetricType,
        before: usize,
    ) -> Result<usize, Problem> {
        let rewritten = &mut self.families.rewritten;
        let start = rewritten.len();
        push_field(rewritten, FAMILY_NAME, name);
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            let is_kept = match u8::try_from(field.number).unwrap_or(u8::MAX) {
                FAMILY_NAME => false,
                FAMILY_METRIC => field.range.end <= before,
                FAMILY_UNIT => {
                    let unit = field.bytes()?;
                    unit.is_empty() || is_unit_of(unit, name, metric_type)
                }
                _ => true,
            };
            if is_kept {
                rewritten.extend_from_slice(&message[field.range]);
            }
        }
        Ok(start)
    }

    /// Appends the current metric to a family that is being rewritten.
    fn rewrite_metric(&mut self, fate: &Fate, metric_type: MetricType) -> Result<(), Problem> {
        let out = &mut self.families.rewritten;
        match fate {
            Fate::Kept => push_field(out, FAMILY_METRIC, self.metric.message),
            Fate::Rewritten => {
                let (target, escaping) = (self.target, self.escaping);
                self.metric.rewrite(metric_type, target, escaping, out)?;
            }
            Fate::Dropped => {}
        }
        Ok(())
    }

    /// Ends a rewritten family. A family without metrics is left out, because Prometheus skips it.
    fn end_rewriting(&mut self, start: usize) -> Result<(), Problem> {
        let end = self.families.rewritten.len();
        let family = FamilyFields::read(&self.families.rewritten[start..], self.target)?;
        match (family.has_metrics, family.len) {
            (true, len) => self.families.push(FamilySource::Rewritten(start..end), len),
            (false, _) => self.families.rewritten.truncate(start),
        }
        Ok(())
    }

    /// Whether the current metric has the series of one that the aggregator adds for every target.
    fn is_reported(&self, metric_type: MetricType) -> bool {
        let is_one_series = metric_type.is_one_series()
            || metric_type.is_histogram() && self.metric.histogram.is_native();
        is_one_series && self.metric.labels.are_all_empty() && REPORTED.contains(&self.name)
    }
}
