//! Which samples of a body of lines make up one Metric of a histogram or summary.
//!
//! From such a Metric, Prometheus makes the series `_count` and `_sum`, one for each bucket or quantile, and a bucket
//! without an upper bound if there is none. So what lacks one of these or has other samples cannot be said as a
//! histogram or summary. Neither can values of `le` or `quantile` that are no numbers, nor counts that are no whole
//! numbers.

use super::schema::MetricType;
use crate::exposition::line::Label;
use crate::exposition::metric_type::Suffix;
use crate::exposition::number;
use std::collections::HashMap;

/// One sample of a family.
#[derive(Debug)]
pub(super) struct Sample<'e> {
    pub(super) number: u32,
    /// What its name has behind that of the family.
    pub(super) suffix: Option<Suffix>,
    pub(super) labels: Vec<Label<'e>>,
    /// Without what follows it.
    pub(super) value: &'e [u8],
    pub(super) milliseconds: Option<i64>,
}

/// Numbers of the samples of one Metric.
#[derive(Debug, Default)]
pub(super) struct Group {
    sum: Option<u32>,
    count: Option<u32>,
    /// Buckets or quantiles.
    parts: Vec<u32>,
    /// The bucket without an upper bound: behind it, Prometheus looks at none.
    last_bucket: Option<u32>,
}

impl Group {
    /// The count, the sum, and then the buckets or quantiles.
    pub(super) fn samples(&self) -> impl Iterator<Item = u32> {
        let first = self.count.into_iter().chain(self.sum);
        let parts = self.parts.iter().copied();
        first.chain(parts).chain(self.last_bucket)
    }

    fn is_complete(&self, metric_type: MetricType) -> bool {
        let has_last = metric_type == MetricType::Summary || self.last_bucket.is_some();
        self.sum.is_some() && self.count.is_some() && has_last
    }

    /// Takes in a sample with this `le` or `quantile`; `None` if it cannot be a part of such a Metric.
    fn push(
        &mut self,
        metric_type: MetricType,
        bound: Option<&[u8]>,
        sample: &Sample<'_>,
    ) -> Option<()> {
        let number = sample.number;
        match (metric_type, sample.suffix, bound) {
            (_, Some(Suffix::Sum), None) => self.sum = Some(number),
            (_, Some(Suffix::Count), None) => {
                whole_number(sample.value)?;
                self.count = Some(number);
            }
            (MetricType::Histogram, Some(Suffix::Bucket), Some(bound)) => {
                whole_number(sample.value)?;
                if number::parse_float(bound)? == f64::INFINITY {
                    self.last_bucket = Some(number);
                } else {
                    self.parts.push(number);
                }
            }
            (MetricType::Summary, None, Some(bound)) => {
                number::parse_float(bound)?;
                self.parts.push(number);
            }
            _ => return None,
        }
        Some(())
    }
}

/// The samples of a family of histograms or summaries, each Metric by itself, in the order in which they begin; `None`
/// if the family cannot be said so.
pub(super) fn group<'e>(
    metric_type: MetricType,
    samples: impl Iterator<Item = Sample<'e>>,
) -> Option<Vec<Group>> {
    let bound_label = metric_type.bound_label()?;
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(Vec<Label<'_>>, Option<i64>), usize> = HashMap::new();
    for mut sample in samples {
        let mut labels = std::mem::take(&mut sample.labels);
        let at = labels.iter().position(|(name, _)| **name == *bound_label);
        let bound = at.map(|at| labels.swap_remove(at).1);
        labels.sort_unstable();
        let new = groups.len();
        let at = *known.entry((labels, sample.milliseconds)).or_insert(new);
        if at == new {
            groups.push(Group::default());
        }
        groups[at].push(metric_type, bound.as_deref(), &sample)?;
    }
    let are_complete = groups.iter().all(|group| group.is_complete(metric_type));
    are_complete.then_some(groups)
}

/// The number that a value is, if it is one that a count can be.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is changed by it is not taken"
)]
pub(super) fn whole_number(value: &[u8]) -> Option<u64> {
    let float = number::stored_float(value);
    let whole = float as u64;
    ((whole as f64).to_bits() == float.to_bits()).then_some(whole)
}
