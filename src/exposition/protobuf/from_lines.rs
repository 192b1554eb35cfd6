//! Converts bodies of text and OpenMetrics to `MetricFamily` messages from which Prometheus stores the same.
//!
//! `_created` samples stay samples, in a family of their own, because Prometheus makes no series from the created
//! timestamp of a Metric.

use super::family::{FamilyFields, is_unit_of};
use super::grouped::{Group, Sample, group, whole_number};
use super::metric::{COUNTER, GAUGE, HISTOGRAM, SUMMARY, TIMESTAMP, UNTYPED, VALUE};
use super::schema::{
    FAMILY_HELP, FAMILY_METRIC, FAMILY_NAME, FAMILY_TYPE, FAMILY_UNIT, MetricType,
};
use super::spliced::{Families, FamilySource, SplicedBody};
use super::wire::{
    push_double, push_field, push_int, push_label, push_message, push_uint, push_varint,
};
use crate::exposition::labels::{unescape_help, written_labels};
use crate::exposition::layout::{Layout, NameInBody, Run};
use crate::exposition::metric_type::{self, split_suffix};
use crate::exposition::untyped::{Typed, block};
use crate::exposition::{Exposition, Format, IdentityLabels, number, openmetrics, timestamp};
use std::collections::HashMap;

/// The body that is being converted, and the messages written so far.
struct Converter<'e> {
    exposition: &'e Exposition,
    layout: &'e Layout,
    target: &'e IdentityLabels,
    body: Vec<u8>,
    families: Families,
    /// The message of the current family.
    message: Vec<u8>,
}

/// Converts a body to protobuf, with the same series.
pub(super) fn convert(exposition: &Exposition, target: &IdentityLabels) -> SplicedBody {
    let layout = &*exposition.layout;
    let mut converter = Converter {
        exposition,
        layout,
        target,
        // Names and labels take about half as many bytes as in text, because each family has its name once.
        body: Vec::with_capacity(layout.lengths.series / 2 + exposition.values.len()),
        families: Families::default(),
        message: Vec::new(),
    };
    for (name, names) in blocks(layout).into_iter().enumerate() {
        let metric_type = type_of(&layout.names[name]);
        if let Some(groups) = group(metric_type, converter.samples(name, &names)) {
            converter.push_groups(name, metric_type, &groups);
            continue;
        }
        for of_block in names {
            let is_one_series = of_block == name && metric_type.is_one_series();
            let metric_type = match is_one_series {
                true => metric_type,
                false => MetricType::Untyped,
            };
            converter.push_samples(of_block, metric_type);
        }
    }
    converter.families.samples = exposition.samples();
    converter.families.duplicates_dropped = exposition.duplicates_dropped();
    converter.body.shrink_to_fit();
    SplicedBody {
        body: converter.body,
        families: converter.families,
    }
}

impl<'e> Converter<'e> {
    /// The samples of these names, which are one family, in the order of the body.
    fn samples(&self, family: usize, names: &[usize]) -> impl Iterator<Item = Sample<'e>> {
        let (layout, exposition) = (self.layout, self.exposition);
        let of_name = |&name: &usize| {
            runs(layout, name)
                .iter()
                .map(move |run| (name, run.clone()))
        };
        let mut runs: Vec<(usize, Run)> = names.iter().flat_map(of_name).collect();
        runs.sort_unstable_by_key(|(_, run)| run.start);
        runs.into_iter().flat_map(move |(name, run)| {
            let suffix = split_suffix(layout.text(layout.names[name].name));
            let suffix = suffix.filter(|_| name != family).map(|(_, suffix)| suffix);
            values(exposition, run).map(move |(number, value)| Sample {
                number,
                suffix,
                series: layout.text(layout.series[number as usize]),
                value,
                milliseconds: timestamp::milliseconds(value, exposition.format),
            })
        })
    }

    /// Writes a family in which each sample is a Metric.
    fn push_samples(&mut self, name: usize, metric_type: MetricType) {
        let value_field = match metric_type {
            MetricType::Counter => COUNTER,
            MetricType::Gauge => GAUGE,
            _ => UNTYPED,
        };
        self.push_head(name, metric_type);
        let exposition = self.exposition;
        let samples = runs(self.layout, name).iter();
        for (sample, value) in samples.flat_map(|run| values(exposition, run.clone())) {
            let milliseconds = timestamp::milliseconds(value, exposition.format);
            self.push_metric(sample, milliseconds, value_field, |this, out| {
                push_double(
                    out,
                    VALUE,
                    number::stored_float(timestamp::number_of(value)),
                );
                if metric_type == MetricType::Counter {
                    this.push_exemplar(value, COUNTER_EXEMPLAR, out);
                }
            });
        }
        self.end_family();
    }

    /// Writes a family of histograms or summaries.
    fn push_groups(&mut self, name: usize, metric_type: MetricType, groups: &[Group<'_>]) {
        self.push_head(name, metric_type);
        for group in groups {
            let labels_of = group.count_sample.unwrap_or_default();
            let field = match metric_type {
                MetricType::Summary => SUMMARY,
                _ => HISTOGRAM,
            };
            self.push_metric(labels_of, group.milliseconds, field, |this, out| {
                // The fields have the same numbers in histograms and summaries.
                push_uint(out, 1, whole_number(group.count).unwrap_or_default());
                push_double(out, 2, group.sum);
                for value in group.values.iter().chain(&group.last_bucket) {
                    push_message(out, 3, |out| match metric_type {
                        MetricType::Summary => {
                            push_double(out, 1, value.bound);
                            push_double(out, 2, value.value);
                        }
                        _ => {
                            push_uint(out, 1, whole_number(value.value).unwrap_or_default());
                            push_double(out, 2, value.bound);
                            this.push_exemplar(value.text, BUCKET_EXEMPLAR, out);
                        }
                    });
                }
            });
        }
        self.end_family();
    }

    /// Starts a family: everything but its metrics.
    fn push_head(&mut self, name: usize, metric_type: MetricType) {
        let (layout, out) = (self.layout, &mut self.message);
        let said = &layout.names[name];
        let name = layout.text(said.name);
        out.clear();
        push_field(out, FAMILY_NAME, name);
        if let Some(help) = said.help {
            push_field(out, FAMILY_HELP, &unescape_help(layout.text(help)));
        }
        push_uint(out, FAMILY_TYPE, metric_type.number());
        let unit = said.unit.map(|unit| layout.text(unit));
        if let Some(unit) = unit.filter(|unit| is_unit_of(unit, name, metric_type)) {
            push_field(out, FAMILY_UNIT, unit);
        }
    }

    /// Writes a Metric with the labels of this sample, this timestamp, and this field.
    fn push_metric(
        &mut self,
        sample: u32,
        milliseconds: Option<i64>,
        field: u8,
        write_field: impl FnOnce(&Self, &mut Vec<u8>),
    ) {
        let mut message = std::mem::take(&mut self.message);
        push_message(&mut message, FAMILY_METRIC, |out| {
            for (name, value) in written_labels(self.stored_series(sample)) {
                push_label(out, &name, &value);
            }
            push_message(out, field, |out| write_field(self, out));
            if let Some(milliseconds) = milliseconds {
                // 0 would mean none. No other timestamp becomes -1, so different ones stay different.
                let milliseconds = if milliseconds == 0 { -1 } else { milliseconds };
                push_int(out, TIMESTAMP, milliseconds);
            }
        });
        self.message = message;
    }

    /// Appends the family to the body, unless it has no metrics: Prometheus would skip it.
    fn end_family(&mut self) {
        let family = FamilyFields::read(&self.message, self.target);
        let Some(family) = family.ok().filter(|family| family.has_metrics) else {
            return;
        };
        push_varint(&mut self.body, self.message.len());
        let start = self.body.len();
        self.body.extend_from_slice(&self.message);
        self.families
            .push(FamilySource::Body(start..self.body.len()), family.len);
    }

    /// Writes the exemplar after a value, if there is one.
    fn push_exemplar(&self, value: &[u8], field: u8, out: &mut Vec<u8>) {
        if self.exposition.format != Format::OpenMetrics {
            return;
        }
        let Some(exemplar) = openmetrics::exemplar(value) else {
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

/// Field numbers of exemplars.
const COUNTER_EXEMPLAR: u8 = 2;
const BUCKET_EXEMPLAR: u8 = 3;

/// For each name, the names whose samples are in its block: mostly only itself.
fn blocks(layout: &Layout) -> Vec<Vec<usize>> {
    let typed = layout.names.iter().map(|said| Typed {
        name: layout.text(said.name),
        metric_type: said.metric_type,
        type_line: said.type_line,
    });
    let typed: Vec<Typed<'_>> = typed.collect();
    let by_name: HashMap<&[u8], usize> = typed.iter().map(|typed| typed.name).zip(0..).collect();
    let mut blocks = vec![Vec::new(); typed.len()];
    for name in 0..typed.len() {
        blocks[block(&typed, name, |name| by_name.get(name).copied())].push(name);
    }
    blocks
}

/// The samples of a run, each with the text from its value to the end of the line.
fn values(exposition: &Exposition, run: Run) -> impl Iterator<Item = (u32, &[u8])> {
    let values = &exposition.values;
    let ranges = values.ranges(run.start as usize..run.end as usize);
    run.zip(ranges.map(|range| &values.text()[range]))
}

fn runs(layout: &Layout, name: usize) -> &[Run] {
    let runs = &layout.names[name].runs;
    &layout.runs[runs.start as usize..runs.end as usize]
}

/// The type of a family in protobuf. A gauge histogram becomes untyped, because Prometheus would give its series other
/// names than in OpenMetrics.
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
