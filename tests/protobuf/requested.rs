//! What a request limits in bodies of protobuf: escaping of names, families by `name[]`, and `MAX_SAMPLES`.
//! README: "Formats", "Settings"; k8s/prometheus/README.md: "Some families of a job".

use super::serving::{
    LEGACY_NAMES, PROTOBUF_FIRST, counter, families, labelled, program, protobuf_pod, scrape,
    with_labels,
};
use super::{COUNTER, GAUGE, HISTOGRAM, family, gauge, histogram, native};
use crate::support::check_contains;
use crate::support::client_model::MetricFamily;
use crate::support::program::{Program, pod_at};

/// The pod ignores the escaping that it is asked for.
#[test]
fn names_are_escaped_for_a_scraper_that_cannot_read_them() {
    let help = MetricFamily {
        help: Some("All.".to_owned()),
        unit: Some("by.tes".to_owned()),
        ..family(
            "http.sent_by.tes",
            COUNTER,
            vec![
                counter(&[("net.host", "a"), ("job", "own")], 1.0),
                counter(&[("plain", "b")], 2.0),
            ],
        )
    };
    let pod = protobuf_pod(&[
        help.clone(),
        family("legacy", COUNTER, vec![counter(&[("a.b", "c")], 3.0)]),
    ]);
    let program = program(&[("a", &pod)]);
    let labelled =
        |own: &[(&str, &str)], value| with_labels(counter(&[], value), &labelled(own, "a", &pod));
    let (own, _) = families(&scrape(&program, PROTOBUF_FIRST).body, &["a"]);
    let as_it_is = MetricFamily {
        metric: vec![
            labelled(&[("net.host", "a"), ("exported_job", "own")], 1.0),
            labelled(&[("plain", "b")], 2.0),
        ],
        ..help.clone()
    };
    let legacy = family("legacy", COUNTER, vec![labelled(&[("a.b", "c")], 3.0)]);
    assert_eq!(own, [as_it_is, legacy]);
    let (own, reported) = families(&scrape(&program, LEGACY_NAMES).body, &["a"]);
    assert_eq!(reported, [(1.0, 3.0)]);
    let escaped = MetricFamily {
        name: Some("http_sent_by_tes".to_owned()),
        unit: None,
        metric: vec![
            labelled(&[("net_host", "a"), ("exported_job", "own")], 1.0),
            labelled(&[("plain", "b")], 2.0),
        ],
        ..help
    };
    let legacy = family("legacy", COUNTER, vec![labelled(&[("a_b", "c")], 3.0)]);
    assert_eq!(own, [escaped, legacy]);
}

/// Of pods that do not know `name[]`. A counter is found with and without `_total`, a name as it is and escaped; what
/// is left out must be valid too, but does not count.
#[test]
fn only_the_requested_families_are_sent() {
    let one = |value| vec![counter(&[], value)];
    let families_of_pod = [
        family("a_total", COUNTER, one(1.0)),
        family("b_total", GAUGE, vec![gauge(&[], 2.0)]),
        family("c.d", COUNTER, one(3.0)),
        family("h", HISTOGRAM, vec![histogram(&[], native())]),
        family("up", GAUGE, vec![gauge(&[], 1.0)]),
    ];
    let pod = protobuf_pod(&families_of_pod);
    let mut invalid = families_of_pod.clone();
    invalid[1].r#type = Some(9);
    let invalid = protobuf_pod(&invalid);
    let program = program(&[("a", &pod), ("b", &invalid)]);
    for (query, accept, expected) in [
        ("name[]=a&name[]=b", PROTOBUF_FIRST, vec!["a_total"]),
        (
            "name[]=a_total&name[]=b_total",
            PROTOBUF_FIRST,
            vec!["a_total", "b_total"],
        ),
        ("name[]=c.d&name[]=h", LEGACY_NAMES, vec!["c_d", "h"]),
        ("name[]=c.d&name[]=h_count", PROTOBUF_FIRST, vec!["c.d"]),
    ] {
        let url = format!("/metrics?job=web&{query}");
        let response = program.get_with(&url, &[("Accept", accept)]);
        let (own, reported) = families(&response.body, &["a", "b"]);
        let names = own.iter().map(|family| family.name.as_deref().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), expected, "{query}");
        let samples = u32::try_from(expected.len()).unwrap();
        assert_eq!(reported[0], (1.0, f64::from(samples)), "{query}");
        assert_eq!(reported[1].0, 0.0, "{query}");
    }
}

/// A native histogram counts once, a classic one for each of its series, and what is dropped not at all.
#[test]
fn a_body_with_too_many_samples_fails_its_pod() {
    let series = |value: &str| counter(&[("a", value)], 1.0);
    let histograms = family("b", HISTOGRAM, vec![histogram(&[], native()); 2]);
    let counters = |values: &[&str]| {
        let metrics = values.iter().map(|value| series(value)).collect();
        family("a_total", COUNTER, metrics)
    };
    let at = protobuf_pod(&[counters(&["1", "1"]), histograms.clone()]);
    let over = protobuf_pod(&[counters(&["1", "2", "3", "3"]), histograms]);
    let pods = [
        pod_at("shop", "at", "web", at.address),
        pod_at("shop", "over", "web", over.address),
    ];
    let program = Program::scraping(&pods, &[("MAX_SAMPLES", "3")]);
    let response = scrape(&program, PROTOBUF_FIRST);
    let (own, reports) = families(&response.body, &["at", "over"]);
    assert_eq!(reports, [(1.0, 4.0), (0.0, 6.0)], "{own:?}");
    let names: Vec<_> = own.iter().map(|family| family.name.as_deref()).collect();
    assert_eq!(names, [Some("a_total"), Some("b")]);
    let reason =
        "body: 6 samples, over the limit of 3; raise MAX_SAMPLES, or have the pod serve fewer";
    check_contains(program.get("/").text(), reason);
    // Only what is asked for counts.
    let url = "/metrics?job=web&name[]=b";
    let response = program.get_with(url, &[("Accept", PROTOBUF_FIRST)]);
    let (_, reports) = families(&response.body, &["at", "over"]);
    assert_eq!(reports, [(1.0, 2.0); 2]);
}

#[test]
fn labels_that_become_one_by_escaping_fail_their_pod() {
    let twice = protobuf_pod(&[family(
        "a",
        COUNTER,
        vec![counter(&[("b.c", "1"), ("b_c", "2")], 1.0)],
    )]);
    let reserved = protobuf_pod(&[family(
        "a",
        COUNTER,
        vec![counter(&[("..name..", "b")], 1.0)],
    )]);
    let program = program(&[("a", &twice), ("b", &reserved)]);
    let (_, reported) = families(&scrape(&program, PROTOBUF_FIRST).body, &["a", "b"]);
    assert_eq!(reported, [(1.0, 1.0), (1.0, 1.0)]);
    let response = scrape(&program, LEGACY_NAMES);
    // No body: text, which says `*/*`.
    assert_eq!(
        (response.up("a"), response.up("b")),
        (Some(false), Some(false))
    );
}
