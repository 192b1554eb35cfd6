//! One body: taken in whole, then written with the labels of its target, piece by piece.

use super::ProtobufError;
use super::contents::{
    Content, Contents, FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, MetricEntry, Position,
    range,
};
use super::from_lines::Lines;
use super::labels::TargetLabels;
use super::metric::{GAUGE, VALUE};
use super::reader::Reader;
use super::schema::MetricType;
use super::wire::{push_double, push_field, push_message, push_uint, push_varint};
use crate::exposition::Exposition;

/// One complete, valid body, with the labels of its target.
#[derive(Debug)]
pub struct ProtobufBody {
    source: Source,
    target: TargetLabels,
}

/// What a body is written from.
#[derive(Debug)]
enum Source {
    Messages(Messages),
    Lines(Lines),
}

/// A body that came in protobuf: of every Metric it is known where the labels of its target are put in.
#[derive(Debug)]
struct Messages {
    body: Vec<u8>,
    contents: Contents,
}

impl ProtobufBody {
    /// Checks a body and takes it in.
    ///
    /// # Errors
    /// The first fault, for which Prometheus would refuse the whole body.
    pub fn read(body: Vec<u8>, target: TargetLabels) -> Result<ProtobufBody, ProtobufError> {
        let contents = Reader::read(&body, &target)?;
        Ok(ProtobufBody {
            source: Source::Messages(Messages { body, contents }),
            target,
        })
    }

    /// Converts a body of text or OpenMetrics, which was parsed for the same target: Prometheus stores the same series,
    /// values and timestamps from it, and the exemplars of counters and buckets.
    ///
    /// Histograms and summaries that protobuf cannot say as they are become untyped families, one for each name. Lost
    /// are other exemplars, HELP and TYPE without samples, and types that protobuf does not have.
    #[must_use]
    pub fn convert(exposition: Exposition, target: TargetLabels) -> ProtobufBody {
        ProtobufBody {
            source: Source::Lines(Lines::new(exposition, &target)),
            target,
        }
    }

    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included, a
    /// native histogram as one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match &self.source {
            Source::Messages(messages) => messages.contents.samples,
            Source::Lines(lines) => lines.exposition.samples(),
        }
    }

    /// Number of metrics that were left out: because the same series with the same timestamp, or also without one,
    /// stands before them, or because it is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        match &self.source {
            Source::Messages(messages) => messages.contents.duplicates_dropped,
            Source::Lines(lines) => lines.exposition.duplicates_dropped(),
        }
    }

    /// How many bytes it has with the labels of its target.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.source {
            Source::Messages(messages) => messages.contents.len,
            Source::Lines(lines) => lines.len,
        }
    }

    /// Whether nothing of it is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the body with the labels of its target, from the position on, until `out` has at least `enough` bytes
    /// or nothing is left, which is when it gives `false`.
    pub fn write(&self, position: &mut Position, out: &mut Vec<u8>, enough: usize) -> bool {
        match &self.source {
            Source::Messages(messages) => messages.write(&self.target, position, out, enough),
            Source::Lines(lines) => lines.write(&self.target, position, out, enough),
        }
    }
}

impl Messages {
    fn write(
        &self,
        target: &TargetLabels,
        position: &mut Position,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> bool {
        while let Some(family) = self.contents.families.get(position.family) {
            if out.len() >= enough {
                return true;
            }
            if position.metric == 0 {
                push_varint(out, family.new_len as usize);
                position.copied = family.message.start;
            }
            let metrics = &self.contents.metrics[range(&family.metrics)];
            let Some(metric) = metrics.get(position.metric) else {
                out.extend_from_slice(&self.body[range(&(position.copied..family.message.end))]);
                position.family += 1;
                position.metric = 0;
                continue;
            };
            out.extend_from_slice(&self.body[range(&(position.copied..metric.field.start))]);
            self.push_metric(metric, target, out);
            position.copied = metric.field.end;
            position.metric += 1;
        }
        false
    }

    fn push_metric(&self, metric: &MetricEntry, target: &TargetLabels, out: &mut Vec<u8>) {
        let message = match &metric.content {
            Content::Body(at) => &self.body[range(at)],
            Content::Rewritten(at) => &self.contents.rewritten[range(at)],
            Content::Dropped => return,
        };
        let labels = target.fields();
        out.push(METRIC_TAG);
        push_varint(out, message.len() + labels.len());
        out.extend_from_slice(message);
        out.extend_from_slice(labels);
    }
}

const METRIC_TAG: u8 = FAMILY_METRIC << 3 | 2;

/// Writes a family of gauges, one for each target: what is reported for every target. Nothing without targets.
pub fn push_gauge_family<'t>(
    name: &str,
    help: &str,
    gauges: impl IntoIterator<Item = (&'t TargetLabels, f64)>,
    out: &mut Vec<u8>,
) {
    let mut family = Vec::new();
    push_field(&mut family, FAMILY_NAME, name.as_bytes());
    push_field(&mut family, FAMILY_HELP, help.as_bytes());
    push_uint(&mut family, FAMILY_TYPE, MetricType::Gauge.number());
    let head = family.len();
    for (target, value) in gauges {
        push_message(&mut family, FAMILY_METRIC, |metric| {
            push_message(metric, GAUGE, |gauge| push_double(gauge, VALUE, value));
            metric.extend_from_slice(target.fields());
        });
    }
    if family.len() > head {
        push_varint(out, family.len());
        out.extend_from_slice(&family);
    }
}
