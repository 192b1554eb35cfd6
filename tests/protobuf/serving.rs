//! Bodies in protobuf on their way from pods to scrapers. README: "Formats".

use super::{
    COUNTER, GAUGE, HISTOGRAM, UNTYPED, decode, encode, family, gauge, histogram, labels, native,
};
use crate::support::check_contains;
use crate::support::client_model::{Counter, Metric, MetricFamily};
use crate::support::fake_pod::{Behaviour, FakePod, ok, ok_as};
use crate::support::program::{HttpResponse, Program, TEST_TIMEOUT, pod_at};

const PROTOBUF_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Prometheus 3 with native histograms, and legacy names.
pub(super) const LEGACY_NAMES: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.4,*/*;q=0.1";
pub(super) const PROTOBUF_FIRST: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.1";

pub(super) fn counter(pairs: &[(&str, &str)], value: f64) -> Metric {
    Metric {
        label: labels(pairs),
        counter: Some(Counter {
            value: Some(value),
            ..Counter::default()
        }),
        ..Metric::default()
    }
}

pub(super) fn protobuf_pod(families: &[MetricFamily]) -> FakePod {
    FakePod::start(Behaviour::Raw(ok_as(PROTOBUF_TYPE, &encode(families))))
}

/// A program with these pods in the job `web`, in the order of their names.
pub(super) fn program(pods: &[(&str, &FakePod)]) -> Program {
    let pods = pods.iter();
    let pods = pods.map(|(name, pod)| pod_at("shop", name, "web", pod.address));
    Program::scraping(&pods.collect::<Vec<_>>(), &[])
}

pub(super) fn scrape(program: &Program, accept: &str) -> HttpResponse {
    let response = program.get_with("/metrics?job=web", &[("Accept", accept)]);
    assert_eq!(response.status, 200);
    response
}

/// The families of the pods, and for each pod what is reported of it: `up` and the number of samples.
pub(super) fn families(body: &[u8], pods: &[&str]) -> (Vec<MetricFamily>, Vec<(f64, f64)>) {
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
pub(super) fn labelled(own: &[(&str, &str)], pod: &str, fake: &FakePod) -> Vec<(String, String)> {
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

pub(super) fn with_labels(metric: Metric, pairs: &[(String, String)]) -> Metric {
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    Metric {
        label: labels(&pairs),
        ..metric
    }
}

#[test]
fn families_of_all_pods_follow_each_other_with_the_labels_of_targets() {
    let requests = counter(&[("job", "own")], 1.0);
    let latency = histogram(&[("a", "b")], native());
    let first = protobuf_pod(&[
        family("requests_total", COUNTER, vec![requests.clone()]),
        family("latency_seconds", HISTOGRAM, vec![latency.clone()]),
    ]);
    // Another type for the same name: Prometheus takes both.
    let second = protobuf_pod(&[family("requests_total", GAUGE, vec![gauge(&[], 7.0)])]);
    let program = program(&[("a", &first), ("b", &second)]);
    let response = scrape(&program, PROTOBUF_FIRST);
    assert_eq!(response.header("content-type"), Some(PROTOBUF_TYPE));
    assert_eq!(response.header("vary"), Some("Accept, Accept-Encoding"));
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(length.as_str()));
    let (own, reported) = families(&response.body, &["a", "b"]);
    assert_eq!(reported, [(1.0, 2.0), (1.0, 1.0)]);
    let requests = with_labels(requests, &labelled(&[("exported_job", "own")], "a", &first));
    let latency = with_labels(latency, &labelled(&[("a", "b")], "a", &first));
    let other = with_labels(gauge(&[], 7.0), &labelled(&[], "b", &second));
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
fn gzip_and_head_have_the_same_response() {
    let pods = large(3);
    let names = ["a", "b", "c"];
    let program = program(&names.into_iter().zip(&pods).collect::<Vec<_>>());
    let plain = scrape(&program, PROTOBUF_FIRST);
    assert!(plain.body.len() > 1 << 20, "{}", plain.body.len());
    let (own, reported) = families(&plain.body, &names);
    assert_eq!(reported, [(1.0, 5000.0); 3]);
    let metrics: Vec<usize> = own.iter().map(|family| family.metric.len()).collect();
    assert_eq!(metrics, [5000; 3]);

    let headers = [("Accept", PROTOBUF_FIRST), ("Accept-Encoding", "gzip")];
    let gzipped = program.get_with("/metrics?job=web", &headers);
    assert_eq!(gzipped.header("content-type"), Some(PROTOBUF_TYPE));
    let body = gzipped.gunzip().body;
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
fn bodies_of_other_formats_are_converted() {
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
    let program = program(&[("all", &all), ("lines", &lines), ("old", &old)]);
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
        let lines = response.lines("a_total{").into_iter();
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
    let mut with_more_buckets = histogram(&[], native());
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
    let program = program(&pods);
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
        check_contains(page.text(), reason);
    }
}

/// It cannot be converted, and a scraper that accepts `*/*` may not know it.
#[test]
fn protobuf_that_was_not_asked_for_fails_its_pod() {
    let deaf = protobuf_pod(&[family("a_total", COUNTER, vec![counter(&[], 1.0)])]);
    let text = FakePod::start(Behaviour::Body("a_total 1\n".to_owned()));
    let program = program(&[("deaf", &deaf), ("text", &text)]);
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
    let reason =
        "expected text or OpenMetrics, as the pod was asked, found protobuf; let the pod heed";
    check_contains(program.get("/").text(), reason);
}

#[test]
fn the_status_page_and_the_own_metrics_show_the_format() {
    let first = protobuf_pod(&[family(
        "a",
        COUNTER,
        vec![counter(&[], 1.0), counter(&[], 2.0)],
    )]);
    let second = FakePod::start(Behaviour::Raw(ok_as(OPEN_METRICS_TYPE, b"b 1\n# EOF\n")));
    let third = FakePod::start(Behaviour::Body("c 1\n".to_owned()));
    let program = program(&[("a", &first), ("b", &second), ("c", &third)]);
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
    let json = json.json();
    for (number, format) in ["protobuf", "openmetrics", "text"].into_iter().enumerate() {
        assert_eq!(json["targets"][number]["lastScrape"]["format"], format);
        check_contains(page.text(), &format!("<td>{format}</td>"));
        check_contains(&text, &format!(" B {format} in 0."));
    }
    for pod in [first, second, third] {
        let head = pod.requests.recv_timeout(TEST_TIMEOUT).unwrap();
        assert!(head.contains("encoding=delimited;q=0.5"), "{head}");
    }
}
