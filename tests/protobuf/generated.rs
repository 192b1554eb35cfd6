//! What holds for all bodies: splicing and then decoding equals decoding and then labelling.

use super::{GAUGE, HISTOGRAM, decode, encode, family, labels, read, written};
use crate::support::client_model::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, Metric, MetricFamily,
    Quantile, Summary, Timestamp, try_decode,
};
use crate::support::labelled::labelled;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use prost::Message;

const LABELS: &[(&str, &str)] = &[
    ("code", "200"),
    ("path", "/\u{e4}\"\n"),
    ("empty", ""),
    ("http.route", "x"),
    ("job", "mine"),
    ("exported_job", "older"),
];

fn any_labels() -> impl Strategy<Value = Vec<LabelPair>> {
    subsequence(LABELS, 0..=LABELS.len())
        .prop_shuffle()
        .prop_map(|pairs| labels(&pairs))
}

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    (of(any::<i64>()), of(0..1_000_000_000))
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

prop_compose! {
    fn any_exemplar()(label in any_labels(), value in of(-1e9..1e9), timestamp in of(any_timestamp())) -> Exemplar {
        Exemplar { label, value, timestamp }
    }
}

prop_compose! {
    fn any_counter()(
        value in -1e9..1e9,
        exemplar in of(any_exemplar()),
        created_timestamp in of(any_timestamp()),
    ) -> Counter {
        Counter { value: Some(value), exemplar, created_timestamp }
    }
}

prop_compose! {
    fn any_bucket()(
        count in of(any::<u64>()),
        float in of(0.0..1e9),
        bound in of(select(vec![0.5, 1.0, f64::INFINITY])),
        exemplar in of(any_exemplar()),
    ) -> Bucket {
        Bucket { cumulative_count: count, cumulative_count_float: float, upper_bound: bound, exemplar }
    }
}

prop_compose! {
    fn any_summary()(
        count in of(any::<u64>()),
        sum in of(-1e9..1e9),
        quantiles in vec((of(0.0..1.0), of(-1e9..1e9)), 0..4),
    ) -> Summary {
        let quantile = quantiles.into_iter().map(|(quantile, value)| Quantile { quantile, value }).collect();
        Summary { sample_count: count, sample_sum: sum, quantile, created_timestamp: None }
    }
}

prop_compose! {
    /// A valid one.
    fn any_native()(
        counts in vec(vec(0_i64..9, 1..4), 1..4),
        schema in -4..=8,
        zero_count in 0_u64..5,
        first in -9..9,
        sum in -1e9..1e9,
        exemplars in vec(any_exemplar(), 0..3),
    ) -> Histogram {
        let mut histogram = Histogram {
            schema: Some(schema),
            sample_sum: Some(sum),
            zero_threshold: Some(0.001),
            zero_count: Some(zero_count),
            exemplars,
            ..Histogram::default()
        };
        let (mut before, mut count) = (0, zero_count);
        for (n, span) in counts.iter().enumerate() {
            let offset = if n == 0 { first } else { 2 };
            let length = u32::try_from(span.len()).unwrap();
            histogram.positive_span.push(BucketSpan { offset: Some(offset), length: Some(length) });
            for bucket in span {
                histogram.positive_delta.push(bucket - before);
                count += bucket.unsigned_abs();
                before = *bucket;
            }
        }
        histogram.sample_count = Some(count);
        histogram
    }
}

fn any_metric(metric_type: i32, is_native: bool) -> BoxedStrategy<Metric> {
    let value = match (metric_type, is_native) {
        (0, _) => any_counter()
            .prop_map(|counter| Metric {
                counter: Some(counter),
                ..Metric::default()
            })
            .boxed(),
        (1, _) => (-1e9..1e9)
            .prop_map(|value| Metric {
                gauge: Some(Gauge { value: Some(value) }),
                ..Metric::default()
            })
            .boxed(),
        (2, _) => any_summary()
            .prop_map(|summary| Metric {
                summary: Some(summary),
                ..Metric::default()
            })
            .boxed(),
        (3, _) => (-1e9..1e9)
            .prop_map(|value| Metric {
                untyped: Some(Gauge { value: Some(value) }),
                ..Metric::default()
            })
            .boxed(),
        (_, true) => any_native()
            .prop_map(|histogram| Metric {
                histogram: Some(histogram),
                ..Metric::default()
            })
            .boxed(),
        (_, false) => vec(any_bucket(), 0..4)
            .prop_map(|bucket| Metric {
                histogram: Some(Histogram {
                    bucket,
                    sample_count: Some(7),
                    ..Histogram::default()
                }),
                ..Metric::default()
            })
            .boxed(),
    };
    (value, any_labels(), of(1..i64::MAX))
        .prop_map(|(metric, label, timestamp_ms)| Metric {
            label,
            timestamp_ms,
            ..metric
        })
        .boxed()
}

prop_compose! {
    pub(super) fn any_family()(metric_type in 0..=5, is_native in any::<bool>())(
        name in select(vec!["a", "b_total", "http.requests"]),
        help in of(select(vec!["", "A h\u{e9}lp text.\n"])),
        metric in vec(any_metric(metric_type, is_native), 0..5),
        metric_type in Just(metric_type),
    ) -> MetricFamily {
        MetricFamily { help: help.map(str::to_owned), ..family(name, metric_type, metric) }
    }
}

/// The families as an encoder could write them that no client library has: values before labels, needless bytes in
/// varints, fields that nobody knows.
fn oddly_encoded(families: &[MetricFamily], mut is_odd: impl FnMut() -> bool) -> Vec<u8> {
    let mut body = Vec::new();
    for family in families {
        let head = MetricFamily {
            metric: vec![],
            ..family.clone()
        };
        let mut message = head.encode_to_vec();
        for metric in &family.metric {
            let mut fields: Vec<Vec<u8>> = metric
                .label
                .iter()
                .map(|pair| oddly_encoded_label(pair, is_odd()))
                .collect();
            let value = Metric {
                label: vec![],
                ..metric.clone()
            };
            fields.push(value.encode_to_vec());
            if is_odd() {
                fields.rotate_right(1);
            }
            let mut metric = Vec::new();
            for field in fields.iter().filter(|field| !field.is_empty()) {
                match is_odd() {
                    true => metric.extend([field[0] | 0x80, 0x80, 0]),
                    false => metric.push(field[0]),
                }
                metric.extend_from_slice(&field[1..]);
                if is_odd() {
                    metric.extend(b"\xfa\x01\x02??");
                }
            }
            message.push(0x22);
            push_delimited(&metric, is_odd(), &mut message);
        }
        push_delimited(&message, is_odd(), &mut body);
    }
    body
}

fn oddly_encoded_label(pair: &LabelPair, is_odd: bool) -> Vec<u8> {
    let (mut name, mut value) = (pair.clone(), pair.clone());
    (name.value, value.name) = (None, None);
    let (name, value) = (name.encode_to_vec(), value.encode_to_vec());
    let pair = if is_odd {
        [value, name].concat()
    } else {
        [name, value].concat()
    };
    let mut field = vec![0x0a];
    push_delimited(&pair, is_odd, &mut field);
    field
}

/// With a needless byte in the length, if it is odd.
fn push_delimited(bytes: &[u8], is_odd: bool, out: &mut Vec<u8>) {
    prost::encode_length_delimiter(bytes.len(), out).unwrap();
    if is_odd {
        *out.last_mut().unwrap() |= 0x80;
        out.push(0);
    }
    out.extend_from_slice(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn splicing_then_decoding_is_decoding_then_labelling(families in vec(any_family(), 0..4)) {
        let body = read(&encode(&families)).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(decode(&written(&body)), labelled(&families, &super::TARGET));
    }

    #[test]
    fn the_same_holds_for_odd_encodings(
        families in vec(any_family(), 0..4),
        odd in vec(any::<bool>(), 1..50),
    ) {
        let mut odd = odd.into_iter().cycle();
        let body = oddly_encoded(&families, || odd.next().unwrap());
        let read = read(&body).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(decode(&written(&read)), labelled(&decode(&body), &super::TARGET));
    }

    /// What is cut off is refused, unless it is cut between two families.
    #[test]
    fn a_body_that_is_cut_is_refused(families in vec(any_family(), 1..3), at in any::<proptest::sample::Index>()) {
        let body = encode(&families);
        let at = at.index(body.len());
        let ends: Vec<usize> = (0..=families.len()).map(|n| encode(&families[..n]).len()).collect();
        prop_assert_eq!(read(&body[..at]).is_ok(), ends.contains(&at));
    }

    /// Bytes of a hostile pod: an error, or a body of which the same holds, if the other decoder takes it.
    #[test]
    fn changed_bytes_never_panic(
        families in vec(any_family(), 1..3),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = encode(&families);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok(read) = read(&body) {
            let spliced = written(&read);
            if let Ok(families) = try_decode(&body) {
                // Their bytes, for NaN does not equal itself.
                let labelled = encode(&labelled(&families, &super::TARGET));
                prop_assert_eq!(encode(&decode(&spliced)), labelled);
            }
        }
    }
}

#[test]
fn an_ordinary_body_stays_byte_for_byte_but_for_labels_and_lengths() {
    let gauge = Metric {
        gauge: Some(Gauge { value: Some(1.5) }),
        ..Metric::default()
    };
    let families = [
        family("g", GAUGE, vec![gauge]),
        family("h", HISTOGRAM, vec![Metric::default()]),
    ];
    let added: usize = labels(&super::TARGET)
        .iter()
        .map(|pair| 2 + pair.encoded_len())
        .sum();
    let body = encode(&families);
    assert_eq!(written(&read(&body).unwrap()).len(), body.len() + 2 * added);
}

/// `fixtures/exposition/protobuf`: bodies named for a rule, and inputs in which the fuzzers found something.
#[test]
fn the_bodies_from_which_the_fuzzers_start() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/exposition/protobuf");
    let (mut valid, mut invalid) = (0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let body = std::fs::read(file.unwrap().path()).unwrap();
        let Ok(read) = read(&body) else {
            invalid += 1;
            continue;
        };
        valid += 1;
        assert_eq!(
            decode(&written(&read)),
            labelled(&decode(&body), &super::TARGET)
        );
    }
    assert!(
        valid > 15 && invalid > 5,
        "{valid} valid, {invalid} invalid"
    );
}
