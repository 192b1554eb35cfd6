//! What is counted of bodies that are refused, labels that are nearly those of the metric before, and how long bodies
//! of many labels take.

use super::rules::{classic, gauge, histogram, native, refused};
use super::{GAUGE, HISTOGRAM, SUMMARY, encode, family, labels, read, spliced};
use crate::support::client_model::{Histogram, Metric, Summary};

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
