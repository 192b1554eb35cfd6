//! One body for each rule. What Prometheus 3.5.3 says of these bodies was seen by having it scrape them, unless the
//! rule is that of a later version.

use super::{
    COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, SUMMARY, UNTYPED, decode, encode, family, labels,
    read, spliced, written,
};
use crate::support::client_model::{
    Bucket, BucketSpan, Counter, Gauge, Histogram, Metric, MetricFamily, Quantile, Summary,
};

pub(super) fn gauge(pairs: &[(&str, &str)], value: f64) -> Metric {
    Metric {
        label: labels(pairs),
        gauge: Some(Gauge { value: Some(value) }),
        ..Metric::default()
    }
}

pub(super) fn histogram(pairs: &[(&str, &str)], histogram: Histogram) -> Metric {
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
pub(super) fn native() -> Histogram {
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

pub(super) fn classic(bounds: &[f64], count: u64) -> Histogram {
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

/// The bytes of one gauge family around the bytes of one Metric.
fn around(metric: &[u8]) -> Vec<u8> {
    let mut message = b"\x0a\x01g\x18\x01\x22".to_vec();
    message.push(u8::try_from(metric.len()).unwrap());
    message.extend_from_slice(metric);
    let mut body = vec![u8::try_from(message.len()).unwrap()];
    body.extend_from_slice(&message);
    body
}

const GAUGE_OF_ONE: &[u8] = b"\x12\x09\x09\0\0\0\0\0\0\xf0\x3f";

#[track_caller]
fn samples(expected: u64, body: &[u8]) {
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

#[track_caller]
fn refused_histogram(metric: Histogram, expected: &str) {
    let body = encode(&[family("h", HISTOGRAM, vec![histogram(&[], metric)])]);
    refused(
        &body,
        &format!("metric family 1 \"h\", metric 1: expected {expected}"),
    );
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

#[test]
fn native_histograms_that_prometheus_stores_are_taken() {
    let taken = |metric| {
        let family = family("h", HISTOGRAM, vec![histogram(&[], metric)]);
        assert_eq!(
            spliced(std::slice::from_ref(&family))[0].metric[0].histogram,
            family.metric[0].histogram
        );
    };
    taken(native());
    taken(Histogram {
        schema: Some(-4),
        ..native()
    });
    taken(Histogram {
        schema: Some(8),
        ..native()
    });
    // An empty span says that it is native although nothing was observed.
    taken(Histogram {
        positive_span: vec![span(0, 0)],
        ..Histogram::default()
    });
    // Observations of NaN are counted, but in no bucket.
    taken(Histogram {
        sample_sum: Some(f64::INFINITY),
        ..native()
    });
    // Float histograms: the count is not compared.
    taken(Histogram {
        sample_count_float: Some(99.5),
        negative_span: vec![span(-2, 1)],
        negative_count: vec![0.5],
        positive_delta: vec![],
        positive_count: vec![1.0, 2.0, 0.0],
        ..native()
    });
    // An empty classic one behind a native one: Prometheus 3.5.3 counts and stores it as a native one.
    let metrics = vec![
        histogram(&[], native()),
        histogram(&[("a", "1")], Histogram::default()),
    ];
    samples(2, &encode(&[family("h", HISTOGRAM, metrics)]));
}

#[test]
fn the_count_may_exceed_the_buckets_where_nan_was_observed() {
    let nan = |count| Histogram {
        sample_count: Some(count),
        sample_sum: Some(f64::NAN),
        ..native()
    };
    samples(
        1,
        &encode(&[family("h", HISTOGRAM, vec![histogram(&[], nan(4))])]),
    );
    refused_histogram(
        nan(2),
        "a count that is that of the buckets, found a count of 2 and 3 in the buckets",
    );
}

/// One of these costs Prometheus the whole scrape, and the first of them ends the process of Prometheus 3.5.
#[test]
fn native_histograms_whose_spans_do_not_fit_are_refused() {
    refused_histogram(
        Histogram {
            positive_delta: vec![1, 0, 0, 0],
            ..native()
        },
        "spans with as many buckets as counts, found spans of 3 buckets and 4 counts",
    );
    refused_histogram(
        Histogram {
            positive_delta: vec![1, 0],
            ..native()
        },
        "spans with as many buckets as counts, found spans of 3 buckets and 2 counts",
    );
    refused_histogram(
        Histogram {
            negative_span: vec![span(0, 1)],
            ..native()
        },
        "spans with as many buckets as counts, found spans of 1 buckets and 0 counts",
    );
    refused_histogram(
        Histogram {
            positive_span: vec![span(0, 2), span(-1, 1)],
            ..native()
        },
        "no negative offset of a later span, found -1",
    );
}

#[test]
fn native_histograms_whose_counts_do_not_fit_are_refused() {
    refused_histogram(
        Histogram {
            positive_delta: vec![1, -2, 4],
            ..native()
        },
        "no negative count of a bucket, found -1",
    );
    refused_histogram(
        Histogram {
            sample_count: Some(4),
            ..native()
        },
        "a count that is that of the buckets, found a count of 4 and 3 in the buckets",
    );
    refused_histogram(
        Histogram {
            schema: Some(-53),
            ..native()
        },
        "a schema from -4 to 8, found -53",
    );
    refused_histogram(
        Histogram {
            schema: Some(9),
            ..native()
        },
        "a schema from -4 to 8, found 9",
    );
    refused_histogram(
        Histogram {
            sample_count_float: Some(2.0),
            positive_delta: vec![],
            positive_count: vec![1.0, -1.0, 0.0],
            ..native()
        },
        "no negative count of a bucket, found -1",
    );
}

#[test]
fn native_and_classic_histograms_in_one_family_are_refused() {
    let (native, classic) = (
        histogram(&[], native()),
        histogram(&[("a", "1")], classic(&[1.0], 2)),
    );
    let expected = "metric family 1 \"h\", metric 2: expected only native or only classic histograms in one \
        family, found a";
    refused(
        &encode(&[family(
            "h",
            HISTOGRAM,
            vec![native.clone(), classic.clone()],
        )]),
        &format!("{expected} classic one"),
    );
    refused(
        &encode(&[family("h", HISTOGRAM, vec![classic, native])]),
        &format!("{expected} native one"),
    );
}

#[test]
fn labels_that_prometheus_refuses_are_refused() {
    let one = |metric_type, metric| encode(&[family("m", metric_type, vec![metric])]);
    let at = "metric family 1 \"m\", metric 1: expected";
    refused(
        &one(GAUGE, gauge(&[("a", "1"), ("a", "1")], 1.0)),
        &format!("{at} every label name once, found \"a\""),
    );
    refused(
        &one(GAUGE, gauge(&[("__name__", "x")], 1.0)),
        &format!("{at} no label that Prometheus adds itself, found \"__name__\""),
    );
    refused(
        &one(HISTOGRAM, histogram(&[("le", "1")], classic(&[1.0], 1))),
        &format!("{at} no label that Prometheus adds itself, found \"le\""),
    );
    let summary = Metric {
        label: labels(&[("quantile", "1")]),
        ..Metric::default()
    };
    refused(
        &one(SUMMARY, summary),
        &format!("{at} no label that Prometheus adds itself, found \"quantile\""),
    );
    samples(
        1,
        &one(GAUGE, gauge(&[("le", "1"), ("quantile", "1")], 1.0)),
    );
    let expected = "metric family 1 \"g\", metric 1: expected a label name in UTF-8, found \"\"";
    refused(&around(b"\x0a\x03\x12\x01v"), expected);
    refused(&around(b"\x0a\x05\x0a\0\x12\x01v"), expected);
    refused(
        &around(b"\x0a\x06\x0a\x01\xff\x12\x01v"),
        "metric family 1 \"g\", metric 1: expected a label name in UTF-8, found \"\\xff\"",
    );
    refused(
        &around(b"\x0a\x06\x0a\x01n\x12\x01\xff"),
        "metric family 1 \"g\", metric 1: expected a label value in UTF-8, found \"\\xff\"",
    );
}

#[test]
fn families_that_prometheus_refuses_are_refused() {
    refused(
        b"\x02\x22\0",
        "metric family 1: expected a metric name in UTF-8, found \"\"",
    );
    refused(
        b"\x05\x0a\x01\xff\x22\0",
        "metric family 1 \"\\xff\": expected a metric name in UTF-8, found \"\\xff\"",
    );
    refused(
        b"\x08\x0a\x01m\x12\x01\xff\x22\0",
        "metric family 1 \"m\": expected a help text in UTF-8, found \"\\xff\"",
    );
    refused(
        b"\x07\x0a\x01m\x18\x06\x22\0",
        "metric family 1 \"m\": expected a type from 0 to 5, found 6",
    );
    let with_unit = |name, metric_type, unit: &str| {
        encode(&[MetricFamily {
            unit: Some(unit.to_owned()),
            ..family(name, metric_type, vec![Metric::default()])
        }])
    };
    samples(1, &with_unit("m_seconds", GAUGE, "seconds"));
    samples(1, &with_unit("m_seconds_total", COUNTER, "seconds"));
    refused(
        &with_unit("m_bytes", GAUGE, "seconds"),
        "metric family 1 \"m_bytes\": expected a unit that the metric name ends with, found \"seconds\"",
    );
    refused(
        &with_unit("seconds", GAUGE, "seconds"),
        "metric family 1 \"seconds\": expected a unit that the metric name ends with, found \"seconds\"",
    );
}

#[test]
fn a_double_in_place_of_an_integer_is_refused() {
    let double = b"\x09\0\0\0\0\0\0\xf0\x3f";
    // In a summary, and in the timestamp of a counter.
    for before in [&b"\x22\x09"[..], b"\x1a\x0b\x1a\x09"] {
        refused(
            &around(&[before, double].concat()),
            "metric family 1 \"g\", metric 1: expected a protobuf message, found \
             a wire type that the field cannot have",
        );
    }
}

#[test]
fn bytes_that_are_no_messages_are_refused() {
    let no_message = "expected a protobuf message, found";
    let truncated = "the end of the bytes within a field";
    refused(
        b"\x05\x0a",
        &format!("metric family 1: {no_message} {truncated}"),
    );
    refused(
        b"\x80",
        &format!("metric family 1: {no_message} {truncated}"),
    );
    refused(
        b"\x80\x80\x80\x80\x80\0",
        "metric family 1: expected a protobuf message, found a length of a metric family of more than five bytes",
    );
    let in_metric = format!("metric family 1 \"g\", metric 1: {no_message}");
    refused(&around(b"\x12\x05"), &format!("{in_metric} {truncated}"));
    refused(
        &around(b"\x12\x05\x09\0\0\0\0"),
        &format!("{in_metric} {truncated}"),
    );
    // In a field that the type does not use: a histogram with a bad count, a bad exemplar of a bucket, bad counts of
    // native buckets, a bad created timestamp, a bad exemplar.
    for histogram in [
        &b"\x3a\x02\x08\x80"[..],
        b"\x3a\x06\x1a\x04\x1a\x02\x0a\x05",
        b"\x3a\x03\x6a\x01\x80",
        b"\x3a\x04\x72\x02\0\0",
        b"\x3a\x03\x7a\x01\x08",
        b"\x3a\x05\x82\x01\x02\x0a\x05",
    ] {
        refused(&around(histogram), &format!("{in_metric} {truncated}"));
    }
    refused(
        &around(b"\x12\x02\x08\x01"),
        &format!("{in_metric} a wire type that the field cannot have"),
    );
    refused(
        &around(b"\x0c"),
        &format!("{in_metric} the end of a group that never began"),
    );
    refused(
        &around(b"\0\0"),
        &format!("{in_metric} a field number that is not positive"),
    );
    refused(
        &around(b"\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0"),
        &format!("{in_metric} a varint of more than ten bytes"),
    );
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
