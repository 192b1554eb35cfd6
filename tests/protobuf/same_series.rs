//! Bodies with the series of one before them in the same request: read quickly, with the same result.

use super::generated::any_family;
use super::{
    COUNTER, GAUGE, HISTOGRAM, UNTYPED, classic, encode, family, gauge, histogram, labels, native,
    target, written_for,
};
use crate::support::client_model::{Counter, Exemplar, Gauge, Histogram, Metric, MetricFamily};
use kubernetes_metrics_aggregator::exposition::protobuf::ProtobufBody;
use kubernetes_metrics_aggregator::exposition::{Accept, Asked, Body, IdentityLabels, SeriesCache};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const PROTOBUF: &str = "application/vnd.google.protobuf;\
    proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=underscores";

fn cache() -> SeriesCache {
    let accept = Accept::parse(PROTOBUF);
    let asked = Asked {
        accept,
        ..Asked::default()
    };
    SeriesCache::new(asked, 1000, 1)
}

fn known(
    cache: &SeriesCache,
    body: &[u8],
    target: &IdentityLabels,
) -> Option<Result<Body, String>> {
    let known = Body::known_protobuf(body, target, cache)?;
    Some(known.map_err(|error| error.to_string()))
}

fn read(cache: &SeriesCache, body: &[u8]) -> Result<ProtobufBody, String> {
    let target = target();
    let read = known(cache, body, &target).unwrap_or_else(|| {
        let read = Body::protobuf(body.to_vec(), &target, cache);
        read.map_err(|error| error.to_string())
    });
    match read? {
        Body::Protobuf(body) => Ok(body),
        Body::Lines(_) => panic!("not protobuf"),
    }
}

fn counter(value: f64, exemplar: Option<f64>) -> Metric {
    let exemplar = exemplar.map(|value| Exemplar {
        label: labels(&[("trace_id", "1")]),
        value: Some(value),
        ..Exemplar::default()
    });
    Metric {
        label: labels(&[("a", "1"), ("b", "\u{e4}")]),
        counter: Some(Counter {
            value: Some(value),
            exemplar,
            ..Counter::default()
        }),
        ..Metric::default()
    }
}

/// Each kind of metric, with values that depend on the number.
fn families(n: u8) -> Vec<MetricFamily> {
    let number = f64::from(n);
    let untyped = Metric {
        untyped: Some(Gauge {
            value: Some(number),
        }),
        ..Metric::default()
    };
    let long = "x".repeat(300);
    let integer = Histogram {
        positive_delta: vec![1 + i64::from(n), -i64::from(n), 0],
        sample_count: Some(3 + u64::from(n)),
        ..native()
    };
    vec![
        family(
            "c",
            COUNTER,
            vec![counter(number, n.is_multiple_of(2).then_some(number))],
        ),
        MetricFamily {
            unit: Some("bytes".to_owned()),
            help: Some("How many.".to_owned()),
            ..family(
                "g_bytes",
                GAUGE,
                vec![gauge(&[], number), gauge(&[("a", &long)], number)],
            )
        },
        family("u", UNTYPED, vec![untyped]),
        family(
            "h",
            HISTOGRAM,
            vec![histogram(&[], classic(&[1.0, 2.0], u64::from(n) * 100))],
        ),
        family("n", HISTOGRAM, vec![histogram(&[("a", "1")], integer)]),
    ]
}

#[test]
fn a_body_with_the_same_series_is_recognized_and_written_with_its_own_values() {
    let cache = cache();
    read(&cache, &encode(&families(0))).unwrap();
    let other = [("instance", "pod-b"), ("job", "a longer name")];
    for (n, target) in [
        (1, target()),
        (2, IdentityLabels::new(other)),
        (3, target()),
    ] {
        let body = encode(&families(n));
        let Some(Ok(Body::Protobuf(same))) = known(&cache, &body, &target) else {
            panic!("not recognized: {n}");
        };
        let alone = ProtobufBody::read(body, &target, &Asked::default()).unwrap();
        assert_eq!(written_for(&target, &same), written_for(&target, &alone));
        assert_eq!(
            (same.samples(), same.duplicates_dropped()),
            (alone.samples(), 0)
        );
    }
}

#[test]
fn a_body_with_other_series_is_read_as_a_whole() {
    let cache = cache();
    read(&cache, &encode(&families(0))).unwrap();
    type Change = fn(&mut Vec<MetricFamily>);
    let changes: [Change; 11] = [
        |families| families[0].metric[0].label[0].value = Some("2".to_owned()),
        |families| families[0].metric[0].label[0].name = Some("z".to_owned()),
        |families| families[0].metric[0].label.truncate(1),
        |families| families[1].metric[0].label = labels(&[("a", "1")]),
        |families| families[1].metric.truncate(1),
        |families| families[1].metric.push(gauge(&[("b", "1")], 1.0)),
        |families| families[1].help = None,
        |families| families[1].unit = None,
        |families| families.truncate(4),
        |families| families.push(family("x", GAUGE, vec![gauge(&[], 1.0)])),
        // It has to be written with a 0.
        |families| families[2].metric[0].untyped = None,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut families = families(1);
        change(&mut families);
        let body = encode(&families);
        assert!(known(&cache, &body, &target()).is_none(), "change {n}");
        let alone = super::read(&body).unwrap();
        let read = read(&self::cache(), &body).unwrap();
        assert_eq!(
            written_for(&target(), &read),
            written_for(&target(), &alone)
        );
    }
}

/// The label of the pod clashes with one of the second target, not with one of the first.
#[test]
fn a_target_with_labels_of_other_names_is_read_as_a_whole() {
    let cache = cache();
    let body = encode(&families(0));
    read(&cache, &body).unwrap();
    let target = IdentityLabels::new([("instance", "pod-b"), ("a", "x")]);
    assert!(known(&cache, &body, &target).is_none());
}

/// What makes a body differ from others with the same series: parts that are dropped or rewritten, and timestamps.
#[test]
fn bodies_that_are_not_written_as_they_are_serve_no_other() {
    let stamped = Metric {
        timestamp_ms: Some(1),
        ..gauge(&[], 1.0)
    };
    for metrics in [
        vec![gauge(&[], 1.0), gauge(&[], 2.0)],
        vec![gauge(&[("job", "mine")], 1.0)],
        vec![gauge(&[("http.route", "/")], 1.0)],
        vec![stamped],
    ] {
        let cache = cache();
        let body = encode(&[family("g", GAUGE, metrics)]);
        read(&cache, &body).unwrap();
        assert!(known(&cache, &body, &target()).is_none());
    }
}

#[test]
fn a_fault_in_a_body_with_the_same_series_is_found() {
    let cache = cache();
    read(&cache, &encode(&families(0))).unwrap();
    let mut families = families(1);
    families[4].metric[0]
        .histogram
        .as_mut()
        .unwrap()
        .sample_count = Some(9);
    let body = encode(&families);
    let error = read(&cache, &body).unwrap_err();
    assert_eq!(error, super::read(&body).unwrap_err().to_string());
    assert!(error.contains("family 5 \"n\", metric 1"), "{error}");
}

#[test]
fn the_limit_of_samples_holds_for_them_too() {
    let metrics = (0..1000).map(|n| gauge(&[("a", &n.to_string())], 1.0));
    let mut families = vec![family("g", GAUGE, metrics.collect())];
    let cache = cache();
    let summary = Metric {
        histogram: Some(native()),
        ..Metric::default()
    };
    read(&cache, &encode(&families)).unwrap();
    assert!(matches!(
        known(&cache, &encode(&families), &target()),
        Some(Ok(_))
    ));
    families.push(family("n", HISTOGRAM, vec![summary]));
    let error = read(&cache, &encode(&families)).unwrap_err();
    assert!(error.contains("1001 samples"), "{error}");
    let error = read(&cache, &encode(&families)).unwrap_err();
    assert!(error.contains("1001 samples"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes are changed at random: most are values, others make the series differ or the body malformed.
    #[test]
    fn reading_with_known_bodies_is_reading_alone(
        families in vec(any_family(), 1..4),
        bodies in vec(vec((any::<Index>(), any::<u8>()), 0..4), 1..6),
    ) {
        let cache = cache();
        let body = encode(&families);
        for changes in bodies {
            let mut body = body.clone();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let found = read(&cache, &body);
            let asked = cache.asked();
            let alone = ProtobufBody::read(body, &target(), asked).map_err(|error| error.to_string());
            let result = |read: Result<ProtobufBody, String>| {
                read.map(|read| (written_for(&target(), &read), read.samples(), read.duplicates_dropped()))
            };
            prop_assert_eq!(result(found), result(alone));
        }
    }
}
