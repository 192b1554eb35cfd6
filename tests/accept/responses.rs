//! The format of responses, for known scrapers and for jobs whose pods send different formats. README: "Formats".

use super::{PROMETHEUS_3, PROTOBUF_FIRST, PROTOBUF_TYPE, TEXT, TEXT_TYPE};
use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, ok_as};
use crate::support::program::{Program, TEST_TIMEOUT, pod_at};

fn open_metrics_pod(version: &str, body: &str) -> FakePod {
    let content_type = format!("application/openmetrics-text; version={version}");
    FakePod::start(Behaviour::Raw(ok_as(&content_type, body.as_bytes())))
}

#[test]
fn a_job_of_openmetrics_keeps_its_exemplars_and_one_of_both_formats_too() {
    let exemplar = "a_total{x=\"1\"} 5 # {trace_id=\"t\"} 2.5 1700000000.5\n";
    let open = open_metrics_pod("1.0.0", &format!("# TYPE a counter\n{exemplar}# EOF\n"));
    let text = FakePod::serving("# TYPE a_total counter\na_total 7 1700000000001\n");
    let pods = [
        pod_at("shop", "open", "both", open.address),
        pod_at("shop", "text", "both", text.address),
    ];
    let program = Program::scraping(&pods, &[]);
    let response = program.get_with("/metrics?job=both", &[("Accept", PROMETHEUS_3)]);
    let content_type =
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
    assert_eq!(response.header("content-type"), Some(content_type));
    let lines: Vec<&str> = response
        .text()
        .lines()
        .filter(|line| line.starts_with("a_total"))
        .collect();
    let ip = |pod: &FakePod| {
        format!(
            "job=\"both\",pod_namespace=\"shop\",pod_ip=\"{}\"}}",
            pod.address.ip()
        )
    };
    assert_eq!(
        lines,
        [
            format!(
                "a_total{{x=\"1\",instance=\"open\",{} 5 # {{trace_id=\"t\"}} 2.5 1700000000.5",
                ip(&open)
            ),
            format!("a_total{{instance=\"text\",{} 7 1700000000.001", ip(&text)),
        ]
    );
    assert!(response.text().ends_with("\n# EOF\n"));
    // Without OpenMetrics in its Accept a scraper gets text.
    let response = program.get_with("/metrics?job=both", &[("Accept", "text/plain")]);
    assert_eq!(response.header("content-type"), Some(TEXT_TYPE));
    let value = format!("a_total{{x=\"1\",instance=\"open\",{}", ip(&open));
    assert_eq!(response.sample(&value), Some("5"));
}

/// What a scraper sends as `Accept`, what the pods are asked, and the type of the response. The pods of the job speak
/// all formats and send the one that is asked for first.
#[test]
fn each_known_scraper_gets_its_format() {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let open_metrics_utf8 = format!("{open_metrics}; escaping=allow-utf-8");
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_2_native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
        encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
        text/plain;version=0.0.4;q=0.3";
    let datadog = "application/openmetrics-text; version=0.0.1; charset=utf-8";
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let with_weight = |header: &str| header.replacen(",app", ";q=1,app", 1);
    let scrapers = [
        (
            "Prometheus 2",
            prometheus_2,
            with_weight(prometheus_2),
            open_metrics,
        ),
        (
            "with native histograms",
            prometheus_2_native,
            with_weight(prometheus_2_native),
            PROTOBUF_TYPE,
        ),
        (
            "Prometheus 3, OpenTelemetry Collector",
            PROMETHEUS_3,
            PROMETHEUS_3.to_owned(),
            &open_metrics_utf8,
        ),
        (
            "protobuf first",
            PROTOBUF_FIRST,
            PROTOBUF_FIRST.to_owned(),
            PROTOBUF_TYPE,
        ),
        ("vmagent", TEXT, TEXT.to_owned(), TEXT_TYPE),
        ("Telegraf", telegraf, telegraf.to_owned(), PROTOBUF_TYPE),
        (
            "Datadog",
            "text/plain",
            "text/plain;q=1".to_owned(),
            TEXT_TYPE,
        ),
        (
            "Datadog, use_latest_spec",
            datadog,
            "application/openmetrics-text;version=0.0.1;q=1".to_owned(),
            "application/openmetrics-text; version=0.0.1; charset=utf-8",
        ),
        ("curl", "*/*", TEXT.to_owned(), TEXT_TYPE),
        ("a browser", browser, TEXT.to_owned(), TEXT_TYPE),
    ];
    let (pod, program) = Program::with_pod(
        FakePod::start(Behaviour::Accept(vec![
            (
                "application/vnd.google.protobuf",
                ok_as(
                    PROTOBUF_TYPE,
                    b"\x12\x0a\x01a\x22\x0b\x1a\x09\x09\0\0\0\0\0\0\xf0\x3f\x18\0",
                ),
            ),
            (
                "application/openmetrics-text",
                ok_as(open_metrics, b"a 1\n# EOF\n"),
            ),
            ("text/plain", ok_as("text/plain", b"a 1\n")),
        ])),
        &[],
    );
    for (scraper, accept, asked, content_type) in scrapers {
        let response = program.get_with("/metrics?job=web", &[("Accept", accept)]);
        assert_eq!(response.status, 200, "{scraper}");
        let found = response.header("content-type");
        assert_eq!(found, Some(content_type), "{scraper}");
        assert_eq!(response.header("vary"), Some("Accept, Accept-Encoding"));
        let head = pod.requests.recv_timeout(TEST_TIMEOUT).unwrap();
        assert!(
            head.contains(&format!("\r\naccept: {asked}\r\n")),
            "{scraper}: {head}"
        );
        check_contains(program.get("/").text(), "  up    1 sample, ");
    }
}

/// The format of the response does not depend on the request alone.
#[test]
fn a_scraper_of_protobuf_gets_the_best_format_that_came() {
    let (_pod, program) = Program::with_pod(FakePod::serving("up 1\n"), &[]);
    for (accept, content_type) in [
        (
            PROMETHEUS_3,
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        (
            PROTOBUF_FIRST,
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        ("*/*", TEXT_TYPE),
    ] {
        let response = program.get_with("/metrics?job=web", &[("Accept", accept)]);
        assert_eq!(response.header("content-type"), Some(content_type));
        assert_eq!(response.up("web-0"), Some(true));
    }
}

#[test]
fn another_version_of_openmetrics_fails_its_pod_and_says_why() {
    let pod = open_metrics_pod("2.0.0", "a 1\n# EOF\n");
    let program = Program::scraping(&[pod_at("shop", "web-0", "web", pod.address)], &[]);
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(false));
    check_contains(
        program.get("/").text(),
        "version 1.0.0 or 0.0.1, as the pod was asked",
    );
}
