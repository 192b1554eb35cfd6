//! The bodies in protobuf for `splicing.rs`: what client libraries write, and what hurts a fast path.

use super::client_model::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, Metric, MetricFamily,
    Quantile, Summary, Timestamp, encode,
};
use prost::Message;

/// Metrics of each body, but for histograms a tenth of it.
const METRICS: usize = 1000;
/// Metrics of a family, in most bodies.
const FAMILY_METRICS: usize = 10;

/// What client libraries write, and fields in an order and of a kind that none writes.
pub(crate) fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies = vec![
        ("counters", families(METRICS, |n| counter(labels(n)))),
        (
            "one each",
            encode(&families_of(1, METRICS, |_| counter(vec![]))),
        ),
        ("job of each kind", mixed()),
        ("classic histograms", histograms(classic)),
        ("with exemplars", histograms(with_exemplars)),
        ("native histograms", histograms(native)),
        ("summaries", families(METRICS / 10, |n| summary(labels(n)))),
        (
            "created, exemplar",
            families(METRICS, |n| with_exemplar(labels(n))),
        ),
        ("with timestamps", families(METRICS, stamped)),
        (
            "value before labels",
            reordered(|labels, value| [value, labels].concat()),
        ),
        (
            "unknown fields",
            reordered(|labels, value| [labels, value, UNKNOWN].concat()),
        ),
    ];
    let of_labels = UNUSUAL.map(|(name, labels)| (name, families(METRICS, |n| counter(labels(n)))));
    bodies.extend(of_labels);
    bodies
}

/// A field that nobody knows.
const UNKNOWN: &[u8] = b"\xa2\x06\x04abcd";

/// Labels with which reading may take longer.
type Labels = fn(usize) -> Vec<LabelPair>;
const UNUSUAL: [(&str, Labels); 9] = [
    ("clashing labels", |n| {
        vec![label("job", format!("import-{n}"))]
    }),
    ("escaped labels", |n| {
        vec![label("http.route", format!("/{n}"))]
    }),
    ("repeated series", |_| labels(0)),
    ("unsorted labels", |n| labels(n).into_iter().rev().collect()),
    ("changing names", changing),
    ("labels without value", with_empty),
    ("20 labels", many),
    ("long values", |n| {
        vec![label("path", format!("/{n}/{}", "x".repeat(300)))]
    }),
    ("not ASCII", |n| {
        vec![
            label("name", format!("Gr\u{f6}\u{df}e {n}")),
            label("status", "ja".to_owned()),
        ]
    }),
];

/// Two bodies that differ only in the labels of their last series.
pub(crate) fn other_last_series() -> [Vec<u8>; 2] {
    let last = |number: usize| number + usize::from(number == METRICS - 1);
    [
        families(METRICS, |n| counter(labels(n))),
        families(METRICS, |n| counter(labels(last(n)))),
    ]
}

/// Families of so many metrics, each of the type that its first metric has.
fn families_of(each: usize, metrics: usize, metric: impl Fn(usize) -> Metric) -> Vec<MetricFamily> {
    let metrics: Vec<Metric> = (0..metrics).map(metric).collect();
    let families = metrics.chunks(each).enumerate();
    families
        .map(|(n, metrics)| MetricFamily {
            name: Some(format!("commands_{n}_total")),
            help: Some("What it counts, in a sentence.".to_owned()),
            r#type: Some(match &metrics[0] {
                metric if metric.summary.is_some() => 2,
                metric if metric.histogram.is_some() => 4,
                metric if metric.gauge.is_some() => 1,
                _ => 0,
            }),
            metric: metrics.to_vec(),
            ..MetricFamily::default()
        })
        .collect()
}

fn families(metrics: usize, metric: impl Fn(usize) -> Metric) -> Vec<u8> {
    encode(&families_of(FAMILY_METRICS, metrics, metric))
}

fn histograms(histogram: impl Fn(usize) -> Histogram) -> Vec<u8> {
    let metric = |n: usize| Metric {
        label: labels(n),
        histogram: Some(histogram(n)),
        ..Metric::default()
    };
    encode(&families_of(METRICS / 10, METRICS / 10, metric))
}

/// Counters in families of ten and gauges in families of one, and of five families one of summaries, of classic
/// histograms with and without exemplars, and of native ones.
fn mixed() -> Vec<u8> {
    let kind = |n: usize| n / FAMILY_METRICS % 10;
    let histogram = |n: usize, histogram: Histogram| Metric {
        label: labels(n),
        histogram: Some(histogram),
        ..Metric::default()
    };
    families(METRICS, |n| match kind(n) {
        0 => histogram(n, classic(n)),
        1 => histogram(n, with_exemplars(n)),
        2 => histogram(n, native(n)),
        3 => summary(labels(n)),
        4 => with_exemplar(labels(n)),
        5 | 6 => Metric {
            label: labels(n),
            gauge: Some(Gauge { value: Some(1.5) }),
            ..Metric::default()
        },
        _ => counter(labels(n)),
    })
}

/// Counters whose fields are put together from their labels and their value by hand.
fn reordered(join: impl Fn(&[u8], &[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut body = Vec::new();
    for mut family in families_of(FAMILY_METRICS, METRICS, |n| counter(labels(n))) {
        let metrics = std::mem::take(&mut family.metric);
        let mut message = family.encode_to_vec();
        for metric in metrics {
            let value = Metric {
                label: vec![],
                ..metric.clone()
            };
            let labels = Metric {
                counter: None,
                ..metric
            };
            let metric = join(&labels.encode_to_vec(), &value.encode_to_vec());
            message.push(0x22);
            push_delimited(&mut message, &metric);
        }
        push_delimited(&mut body, &message);
    }
    body
}

fn push_delimited(out: &mut Vec<u8>, bytes: &[u8]) {
    prost::encode_length_delimiter(bytes.len(), out).unwrap();
    out.extend_from_slice(bytes);
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

/// Each metric has other names than the one before it.
fn changing(n: usize) -> Vec<LabelPair> {
    vec![
        label(["command", "query"][n % 2], format!("get_{n}")),
        label(["result", "status"][n % 2], "hit".to_owned()),
    ]
}

fn with_empty(n: usize) -> Vec<LabelPair> {
    let mut labels = labels(n);
    labels.push(label("zone", String::new()));
    labels
}

fn many(n: usize) -> Vec<LabelPair> {
    let label = |number: usize| label(&format!("label_{number:02}"), format!("value_{n}"));
    (0..20).map(label).collect()
}

fn counter(label: Vec<LabelPair>) -> Metric {
    Metric {
        label,
        counter: Some(Counter {
            value: Some(17.0),
            ..Counter::default()
        }),
        ..Metric::default()
    }
}

fn stamped(n: usize) -> Metric {
    Metric {
        timestamp_ms: i64::try_from(1_750_000_000_000 + n).ok(),
        ..counter(labels(n))
    }
}

fn time() -> Option<Timestamp> {
    Some(Timestamp {
        seconds: Some(1_750_000_000),
        nanos: Some(123_456_789),
    })
}

fn exemplar() -> Exemplar {
    Exemplar {
        label: vec![label(
            "trace_id",
            "0af7651916cd43dd8448eb211c80319c".to_owned(),
        )],
        value: Some(0.25),
        timestamp: time(),
    }
}

fn with_exemplar(label: Vec<LabelPair>) -> Metric {
    Metric {
        label,
        counter: Some(Counter {
            value: Some(17.0),
            exemplar: Some(exemplar()),
            created_timestamp: time(),
        }),
        ..Metric::default()
    }
}

fn summary(label: Vec<LabelPair>) -> Metric {
    let quantile = |quantile: f64| Quantile {
        quantile: Some(quantile),
        value: Some(0.125),
    };
    Metric {
        label,
        summary: Some(Summary {
            sample_count: Some(4000),
            sample_sum: Some(1.5),
            quantile: [0.0, 0.25, 0.5, 0.75, 1.0].map(quantile).to_vec(),
            created_timestamp: time(),
        }),
        ..Metric::default()
    }
}

/// Without the bucket that has no upper bound, as client libraries write them.
fn classic(_: usize) -> Histogram {
    let bucket = |n: i32| Bucket {
        cumulative_count: Some(20),
        upper_bound: Some(f64::from(n) / 8.0),
        ..Bucket::default()
    };
    Histogram {
        sample_count: Some(20),
        sample_sum: Some(1.5),
        bucket: (1..13).map(bucket).collect(),
        ..Histogram::default()
    }
}

/// Large counts, a created timestamp, and an exemplar in every other bucket.
fn with_exemplars(n: usize) -> Histogram {
    let mut histogram = classic(n);
    histogram.created_timestamp = time();
    for (n, bucket) in histogram.bucket.iter_mut().enumerate() {
        bucket.cumulative_count = Some(1_000_000);
        bucket.exemplar = (n % 2 == 0).then(exemplar);
    }
    histogram
}

fn native(_: usize) -> Histogram {
    Histogram {
        sample_count: Some(20),
        sample_sum: Some(1.5),
        schema: Some(3),
        zero_threshold: Some(1e-128),
        positive_span: vec![BucketSpan {
            offset: Some(-5),
            length: Some(20),
        }],
        positive_delta: (0..20).map(|bucket| i64::from(bucket == 0)).collect(),
        ..Histogram::default()
    }
}
