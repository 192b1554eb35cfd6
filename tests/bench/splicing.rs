//! How long it takes to put the labels of a target into bodies in protobuf, on one core, for `merge.rs`.
//!
//! The floor is one copy of the bytes that come out.

use super::client_model::{
    Bucket, BucketSpan, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, encode,
};
use super::shortest_times;
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody};
use kubernetes_metrics_aggregator::exposition::{Asked, IdentityLabels};
use std::hint::black_box;

/// Series of each body, but for histograms a tenth of it.
const SERIES: usize = 1000;

/// Prints a row for each kind of body.
pub(crate) fn splicing() {
    println!(
        "\nprotobuf: read, splice and write a body; ns a metric, and to a copy of what comes out"
    );
    for (name, body, metrics) in [
        ("counters", counters(), SERIES),
        ("classic histograms", histograms(false), SERIES / 10),
        ("native histograms", histograms(true), SERIES / 10),
        ("clashing labels", clashing(), SERIES),
    ] {
        let labels = IdentityLabels::new([
            ("instance", "memcached-7d9c5b7f4-00001"),
            ("job", "memcached"),
            ("pod_namespace", "production"),
            ("pod_ip", "10.244.1.2"),
        ]);
        let spliced = splice(&body, &labels);
        let mut copy = Vec::with_capacity(spliced.len());
        let [whole, floor] =
            shortest_times([&mut || drop(black_box(splice(&body, &labels))), &mut || {
                copy.clear();
                copy.extend_from_slice(black_box(&spliced));
                black_box(&copy);
            }]);
        println!(
            "{name:<20}{:>8} kB in{:>8} kB out{:>8.0} ns{:>8.1} x",
            body.len() / 1000,
            spliced.len() / 1000,
            whole * 1e9 / metrics as f64,
            whole / floor
        );
    }
}

fn splice(body: &[u8], labels: &IdentityLabels) -> Vec<u8> {
    let read = ProtobufBody::read(body.to_vec(), labels, &Asked::default()).unwrap();
    let mut out = Vec::with_capacity(usize::try_from(read.len()).unwrap());
    read.write(labels, &mut Position::default(), &mut out, usize::MAX);
    out
}

fn family(name: &str, metric_type: i32, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        help: Some("What it counts, in a sentence.".to_owned()),
        r#type: Some(metric_type),
        metric,
        ..MetricFamily::default()
    }
}

fn label(name: &str, value: String) -> LabelPair {
    LabelPair {
        name: Some(name.to_owned()),
        value: Some(value),
    }
}

fn labels(n: usize) -> Vec<LabelPair> {
    vec![
        label("command", format!("get_{n}")),
        label("status", "hit".to_owned()),
    ]
}

fn counters() -> Vec<u8> {
    let metric = |n: usize| Metric {
        label: labels(n),
        counter: Some(Counter {
            value: Some(n as f64),
            ..Counter::default()
        }),
        ..Metric::default()
    };
    let metrics: Vec<Metric> = (0..SERIES).map(metric).collect();
    let families = metrics.chunks(10).enumerate();
    let families =
        families.map(|(n, metrics)| family(&format!("commands_{n}_total"), 0, metrics.to_vec()));
    encode(&families.collect::<Vec<_>>())
}

fn clashing() -> Vec<u8> {
    let metric = |n: usize| Metric {
        label: vec![label("job", format!("import-{n}"))],
        gauge: Some(Gauge { value: Some(1.0) }),
        ..Metric::default()
    };
    encode(&[family("rows", 1, (0..SERIES).map(metric).collect())])
}

fn histograms(is_native: bool) -> Vec<u8> {
    let metric = |n: usize| {
        let mut histogram = Histogram {
            sample_count: Some(20),
            sample_sum: Some(1.5),
            ..Histogram::default()
        };
        if is_native {
            histogram.schema = Some(3);
            histogram.zero_threshold = Some(1e-128);
            histogram.positive_span = vec![BucketSpan {
                offset: Some(-5),
                length: Some(20),
            }];
            histogram.positive_delta = (0..20).map(|bucket| i64::from(bucket == 0)).collect();
        } else {
            let bucket = |n: i32| Bucket {
                cumulative_count: Some(20),
                upper_bound: Some(f64::from(n) / 8.0),
                ..Bucket::default()
            };
            histogram.bucket = (1..13).map(bucket).collect();
        }
        Metric {
            label: labels(n),
            histogram: Some(histogram),
            ..Metric::default()
        }
    };
    encode(&[family(
        "latency_seconds",
        4,
        (0..SERIES / 10).map(metric).collect(),
    )])
}
