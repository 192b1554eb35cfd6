//! One body: checked and taken in whole, then written with the labels of its target.

use super::ProtobufError;
use super::contents::{
    Content, Contents, FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, MetricEntry, range,
};
use super::labels::TargetLabels;
use super::reader::Reader;
use super::wire::{push_field, push_varint};

/// One complete, valid body: of every Metric it is known where the labels of its target are put in.
#[derive(Debug)]
pub struct ProtobufBody {
    body: Vec<u8>,
    contents: Contents,
    target: TargetLabels,
}

impl ProtobufBody {
    /// Checks a body and takes it in.
    ///
    /// # Errors
    /// The first fault, for which Prometheus would refuse the whole body.
    pub fn read(body: Vec<u8>, target: TargetLabels) -> Result<ProtobufBody, ProtobufError> {
        let contents = Reader::read(&body, &target)?;
        Ok(ProtobufBody {
            body,
            contents,
            target,
        })
    }

    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included, a
    /// native histogram as one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.contents.samples
    }

    /// Number of metrics that were left out: because the same series with the same timestamp, or also without one,
    /// stands before them, or because it is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        self.contents.duplicates_dropped
    }

    /// How many bytes it has with the labels of its target.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.contents.len
    }

    /// Whether nothing of it is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contents.families.is_empty()
    }

    /// Writes the body with the labels of its target, from the position on, until `out` has at least `enough` bytes
    /// or nothing is left, which is when it gives `false`.
    pub fn write(&self, position: &mut Position, out: &mut Vec<u8>, enough: usize) -> bool {
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
            self.push_metric(metric, out);
            position.copied = metric.field.end;
            position.metric += 1;
        }
        false
    }

    fn push_metric(&self, metric: &MetricEntry, out: &mut Vec<u8>) {
        let message = match &metric.content {
            Content::Body(at) => &self.body[range(at)],
            Content::Rewritten(at) => &self.contents.rewritten[range(at)],
            Content::Dropped => return,
        };
        let labels = self.target.fields();
        out.push(METRIC_TAG);
        push_varint(out, message.len() + labels.len());
        out.extend_from_slice(message);
        out.extend_from_slice(labels);
    }
}

const METRIC_TAG: u8 = FAMILY_METRIC << 3 | 2;

/// How far a body is written. Starts at its beginning.
#[derive(Debug, Default)]
pub struct Position {
    family: usize,
    /// Within the family.
    metric: usize,
    /// Up to where the body is written.
    copied: u32,
}

/// Writes a family of gauges, one for each target: what is reported for every target. Nothing without targets.
pub fn push_gauge_family<'t>(
    name: &str,
    help: &str,
    gauges: impl IntoIterator<Item = (&'t TargetLabels, f64)>,
    out: &mut Vec<u8>,
) {
    const GAUGE: u8 = 2;
    const DOUBLE_TAG: u8 = 0x09;
    let mut family = Vec::new();
    push_field(&mut family, FAMILY_NAME, name.as_bytes());
    push_field(&mut family, FAMILY_HELP, help.as_bytes());
    family.extend_from_slice(&[FAMILY_TYPE << 3, GAUGE_TYPE]);
    let head = family.len();
    for (target, value) in gauges {
        let mut gauge = vec![DOUBLE_TAG];
        gauge.extend_from_slice(&value.to_le_bytes());
        let mut metric = Vec::new();
        push_field(&mut metric, GAUGE, &gauge);
        metric.extend_from_slice(target.fields());
        push_field(&mut family, FAMILY_METRIC, &metric);
    }
    if family.len() > head {
        push_varint(out, family.len());
        out.extend_from_slice(&family);
    }
}

/// The number of the type in a MetricFamily.
const GAUGE_TYPE: u8 = 1;
