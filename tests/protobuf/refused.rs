//! Bodies in protobuf that are refused: the reason, and the samples that are counted. README: "What is stored".

use super::rules::{around, refused, samples};
use super::{
    COUNTER, GAUGE, HISTOGRAM, SUMMARY, classic, encode, family, gauge, histogram, labels, native,
    read, spliced,
};
use crate::support::client_model::{Histogram, Metric, MetricFamily, Summary};

/// Prometheus 3.5.3 counted these samples for `scrape_samples_scraped` before it refused them.
#[test]
fn what_is_refused_when_it_is_stored_is_counted() {
    let ok = || family("ok", GAUGE, vec![gauge(&[], 1.0)]);
    let bad_native = Histogram {
        positive_delta: vec![1],
        ..native()
    };
    let classic = || histogram(&[("le", "1")], classic(&[], 0));
    let quantile = Metric {
        label: labels(&[("quantile", "1")]),
        summary: Some(Summary::default()),
        ..Metric::default()
    };
    for (metric_type, metrics, samples) in [
        (GAUGE, vec![gauge(&[("a", "1"), ("a", "2")], 1.0)], 1),
        (GAUGE, vec![gauge(&[("__name__", "x")], 1.0)], 1),
        (HISTOGRAM, vec![classic()], 3),
        (SUMMARY, vec![quantile], 2),
        (HISTOGRAM, vec![histogram(&[], bad_native)], 1),
        (HISTOGRAM, vec![histogram(&[], native()), classic()], 2),
    ] {
        let error = read(&encode(&[ok(), family("x", metric_type, metrics)])).unwrap_err();
        assert_eq!(error.samples_before, 1 + samples, "{error}");
    }
}

/// With each name compared with each other one, these bodies would keep the test for hours.
#[test]
fn a_metric_with_very_many_labels_takes_no_longer_than_many_metrics() {
    let mut names: Vec<String> = (0..300_000).map(|n| format!("l{n}")).collect();
    let body = |names: &[String]| {
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        encode(&[family("a", GAUGE, vec![gauge(&pairs, 1.0)])])
    };
    assert_eq!(read(&body(&names)).unwrap().samples(), 1);
    names.push("l64".to_owned());
    let error = read(&body(&names)).unwrap_err().to_string();
    let expected = "every label name once, found \"l64\"";
    assert!(error.contains(expected), "{error}");
}

/// With the first metric, or the name of its family, read again for each duplicate, these bodies would keep the test
/// for hours.
#[test]
fn many_duplicates_of_one_long_metric_take_no_longer_than_other_metrics() {
    let names: Vec<String> = (0..300_000).map(|n| format!("l{n}")).collect();
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let mut metrics = vec![gauge(&[], 1.0); 300_000];
    metrics[0] = gauge(&empty, 1.0);
    let body = read(&encode(&[family("a", GAUGE, metrics)])).unwrap();
    assert_eq!(
        (body.samples(), body.duplicates_dropped()),
        (300_000, 299_999)
    );
    let numbers: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let metrics = numbers.iter().map(|number| gauge(&[("n", number)], 1.0));
    let long = family(&"a".repeat(10_000_000), GAUGE, metrics.collect());
    let body = read(&encode(&[long.clone(), long])).unwrap();
    assert_eq!(
        (body.samples(), body.duplicates_dropped()),
        (200_000, 100_000)
    );
}

/// The names of each metric are compared with those of the last one.
#[test]
fn labels_are_checked_where_the_last_metric_had_nearly_the_same() {
    let first = || family("g", GAUGE, vec![gauge(&[("a", "1"), ("le", "2")], 1.0)]);
    let second_is_refused = |metric_type, metric, expected: &str| {
        let body = encode(&[first(), family("x", metric_type, vec![metric])]);
        let expected = format!("metric family 2 \"x\", metric 1: expected {expected}");
        refused(&body, &expected);
    };
    let unique = "every label name once, found \"a\"";
    second_is_refused(GAUGE, gauge(&[("a", "1"), ("a", "2")], 1.0), unique);
    let unique = "every label name once, found \"le\"";
    let names = [("a", "1"), ("le", "2"), ("le", "3")];
    second_is_refused(GAUGE, gauge(&names, 1.0), unique);
    let reserved = "no label that Prometheus adds itself, found \"le\"";
    let names = [("a", "1"), ("le", "2")];
    second_is_refused(HISTOGRAM, histogram(&names, classic(&[], 0)), reserved);
    let clashing = [("a", "1"), ("job", "2")];
    let families = spliced(&[first(), family("x", GAUGE, vec![gauge(&clashing, 1.0)])]);
    let expected = ["a", "exported_job", "instance", "job"];
    let names = families[1].metric[0].label.iter();
    assert_eq!(names.map(|pair| pair.name()).collect::<Vec<_>>(), expected);
    // Fewer labels, and then as many as before.
    let fewer = vec![
        gauge(&[("a", "1")], 1.0),
        gauge(&[("a", "1"), ("le", "2")], 1.0),
    ];
    let families = spliced(&[first(), family("x", GAUGE, fewer.clone())]);
    for (metric, before) in families[1].metric.iter().zip(&fewer) {
        assert_eq!(metric.label.len(), before.label.len() + 2);
        assert_eq!(metric.label[..before.label.len()], before.label);
    }
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
