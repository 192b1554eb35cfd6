//! One body: taken in whole, then written with the labels of its target, piece by piece.

use super::ProtobufError;
use super::contents::{Content, Contents, FAMILY_METRIC, MetricEntry, Position, range};
use super::from_lines::Lines;
use super::reader::Reader;
use super::wire::push_varint;
use crate::exposition::{Asked, Exposition, IdentityLabels};

/// One complete, valid body, ready to be written with the labels of its target.
#[derive(Debug)]
pub struct ProtobufBody(Source);

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
    /// Checks a body for a target with these labels and takes in the families that are asked for, with names as the
    /// scraper can read them.
    ///
    /// # Errors
    /// The first fault, for which Prometheus would refuse the whole body, or labels that become one by escaping.
    pub fn read(
        body: Vec<u8>,
        target: &IdentityLabels,
        asked: &Asked,
    ) -> Result<ProtobufBody, ProtobufError> {
        let contents = Reader::read(&body, target, asked)?;
        let messages = Messages { body, contents };
        Ok(ProtobufBody(Source::Messages(messages)))
    }

    /// Converts a body of text or OpenMetrics, which was parsed for the same target: Prometheus stores the same series,
    /// values and timestamps from it, and the exemplars of counters and buckets.
    ///
    /// Histograms and summaries that protobuf cannot say as they are become untyped families, one for each name. Lost
    /// are other exemplars, HELP and TYPE without samples, and types that protobuf does not have.
    #[must_use]
    pub fn convert(exposition: Exposition, target: &IdentityLabels) -> ProtobufBody {
        ProtobufBody(Source::Lines(Lines::new(exposition, target)))
    }

    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included, a
    /// native histogram as one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match &self.0 {
            Source::Messages(messages) => messages.contents.samples,
            Source::Lines(lines) => lines.exposition.samples(),
        }
    }

    /// Number of metrics that were left out: because the same series with the same timestamp, or also without one,
    /// stands before them, or because it is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        match &self.0 {
            Source::Messages(messages) => messages.contents.duplicates_dropped,
            Source::Lines(lines) => lines.exposition.duplicates_dropped(),
        }
    }

    /// How many bytes it has with the labels of its target.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Source::Messages(messages) => messages.contents.len,
            Source::Lines(lines) => lines.len,
        }
    }

    /// Whether nothing of it is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub(in crate::exposition) fn held_bytes(&self) -> usize {
        match &self.0 {
            Source::Messages(messages) => messages.body.capacity() + messages.contents.held_bytes(),
            Source::Lines(lines) => lines.held_bytes(),
        }
    }

    /// Writes the body with the labels of its target, the same as it was taken in for, from the position on, until
    /// `out` has at least `enough` bytes or nothing is left, which is when it gives `false`.
    pub fn write(
        &self,
        target: &IdentityLabels,
        position: &mut Position,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> bool {
        match &self.0 {
            Source::Messages(messages) => messages.write(target, position, out, enough),
            Source::Lines(lines) => lines.write(target, position, out, enough),
        }
    }
}

impl Messages {
    fn write(
        &self,
        target: &IdentityLabels,
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
                let head = family.head.as_ref().map_or(0..0, range);
                out.extend_from_slice(&self.contents.rewritten[head]);
            }
            let metrics = &self.contents.metrics[range(&family.metrics)];
            let metric = metrics.get(position.metric);
            if family.head.is_none() {
                let last = metrics[..position.metric].last();
                let start = last.map_or(family.message.start, |last| last.field.end);
                let end = metric.map_or(family.message.end, |metric| metric.field.start);
                out.extend_from_slice(&self.body[range(&(start..end))]);
            }
            let Some(metric) = metric else {
                position.family += 1;
                position.metric = 0;
                continue;
            };
            self.push_metric(metric, target, out);
            position.metric += 1;
        }
        false
    }

    fn push_metric(&self, metric: &MetricEntry, target: &IdentityLabels, out: &mut Vec<u8>) {
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
