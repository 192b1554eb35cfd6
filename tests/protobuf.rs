//! Bodies in protobuf: what is valid, what is written of them, and that nothing else changes. README: "Formats", "What
//! is stored". `serving.rs` and `requested.rs` are about the built program, the other files about one body.

use crate::support::client_model::{
    Bucket, BucketSpan, Gauge, Histogram, LabelPair, Metric, MetricFamily, decode, encode,
};
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody, ProtobufError};
use kubernetes_metrics_aggregator::exposition::{Asked, IdentityLabels};

mod converted;
mod converted_samples;
mod generated;
mod grouped;
mod native;
mod refused;
mod requested;
mod rules;
mod same_series;
mod serving;

const TARGET: [(&str, &str); 2] = [("instance", "pod-a"), ("job", "shop")];

fn read(body: &[u8]) -> Result<ProtobufBody, ProtobufError> {
    ProtobufBody::read(body.to_vec(), &target(), &Asked::default())
}

fn target() -> IdentityLabels {
    IdentityLabels::new(TARGET)
}

fn written(body: &ProtobufBody) -> Vec<u8> {
    written_for(&target(), body)
}

/// Also checks that the length is known, and that it does not matter in how many steps the body is written.
fn written_for(target: &IdentityLabels, body: &ProtobufBody) -> Vec<u8> {
    let mut whole = Vec::new();
    assert!(!body.write(target, &mut Position::default(), &mut whole, usize::MAX));
    assert_eq!(whole.len() as u64, body.len());
    let (mut stepwise, mut position) = (Vec::new(), Position::default());
    loop {
        let mut step = Vec::new();
        let is_more = body.write(target, &mut position, &mut step, 1);
        stepwise.extend_from_slice(&step);
        if !is_more {
            break;
        }
    }
    assert_eq!(stepwise, whole);
    whole
}

fn spliced(families: &[MetricFamily]) -> Vec<MetricFamily> {
    decode(&written(&read(&encode(families)).unwrap()))
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    }
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    pairs
        .iter()
        .map(|(name, value)| label(name, value))
        .collect()
}

/// The numbers of the types in `metrics.proto`.
const COUNTER: i32 = 0;
const GAUGE: i32 = 1;
const SUMMARY: i32 = 2;
const UNTYPED: i32 = 3;
const HISTOGRAM: i32 = 4;
const GAUGE_HISTOGRAM: i32 = 5;

fn family(name: &str, metric_type: i32, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        r#type: Some(metric_type),
        metric,
        ..MetricFamily::default()
    }
}

fn gauge(pairs: &[(&str, &str)], value: f64) -> Metric {
    Metric {
        label: labels(pairs),
        gauge: Some(Gauge { value: Some(value) }),
        ..Metric::default()
    }
}

fn histogram(pairs: &[(&str, &str)], histogram: Histogram) -> Metric {
    Metric {
        label: labels(pairs),
        histogram: Some(histogram),
        ..Metric::default()
    }
}

fn span(offset: i32, length: u32) -> BucketSpan {
    BucketSpan {
        offset: Some(offset),
        length: Some(length),
    }
}

/// Three observations in three buckets, none in the zero bucket.
fn native() -> Histogram {
    Histogram {
        sample_count: Some(3),
        sample_sum: Some(4.5),
        schema: Some(3),
        zero_threshold: Some(1e-128),
        positive_span: vec![span(0, 2), span(4, 1)],
        positive_delta: vec![1, 0, 0],
        ..Histogram::default()
    }
}

fn classic(bounds: &[f64], count: u64) -> Histogram {
    let bucket = |bound: &f64| Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(*bound),
        ..Bucket::default()
    };
    Histogram {
        sample_count: Some(count),
        sample_sum: Some(1.0),
        bucket: bounds.iter().map(bucket).collect(),
        ..Histogram::default()
    }
}
