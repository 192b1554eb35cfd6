//! What scrapers send as `Accept`: what the pods are asked, and what comes back.

use crate::support::fake_pod::{Behaviour, FakePod};
use crate::support::program::{Program, TempFile, pod_at};
use kubernetes_metrics_aggregator::exposition::{
    Accept, Asked, Escaping, Exposition, Format, IdentityLabels, Part, Report, SeriesCache, merge,
};
use std::time::Duration;

/// What pods are asked for a scraper that says nothing about formats that can be merged.
const TEXT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
/// The same, as the type of the response.
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Prometheus 3 as it is installed.
const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// Prometheus 3 with `metric_name_escaping_scheme: underscores`.
const PROMETHEUS_3_LEGACY: &str = "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

#[track_caller]
fn check(header: &str, for_pods: &str, content_type: &str) {
    let accept = Accept::parse(header);
    assert_eq!(accept.for_pods(), for_pods);
    assert_eq!(accept.content_type(Format::Text), content_type);
    let again = Accept::parse(&accept.for_pods());
    assert_eq!(again.for_pods(), for_pods, "what is written can be read");
}

#[test]
fn prometheus_3_asks_pods_for_openmetrics_and_names_as_they_are() {
    check(
        PROMETHEUS_3,
        PROMETHEUS_3,
        "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    );
    let accept = Accept::parse(PROMETHEUS_3);
    assert_eq!(accept.escaping(Format::Text), Escaping::AllowUtf8);
    assert_eq!(accept.escaping(Format::OpenMetrics), Escaping::AllowUtf8);
}

#[test]
fn a_prometheus_with_legacy_names_gets_legacy_names() {
    check(PROMETHEUS_3_LEGACY, PROMETHEUS_3_LEGACY, TEXT_TYPE);
    let accept = Accept::parse(PROMETHEUS_3_LEGACY);
    assert_eq!(accept.escaping(Format::Text), Escaping::Underscores);
    assert_eq!(accept.escaping(Format::OpenMetrics), Escaping::Underscores);
}

#[test]
fn prometheus_2_knows_no_escaping() {
    let header = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    check(
        header,
        &header.replacen("1.0.0,", "1.0.0;q=1,", 1),
        TEXT_TYPE,
    );
    assert_eq!(
        Accept::parse(header).escaping(Format::OpenMetrics),
        Escaping::Underscores
    );
}

/// Bodies in protobuf are not merged, so nobody is asked for them.
#[test]
fn protobuf_is_taken_out() {
    let protobuf =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding";
    let rest = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3";
    check(
        &format!("{protobuf}=delimited;q=0.7,{rest}"),
        rest,
        TEXT_TYPE,
    );
    // Telegraf
    check(
        &format!("{protobuf}=compact-text;q=0.7,text/plain;version=0.0.4;q=0.3"),
        "text/plain;version=0.0.4;q=0.3",
        TEXT_TYPE,
    );
    check(&format!("{protobuf}=delimited"), TEXT, TEXT_TYPE);
}

#[test]
fn scrapers_that_want_text_ask_for_text() {
    // vmagent
    check(TEXT, TEXT, TEXT_TYPE);
    // Datadog
    check("text/plain", "text/plain;q=1", TEXT_TYPE);
    // curl, a browser, nothing at all
    check("*/*", TEXT, TEXT_TYPE);
    check(
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        TEXT,
        TEXT_TYPE,
    );
    check("", TEXT, TEXT_TYPE);
    assert_eq!(
        Accept::parse("").escaping(Format::Text),
        Escaping::AllowUtf8
    );
}

/// Python's client takes the first range that it knows, and would answer 2.0.0, whatever its weight.
#[test]
fn what_cannot_be_merged_is_taken_out() {
    check(
        "application/openmetrics-text;version=2.0.0,application/openmetrics-text; version=1.0.0;q=0.5,\
        application/json,text/plain;version=secret;q=0.4,text/plain;q=0,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
        TEXT_TYPE,
    );
    check("application/json", TEXT, TEXT_TYPE);
}

#[test]
fn odd_spelling_is_understood() {
    check(
        " TEXT/Plain ; Version = \"0.0.4\" ;charset=\"a,b;c\\\"d\"; Q=0.25 , , */* ;q=.1;;",
        "text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
        TEXT_TYPE,
    );
    for (weight, written) in [
        ("1.000", "1"),
        ("7", "1"),
        ("many", "1"),
        ("0.1239", "0.123"),
        ("0.020", "0.02"),
    ] {
        let accept = Accept::parse(&format!("text/plain;q={weight}"));
        assert_eq!(accept.for_pods(), format!("text/plain;q={written}"));
    }
    // Of one format, the range with the highest weight speaks for it, the first of equals.
    let two = "text/plain;escaping=dots;q=0.5,text/plain;escaping=values;q=0.5,text/plain;q=0.1";
    assert_eq!(Accept::parse(two).escaping(Format::Text), Escaping::Dots);
}

#[test]
fn the_spelling_of_the_documentation_counts_as_that_of_the_code() {
    let header = "text/plain;version=1.0.0;escaping=allow-utf8";
    assert_eq!(
        Accept::parse(header).for_pods(),
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=1"
    );
}

/// Nothing is copied, so nothing of a header can break what is written for the pods, and its length is bounded.
#[test]
fn what_is_handed_on_is_bounded() {
    let many = vec!["text/plain;version=0.0.4"; 10_000].join(",");
    assert!(Accept::parse(&many).for_pods().len() < 1000);
    let version = format!("text/plain;version={}", "1.".repeat(20_000));
    assert_eq!(Accept::parse(&version).for_pods(), TEXT);
    let injected = "text/plain;version=0.0.4\r\nX-Evil: 1;escaping=\r\nx";
    assert_eq!(Accept::parse(injected).for_pods(), TEXT);
}

/// Without the series that report on the target.
fn merged(labels: &IdentityLabels, exposition: Exposition) -> String {
    let part = Part {
        labels: labels.clone(),
        report: Report {
            up: true,
            duration: Duration::ZERO,
            samples_scraped: 0,
        },
        exposition: Some(exposition),
    };
    let mut text = Vec::new();
    merge(vec![part], Format::Text).write_to(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (own, _) = text.split_once("# HELP scrape_duration_seconds").unwrap();
    own.to_owned()
}

/// What is stored of a body of a pod that escapes nothing, whatever it is asked.
fn series(accept: &str, body: &str) -> Result<String, String> {
    let labels = IdentityLabels::new([("instance", "a")]);
    let asked = Asked {
        accept: Accept::parse(accept),
        ..Asked::default()
    };
    let cache = SeriesCache::new(asked, 1);
    // Twice: the second body is read with what is known from the first.
    let texts = [(); 2].map(|()| {
        let exposition = cache.parse(Format::Text, body.as_bytes(), &labels);
        exposition.map(|exposition| merged(&labels, exposition))
    });
    let [first, second] = texts;
    assert_eq!(first, second);
    first.map_err(|error| error.to_string())
}

#[test]
fn names_are_escaped_for_those_who_cannot_read_them() {
    let body = "# HELP \"http.requests\" All.\n# TYPE \"http.requests\" counter\n\
        {\"http.requests\",\"net.host\"=\"b\"} 1\n";
    let as_it_is = "# HELP \"http.requests\" All.\n# TYPE \"http.requests\" counter\n\
        {\"http.requests\",\"net.host\"=\"b\",instance=\"a\"} 1\n";
    let underscores = "# HELP http_requests All.\n# TYPE http_requests counter\n\
        http_requests{net_host=\"b\",instance=\"a\"} 1\n";
    assert_eq!(series(PROMETHEUS_3, body).unwrap(), as_it_is);
    assert_eq!(series("", body).unwrap(), as_it_is);
    assert_eq!(series(PROMETHEUS_3_LEGACY, body).unwrap(), underscores);
    assert_eq!(series(TEXT, body).unwrap(), underscores);
}

/// Such a label set would cost the scraper all pods.
#[test]
fn labels_that_become_one_by_escaping_fail_their_pod() {
    let body = "a{\"b.c\"=\"1\",b_c=\"2\"} 1\n";
    assert!(series(PROMETHEUS_3, body).is_ok());
    let error = series(PROMETHEUS_3_LEGACY, body).unwrap_err();
    assert!(
        error.starts_with("line 1: expected every label name once"),
        "{error}"
    );
}

/// Two names that become one are one series, of which the first stays.
#[test]
fn series_that_become_one_by_escaping_are_duplicates() {
    let body = "{\"a.b\"} 1\na_b 2\n";
    let text = series(PROMETHEUS_3_LEGACY, body).unwrap();
    assert_eq!(text, "# TYPE a_b untyped\na_b{instance=\"a\"} 1\n");
}

#[test]
fn the_response_has_the_format_that_the_scraper_likes_best_of_those_that_came() {
    let (text, open_metrics) = (Format::Text, Format::OpenMetrics);
    for (accept, came, best) in [
        (PROMETHEUS_3, vec![text, open_metrics, text], open_metrics),
        (PROMETHEUS_3, vec![text], text),
        (PROMETHEUS_3, vec![], text),
        ("", vec![text, open_metrics], text),
        // Whoever takes anything gets what there is.
        ("*/*", vec![open_metrics], open_metrics),
        ("text/plain", vec![open_metrics], text),
        (
            "text/plain;q=0.5,application/openmetrics-text;q=0.5",
            vec![open_metrics, text],
            text,
        ),
        (
            "application/openmetrics-text;q=0.5,text/plain;q=0.5",
            vec![text, open_metrics],
            open_metrics,
        ),
    ] {
        assert_eq!(
            Accept::parse(accept).best(came.clone()),
            best,
            "{accept} {came:?}"
        );
    }
}

fn open_metrics_pod(version: &str, body: &str) -> FakePod {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version={version}\r\n\
        Content-Length: {length}\r\n\r\n"
    );
    FakePod::start(Behaviour::Raw(
        [head, body.to_owned()].concat().into_bytes(),
    ))
}

#[test]
fn a_job_of_openmetrics_keeps_its_exemplars_and_one_of_both_formats_too() {
    let exemplar = "a_total{x=\"1\"} 5 # {trace_id=\"t\"} 2.5 1700000000.5\n";
    let open = open_metrics_pod("1.0.0", &format!("# TYPE a counter\n{exemplar}# EOF\n"));
    let text = FakePod::start(Behaviour::Body(
        "# TYPE a_total counter\na_total 7 1700000000001\n".to_owned(),
    ));
    let file = TempFile::pods(&[
        pod_at("shop", "open", "both", open.address),
        pod_at("shop", "text", "both", text.address),
    ]);
    let program = Program::with_pods(&file, &[]);
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

#[test]
fn pods_are_asked_what_the_scraper_asked() {
    let pod = FakePod::start(Behaviour::Body("up 1\n".to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", pod.address)]);
    let program = Program::with_pods(&file, &[]);
    for (accept, asked, content_type) in [
        (
            PROMETHEUS_3,
            PROMETHEUS_3,
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        ("*/*", TEXT, TEXT_TYPE),
    ] {
        let response = program.get_with("/metrics?job=web", &[("Accept", accept)]);
        assert_eq!(response.header("content-type"), Some(content_type));
        assert_eq!(response.header("vary"), Some("Accept, Accept-Encoding"));
        let head = pod.requests.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(head.contains(&format!("\r\naccept: {asked}\r\n")), "{head}");
    }
}

#[test]
fn another_version_of_openmetrics_fails_its_pod_and_says_why() {
    let pod = open_metrics_pod("2.0.0", "a 1\n# EOF\n");
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", pod.address)]);
    let program = Program::with_pods(&file, &[]);
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(false));
    let response = program.get("/");
    let page = response.text();
    assert!(
        page.contains("version 1.0.0 or 0.0.1, as the pod was asked"),
        "{page}"
    );
}
