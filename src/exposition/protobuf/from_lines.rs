//! Bodies of text and OpenMetrics as `MetricFamily` messages, from which Prometheus stores the same.
//!
//! Only the numbers of samples are put in order beforehand; the messages are put together as they are written. For
//! their lengths they are put together once before, one Metric at a time.
//!
//! `_created` samples stay samples, in a family of their own: from the created timestamp of a Metric, Prometheus makes
//! no series.

use super::contents::{
    FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, FAMILY_UNIT, Position,
};
use super::grouped::{Sample, group, whole_number};
use super::metric::{COUNTER, GAUGE, HISTOGRAM, SUMMARY, TIMESTAMP, UNTYPED, VALUE};
use super::reader::is_unit_of;
use super::schema::MetricType;
use super::wire::{
    push_double, push_field, push_int, push_label, push_message, push_uint, push_varint, varint_len,
};
use crate::exposition::labels::{unescape_help, written_labels};
use crate::exposition::layout::{Layout, NameInBody};
use crate::exposition::metric_type::{self, split_suffix};
use crate::exposition::untyped::{Typed, block};
use crate::exposition::{
    Exposition, Format, IdentityLabels, number, offset, openmetrics, timestamp,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A body, and how its samples make up metrics.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) exposition: Exposition,
    families: Vec<Family>,
    /// Of each Metric, where its samples stand in `samples`.
    metrics: Vec<Range<u32>>,
    /// Numbers of samples. Of a histogram or summary as they come from [`group`].
    samples: Vec<u32>,
    /// Bytes of all families, with the labels of the target.
    pub(super) len: u64,
}

#[derive(Debug)]
struct Family {
    /// Index of its name in the layout.
    name: usize,
    metric_type: MetricType,
    /// Indexes of its metrics; it has some.
    metrics: Range<usize>,
    /// Bytes of the message, without the length in front.
    len: usize,
}

impl Lines {
    pub(super) fn new(exposition: Exposition, target: &IdentityLabels) -> Lines {
        let layout = Arc::clone(&exposition.layout);
        let mut lines = Lines {
            exposition,
            families: Vec::new(),
            metrics: Vec::with_capacity(layout.series.len()),
            samples: Vec::with_capacity(layout.series.len()),
            len: 0,
        };
        for (name, names) in blocks(&layout).into_iter().enumerate() {
            let metric_type = type_of(&layout.names[name]);
            if lines.add_grouped(&layout, name, &names, metric_type) {
                continue;
            }
            for of_block in names {
                let is_one_series = of_block == name && metric_type.is_one_series();
                let metric_type = if is_one_series {
                    metric_type
                } else {
                    MetricType::Untyped
                };
                for run in runs(&layout, of_block) {
                    for sample in run.clone() {
                        lines.push_metric([sample]);
                    }
                }
                lines.end_family(of_block, metric_type);
            }
        }
        lines.measure(target);
        lines
    }

    /// Adds a family of histograms or summaries; not, if it is none or cannot be said so.
    fn add_grouped(
        &mut self,
        layout: &Layout,
        family: usize,
        names: &[usize],
        metric_type: MetricType,
    ) -> bool {
        let mut runs: Vec<_> = names
            .iter()
            .flat_map(|&name| {
                runs(layout, name)
                    .iter()
                    .map(move |run| (name, run.clone()))
            })
            .collect();
        runs.sort_unstable_by_key(|(_, run)| run.start);
        let format = self.exposition.format;
        let samples = runs.into_iter().flat_map(|(name, run)| {
            let suffix = split_suffix(layout.text(layout.names[name].name));
            let suffix = suffix.filter(|_| name != family).map(|(_, suffix)| suffix);
            run.map(move |sample| (suffix, sample))
        });
        let samples = samples.map(|(suffix, sample)| {
            let value = self.exposition.values.get(sample as usize);
            Sample {
                number: sample,
                suffix,
                labels: written_labels(layout.text(layout.series[sample as usize])).collect(),
                value: timestamp::number_of(value),
                milliseconds: timestamp::milliseconds(value, format),
            }
        });
        let Some(groups) = group(metric_type, samples) else {
            return false;
        };
        for group in groups {
            self.push_metric(group.samples());
        }
        self.end_family(family, metric_type);
        true
    }

    fn push_metric(&mut self, samples: impl IntoIterator<Item = u32>) {
        let start = offset(self.samples.len());
        self.samples.extend(samples);
        self.metrics.push(start..offset(self.samples.len()));
    }

    /// Makes a family of the metrics since the last one, unless there are none: Prometheus skips it then.
    fn end_family(&mut self, name: usize, metric_type: MetricType) {
        let start = self.families.last().map_or(0, |last| last.metrics.end);
        let metrics = start..self.metrics.len();
        if !metrics.is_empty() {
            self.families.push(Family {
                name,
                metric_type,
                metrics,
                len: 0,
            });
        }
    }

    fn measure(&mut self, target: &IdentityLabels) {
        let mut scratch = Vec::new();
        let mut lens = Vec::with_capacity(self.families.len());
        for family in &self.families {
            scratch.clear();
            self.push_head(family, &mut scratch);
            let mut len = scratch.len();
            for metric in family.metrics.clone() {
                scratch.clear();
                self.push_metric_field(family, metric, target, &mut scratch);
                len += scratch.len();
            }
            lens.push(len);
        }
        for (family, len) in self.families.iter_mut().zip(lens) {
            family.len = len;
            self.len += (varint_len(len) + len) as u64;
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        let layout = &self.exposition.layout;
        // Bodies with the same series share it.
        layout.held_bytes() / Arc::strong_count(layout)
            + self.exposition.values.held_bytes()
            + self.families.capacity() * size_of::<Family>()
            + self.metrics.capacity() * size_of::<Range<u32>>()
            + self.samples.capacity() * size_of::<u32>()
    }

    /// As [`super::ProtobufBody::write`].
    pub(super) fn write(
        &self,
        target: &IdentityLabels,
        position: &mut Position,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> bool {
        while let Some(family) = self.families.get(position.family) {
            if out.len() >= enough {
                return true;
            }
            if position.metric == 0 {
                push_varint(out, family.len);
                self.push_head(family, out);
            }
            let metric = family.metrics.start + position.metric;
            if family.metrics.contains(&metric) {
                self.push_metric_field(family, metric, target, out);
                position.metric += 1;
            } else {
                position.family += 1;
                position.metric = 0;
            }
        }
        false
    }

    /// All but the metrics.
    fn push_head(&self, family: &Family, out: &mut Vec<u8>) {
        let layout = &self.exposition.layout;
        let said = &layout.names[family.name];
        let name = layout.text(said.name);
        push_field(out, FAMILY_NAME, name);
        if let Some(help) = said.help {
            push_field(out, FAMILY_HELP, &unescape_help(layout.text(help)));
        }
        push_uint(out, FAMILY_TYPE, family.metric_type.number());
        let unit = said.unit.map(|unit| layout.text(unit));
        if let Some(unit) = unit.filter(|unit| is_unit_of(unit, name, family.metric_type)) {
            push_field(out, FAMILY_UNIT, unit);
        }
    }

    fn push_metric_field(
        &self,
        family: &Family,
        metric: usize,
        target: &IdentityLabels,
        out: &mut Vec<u8>,
    ) {
        let samples = &self.metrics[metric];
        let samples = &self.samples[samples.start as usize..samples.end as usize];
        push_message(out, FAMILY_METRIC, |out| {
            for (name, value) in written_labels(self.stored_series(samples[0])) {
                push_label(out, &name, &value);
            }
            out.extend_from_slice(target.fields());
            match family.metric_type {
                MetricType::Counter => push_message(out, COUNTER, |out| {
                    push_double(out, VALUE, self.float(samples[0]));
                    self.push_exemplar(samples[0], COUNTER_EXEMPLAR, out);
                }),
                MetricType::Gauge => self.push_value(GAUGE, samples[0], out),
                MetricType::Untyped => self.push_value(UNTYPED, samples[0], out),
                MetricType::Summary => {
                    push_message(out, SUMMARY, |out| self.push_summary(samples, out))
                }
                MetricType::Histogram | MetricType::GaugeHistogram => {
                    push_message(out, HISTOGRAM, |out| self.push_histogram(samples, out));
                }
            }
            let milliseconds =
                timestamp::milliseconds(self.value(samples[0]), self.exposition.format);
            if let Some(milliseconds) = milliseconds {
                // 0 would be none, and no other one becomes -1, so that no two become the same.
                push_int(
                    out,
                    TIMESTAMP,
                    if milliseconds == 0 { -1 } else { milliseconds },
                );
            }
        });
    }

    fn push_value(&self, field: u8, sample: u32, out: &mut Vec<u8>) {
        push_message(out, field, |out| {
            push_double(out, VALUE, self.float(sample))
        });
    }

    fn push_summary(&self, samples: &[u32], out: &mut Vec<u8>) {
        self.push_count_and_sum(samples, out);
        for &sample in &samples[2..] {
            push_message(out, SUMMARY_QUANTILE, |out| {
                push_double(out, 1, self.bound(sample, b"quantile"));
                push_double(out, 2, self.float(sample));
            });
        }
    }

    fn push_histogram(&self, samples: &[u32], out: &mut Vec<u8>) {
        self.push_count_and_sum(samples, out);
        for &sample in &samples[2..] {
            push_message(out, HISTOGRAM_BUCKET, |out| {
                push_uint(out, 1, self.count(sample));
                push_double(out, 2, self.bound(sample, b"le"));
                self.push_exemplar(sample, BUCKET_EXEMPLAR, out);
            });
        }
    }

    /// The fields have the same numbers in histograms and summaries.
    fn push_count_and_sum(&self, samples: &[u32], out: &mut Vec<u8>) {
        push_uint(out, 1, self.count(samples[0]));
        push_double(out, 2, self.float(samples[1]));
    }

    fn push_exemplar(&self, sample: u32, field: u8, out: &mut Vec<u8>) {
        if self.exposition.format != Format::OpenMetrics {
            return;
        }
        let Some(exemplar) = openmetrics::exemplar(self.value(sample)) else {
            return;
        };
        push_message(out, field, |out| {
            for (name, value) in &exemplar.labels {
                push_label(out, name, value);
            }
            push_double(out, 2, number::stored_float(exemplar.value));
            let milliseconds = exemplar.seconds.and_then(timestamp::exact_milliseconds_of);
            if let Some(milliseconds) = milliseconds {
                push_message(out, 3, |out| {
                    push_int(out, 1, milliseconds.div_euclid(1000));
                    push_int(out, 2, milliseconds.rem_euclid(1000) * 1_000_000);
                });
            }
        });
    }

    /// With all that follows it.
    fn value(&self, sample: u32) -> &[u8] {
        self.exposition.values.get(sample as usize)
    }

    fn float(&self, sample: u32) -> f64 {
        number::stored_float(timestamp::number_of(self.value(sample)))
    }

    fn count(&self, sample: u32) -> u64 {
        whole_number(timestamp::number_of(self.value(sample))).unwrap_or(0)
    }

    fn bound(&self, sample: u32, label: &[u8]) -> f64 {
        let mut labels = written_labels(self.stored_series(sample));
        let bound = labels.find(|(name, _)| **name == *label);
        bound
            .and_then(|(_, value)| number::parse_float(&value))
            .unwrap_or(f64::NAN)
    }

    /// Name and labels as Prometheus stores them.
    fn stored_series(&self, sample: u32) -> &[u8] {
        let layout = &self.exposition.layout;
        let stored = layout
            .stored
            .binary_search_by_key(&sample, |(number, _)| *number);
        let at = stored.map_or(layout.series[sample as usize], |at| layout.stored[at].1);
        layout.text(at)
    }
}

/// Field numbers of exemplars, and of what repeats.
const COUNTER_EXEMPLAR: u8 = 2;
const BUCKET_EXEMPLAR: u8 = 3;
const HISTOGRAM_BUCKET: u8 = 3;
const SUMMARY_QUANTILE: u8 = 3;

/// For each name the names whose samples stand in its block: mostly itself alone.
fn blocks(layout: &Layout) -> Vec<Vec<usize>> {
    let typed = layout.names.iter().map(|said| Typed {
        name: layout.text(said.name),
        metric_type: said.metric_type,
        standing: said.standing,
    });
    let typed: Vec<Typed<'_>> = typed.collect();
    let by_name: HashMap<&[u8], usize> = typed.iter().map(|typed| typed.name).zip(0..).collect();
    let mut blocks = vec![Vec::new(); typed.len()];
    for name in 0..typed.len() {
        blocks[block(&typed, name, |name| by_name.get(name).copied())].push(name);
    }
    blocks
}

fn runs(layout: &Layout, name: usize) -> &[Range<u32>] {
    let runs = &layout.names[name].runs;
    &layout.runs[runs.start as usize..runs.end as usize]
}

/// The type that protobuf has for this one. From a gauge histogram, Prometheus would make series of other names than in
/// OpenMetrics.
fn type_of(said: &NameInBody) -> MetricType {
    use metric_type::MetricType as Said;
    match said.metric_type {
        Some(Said::Counter) => MetricType::Counter,
        Some(Said::Gauge | Said::Info | Said::StateSet) => MetricType::Gauge,
        Some(Said::Histogram) => MetricType::Histogram,
        Some(Said::Summary) => MetricType::Summary,
        Some(Said::Untyped | Said::GaugeHistogram) | None => MetricType::Untyped,
    }
}
