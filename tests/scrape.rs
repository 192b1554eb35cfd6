//! Pods that misbehave: each costs its own `up` and nothing else, within its timeout.

mod alike;
mod connections;
mod encodings;
mod families;
mod faults;
mod framing;
mod order;
mod redirects;
mod sample_limit;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::PATIENCE;
use crate::support::program::{Program, TempFile, pod, pod_at};

/// A healthy pod beside one that misbehaves: the first is up, the other is down for this reason, soon enough, and the
/// only worker is free for the next.
#[track_caller]
fn check_address(address: std::net::SocketAddr, reason: &str) {
    let healthy = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let labels = [
        ("job-name", "web"),
        ("port", &address.port().to_string()),
        ("scrape-timeout-seconds", "1"),
    ];
    let file = TempFile::pods(&[
        pod("shop", "bad", address.ip(), &labels),
        pod_at("shop", "good", "web", healthy.address),
    ]);
    let settings = [("MAX_BODY_BYTES", "1000000"), ("CLIENT_WORKERS", "1")];
    let program = Program::with_pods(&file, &settings);
    let start = Instant::now();
    let response = program.get("/metrics?job=web");
    // The timeout is 1 s; the rest is for a slow machine.
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (response.up("bad"), response.up("good")),
        (Some(false), Some(true)),
        "{}",
        response.text()
    );
    assert_eq!(
        response.text().matches("instance=\"bad\"").count(),
        3,
        "only its up and report: {}",
        response.text()
    );
    assert_eq!(
        response.text().matches("pages_total{").count(),
        1,
        "{}",
        response.text()
    );
    let page = program.get("/");
    let line = page
        .text()
        .lines()
        .find(|line| line.contains("shop/bad"))
        .unwrap();
    assert!(line.contains(reason), "no {reason:?} in: {line}");
}

#[track_caller]
fn check(behaviour: Behaviour, reason: &str) {
    check_address(FakePod::start(behaviour).address, reason);
}

#[track_caller]
fn check_raw(response: impl Into<Vec<u8>>, reason: &str) {
    check(Behaviour::Raw(response.into()), reason);
}

/// A pod for each of the responses, all of which are taken.
#[track_caller]
fn check_taken(responses: &[Vec<u8>]) {
    let fakes: Vec<FakePod> = responses
        .iter()
        .map(|response| FakePod::start(Behaviour::Raw(response.clone())))
        .collect();
    let pods: Vec<_> = (0..fakes.len())
        .map(|number| pod_at("n", &number.to_string(), "web", fakes[number].address))
        .collect();
    let program = Program::with_pods(&TempFile::pods(&pods), &[]);
    let merged = program.get("/metrics?job=web");
    for (number, sent) in responses.iter().enumerate() {
        let series = format!("pages_total{{kind=\"a\",instance=\"{number}\"");
        assert!(
            merged.text().contains(&series),
            "{:?}\n{}",
            String::from_utf8_lossy(sent),
            program.get("/").text()
        );
    }
}

/// A response with status 200, text format, and these further header lines.
fn with_headers(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn connection_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    check_address(address, "connect: ");
}

/// A listener whose queue is full: the kernel drops what comes, as a host does that is gone.
#[test]
fn a_connection_that_nobody_accepts() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let wait = Duration::from_millis(300);
    let queued: Vec<TcpStream> = (0..5000)
        .map_while(|_| TcpStream::connect_timeout(&address, wait).ok())
        .collect();
    assert!(queued.len() < 5000, "the queue has an end");
    check_address(address, "connect: timeout after 1.000 s");
}

#[test]
fn hangs_before_the_head() {
    check(Behaviour::Hang, "wait: timeout after 1.000 s");
}

#[test]
fn hangs_in_the_body() {
    check(
        Behaviour::HangInBody(100, "a 1\n"),
        "body: timeout after 1.000 s",
    );
}

#[test]
fn never_ends() {
    check(
        Behaviour::Endless,
        "body: body over the limit of 1000000 bytes (MAX_BODY_BYTES)",
    );
}

#[test]
fn closes_inside_of_the_head() {
    check(Behaviour::Reset, "wait: ");
}

#[test]
fn statuses_that_are_not_200() {
    for status in [204, 301, 404, 500] {
        check(
            Behaviour::Status(status),
            &format!("expected status 200, found {status}"),
        );
    }
}

#[test]
fn not_http() {
    check_raw("SSH-2.0-OpenSSH_9.2\r\n", "wait: ");
}

#[test]
fn gzip_that_breaks_off_or_is_none() {
    let mut bytes = gzip(SMALL_BODY.repeat(50).as_bytes());
    bytes.truncate(bytes.len() / 2);
    let headers = format!(
        "Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
        bytes.len()
    );
    check_raw(with_headers(&headers, &bytes), "body: ");
    check_raw(
        with_headers("Content-Encoding: gzip\r\nContent-Length: 4\r\n", b"a 1\n"),
        "body: ",
    );
}

#[test]
fn content_types_that_are_not_text() {
    for content_type in ["text/html; charset=utf-8", "application/json"] {
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: 4\r\n");
        check_raw(with_headers(&headers, b"a 1\n"), "body: ");
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    check_raw(
        with_headers(
            "Content-Type: text/plain\r\nContent-Length: 11\r\n",
            b"a{b=\"\xff\"} 1\n",
        ),
        "parse: line 1",
    );
}

#[test]
fn a_body_without_content_type_is_text() {
    let fake = FakePod::start(Behaviour::Raw(with_headers(
        "Content-Length: 4\r\n",
        b"a 1\n",
    )));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    assert_eq!(
        Program::with_pods(&file, &[])
            .get("/metrics?job=web")
            .up("web-0"),
        Some(true)
    );
}

#[test]
fn a_gzipped_body_is_decompressed() {
    let body = gzip(SMALL_BODY.as_bytes());
    let headers = format!(
        "Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
        body.len()
    );
    let fake = FakePod::start(Behaviour::Raw(with_headers(&headers, &body)));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let response = Program::with_pods(&file, &[]).get("/metrics?job=web");
    assert!(
        response
            .text()
            .contains("pages_total{kind=\"a\",instance=\"web-0\""),
        "{}",
        response.text()
    );
}

/// The pod takes half a second longer for a body that is not compressed, as on a slow network. The wait is the thing
/// under test.
#[test]
fn gzip_is_asked_for_where_it_takes_less_time() {
    let (go_on, wait) = unbounded();
    let fake = FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    let asked_for: Vec<&str> = (0..5)
        .map(|_| {
            std::thread::scope(|scope| {
                let response = scope.spawn(|| program.get("/metrics?job=web"));
                let head = fake.requests.recv_timeout(PATIENCE).unwrap();
                let is_gzip = head.contains("accept-encoding: gzip");
                if !is_gzip {
                    assert!(head.contains("accept-encoding: identity"), "{head}");
                    std::thread::sleep(Duration::from_millis(500));
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
    let fake = FakePod::start(Behaviour::CloseAfter(1, SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    for scrapes in 1..=5 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
        assert_eq!(fake.connections(), scrapes);
    }
}

/// Prometheus' usual interval. The wait is the thing under test.
#[test]
#[ignore = "takes over a minute"]
fn a_connection_is_kept_over_an_interval_of_a_minute() {
    let fake = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    std::thread::sleep(Duration::from_secs(61));
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    assert_eq!(
        (fake.requests.try_iter().count(), fake.connections()),
        (2, 1)
    );
}

#[test]
fn what_a_pod_is_asked() {
    let fake = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let mut json = pod_at("shop", "web-0", "web", fake.address);
    json["metadata"]["annotations"]["metrics-aggregator.apawel.me/endpoint"] =
        "actuator/prometheus?verbose=1".into();
    let file = TempFile::pods(&[json]);
    // A proxy of the environment is none of the pods' business.
    let program = Program::with_pods(
        &file,
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
    let (up, down) = (
        FakePod::start(Behaviour::Body(SMALL_BODY.into())),
        FakePod::start(Behaviour::Status(503)),
    );
    let mut leaving = [
        pod_at("n", "responds", "web", up.address),
        pod_at("n", "silent", "web", down.address),
    ];
    for pod in &mut leaving {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    let response = Program::with_pods(&TempFile::pods(&leaving), &[]).get("/metrics?job=web");
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
fn a_bad_option_is_up_0_of_its_own_target() {
    let fake = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let bad = pod(
        "n",
        "bad",
        fake.address.ip(),
        &[("job-name", "web"), ("scrape-timeout-seconds", "5s")],
    );
    let file = TempFile::pods(&[bad, pod_at("n", "good", "web", fake.address)]);
    let response = Program::with_pods(&file, &[]).get("/metrics?job=web");
    assert_eq!(
        (response.up("bad"), response.up("good")),
        (Some(false), Some(true))
    );
}

#[test]
fn several_targets_in_one_pod() {
    let fake = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
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
    let response = Program::with_pods(&TempFile::pods(&[json]), &[]).get("/metrics?job=web");
    for (name, port) in [
        ("pages_total{kind=\"a\",", fake.address.port()),
        ("other{", other.address.port()),
    ] {
        let line = response
            .text()
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
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
