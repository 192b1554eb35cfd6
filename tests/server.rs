//! The built program seen by a scraper: responses, status codes and headers. README: "What you get", "Status codes".

mod deadline;
mod gzip;
mod lifecycle;

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod};
use crate::support::program::{Program, pod_at};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The program with one healthy pod of the job `web`, and that pod.
fn one_pod() -> (FakePod, Program) {
    Program::with_pod(FakePod::healthy(), &[])
}

#[test]
fn two_pods_become_one_text_in_order_of_family_and_namespace() {
    let a = FakePod::serving("# HELP b_total B.\n# TYPE b_total counter\nb_total 1.50\na 1e-3\n");
    let b = FakePod::serving("a{job=\"own\"} NaN 1700000000000\n");
    let pods = [
        pod_at("shop", "b", "web", b.address),
        pod_at("accounts", "a", "web", a.address),
    ];
    let program = Program::scraping(&pods, &[]);
    let response = program.get("/metrics?job=web");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some(TEXT));
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(&*length));

    let labels = |pod, namespace, fake: &FakePod| {
        let ip = fake.address.ip();
        format!("instance=\"{pod}\",job=\"web\",pod_namespace=\"{namespace}\",pod_ip=\"{ip}\"")
    };
    let (labels_a, labels_b) = (labels("a", "accounts", &a), labels("b", "shop", &b));
    let expected = format!(
        "# TYPE a untyped\na{{{labels_a}}} 1e-3\na{{exported_job=\"own\",{labels_b}}} NaN 1700000000000\n\
         # HELP b_total B.\n# TYPE b_total counter\nb_total{{{labels_a}}} 1.50\n"
    );
    assert!(
        response.text().starts_with(&expected),
        "{}",
        response.text()
    );
    assert_eq!(response.sample(&format!("up{{{labels_a}}}")), Some("1"));
    assert_eq!(response.sample(&format!("up{{{labels_b}}}")), Some("1"));
    assert_eq!(
        response.sample(&format!("scrape_samples_scraped{{{labels_a}}}")),
        Some("2")
    );
}

#[test]
fn a_metrics_path_with_a_query_works_as_prometheus_sends_it() {
    let (fake, program) = one_pod();
    let response = program.get("/metrics%3Fjob=web");
    assert_eq!((response.status, response.up("web-0")), (200, Some(true)));
    assert_eq!(fake.requests.try_iter().count(), 1);
}

#[test]
fn several_jobs_in_one_request_are_merged() {
    let (a, b) = (FakePod::healthy(), FakePod::start(Behaviour::Status(500)));
    let pods = [
        pod_at("n", "a", "web", a.address),
        pod_at("n", "b", "queue", b.address),
    ];
    let program = Program::scraping(&pods, &[]);
    let response = program.get("/metrics?job=queue&job=web&job=gone");
    assert_eq!(
        (response.status, response.up("a"), response.up("b")),
        (200, Some(true), Some(false))
    );
}

/// A job that is scaled to zero or runs now and then: direct, Prometheus has no target, and nothing is down.
#[test]
fn a_job_without_pods_is_an_empty_response_with_absent_ok() {
    let (fake, program) = one_pod();
    for url in [
        "/metrics?job=gone&absent=ok",
        "/metrics%3Fjob=gone&absent=ok",
        "/metrics?job=gone&job=lost&absent=ok",
        "/metrics?job=gone&shard=2/3&absent=ok",
    ] {
        for method in ["GET", "HEAD"] {
            let response = program.request(method, url, &[]);
            let [content_type, length] =
                ["content-type", "content-length"].map(|name| response.header(name));
            let found = (response.status, response.text(), content_type, length);
            assert_eq!(found, (200, "", Some(TEXT), Some("0")), "{method} {url}");
        }
    }
    assert!(fake.requests.is_empty());
    let refused = program.get("/metrics?job=gone");
    assert_eq!(refused.status, 404);
    check_contains(refused.text(), "&absent=ok");
    // Jobs that have pods are there as usual.
    for url in [
        "/metrics?job=gone&job=web&absent=ok",
        "/metrics?job=web&absent=ok&shard=1/1",
    ] {
        assert_eq!(program.get(url).up("web-0"), Some(true), "{url}");
    }
    // Whether it has pods is not known before the first list.
    let early = Program::start(&[("POD_LIST_FILE", "/no/such/file")]);
    assert_eq!(early.get("/metrics?job=gone&absent=ok").status, 503);
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    let (_fake, program) = one_pod();
    let rows = [
        ("GET", "/metrics", 400, "name the job"),
        ("GET", "/metrics?job=", 400, "name the job"),
        ("GET", "/metrics?job=%ff", 400, "percent-encoded"),
        (
            "GET",
            "/metrics?job=gone",
            404,
            "metrics-aggregator.apawel.me/job-name with the value \"gone\"",
        ),
        ("GET", "/nowhere", 404, "/ lists what there is"),
        ("POST", "/metrics?job=web", 405, "only GET and HEAD"),
        ("DELETE", "/", 405, "only GET and HEAD"),
    ];
    for (method, url, status, text) in rows {
        let response = program.request(method, url, &[]);
        assert_eq!(response.status, status, "{method} {url}");
        check_contains(response.text(), text);
        let lines = response.text().matches('\n').count();
        assert_eq!(lines, 1, "{method} {url}: {}", response.text());
        let headers = ["content-type", "allow"].map(|name| response.header(name));
        let allow = (status == 405).then_some("GET, HEAD");
        let expected = [Some("text/plain; charset=utf-8"), allow];
        assert_eq!(headers, expected, "{method} {url}");
    }
    let response = program.get_with(
        "/metrics?job=web",
        &[("X-Prometheus-Scrape-Timeout-Seconds", "soon")],
    );
    assert_eq!(
        (response.status, response.text().contains("found \"soon\"")),
        (400, true)
    );
}

#[test]
fn a_request_body_is_refused() {
    let (fake, program) = one_pod();
    for (header, body) in [
        ("Content-Length: 5", "01234"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n0\r\n\r\n"),
    ] {
        let response = program.send(&format!(
            "GET /metrics?job=web HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n{body}"
        ));
        assert!(response.starts_with("HTTP/1.1 413"), "{header}");
    }
    assert!(fake.requests.is_empty());
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (_fake, program) = one_pod();
    let head = program.request("HEAD", "/metrics?job=web", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(
        head.header("content-length")
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 0
    );
    let (get, head) = (
        program.get("/-/healthy"),
        program.request("HEAD", "/-/healthy", &[]),
    );
    assert_eq!(get.header("content-length"), head.header("content-length"));
}

#[test]
fn a_scraper_that_accepts_gzip_gets_gzip() {
    let (fake, program) = one_pod();
    let response = program.get_with("/metrics?job=web", &[("Accept-Encoding", "gzip")]);
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(&*length));
    let series = "pages_total{kind=\"a\",instance=\"web-0\"";
    check_contains(response.gunzip().text(), series);

    let (_, never) = Program::with_pod(fake, &[("GZIP_LEVEL", "0")]);
    let response = never.get_with("/metrics?job=web", &[("Accept-Encoding", "gzip")]);
    assert_eq!(
        (response.header("content-encoding"), response.up("web-0")),
        (None, Some(true))
    );
}

#[test]
fn each_request_scrapes_again() {
    let (fake, program) = one_pod();
    assert!(fake.requests.is_empty(), "no scrape without a request");
    for _ in 0..3 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    }
    assert_eq!(fake.requests.try_iter().count(), 3);
    assert_eq!(fake.connections(), 1, "the connection to the pod is kept");
}

#[test]
fn added_labels_may_have_hyphens() {
    let hyphen = [("POD_LABEL_STYLE", "hyphen")];
    let (fake, program) = Program::with_pod(FakePod::healthy(), &hyphen);
    let response = program.get("/metrics?job=web");
    let series = format!(
        "pages_total{{kind=\"a\",instance=\"web-0\",job=\"web\",\"pod-namespace\"=\"shop\",\"pod-ip\"=\"{}\"}}",
        fake.address.ip()
    );
    assert_eq!(response.sample(&series), Some("1"), "{}", response.text());
}
