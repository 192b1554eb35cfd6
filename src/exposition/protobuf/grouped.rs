//! Groups the samples of a body of lines that form one Metric of a histogram or summary.
//!
//! From such a Metric, Prometheus makes the series `_count` and `_sum`, one series for each bucket or quantile, and a
//! bucket without an upper bound if there is none. So samples that lack one of these, or have others, cannot be written
//! as a histogram or summary. The same is true if a value of `le` or `quantile` is not a number, or if a count is not a
//! whole number.

use super::schema::MetricType;
use crate::exposition::labels::written_labels;
use crate::exposition::line::Label;
use crate::exposition::metric_type::Suffix;
use crate::exposition::{number, timestamp};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// One sample of a family.
#[derive(Debug)]
pub(super) struct Sample<'e> {
    pub(super) number: u32,
    /// The suffix of its name after that of the family.
    pub(super) suffix: Option<Suffix>,
    /// Name and labels, as the series cache writes them.
    pub(super) series: &'e [u8],
    /// The text from the value to the end of the line.
    pub(super) value: &'e [u8],
    pub(super) milliseconds: Option<i64>,
}

/// The samples of one Metric. Counts are whole numbers.
#[derive(Debug, Default)]
pub(super) struct Group<'e> {
    pub(super) count: f64,
    pub(super) sum: f64,
    /// Buckets or quantiles, without the bucket that has no upper bound.
    pub(super) values: Vec<BoundedValue<'e>>,
    /// The bucket without an upper bound. Prometheus ignores buckets after it.
    pub(super) last_bucket: Option<BoundedValue<'e>>,
    /// The number of the `_count` sample, whose labels are those of the Metric.
    pub(super) count_sample: Option<u32>,
    has_sum: bool,
    pub(super) milliseconds: Option<i64>,
}

/// A bucket or quantile.
#[derive(Debug)]
pub(super) struct BoundedValue<'e> {
    pub(super) bound: f64,
    pub(super) value: f64,
    /// The text from the value to the end of the line.
    pub(super) text: &'e [u8],
}

impl<'e> Group<'e> {
    fn is_complete(&self, metric_type: MetricType) -> bool {
        let has_last = metric_type == MetricType::Summary || self.last_bucket.is_some();
        self.has_sum && self.count_sample.is_some() && has_last
    }

    /// Adds a sample with this `le` or `quantile`; `None` if it cannot be part of such a Metric.
    fn push(
        &mut self,
        metric_type: MetricType,
        bound: Option<&[u8]>,
        sample: &Sample<'e>,
    ) -> Option<()> {
        let value = number::stored_float(timestamp::number_of(sample.value));
        match (metric_type, sample.suffix, bound) {
            (_, Some(Suffix::Sum), None) => {
                self.sum = value;
                self.has_sum = true;
            }
            (_, Some(Suffix::Count), None) => {
                whole_number(value)?;
                self.count = value;
                self.count_sample = Some(sample.number);
            }
            (MetricType::Histogram, Some(Suffix::Bucket), Some(bound)) => {
                whole_number(value)?;
                let bucket = BoundedValue {
                    bound: number::parse_float(bound)?,
                    value,
                    text: sample.value,
                };
                if bucket.bound == f64::INFINITY {
                    self.last_bucket = Some(bucket);
                } else {
                    self.values.push(bucket);
                }
            }
            (MetricType::Summary, None, Some(bound)) => self.values.push(BoundedValue {
                bound: number::parse_float(bound)?,
                value,
                text: sample.value,
            }),
            _ => return None,
        }
        Some(())
    }
}

/// What the samples of one Metric have in common: the labels without `le` or `quantile`, and the timestamp.
type GroupKey<'e> = (Vec<Label<'e>>, Option<i64>);

/// The metrics of a family of histograms or summaries, in the order of their first samples. `None` if the family cannot
/// be written as such.
pub(super) fn group<'e>(
    metric_type: MetricType,
    samples: impl Iterator<Item = Sample<'e>>,
) -> Option<Vec<Group<'e>>> {
    let bound_label = metric_type.bound_label()?;
    let mut groups: Vec<Group<'e>> = Vec::new();
    let mut known: HashMap<GroupKey<'e>, usize, RandomState> = HashMap::default();
    // The samples of a Metric mostly follow each other.
    let mut last: Option<(GroupKey<'e>, usize)> = None;
    for sample in samples {
        let mut labels: Vec<Label<'e>> = written_labels(sample.series).collect();
        let at = labels.iter().position(|(name, _)| **name == *bound_label);
        let bound = at.map(|at| labels.remove(at).1);
        let key = (labels, sample.milliseconds);
        let index = match last.take() {
            Some((last_key, index)) if last_key == key => index,
            _ => {
                let (mut labels, milliseconds) = key.clone();
                labels.sort_unstable();
                let new = groups.len();
                let index = *known.entry((labels, milliseconds)).or_insert(new);
                if index == new {
                    groups.push(Group {
                        milliseconds,
                        ..Group::default()
                    });
                }
                index
            }
        };
        last = Some((key, index));
        groups[index].push(metric_type, bound.as_deref(), &sample)?;
    }
    let are_complete = groups.iter().all(|group| group.is_complete(metric_type));
    are_complete.then_some(groups)
}

/// The value as a whole number, if it can be a count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is changed by it is not taken"
)]
pub(super) fn whole_number(value: f64) -> Option<u64> {
    let whole = value as u64;
    ((whole as f64).to_bits() == value.to_bits()).then_some(whole)
}
