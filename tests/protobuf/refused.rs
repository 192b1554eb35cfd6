//! What is counted of bodies that are refused, and how long bodies of many labels take.

use super::rules::{classic, gauge, histogram, native};
use super::{GAUGE, HISTOGRAM, SUMMARY, encode, family, labels, read};
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
