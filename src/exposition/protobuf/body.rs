//! One body: read or converted as a whole, then written with the labels of its target, piece by piece.

use super::ProtobufError;
use super::body_reader::BodyReader;
use super::families::{Families, Source};
use super::from_lines;
use super::schema::{FAMILY_METRIC, next_metric};
use super::wire::{Fields, push_varint};
use crate::exposition::{Asked, Exposition, IdentityLabels};

/// One complete, valid body, ready to be written with the labels of its target.
#[derive(Debug)]
pub struct ProtobufBody {
    body: Vec<u8>,
    families: Families,
}

/// How far a body is written. Starts at its beginning.
#[derive(Debug, Default)]
pub struct Position {
    family: usize,
    /// In the message of the family.
    byte: usize,
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
        let families = BodyReader::read(&body, target, asked)?;
        Ok(ProtobufBody { body, families })
    }

    /// Converts a body of text or OpenMetrics, which was parsed for the same target: Prometheus stores the same series,
    /// values and timestamps from it, and the exemplars of counters and buckets.
    ///
    /// Histograms and summaries that protobuf cannot express as they are become untyped families, one for each name.
    /// Other exemplars are lost, HELP and TYPE without samples, and types that protobuf does not have.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is converted is not needed any more"
    )]
    pub fn convert(exposition: Exposition, target: &IdentityLabels) -> ProtobufBody {
        let (body, families) = from_lines::convert(&exposition, target);
        ProtobufBody { body, families }
    }

    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included, a
    /// native histogram as one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.families.samples
    }

    /// Number of metrics that were left out: because the same series with the same timestamp, or also without one,
    /// comes before them, or because it is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        self.families.duplicates_dropped
    }

    /// How many bytes it has with the labels of its target.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.families.len
    }

    /// Whether nothing of it is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub(in crate::exposition) fn held_bytes(&self) -> usize {
        self.body.capacity() + self.families.held_bytes()
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
        while let Some(family) = self.families.list.get(position.family) {
            if out.len() >= enough {
                return true;
            }
            let message = match &family.source {
                Source::Body(at) => &self.body[at.clone()],
                Source::Rewritten(at) => &self.families.rewritten[at.clone()],
            };
            if position.byte == 0 {
                push_varint(out, family.len);
            }
            position.byte += write_family(&message[position.byte..], target, out, enough);
            if position.byte == message.len() {
                position.family += 1;
                position.byte = 0;
            }
        }
        false
    }
}

/// Writes the fields of a family until `out` has at least `enough` bytes; gives how many bytes of the message that
/// was.
fn write_family(
    message: &[u8],
    target: &IdentityLabels,
    out: &mut Vec<u8>,
    enough: usize,
) -> usize {
    let labels = target.fields();
    let mut written = 0;
    let mut fields = Fields::of(message);
    // The fields have been read before, so that there is no error.
    while let Ok(Some((metric, field))) = next_metric(&mut fields) {
        out.extend_from_slice(&message[written..field.start]);
        out.push(FAMILY_METRIC << 3 | 2);
        push_varint(out, metric.len() + labels.len());
        out.extend_from_slice(metric);
        out.extend_from_slice(labels);
        written = field.end;
        if out.len() >= enough {
            return written;
        }
    }
    out.extend_from_slice(&message[written..]);
    message.len()
}
