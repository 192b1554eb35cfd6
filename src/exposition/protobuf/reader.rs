//! Reads one body, family by family, and notes what stands where.

use super::contents::{
    Content, Contents, FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, FAMILY_UNIT, Family,
    MetricEntry, metric_field_len,
};
use super::error::excerpt;
use super::metric::Metric;
use super::schema::MetricType;
use super::seen::Seen;
use super::wire::{Fields, push_field};
use super::{Expected, Problem, ProtobufError};
use crate::exposition::asked::AskedNames;
use crate::exposition::escaping::Escaping;
use crate::exposition::report::REPORTED;
use crate::exposition::{Asked, Format, IdentityLabels, metric_type};
use std::borrow::Cow;
use std::ops::Range;

/// Prometheus reads at most this many bytes of the length of a family.
const FAMILY_LENGTH_BYTES_MAX: usize = 5;

/// A body that is being read.
pub(super) struct Reader<'b> {
    body: &'b [u8],
    target: &'b IdentityLabels,
    escaping: Escaping,
    /// `None`: all families are asked for.
    asked: Option<AskedNames>,
    contents: Contents,
    metric: Metric<'b>,
    seen: Seen<'b>,
    /// Room for the metrics of a family.
    metrics: Vec<MetricField<'b>>,
    /// Counted from 1.
    family_number: u64,
    /// In the family, counted from 1.
    metric_number: u64,
    name: &'b [u8],
}

/// What a family says of itself, and where its metrics stand.
#[derive(Debug, Default)]
struct FamilyFields<'b> {
    name: &'b [u8],
    help: &'b [u8],
    type_number: u64,
    unit: &'b [u8],
    metrics: Vec<MetricField<'b>>,
}

/// The whole field, in the message of the family, and the message of the Metric.
type MetricField<'b> = (Range<usize>, &'b [u8]);

impl<'b> Reader<'b> {
    /// # Errors
    /// The first fault.
    pub(super) fn read(
        body: &'b [u8],
        target: &'b IdentityLabels,
        asked: &Asked,
    ) -> Result<Contents, ProtobufError> {
        let escaping = asked.accept.escaping(Format::Protobuf);
        let mut reader = Reader {
            body,
            target,
            escaping,
            asked: asked.families.written(Format::Protobuf, escaping),
            contents: Contents::default(),
            metric: Metric::default(),
            seen: Seen::default(),
            metrics: Vec::new(),
            family_number: 0,
            metric_number: 0,
            name: b"",
        };
        match reader.read_families() {
            Ok(()) => Ok(reader.contents),
            Err(problem) => Err(ProtobufError {
                family: reader.family_number,
                name: excerpt(reader.name),
                metric: reader.metric_number,
                problem,
                samples_before: reader.contents.samples,
            }),
        }
    }

    fn read_families(&mut self) -> Result<(), Problem> {
        let mut families = Fields::of(self.body);
        while families.position() < self.body.len() {
            self.family_number += 1;
            self.metric_number = 0;
            self.name = b"";
            let start = families.position();
            let length = families.varint()?;
            if families.position() - start > FAMILY_LENGTH_BYTES_MAX {
                return Err(Problem::new(Expected::FamilyLength, length));
            }
            let message = families.take(length)?;
            self.read_family(families.position() - message.len(), message)?;
        }
        Ok(())
    }

    fn read_family(&mut self, start: usize, message: &'b [u8]) -> Result<(), Problem> {
        let room = std::mem::take(&mut self.metrics);
        let fields = FamilyFields::read(message, room)?;
        self.name = fields.name;
        if fields.metrics.is_empty() {
            return Ok(());
        }
        let metric_type = fields.check()?;
        let name = self.escaping.metric_name(fields.name);
        let is_asked = self.is_asked(&name, metric_type);
        let head = match &name {
            Cow::Owned(name) if is_asked => Some(self.escaped_head(name, message, metric_type)?),
            _ => None,
        };
        let in_metrics: usize = fields.metrics.iter().map(|(field, _)| field.len()).sum();
        let in_head = head.as_ref().map_or(message.len() - in_metrics, Range::len);
        let mut new_len = in_head;
        let first = self.contents.metrics.len();
        let mut first_is_native = None;
        for (field, metric) in &fields.metrics {
            self.metric_number += 1;
            self.metric.read(metric, metric_type)?;
            if is_asked {
                self.contents.samples += match first_is_native {
                    // Prometheus reads all histograms of a family like the first.
                    Some(true) => 1,
                    _ => self.metric.samples(metric_type),
                };
            }
            self.metric.check(metric_type, first_is_native)?;
            if metric_type.is_histogram() {
                first_is_native.get_or_insert_with(|| self.metric.histogram.is_native());
            }
            if !is_asked {
                continue;
            }
            let content = self.content(metric_type, start + field.end - metric.len(), metric)?;
            let len = content.len();
            new_len += len.map_or(0, |len| metric_field_len(len + self.target.fields().len()));
            self.contents.metrics.push(MetricEntry {
                field: offsets(start + field.start..start + field.end)?,
                content,
            });
        }
        self.metric_number = 0;
        self.metrics = fields.metrics;
        self.keep_family(start..start + message.len(), head, first, new_len)
    }

    /// Whether a family is asked for that has this name for the scraper.
    fn is_asked(&self, name: &[u8], metric_type: MetricType) -> bool {
        let declared = match metric_type {
            MetricType::Counter => (metric_type::MetricType::Counter, &b"_total"[..]),
            _ => (metric_type::MetricType::Untyped, &b""[..]),
        };
        let declared = |family: &[u8]| (family == name).then_some(declared);
        let asked = self.asked.as_ref();
        asked.is_none_or(|asked| asked.include(name, declared))
    }

    /// Writes the fields of a family beside its metrics, with this name. A unit that the name does not end with any
    /// more is left out.
    fn escaped_head(
        &mut self,
        name: &[u8],
        message: &[u8],
        metric_type: MetricType,
    ) -> Result<Range<usize>, Problem> {
        let rewritten = &mut self.contents.rewritten;
        let start = rewritten.len();
        push_field(rewritten, FAMILY_NAME, name);
        let mut others = Fields::of(message);
        while let Some(field) = others.next()? {
            let is_kept = match u8::try_from(field.number).unwrap_or(u8::MAX) {
                FAMILY_NAME | FAMILY_METRIC => false,
                FAMILY_UNIT => is_unit_of(field.bytes()?, name, metric_type),
                _ => true,
            };
            if is_kept {
                rewritten.extend_from_slice(&message[field.range]);
            }
        }
        Ok(start..rewritten.len())
    }

    /// Unless none of its metrics is kept.
    fn keep_family(
        &mut self,
        message: Range<usize>,
        head: Option<Range<usize>>,
        first: usize,
        new_len: usize,
    ) -> Result<(), Problem> {
        let metrics = &self.contents.metrics[first..];
        if metrics.iter().all(|metric| metric.content.len().is_none()) {
            self.contents.metrics.truncate(first);
            return Ok(());
        }
        let metrics = offsets(first..self.contents.metrics.len())?;
        let family = Family {
            message: offsets(message)?,
            head: head.map(offsets).transpose()?,
            metrics,
            new_len: offset(new_len)?,
        };
        self.contents.len += family.len();
        offset(usize::try_from(self.contents.len).unwrap_or(usize::MAX))?;
        self.contents.families.push(family);
        Ok(())
    }

    /// Where the metric that has been read will stand. Its message begins at `start` of the body.
    fn content(
        &mut self,
        metric_type: MetricType,
        start: usize,
        message: &'b [u8],
    ) -> Result<Content, Problem> {
        // Of a metric with several series, Prometheus may keep some.
        let is_duplicate = metric_type.is_one_series() && self.seen.has(self.name, &self.metric);
        if is_duplicate || self.is_reported(metric_type) {
            self.contents.duplicates_dropped += 1;
            return Ok(Content::Dropped);
        }
        let (target, escaping) = (self.target, self.escaping);
        if !self.metric.needs_rewriting(metric_type, target, escaping) {
            return Ok(Content::Body(offsets(start..start + message.len())?));
        }
        let rewritten = &mut self.contents.rewritten;
        let at = self
            .metric
            .rewrite(metric_type, target, escaping, rewritten)?;
        Ok(Content::Rewritten(offsets(at)?))
    }

    /// Whether it would be one of the series that are reported for every target.
    fn is_reported(&self, metric_type: MetricType) -> bool {
        let is_one_series = metric_type.is_one_series()
            || metric_type.is_histogram() && self.metric.histogram.is_native();
        is_one_series && self.metric.labels.are_all_empty() && REPORTED.contains(&self.name)
    }
}

impl<'b> FamilyFields<'b> {
    fn read(
        message: &'b [u8],
        mut room: Vec<MetricField<'b>>,
    ) -> Result<FamilyFields<'b>, Problem> {
        room.clear();
        let mut family = FamilyFields {
            metrics: room,
            ..FamilyFields::default()
        };
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match u8::try_from(field.number).unwrap_or(u8::MAX) {
                FAMILY_NAME => family.name = field.bytes()?,
                FAMILY_HELP => family.help = field.bytes()?,
                FAMILY_TYPE => family.type_number = field.varint()?,
                FAMILY_METRIC => family.metrics.push((field.range.clone(), field.bytes()?)),
                FAMILY_UNIT => family.unit = field.bytes()?,
                _ => {}
            }
        }
        Ok(family)
    }

    /// What Prometheus checks of a family with metrics.
    fn check(&self) -> Result<MetricType, Problem> {
        if self.name.is_empty() || std::str::from_utf8(self.name).is_err() {
            return Err(Problem::with_text(Expected::Name, self.name));
        }
        if std::str::from_utf8(self.help).is_err() {
            return Err(Problem::with_text(Expected::Help, self.help));
        }
        let metric_type = MetricType::from_number(self.type_number)
            .ok_or_else(|| Problem::new(Expected::Type, self.type_number))?;
        if self.unit.is_empty() || is_unit_of(self.unit, self.name, metric_type) {
            return Ok(metric_type);
        }
        Err(Problem::with_text(Expected::Unit, self.unit))
    }
}

/// Whether the name of a family ends with this unit: else Prometheus refuses the body.
pub(super) fn is_unit_of(unit: &[u8], name: &[u8], metric_type: MetricType) -> bool {
    let base = match metric_type {
        MetricType::Counter => name.strip_suffix(b"_total").unwrap_or(name),
        _ => name,
    };
    let before_unit = base.strip_suffix(unit);
    before_unit.is_some_and(|before| before.ends_with(b"_"))
}

/// # Errors
/// [`Expected::Size`] if the offset is too large to be kept.
fn offset(at: usize) -> Result<u32, Problem> {
    u32::try_from(at).map_err(|_| Problem::new(Expected::Size, at))
}

fn offsets(range: Range<usize>) -> Result<Range<u32>, Problem> {
    Ok(offset(range.start)?..offset(range.end)?)
}
