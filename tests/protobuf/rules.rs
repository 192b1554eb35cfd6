//! Valid bodies in protobuf: their labels, duplicates and samples, one rule a test. README: "What is stored".
//! Prometheus 3.5.3 scraped these bodies to find out, unless a rule is that of a later version.

use super::{
    COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, SUMMARY, UNTYPED, classic, decode, encode, family,
    gauge, histogram, labels, native, read, spliced, written,
};
use crate::support::client_model::{Counter, Gauge, Histogram, Metric, Quantile, Summary};

/// The bytes of one gauge family around the bytes of one Metric.
pub(super) fn around(metric: &[u8]) -> Vec<u8> {
    let mut message = b"\x0a\x01g\x18\x01\x22".to_vec();
    message.push(u8::try_from(metric.len()).unwrap());
    message.extend_from_slice(metric);
    let mut body = vec![u8::try_from(message.len()).unwrap()];
    body.extend_from_slice(&message);
    body
}

const GAUGE_OF_ONE: &[u8] = b"\x12\x09\x09\0\0\0\0\0\0\xf0\x3f";

#[track_caller]
pub(super) fn samples(expected: u64, body: &[u8]) {
    let read = read(body).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.samples(), expected);
    decode(&written(&read));
}

#[track_caller]
pub(super) fn refused(body: &[u8], expected: &str) {
    match read(body) {
        Ok(_) => panic!("taken, expected {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn the_labels_of_the_target_come_last() {
    let families = spliced(&[family("g", GAUGE, vec![gauge(&[("a", "1")], 2.0)])]);
    let expected = gauge(&[("a", "1"), ("instance", "pod-a"), ("job", "shop")], 2.0);
    assert_eq!(families, [family("g", GAUGE, vec![expected])]);
}

#[test]
fn labels_named_like_those_of_the_target_become_exported() {
    let own = [("job", "x"), ("exported_instance", "y"), ("instance", "z")];
    let families = spliced(&[family("g", GAUGE, vec![gauge(&own, 2.0)])]);
    let expected = [
        ("exported_job", "x"),
        ("exported_instance", "y"),
        ("exported_exported_instance", "z"),
        ("instance", "pod-a"),
        ("job", "shop"),
    ];
    assert_eq!(families[0].metric[0].label, labels(&expected));
}

/// A label without a value does not exist for Prometheus, so it does not clash either.
#[test]
fn an_empty_label_named_like_one_of_the_target_is_left_out() {
    let families = spliced(&[family("g", GAUGE, vec![gauge(&[("job", "")], 2.0)])]);
    let expected = [("instance", "pod-a"), ("job", "shop")];
    assert_eq!(families[0].metric[0].label, labels(&expected));
}

/// Prometheus 3.5 gives an untyped metric without a value the value of the one before it, of whatever pod.
#[test]
fn an_untyped_metric_without_a_value_is_written_with_zero() {
    let without = Metric::default();
    let empty = Metric {
        label: labels(&[("a", "1")]),
        untyped: Some(Gauge { value: None }),
        ..Metric::default()
    };
    let families = spliced(&[family("u", UNTYPED, vec![without, empty])]);
    for metric in &families[0].metric {
        assert_eq!(metric.untyped, Some(Gauge { value: Some(0.0) }));
    }
}

#[test]
fn a_series_that_came_before_is_dropped() {
    let stamped = |value, timestamp_ms| Metric {
        timestamp_ms,
        ..gauge(&[("a", "1"), ("b", "2")], value)
    };
    let body = encode(&[
        family(
            "g",
            GAUGE,
            vec![stamped(1.0, None), gauge(&[("b", "2"), ("a", "1")], 2.0)],
        ),
        family("g", COUNTER, vec![stamped(3.0, None)]),
        family(
            "g",
            GAUGE,
            vec![
                stamped(4.0, Some(5)),
                stamped(5.0, Some(5)),
                stamped(6.0, Some(6)),
            ],
        ),
        family(
            "g",
            GAUGE,
            vec![gauge(&[("a", "1"), ("b", "2"), ("c", "")], 7.0)],
        ),
    ]);
    let body = read(&body).unwrap();
    assert_eq!((body.samples(), body.duplicates_dropped()), (7, 4));
    let values: Vec<f64> = decode(&written(&body))
        .iter()
        .flat_map(|family| &family.metric)
        .map(|metric| metric.gauge.as_ref().unwrap().value.unwrap())
        .collect();
    assert_eq!(values, [1.0, 4.0, 6.0]);
}

/// The second may have buckets that the first has not, and those Prometheus stores.
#[test]
fn a_histogram_that_came_before_stays() {
    let metrics = vec![
        histogram(&[], classic(&[1.0], 2)),
        histogram(&[], classic(&[1.0, 2.0], 2)),
    ];
    let body = read(&encode(&[family("h", HISTOGRAM, metrics.clone())])).unwrap();
    assert_eq!(body.duplicates_dropped(), 0);
    assert_eq!(decode(&written(&body))[0].metric.len(), 2);
}

#[test]
fn a_pods_own_up_is_dropped_unless_it_has_labels_of_its_own() {
    let metrics = vec![
        gauge(&[], 1.0),
        gauge(&[("a", "")], 1.0),
        gauge(&[("a", "1")], 1.0),
    ];
    let body = read(&encode(&[family("up", GAUGE, metrics)])).unwrap();
    assert_eq!((body.samples(), body.duplicates_dropped()), (3, 2));
    assert_eq!(decode(&written(&body))[0].metric.len(), 1);
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let quantile = Quantile {
        quantile: Some(0.5),
        value: Some(1.0),
    };
    let summary = |quantile| Metric {
        summary: Some(Summary {
            sample_count: Some(1),
            quantile,
            ..Summary::default()
        }),
        ..Metric::default()
    };
    samples(2, &encode(&[family("s", SUMMARY, vec![summary(vec![])])]));
    samples(
        4,
        &encode(&[family(
            "s",
            SUMMARY,
            vec![summary(vec![quantile.clone(), quantile])],
        )]),
    );
    let one = |metric| encode(&[family("h", HISTOGRAM, vec![histogram(&[], metric)])]);
    samples(5, &one(classic(&[1.0, 2.0], 1)));
    samples(4, &one(classic(&[1.0, f64::INFINITY], 1)));
    samples(4, &one(classic(&[1.0, f64::INFINITY, 3.0], 1)));
    samples(1, &one(native()));
    samples(
        1,
        &one(Histogram {
            bucket: classic(&[1.0], 3).bucket,
            ..native()
        }),
    );
}

#[test]
fn what_prometheus_takes_is_taken() {
    samples(0, b"");
    // Without metrics a family is skipped before anything of it is checked.
    samples(0, b"\0");
    samples(0, b"\x02\x18\x4d");
    samples(1, &around(GAUGE_OF_ONE));
    // A message that is missing counts as one with a value of 0.
    samples(1, &around(b""));
    // Varints with needless bytes, in a timestamp and in the length of the family, which has five at most.
    let stamped = around(b"\x30\x81\x80\x00");
    let length = stamped[0];
    samples(
        1,
        &[&[length | 0x80, 0x80, 0x80, 0x80, 0], &stamped[1..]].concat(),
    );
    // Fields that nobody knows, a group among them.
    samples(1, &around(b"\x78\x01\x7b\x08\x01\x13\x14\x7c\x7d\0\0\0\0"));
    // The type by its low 32 bits: 2^32 + 1 is a gauge.
    samples(1, b"\x0b\x0a\x01g\x18\x81\x80\x80\x80\x10\x22\0");
    // Packed and not packed, in one histogram.
    let mut native = encode(&[family("h", HISTOGRAM, vec![histogram(&[], native())])]);
    samples(1, &native);
    native.extend_from_slice(&encode(&[family(
        "h",
        GAUGE_HISTOGRAM,
        vec![histogram(&[], classic(&[1.0], 1))],
    )]));
    samples(5, &native);
}

/// Prometheus takes the same family several times, so the order of the fields and of families says nothing.
#[test]
fn fields_may_come_in_any_order() {
    let metric = Metric {
        counter: Some(Counter {
            value: Some(1.0),
            ..Counter::default()
        }),
        ..Metric::default()
    };
    let body = b"\x11\x22\x0b\x1a\x09\x09\0\0\0\0\0\0\xf0\x3f\x18\0\x0a\x01c".map(|byte| byte);
    let mut body = body.to_vec();
    body[0] = u8::try_from(body.len() - 1).unwrap();
    let read = decode(&written(&read(&body).unwrap()));
    let expected = Metric {
        label: labels(&super::TARGET),
        ..metric
    };
    assert_eq!(read, [family("c", COUNTER, vec![expected])]);
}
