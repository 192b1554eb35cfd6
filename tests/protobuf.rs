//! Bodies in protobuf: what is valid, what is spliced, and that nothing else changes.
//!
//! * `protobuf/rules.rs`: valid and invalid bodies, each for a named rule
//! * `protobuf/converted.rs`: bodies of text and OpenMetrics, converted
//! * `protobuf/grouped.rs`: histograms and summaries, converted
//! * `protobuf/serving.rs`: on the way through the program
//! * `protobuf/same_series.rs`: bodies of pods that send the same series
//! * `protobuf/refused.rs`: what is counted of bodies that are refused, and their labels
//! * `protobuf/generated.rs`: what holds for all bodies

use crate::support::client_model::{LabelPair, Metric, MetricFamily, decode, encode};
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody, ProtobufError};
use kubernetes_metrics_aggregator::exposition::{Asked, IdentityLabels};

mod converted;
mod generated;
mod grouped;
mod refused;
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
