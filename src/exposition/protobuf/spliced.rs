//! One body with the labels of its target, copied family by family.

use super::schema::{FAMILY_METRIC, next_metric};
use super::wire::{Fields, begin_field, push_varint, varint_len};
use crate::exposition::IdentityLabels;
use std::ops::Range;

/// A body, and the families of it that are written.
#[derive(Debug)]
pub(super) struct SplicedBody {
    pub(super) body: Vec<u8>,
    pub(super) families: Families,
}

/// The families of a body that are written, and the counts of its samples.
#[derive(Debug, Default)]
pub(super) struct Families {
    pub(super) list: Vec<Family>,
    /// The messages of families that cannot be copied from the body.
    pub(super) rewritten: Vec<u8>,
    pub(super) samples: u64,
    pub(super) duplicates_dropped: u64,
    /// Bytes of all families, with the labels of the target.
    pub(super) len: u64,
}

#[derive(Debug)]
pub(super) struct Family {
    pub(super) source: FamilySource,
    /// Bytes of the message with the labels of the target.
    pub(super) len: usize,
}

/// Where the message of a family is, without the labels of the target.
#[derive(Debug)]
pub(super) enum FamilySource {
    Body(Range<usize>),
    Rewritten(Range<usize>),
}

/// How much of a body is written; at first nothing.
#[derive(Debug, Default)]
pub struct Position {
    pub(super) family: usize,
    /// The metric in the family; not counted if the family is copied by its bytes.
    pub(super) metric: usize,
    /// The position in the message of the family, or in the values of the body.
    pub(super) byte: usize,
}

impl Families {
    /// Appends a family. `len` is the length of its message with the labels of the target.
    pub(super) fn push(&mut self, source: FamilySource, len: usize) {
        self.len += (varint_len(len) + len) as u64;
        self.list.push(Family { source, len });
    }

    /// The memory of the families in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.rewritten.capacity() + self.list.capacity() * size_of::<Family>()
    }
}

impl SplicedBody {
    /// The memory of the body in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.body.capacity() + self.families.held_bytes()
    }

    /// See [`super::ProtobufBody::write`].
    pub(super) fn write(
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
                FamilySource::Body(at) => &self.body[at.clone()],
                FamilySource::Rewritten(at) => &self.families.rewritten[at.clone()],
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

/// Writes the fields of a family until `out` has at least `enough` bytes. Returns how many bytes of the message it
/// read.
fn write_family(
    message: &[u8],
    target: &IdentityLabels,
    out: &mut Vec<u8>,
    enough: usize,
) -> usize {
    let labels = target.fields();
    let mut written = 0;
    let mut fields = Fields::of(message);
    // These fields were read before, so there is no error.
    while let Ok(Some((metric, field))) = next_metric(&mut fields) {
        out.extend_from_slice(&message[written..field.start]);
        begin_field(out, FAMILY_METRIC, metric.len() + labels.len());
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
