//! One body with the labels of its target, copied family by family.

use super::schema::{FAMILY_METRIC, next_metric};
use super::wire::{Fields, push_varint, varint_len};
use crate::exposition::IdentityLabels;
use std::ops::Range;

/// A body, and which families of it are written.
#[derive(Debug)]
pub(super) struct SplicedBody {
    pub(super) body: Vec<u8>,
    pub(super) families: Families,
}

/// The families of a body that are written, and what was counted in it.
#[derive(Debug, Default)]
pub(super) struct Families {
    pub(super) list: Vec<Family>,
    /// Messages of families that are not written as they are in the body.
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

/// How far a body is written. Starts at its beginning.
#[derive(Debug, Default)]
pub struct Position {
    pub(super) family: usize,
    /// In the family; not counted where the family is copied by its bytes.
    pub(super) metric: usize,
    /// In the message of the family, or in the values of the body.
    pub(super) byte: usize,
}

impl Families {
    /// Appends a family, whose message has this length with the labels of the target.
    pub(super) fn push(&mut self, source: FamilySource, len: usize) {
        self.len += (varint_len(len) + len) as u64;
        self.list.push(Family { source, len });
    }

    /// Bytes of memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        self.rewritten.capacity() + self.list.capacity() * size_of::<Family>()
    }
}

impl SplicedBody {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.body.capacity() + self.families.held_bytes()
    }

    /// As [`super::ProtobufBody::write`].
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
