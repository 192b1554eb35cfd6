//! `/probe?target=`: one target as it is, byte for byte, and only targets that were found. README: "What you get".

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, gzip, ok, ok_as, ok_with};
use crate::support::program::{HttpResponse, Program, TEST_TIMEOUT, pod, pod_at};

const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

/// The program with one pod of this behaviour, and the response to a probe of it with these headers.
fn probe(behaviour: Behaviour, headers: &[(&str, &str)]) -> (FakePod, Program, HttpResponse) {
    let limit = [("MAX_BODY_BYTES", "5000")];
    let (fake, program) = Program::with_pod(FakePod::start(behaviour), &limit);
    let url = format!("/probe?target=shop/web-0:{}", fake.address.port());
    let response = program.get_with(&url, headers);
    (fake, program, response)
}

/// The head of the next request that the pod gets, in lower case.
fn asked(fake: &FakePod) -> String {
    let head = fake.requests.recv_timeout(TEST_TIMEOUT);
    head.unwrap().to_ascii_lowercase()
}

#[test]
fn openmetrics_passes_through_as_it_is() {
    let body = "# TYPE a counter\na_total 1 # {trace=\"x\"} 0.5\n# EOF\n";
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let pod = Behaviour::Raw(ok_as(content_type, body.as_bytes()));
    let (fake, _program, response) = probe(pod, &[("Accept", ACCEPT)]);
    assert_eq!((response.status, response.text()), (200, body));
    assert_eq!(response.header("content-type"), Some(content_type));
    assert_eq!(response.header("content-encoding"), None);
    let head = asked(&fake);
    assert_eq!(head.matches("accept:").count(), 1, "{head}");
    assert!(head.contains(&format!("accept: {ACCEPT}\r\n")), "{head}");
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
}

#[test]
fn gzip_passes_through_as_it_is() {
    let zipped = gzip(SMALL_BODY.repeat(500).as_bytes());
    let headers = "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n";
    let pod = Behaviour::Raw(ok_with(headers, &zipped));
    let (fake, _program, response) = probe(pod, &[("Accept-Encoding", "gzip")]);
    assert_eq!((response.status, &response.body), (200, &zipped));
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let head = asked(&fake);
    assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
}

/// Native histograms come as protobuf: bytes that are no text.
#[test]
fn protobuf_passes_through_as_it_is() {
    let body: Vec<u8> = (0..=255).cycle().take(4000).collect();
    let content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let pod = Behaviour::Raw(ok_as(content_type, &body));
    let (_fake, program, response) = probe(pod, &[]);
    assert_eq!((response.status, &response.body), (200, &body));
    assert_eq!(response.header("content-type"), Some(content_type));
    let page = program.get("/");
    check_contains(page.text(), "probe up    4.0 kB protobuf in ");
}

#[track_caller]
fn check_failure(behaviour: Behaviour, status: u16, reason: &str) {
    let headers = [("X-Prometheus-Scrape-Timeout-Seconds", "1")];
    let (fake, program, response) = probe(behaviour, &headers);
    let expected = format!("shop/web-0:{}: {reason}", fake.address.port());
    assert_eq!(response.status, status, "{}", response.text());
    assert!(
        response.text().starts_with(&expected),
        "{}",
        response.text()
    );
    assert_eq!(response.text().matches('\n').count(), 1);
    assert!(program.get("/").text().contains(reason));
}

/// As Prometheus would: what it asks us for is a target, not a URL.
#[test]
fn redirects_within_the_pod_are_followed() {
    let redirect =
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /metrics/\r\nContent-Length: 0\r\n\r\n";
    let paths = vec![
        ("/metrics", redirect.to_vec()),
        ("/metrics/", ok(SMALL_BODY)),
    ];
    let headers = [("Accept", ACCEPT), ("Accept-Encoding", "gzip")];
    let (fake, _program, response) = probe(Behaviour::Paths(paths), &headers);
    assert_eq!((response.status, response.text()), (200, SMALL_BODY));
    for path in ["/metrics", "/metrics/"] {
        let head = asked(&fake);
        let line = format!("get {path} http/1.1\r\n");
        assert!(head.starts_with(&line), "{head}");
        assert!(head.contains(&format!("accept: {ACCEPT}\r\n")), "{head}");
        assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
    }
}

#[test]
fn a_pod_that_fails_is_a_bad_gateway() {
    check_failure(
        Behaviour::Status(404),
        502,
        "wait: expected status 200, found 404",
    );
    check_failure(Behaviour::Reset, 502, "wait: ");
    let redirect =
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    check_failure(
        Behaviour::Raw(redirect.to_vec()),
        502,
        "wait: expected status 200, found 302 to \"http://127.0.0.1:1/\", another host, which is not followed",
    );
    check_failure(
        Behaviour::Endless,
        502,
        "body: body over the limit of 5000 bytes",
    );
}

#[test]
fn a_pod_that_hangs_is_a_gateway_timeout_before_the_scrapers_own() {
    let start = Instant::now();
    check_failure(Behaviour::Hang, 504, "wait: timeout after ");
    check_failure(
        Behaviour::HangInBody(100, "a 1\n"),
        504,
        "body: timeout after ",
    );
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn only_targets_that_were_found_are_scraped() {
    let fake = FakePod::healthy();
    let port = fake.address.port();
    let pods = [
        pod_at("shop", "web-0", "web", fake.address),
        pod(
            "shop",
            "bad",
            fake.address.ip(),
            &[("job-name", "web"), ("port", "http")],
        ),
    ];
    let program = Program::scraping(&pods, &[]);
    for unknown in [
        format!("{}:{port}", fake.address.ip()),
        format!("shop/web-0:{}", port - 1),
        format!("shop/web-0:+{port}"),
        "shop/web-0".to_owned(),
        format!("shop/web-00:{port}"),
        format!("/web-0:{port}"),
        format!("http://{}/metrics", fake.address),
    ] {
        let response = program.get(&format!("/probe?target={}", unknown.replace('+', "%2B")));
        assert_eq!(response.status, 404, "{unknown}: {}", response.text());
    }
    assert!(fake.requests.is_empty());
    let response = program.get("/probe?target=shop/bad");
    assert_eq!(response.status, 502);
    check_contains(
        response.text(),
        "options: label metrics-aggregator.apawel.me/port",
    );
    let url = format!("/probe?target=shop%2Fweb-0%3A{port}");
    assert_eq!(program.get(&url).text(), SMALL_BODY);
}

#[test]
fn a_probe_is_one_line_in_the_log() {
    let (fake, mut program, _) = probe(Behaviour::Body(SMALL_BODY.to_owned()), &[]);
    let line = program.wait_for_log("target=");
    let expected = format!(
        "target=\"shop/web-0:{}\" up=1 bytes={} ",
        fake.address.port(),
        SMALL_BODY.len()
    );
    assert!(line.contains(&expected), "{line}");
    let (_fake, mut program, _) = probe(Behaviour::Status(500), &[]);
    let line = program.wait_for_log("target=");
    assert!(line.contains("[WARN]") && line.contains("up=0"), "{line}");
    assert!(line.contains("found 500"), "{line}");
}

/// Targets that hang occupy client workers, but no server worker.
#[test]
fn merged_responses_do_not_wait_behind_probes_that_hang() {
    let (go, wait) = unbounded();
    let slow = FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()));
    let quick = FakePod::healthy();
    let settings = [("SERVER_WORKERS", "1"), ("CLIENT_WORKERS", "4")];
    let pods = [
        pod_at("shop", "slow", "queue", slow.address),
        pod_at("shop", "quick", "web", quick.address),
    ];
    let program = Program::scraping(&pods, &settings);
    // A pod of which nothing is known would wait with the slow one's.
    assert_eq!(program.get("/metrics?job=web").up("quick"), Some(true));
    let url = format!("/probe?target=shop/slow:{}", slow.address.port());
    thread::scope(|scope| {
        let probes: Vec<_> = (0..3).map(|_| scope.spawn(|| program.get(&url))).collect();
        for _ in 0..3 {
            slow.requests.recv_timeout(TEST_TIMEOUT).unwrap();
        }
        assert_eq!(program.get("/metrics?job=web").up("quick"), Some(true));
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        for probe in probes {
            assert_eq!(probe.join().unwrap().text(), SMALL_BODY);
        }
    });
}
