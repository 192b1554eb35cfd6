//! Bodies in protobuf on their way through the program: from pods to scrapers.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::{COUNTER, GAUGE, HISTOGRAM, UNTYPED, decode, encode, family, labels};
use crate::support::client_model::{BucketSpan, Counter, Gauge, Histogram, Metric, MetricFamily};
use crate::support::fake_pod::{Behaviour, FakePod, ok, ok_as};
use crate::support::program::{HttpResponse, Program, TempFile, pod_at};

const PROTOBUF_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Prometheus 3 with native histograms, and legacy names.
const LEGACY_NAMES: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.4,*/*;q=0.1";
const PROTOBUF_FIRST: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.1";

fn counter(pairs: &[(&str, &str)], value: f64) -> Metric {
    Metric {
        label: labels(pairs),
        counter: Some(Counter {
            value: Some(value),
            ..Counter::default()
        }),
        ..Metric::default()
    }
}

fn native(pairs: &[(&str, &str)]) -> Metric {
    Metric {
        label: labels(pairs),
        histogram: Some(Histogram {
            sample_count: Some(3),
            sample_sum: Some(4.5),
            schema: Some(3),
            zero_threshold: Some(1e-128),
            positive_span: vec![BucketSpan {
                offset: Some(0),
                length: Some(2),
            }],
            positive_delta: vec![1, 1],
            ..Histogram::default()
        }),
        ..Metric::default()
    }
}

fn protobuf_pod(families: &[MetricFamily]) -> FakePod {
    FakePod::start(Behaviour::Raw(ok_as(PROTOBUF_TYPE, &encode(families))))
}

/// A program with these pods in the job `web`, in the order of their names.
fn program(pods: &[(&str, &FakePod)]) -> (TempFile, Program) {
    let pods = pods
        .iter()
        .map(|(name, pod)| pod_at("shop", name, "web", pod.address));
    let file = TempFile::pods(&pods.collect::<Vec<_>>());
    let program = Program::with_pods(&file, &[]);
    (file, program)
}

fn scrape(program: &Program, accept: &str) -> HttpResponse {
    let response = program.get_with("/metrics?job=web", &[("Accept", accept)]);
    assert_eq!(response.status, 200);
    response
}

/// The families of the pods, and for each pod what is reported of it: `up` and the number of samples.
fn families(body: &[u8], pods: &[&str]) -> (Vec<MetricFamily>, Vec<(f64, f64)>) {
    let mut families = decode(body);
    let own = families.split_off(3);
    let names = families.iter().map(|family| family.name.as_deref());
    let expected = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];
    assert!(names.eq(expected.map(Some)), "{families:?}");
    let reported = |family: &MetricFamily| -> Vec<f64> {
        assert_eq!(family.r#type, Some(UNTYPED));
        let instances = family.metric.iter();
        let instances = instances.map(|metric| metric.label[0].value.as_deref().unwrap());
        assert!(instances.eq(pods.iter().copied()));
        let values = family
            .metric
            .iter()
            .map(|metric| metric.untyped.as_ref().unwrap());
        values.map(|value| value.value.unwrap()).collect()
    };
    let (up, samples) = (reported(&families[0]), reported(&families[2]));
    (own, up.into_iter().zip(samples).collect())
}

/// The labels of a pod's metric, with those of its target.
fn labelled(own: &[(&str, &str)], pod: &str, fake: &FakePod) -> Vec<(String, String)> {
    let ip = fake.address.ip().to_string();
    let target = [
        ("instance", pod),
        ("job", "web"),
        ("pod_namespace", "shop"),
        ("pod_ip", &ip),
    ];
    let pairs = own.iter().copied().chain(target);
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn with_labels(metric: Metric, pairs: &[(String, String)]) -> Metric {
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    Metric {
        label: labels(&pairs),
        ..metric
    }
}

fn gauge(value: f64) -> Metric {
    Metric {
        gauge: Some(Gauge { value: Some(value) }),
        ..Metric::default()
    }
}

#[test]
fn families_of_all_pods_come_one_after_the_other_with_labels() {
    let requests = counter(&[("job", "own")], 1.0);
    let latency = native(&[("a", "b")]);
    let first = protobuf_pod(&[
        family("requests_total", COUNTER, vec![requests.clone()]),
        family("latency_seconds", HISTOGRAM, vec![latency.clone()]),
    ]);
    // Another type for the same name: Prometheus takes both.
    let second = protobuf_pod(&[family("requests_total", GAUGE, vec![gauge(7.0)])]);
    let (_file, program) = program(&[("a", &first), ("b", &second)]);
    let response = scrape(&program, PROTOBUF_FIRST);
    assert_eq!(response.header("content-type"), Some(PROTOBUF_TYPE));
    assert_eq!(response.header("vary"), Some("Accept, Accept-Encoding"));
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(length.as_str()));
    let (own, reported) = families(&response.body, &["a", "b"]);
    assert_eq!(reported, [(1.0, 2.0), (1.0, 1.0)]);
    let requests = with_labels(requests, &labelled(&[("exported_job", "own")], "a", &first));
    let latency = with_labels(latency, &labelled(&[("a", "b")], "a", &first));
    let other = with_labels(gauge(7.0), &labelled(&[], "b", &second));
    let expected = [
        family("requests_total", COUNTER, vec![requests]),
        family("latency_seconds", HISTOGRAM, vec![latency]),
        family("requests_total", GAUGE, vec![other]),
    ];
    assert_eq!(own, expected);
}

/// More than is put together at once.
fn large(pods: usize) -> Vec<FakePod> {
    let metrics = |pod: usize| {
        let values = 0..5000_u32;
        values
            .map(move |n| counter(&[("n", &format!("{pod}-{n}"))], f64::from(n)))
            .collect()
    };
    (0..pods)
        .map(|pod| protobuf_pod(&[family("a_total", COUNTER, metrics(pod))]))
        .collect()
}

#[test]
fn gzip_and_head_are_those_of_the_same_response() {
    let pods = large(3);
    let names = ["a", "b", "c"];
    let (_file, program) = program(&names.into_iter().zip(&pods).collect::<Vec<_>>());
    let plain = scrape(&program, PROTOBUF_FIRST);
    assert!(plain.body.len() > 1 << 20, "{}", plain.body.len());
    let (own, reported) = families(&plain.body, &names);
    assert_eq!(reported, [(1.0, 5000.0); 3]);
    let metrics: Vec<usize> = own.iter().map(|family| family.metric.len()).collect();
    assert_eq!(metrics, [5000; 3]);

    let headers = [("Accept", PROTOBUF_FIRST), ("Accept-Encoding", "gzip")];
    let gzipped = program.get_with("/metrics?job=web", &headers);
    assert_eq!(gzipped.header("content-encoding"), Some("gzip"));
    assert_eq!(gzipped.header("content-type"), Some(PROTOBUF_TYPE));
    let mut body = Vec::new();
    GzDecoder::new(&gzipped.body[..])
        .read_to_end(&mut body)
        .unwrap();
    assert_eq!(families(&body, &names), (own, reported));

    let head = program.request("HEAD", "/metrics?job=web", &headers[..1]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), Some(PROTOBUF_TYPE));
    assert_eq!(
        head.header("content-length"),
        plain.header("content-length")
    );
}

/// A pod that speaks all formats, one that knows OpenMetrics and text, and one that knows text only.
#[test]
fn pods_that_speak_other_formats_are_converted() {
    let text = "# TYPE a_total counter\na_total 5\n";
    let open_metrics = "# TYPE a counter\na_total 6 1700000000.5\n# EOF\n";
    let in_protobuf = encode(&[family("a_total", COUNTER, vec![counter(&[], 4.0)])]);
    let all = FakePod::start(Behaviour::Accept(vec![
        (
            "application/vnd.google.protobuf",
            ok_as(PROTOBUF_TYPE, &in_protobuf),
        ),
        (
            "application/openmetrics-text",
            ok_as(OPEN_METRICS_TYPE, b"# TYPE a counter\na_total 4\n# EOF\n"),
        ),
        ("text/plain", ok("# TYPE a_total counter\na_total 4\n")),
    ]));
    let lines = FakePod::start(Behaviour::Accept(vec![
        (
            "application/openmetrics-text",
            ok_as(OPEN_METRICS_TYPE, open_metrics.as_bytes()),
        ),
        ("text/plain", ok("# TYPE a_total counter\na_total 6\n")),
    ]));
    let old = FakePod::start(Behaviour::Body(text.to_owned()));
    let (_file, program) = program(&[("all", &all), ("lines", &lines), ("old", &old)]);
    let response = scrape(&program, PROTOBUF_FIRST);
    assert_eq!(response.header("content-type"), Some(PROTOBUF_TYPE));
    let (own, reported) = families(&response.body, &["all", "lines", "old"]);
    assert_eq!(reported, [(1.0, 1.0); 3]);
    let one = |value, pod, fake, timestamp_ms| {
        let metric = with_labels(counter(&[], value), &labelled(&[], pod, fake));
        family(
            "a_total",
            COUNTER,
            vec![Metric {
                timestamp_ms,
                ..metric
            }],
        )
    };
    let expected = [
        one(4.0, "all", &all, None),
        one(6.0, "lines", &lines, Some(1_700_000_000_500)),
        one(5.0, "old", &old, None),
    ];
    assert_eq!(own, expected);
    // Without protobuf in its Accept a scraper gets OpenMetrics, and one that knows only text gets that.
    let response = scrape(
        &program,
        "application/openmetrics-text;version=1.0.0,*/*;q=0.5",
    );
    assert_eq!(response.header("content-type"), Some(OPEN_METRICS_TYPE));
    let values = |response: &HttpResponse| -> Vec<String> {
        let lines = response
            .text()
            .lines()
            .filter(|line| line.starts_with("a_total{"));
        lines
            .map(|line| line.split("} ").nth(1).unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(&response), ["4", "6 1700000000.5", "5"]);
    let response = scrape(&program, "text/plain");
    assert_eq!(values(&response), ["4", "6", "5"]);
}

#[test]
fn an_invalid_body_fails_its_pod_only() {
    let good = protobuf_pod(&[family("a_total", COUNTER, vec![counter(&[], 1.0)])]);
    let mut with_more_buckets = native(&[]);
    with_more_buckets
        .histogram
        .as_mut()
        .unwrap()
        .positive_delta
        .push(0);
    let more_buckets = protobuf_pod(&[
        family("a_total", COUNTER, vec![counter(&[], 1.0)]),
        family("h", HISTOGRAM, vec![with_more_buckets]),
    ]);
    let body = encode(&[family("a_total", COUNTER, vec![counter(&[], 1.0)])]);
    let cut = FakePod::start(Behaviour::Raw(ok_as(
        PROTOBUF_TYPE,
        &body[..body.len() - 1],
    )));
    let text = FakePod::start(Behaviour::Raw(ok_as(
        &PROTOBUF_TYPE.replace("delimited", "text"),
        b"name: \"a\"",
    )));
    let pods = [
        ("buckets", &more_buckets),
        ("cut", &cut),
        ("good", &good),
        ("text", &text),
    ];
    let (_file, program) = program(&pods);
    let response = scrape(&program, PROTOBUF_FIRST);
    let (own, reported) = families(&response.body, &pods.map(|(name, _)| name));
    assert_eq!(reported, [(0.0, 2.0), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0)]);
    let expected = with_labels(counter(&[], 1.0), &labelled(&[], "good", &good));
    assert_eq!(own, [family("a_total", COUNTER, vec![expected])]);
    let page = program.get("/");
    for reason in [
        "parse: metric family 2 \"h\", metric 1: expected spans with as many buckets as counts",
        "parse: metric family 1: expected a protobuf message, found the end of the bytes within a field",
        "body: unknown messages or encoding in Content-Type \"application/vnd.google.protobuf;",
    ] {
        assert!(
            page.text().contains(reason),
            "no {reason:?} in:\n{}",
            page.text()
        );
    }
}

/// It cannot be converted, and a scraper that accepts `*/*` may not know it.
#[test]
fn protobuf_that_nobody_asked_for_fails_its_pod() {
    let deaf = protobuf_pod(&[family("a_total", COUNTER, vec![counter(&[], 1.0)])]);
    let text = FakePod::start(Behaviour::Body("a_total 1\n".to_owned()));
    let (_file, program) = program(&[("deaf", &deaf), ("text", &text)]);
    for accept in [
        "*/*",
        "application/openmetrics-text;version=1.0.0,*/*;q=0.5",
    ] {
        let response = scrape(&program, accept);
        assert_eq!(
            (response.up("deaf"), response.up("text")),
            (Some(false), Some(true))
        );
    }
    let page = program.get("/");
    let reason =
        "expected text or OpenMetrics, as the pod was asked, found protobuf; let the pod heed";
    assert!(page.text().contains(reason), "{}", page.text());
}

/// By a pod that escapes nothing, whatever it is asked.
#[test]
fn names_are_escaped_for_those_who_cannot_read_them() {
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
    let (_file, program) = program(&[("a", &pod)]);
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
fn only_the_families_that_are_asked_for_are_sent() {
    let one = |value| vec![counter(&[], value)];
    let families_of_pod = [
        family("a_total", COUNTER, one(1.0)),
        family("b_total", GAUGE, vec![gauge(2.0)]),
        family("c.d", COUNTER, one(3.0)),
        family("h", HISTOGRAM, vec![native(&[])]),
        family("up", GAUGE, vec![gauge(1.0)]),
    ];
    let pod = protobuf_pod(&families_of_pod);
    let mut invalid = families_of_pod.clone();
    invalid[1].r#type = Some(9);
    let invalid = protobuf_pod(&invalid);
    let (_file, program) = program(&[("a", &pod), ("b", &invalid)]);
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
    let histograms = family("b", HISTOGRAM, vec![native(&[]); 2]);
    let counters = |values: &[&str]| {
        let metrics = values.iter().map(|value| series(value)).collect();
        family("a_total", COUNTER, metrics)
    };
    let at = protobuf_pod(&[counters(&["1", "1"]), histograms.clone()]);
    let over = protobuf_pod(&[counters(&["1", "2", "3", "3"]), histograms]);
    let pods = TempFile::pods(&[
        pod_at("shop", "at", "web", at.address),
        pod_at("shop", "over", "web", over.address),
    ]);
    let program = Program::with_pods(&pods, &[("MAX_SAMPLES", "3")]);
    let response = scrape(&program, PROTOBUF_FIRST);
    let (own, reports) = families(&response.body, &["at", "over"]);
    assert_eq!(reports, [(1.0, 4.0), (0.0, 6.0)], "{own:?}");
    let names: Vec<_> = own.iter().map(|family| family.name.as_deref()).collect();
    assert_eq!(names, [Some("a_total"), Some("b")]);
    let reason =
        "body: 6 samples, over the limit of 3; raise MAX_SAMPLES, or have the pod serve fewer";
    assert!(program.get("/").text().contains(reason));
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
    let (_file, program) = program(&[("a", &twice), ("b", &reserved)]);
    let (_, reported) = families(&scrape(&program, PROTOBUF_FIRST).body, &["a", "b"]);
    assert_eq!(reported, [(1.0, 1.0), (1.0, 1.0)]);
    let response = scrape(&program, LEGACY_NAMES);
    // No body: text, which says `*/*`.
    assert_eq!(
        (response.up("a"), response.up("b")),
        (Some(false), Some(false))
    );
}

#[test]
fn the_status_page_and_the_own_metrics_know_the_format() {
    let first = protobuf_pod(&[family(
        "a",
        COUNTER,
        vec![counter(&[], 1.0), counter(&[], 2.0)],
    )]);
    let second = FakePod::start(Behaviour::Raw(ok_as(OPEN_METRICS_TYPE, b"b 1\n# EOF\n")));
    let third = FakePod::start(Behaviour::Body("c 1\n".to_owned()));
    let (_file, program) = program(&[("a", &first), ("b", &second), ("c", &third)]);
    scrape(&program, PROTOBUF_FIRST);
    scrape(&program, "application/openmetrics-text,*/*;q=0.5");
    let own = program.get("/-/metrics");
    for (series, value) in [
        ("metrics_aggregator_bodies_total{format=\"protobuf\"}", "1"),
        (
            "metrics_aggregator_bodies_total{format=\"openmetrics\"}",
            "2",
        ),
        ("metrics_aggregator_bodies_total{format=\"text\"}", "2"),
        (
            "metrics_aggregator_merged_responses_total{format=\"protobuf\"}",
            "1",
        ),
        (
            "metrics_aggregator_merged_responses_total{format=\"openmetrics\"}",
            "1",
        ),
        (
            "metrics_aggregator_merged_responses_total{format=\"text\"}",
            "0",
        ),
        ("metrics_aggregator_duplicate_samples_total", "1"),
    ] {
        assert_eq!(own.sample(series), Some(value), "{series}");
    }
    scrape(&program, PROTOBUF_FIRST);
    let text = program.get("/").text().to_owned();
    let page = program.get_with("/", &[("Accept", "text/html")]);
    let json = program.get_with("/", &[("Accept", "application/json")]);
    let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    for (number, format) in ["protobuf", "openmetrics", "text"].into_iter().enumerate() {
        assert_eq!(json["targets"][number]["lastScrape"]["format"], format);
        assert!(
            page.text().contains(&format!("<td>{format}</td>")),
            "{format}"
        );
        assert!(text.contains(&format!(" B {format} in 0.")), "{text}");
    }
    for pod in [first, second, third] {
        let head = pod.requests.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(head.contains("encoding=delimited;q=0.5"), "{head}");
    }
}
