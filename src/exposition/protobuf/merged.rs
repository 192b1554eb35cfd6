//! A response in protobuf: the report series of all targets, and then the bodies one after the other.

use super::body::ProtobufBody;
use super::metric::{UNTYPED, VALUE};
use super::schema::{FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, MetricType};
use super::spliced;
use super::wire::{push_double, push_field, push_message, push_uint, push_varint};
use crate::exposition::report::{REPORTED, REPORTED_HELP};
use crate::exposition::{IdentityLabels, TargetResult};

/// A response in protobuf. It is assembled from the bodies while it is sent.
#[derive(Debug)]
pub(in crate::exposition) struct MergedProtobuf {
    /// The families of the report series.
    reported: Vec<u8>,
    bodies: Vec<(IdentityLabels, ProtobufBody)>,
    len: usize,
}

/// How much of a response is written; at first nothing.
#[derive(Debug, Default)]
pub(in crate::exposition) struct Position {
    /// 0 is the report series, and each body is one more.
    piece: usize,
    in_body: spliced::Position,
}

impl MergedProtobuf {
    /// A response with the report series of all targets, and no body yet.
    pub(in crate::exposition) fn new(parts: &[TargetResult]) -> MergedProtobuf {
        let mut reported = Vec::new();
        for number in 0..REPORTED.len() {
            push_reported(&mut reported, number, parts);
        }
        MergedProtobuf {
            len: reported.len(),
            reported,
            bodies: Vec::new(),
        }
    }

    /// Appends the body of the target with these labels.
    pub(in crate::exposition) fn push(&mut self, labels: IdentityLabels, body: ProtobufBody) {
        self.len += usize::try_from(body.len()).unwrap_or(usize::MAX);
        self.bodies.push((labels, body));
    }

    /// The length in bytes.
    pub(in crate::exposition) fn len(&self) -> usize {
        self.len
    }

    /// The memory in bytes.
    pub(in crate::exposition) fn held_bytes(&self) -> usize {
        let bodies = self.bodies.iter().map(|(_, body)| body.held_bytes());
        self.reported.len() + bodies.sum::<usize>()
    }

    /// Whether this position is the end of the response.
    pub(in crate::exposition) fn is_end(&self, position: &Position) -> bool {
        position.piece > self.bodies.len()
    }

    /// Appends whole metrics from this position on, until the buffer has at least `enough` bytes or the response ends.
    pub(in crate::exposition) fn append(
        &self,
        position: &mut Position,
        buffer: &mut Vec<u8>,
        enough: usize,
    ) {
        while buffer.len() < enough && !self.is_end(position) {
            if position.piece == 0 {
                buffer.extend_from_slice(&self.reported);
            } else {
                let (labels, body) = &self.bodies[position.piece - 1];
                if body.write(labels, &mut position.in_body, buffer, enough) {
                    return;
                }
            }
            position.piece += 1;
            position.in_body = spliced::Position::default();
        }
    }
}

/// Writes one family of report series, unless there are no targets.
///
/// It is untyped, as in the other formats: Prometheus has no type for its own series of these names.
fn push_reported(out: &mut Vec<u8>, number: usize, parts: &[TargetResult]) {
    if parts.is_empty() {
        return;
    }
    let mut family = Vec::new();
    push_field(&mut family, FAMILY_NAME, REPORTED[number]);
    push_field(&mut family, FAMILY_HELP, REPORTED_HELP[number].as_bytes());
    push_uint(&mut family, FAMILY_TYPE, MetricType::Untyped.number());
    for part in parts {
        let value = part.report.float(number);
        push_message(&mut family, FAMILY_METRIC, |metric| {
            push_message(metric, UNTYPED, |untyped| {
                push_double(untyped, VALUE, value)
            });
            metric.extend_from_slice(part.labels.fields());
        });
    }
    push_varint(out, family.len());
    out.extend_from_slice(&family);
}
