//! Bodies with the same series as an earlier one. Only their values are kept.
//!
//! Such a body has the same families, and their metrics have the same bytes as labels in the same order. So the labels
//! are known to be valid, no series comes twice, and no metric has to be rewritten. What follows the labels of a metric
//! is validated as in any other body.

use super::family::FamilyFields;
use super::metric::{FamilyMetrics, Metric, UNTYPED, lone_double};
use super::schema::{FAMILY_METRIC, MetricType, next_metric};
use super::spliced::{FamilySource, Position, SplicedBody};
use super::wire::{Fields, begin_field, field_len, push_varint, short_length, varint_len};
use crate::exposition::IdentityLabels;
use crate::exposition::report::REPORTED;
use std::ops::Range;
use std::sync::Arc;

/// A body that others are compared with.
#[derive(Debug)]
pub(super) struct KnownBody {
    spliced: Arc<SplicedBody>,
    families: Vec<KnownFamily>,
    /// Where the labels of each metric are in the body.
    labels: Vec<Range<usize>>,
    /// Approximate number of bytes that follow the labels of all metrics.
    values_len: usize,
    /// The names of its target's labels. None of its own labels has one of these names.
    target_names: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct KnownFamily {
    metric_type: MetricType,
    /// The fields before the metrics, in the body.
    head: Range<usize>,
    /// Indexes of its metrics.
    metrics: Range<usize>,
    /// The fields after the metrics, in the body.
    tail: Range<usize>,
}

/// The values of a body that has the series of another one.
#[derive(Debug)]
pub(super) struct SameSeries {
    known: Arc<KnownBody>,
    /// What follows the labels of each metric, each after its length.
    values: Vec<u8>,
    /// The length of each family's message with the labels of the target.
    family_lens: Vec<usize>,
    pub(super) samples: u64,
    /// Bytes of all families, with the labels of the target.
    pub(super) len: u64,
}

/// A metric with more than a value after known labels. It is validated at the end.
struct Unchecked<'b> {
    /// Index of its family.
    family: usize,
    message: &'b [u8],
    labels_len: usize,
}

impl KnownBody {
    /// `None` if other bodies cannot be compared with this one. This is so if parts of it are left out or rewritten, if
    /// its metrics have timestamps, since then two may have the same series, or if they are encoded in an unusual way.
    pub(super) fn new(spliced: &Arc<SplicedBody>, target: &IdentityLabels) -> Option<KnownBody> {
        let families = &spliced.families;
        if !families.rewritten.is_empty() || families.duplicates_dropped > 0 {
            return None;
        }
        let mut known = KnownBody {
            spliced: Arc::clone(spliced),
            families: Vec::with_capacity(families.list.len()),
            labels: Vec::new(),
            values_len: 0,
            target_names: target.names().to_vec(),
        };
        let mut metric = Metric::default();
        for family in &families.list {
            let FamilySource::Body(at) = &family.source else {
                return None;
            };
            let message = &spliced.body[at.clone()];
            let fields = FamilyFields::read(message, target).ok()?;
            let metric_type = fields.check().ok()?;
            // Whether such a series is dropped also depends on its value.
            if REPORTED.contains(&fields.name) {
                return None;
            }
            let first_metric = known.labels.len();
            let (mut head, mut end) = (None, 0);
            let mut fields = Fields::of(message);
            while let Some((bytes, field)) = next_metric(&mut fields).ok()? {
                if *head.get_or_insert(field.start) != field.start && end != field.start {
                    return None;
                }
                end = field.end;
                metric.read(bytes, metric_type).ok()?;
                let start = at.start + end - bytes.len();
                let labels_len = metric.labels_len()?;
                known.labels.push(start..start + labels_len);
                known.values_len += bytes.len() - labels_len + 1;
            }
            known.families.push(KnownFamily {
                metric_type,
                head: at.start..at.start + head?,
                metrics: first_metric..known.labels.len(),
                tail: at.start + end..at.end,
            });
        }
        Some(known)
    }
}

impl SameSeries {
    /// `None` if the body has other series than the known one, or is malformed.
    pub(super) fn read(
        known: &Arc<KnownBody>,
        body: &[u8],
        target: &IdentityLabels,
    ) -> Option<SameSeries> {
        if known.target_names != target.names() {
            return None;
        }
        let mut same = SameSeries {
            known: Arc::clone(known),
            values: Vec::with_capacity(known.values_len + known.values_len / 8),
            family_lens: Vec::with_capacity(known.families.len()),
            samples: 0,
            len: 0,
        };
        let mut unchecked = Vec::new();
        let mut families = Fields::of(body);
        for family in &known.families {
            let message = families.next_family().ok()?;
            let len = same.read_family(family, message, target, &mut unchecked)?;
            same.family_lens.push(len);
            same.len += (varint_len(len) + len) as u64;
        }
        if families.position() < body.len() {
            return None;
        }
        same.check(&unchecked)?;
        same.values.shrink_to_fit();
        Some(same)
    }

    /// Keeps the values of a family. Returns the length of its message with the labels of the target.
    fn read_family<'b>(
        &mut self,
        family: &KnownFamily,
        message: &'b [u8],
        target: &IdentityLabels,
        unchecked: &mut Vec<Unchecked<'b>>,
    ) -> Option<usize> {
        let known = Arc::clone(&self.known);
        let bytes = |at: &Range<usize>| &known.spliced.body[at.clone()];
        let message = message.strip_prefix(bytes(&family.head))?;
        let mut len = family.head.len() + family.tail.len();
        let mut fields = Fields::of(message);
        for labels in &known.labels[family.metrics.clone()] {
            let message = fields.next_plain(FAMILY_METRIC)?;
            let value = message.strip_prefix(bytes(labels))?;
            if is_one_value(value, family.metric_type) {
                self.samples += 1;
            } else {
                unchecked.push(Unchecked {
                    family: self.family_lens.len(),
                    message,
                    labels_len: labels.len(),
                });
            }
            push_varint(&mut self.values, value.len());
            self.values.extend_from_slice(value);
            len += field_len(message.len() + target.fields().len());
        }
        (message[fields.position()..] == *bytes(&family.tail)).then_some(len)
    }

    /// Validates the metrics with more than a value. This comes last: it takes as long as in any other body, and would
    /// be wasted if the body had other series.
    fn check(&mut self, unchecked: &[Unchecked<'_>]) -> Option<()> {
        let mut metric = Metric::default();
        for of_family in unchecked.chunk_by(|a, b| a.family == b.family) {
            let metric_type = self.known.families[of_family[0].family].metric_type;
            let mut metrics = FamilyMetrics::new(metric_type);
            for Unchecked {
                message,
                labels_len,
                ..
            } in of_family
            {
                metrics.read(&mut metric, message, &mut self.samples).ok()?;
                if metric.labels_len()? != *labels_len || metric.lacks_value(metric_type) {
                    return None;
                }
            }
        }
        Some(())
    }

    /// The memory in bytes, without the known body.
    pub(super) fn held_bytes(&self) -> usize {
        self.values.capacity() + self.family_lens.capacity() * size_of::<usize>()
    }

    /// See [`super::ProtobufBody::write`].
    pub(super) fn write(
        &self,
        target: &IdentityLabels,
        position: &mut Position,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> bool {
        let bytes = |at: &Range<usize>| &self.known.spliced.body[at.clone()];
        while let Some(family) = self.known.families.get(position.family) {
            if out.len() >= enough {
                return true;
            }
            if position.metric == 0 {
                push_varint(out, self.family_lens[position.family]);
                out.extend_from_slice(bytes(&family.head));
            }
            for labels in &self.known.labels[family.metrics.clone()][position.metric..] {
                // Two bytes of length are enough for what `next_plain` reads.
                let Some((value, rest)) = short_length(&self.values[position.byte..]) else {
                    return false;
                };
                position.byte = self.values.len() - rest.len();
                position.metric += 1;
                let len = labels.len() + value.len() + target.fields().len();
                begin_field(out, FAMILY_METRIC, len);
                out.extend_from_slice(bytes(labels));
                out.extend_from_slice(value);
                out.extend_from_slice(target.fields());
                if out.len() >= enough {
                    return true;
                }
            }
            out.extend_from_slice(bytes(&family.tail));
            position.family += 1;
            position.metric = 0;
        }
        false
    }
}

/// Whether the bytes after the labels are the value of a gauge, counter or untyped metric, and nothing else.
#[inline]
fn is_one_value(bytes: &[u8], metric_type: MetricType) -> bool {
    lone_double(bytes).is_some_and(|number| match metric_type {
        MetricType::Untyped => number == UNTYPED,
        _ => metric_type.is_one_series(),
    })
}
