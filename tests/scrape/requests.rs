//! What a pod is asked and how often: path, headers, gzip, kept connections; several targets of one pod, and pods that
//! leave. README: "What you label".

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crossbeam_channel::unbounded;

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{Program, TEST_TIMEOUT, pod_at, pod_with};

/// The pod takes half a second longer for a body that is not compressed, as on a slow network. The wait is the thing
/// under test.
#[test]
fn gzip_is_asked_for_where_it_takes_less_time() {
    let (go_on, wait) = unbounded();
    let (fake, program) = Program::with_pod(
        FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned())),
        &[],
    );
    let asked_for: Vec<&str> = (0..5)
        .map(|_| {
            thread::scope(|scope| {
                let response = scope.spawn(|| program.get("/metrics?job=web"));
                let head = fake.requests.recv_timeout(TEST_TIMEOUT).unwrap();
                let is_gzip = head.contains("accept-encoding: gzip");
                if !is_gzip {
                    assert!(head.contains("accept-encoding: identity"), "{head}");
                    thread::sleep(Duration::from_millis(500));
                }
                go_on.send(()).unwrap();
                assert_eq!(response.join().unwrap().up("web-0"), Some(true));
                if is_gzip { "gzip" } else { "identity" }
            })
        })
        .collect();
    assert_eq!(asked_for, ["gzip", "identity", "gzip", "gzip", "gzip"]);
}

#[test]
fn a_kept_connection_that_the_pod_closed_is_replaced() {
    let (fake, program) = Program::with_pod(
        FakePod::start(Behaviour::CloseAfter(1, SMALL_BODY.to_owned())),
        &[],
    );
    for scrapes in 1..=5 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
        assert_eq!(fake.connections(), scrapes);
    }
}

/// Prometheus' usual interval. The wait is the thing under test.
#[test]
#[ignore = "takes over a minute"]
fn a_connection_is_kept_over_an_interval_of_a_minute() {
    let (fake, program) = Program::with_pod(FakePod::healthy(), &[]);
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    thread::sleep(Duration::from_secs(61));
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    assert_eq!(
        (fake.requests.try_iter().count(), fake.connections()),
        (2, 1)
    );
}

#[test]
fn a_pod_is_asked_for_its_path_with_the_headers_of_a_scrape() {
    let fake = FakePod::healthy();
    let mut json = pod_at("shop", "web-0", "web", fake.address);
    json["metadata"]["annotations"]["metrics-aggregator.apawel.me/endpoint"] =
        "actuator/prometheus?verbose=1".into();
    // Proxies of the environment are not used for pods.
    let program = Program::scraping(
        &[json],
        &[
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("http_proxy", "http://127.0.0.1:9"),
        ],
    );
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    let head = fake.requests.try_recv().unwrap().to_ascii_lowercase();
    let mut lines = head.lines();
    assert_eq!(
        lines.next(),
        Some("get /actuator/prometheus?verbose=1 http/1.1")
    );
    let headers: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    for expected in [
        &format!("host: {}", fake.address),
        "accept: text/plain;version=0.0.4;q=1,*/*;q=0.1",
        "accept-encoding: gzip",
        concat!(
            "user-agent: kubernetes-metrics-aggregator/",
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert!(
            headers.contains(&expected),
            "no {expected:?} in {headers:?}"
        );
    }
    assert!(
        headers.iter().any(
            |header| header.starts_with("x-prometheus-scrape-timeout-seconds: 4.9")
                || *header == "x-prometheus-scrape-timeout-seconds: 5.000"
        ),
        "{headers:?}"
    );
    assert!(
        !headers
            .iter()
            .any(|header| header.starts_with("authorization") || header.starts_with("cookie"))
    );
}

#[test]
fn a_terminating_pod_is_left_out_when_it_does_not_respond() {
    let (up, down) = (FakePod::healthy(), FakePod::start(Behaviour::Status(503)));
    let mut leaving = [
        pod_at("n", "responds", "web", up.address),
        pod_at("n", "silent", "web", down.address),
    ];
    for pod in &mut leaving {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    let response = Program::scraping(&leaving, &[]).get("/metrics?job=web");
    assert_eq!(
        (
            response.status,
            response.up("responds"),
            response.up("silent")
        ),
        (200, Some(true), None)
    );
}

#[test]
fn an_invalid_option_is_up_0_for_its_own_pod_only() {
    let fake = FakePod::healthy();
    let invalid = [("scrape-timeout-seconds", "5s")];
    let pods = [
        pod_with("n", "bad", "web", fake.address, &invalid),
        pod_at("n", "good", "web", fake.address),
    ];
    let program = Program::scraping(&pods, &[]);
    let response = program.get("/metrics?job=web");
    assert_eq!(
        (response.up("bad"), response.up("good")),
        (Some(false), Some(true))
    );
    let page = program.get("/");
    for text in [
        "n/bad",
        "metrics-aggregator.apawel.me/scrape-timeout-seconds",
        "\"5s\"",
    ] {
        check_contains(page.text(), text);
    }
}

#[test]
fn each_of_several_targets_of_one_pod_has_its_port_as_a_label() {
    let fake = FakePod::healthy();
    let other = FakePod::on(
        TcpListener::bind((fake.address.ip(), 0)).unwrap(),
        Behaviour::Body("other 2\n".to_owned()),
    );
    let mut json = pod_at("n", "p", "web", fake.address);
    let targets = format!(
        "{}:/metrics,{}:/stats",
        fake.address.port(),
        other.address.port()
    );
    json["metadata"]["annotations"]["metrics-aggregator.apawel.me/scrape-targets"] = targets.into();
    let response = Program::scraping(&[json], &[]).get("/metrics?job=web");
    for (name, port) in [
        ("pages_total{kind=\"a\",", fake.address.port()),
        ("other{", other.address.port()),
    ] {
        let line = response.lines(name)[0];
        assert!(line.contains(&format!(",pod_port=\"{port}\"}} ")), "{line}");
    }
    assert!(
        other
            .requests
            .try_recv()
            .unwrap()
            .starts_with("GET /stats HTTP/1.1\r\n")
    );
}
