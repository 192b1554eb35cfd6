//! Pods that misbehave: each costs its own `up` and nothing else, within its timeout. README: "When something fails".

mod alike;
mod connections;
mod encodings;
mod families;
mod faults;
mod framing;
mod order;
mod redirects;
mod requests;
mod sample_limit;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, ok_as, ok_with};
use crate::support::program::{Program, numbered, pod_at, pod_with};

/// Scrapes a healthy pod and one at this address with the only worker: the first is up, the other is down in time, for
/// this reason.
#[track_caller]
fn check_address(address: SocketAddr, reason: &str) {
    let healthy = FakePod::healthy();
    let second = [("scrape-timeout-seconds", "1")];
    let settings = [("MAX_BODY_BYTES", "1000000"), ("CLIENT_WORKERS", "1")];
    let pods = [
        pod_with("shop", "bad", "web", address, &second),
        pod_at("shop", "good", "web", healthy.address),
    ];
    let program = Program::scraping(&pods, &settings);
    let start = Instant::now();
    let response = program.get("/metrics?job=web");
    // The timeout is 1 s; the rest is for a slow machine.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(
        (response.up("bad"), response.up("good")),
        (Some(false), Some(true)),
        "{}",
        response.text()
    );
    let text = response.text();
    let of_bad = text.matches("instance=\"bad\"").count();
    assert_eq!(of_bad, 3, "only up and the report of the scrape: {text}");
    assert_eq!(text.matches("pages_total{").count(), 1, "{text}");
    let page = program.get("/");
    let line = page.text().lines().find(|line| line.contains("shop/bad"));
    check_contains(line.unwrap(), reason);
}

#[track_caller]
fn check(behaviour: Behaviour, reason: &str) {
    check_address(FakePod::start(behaviour).address, reason);
}

#[track_caller]
fn check_raw(response: impl Into<Vec<u8>>, reason: &str) {
    check(Behaviour::Raw(response.into()), reason);
}

/// Scrapes a pod for each of the responses, all of which are accepted.
#[track_caller]
fn check_taken(responses: &[Vec<u8>]) {
    let start = |response: &Vec<u8>| FakePod::start(Behaviour::Raw(response.clone()));
    let fakes: Vec<FakePod> = responses.iter().map(start).collect();
    let program = Program::scraping(&numbered(&fakes, &[]), &[]);
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

#[test]
fn a_pod_that_refuses_the_connection_is_down() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    check_address(address, "connect: ");
}

/// A listener whose queue is full: the kernel drops packets to it, like a host that is gone.
#[test]
fn a_pod_that_accepts_no_connection_is_down_at_its_timeout() {
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
fn a_pod_that_hangs_before_its_head_is_down_at_its_timeout() {
    check(Behaviour::Hang, "wait: timeout after 1.000 s");
}

#[test]
fn a_pod_that_hangs_in_its_body_is_down_at_its_timeout() {
    check(
        Behaviour::HangInBody(100, "a 1\n"),
        "body: timeout after 1.000 s",
    );
}

#[test]
fn a_body_that_never_ends_is_cut_off_at_the_limit() {
    check(
        Behaviour::Endless,
        "body: body over the limit of 1000000 bytes (MAX_BODY_BYTES)",
    );
}

#[test]
fn a_pod_that_closes_inside_its_head_is_down() {
    check(Behaviour::Reset, "wait: ");
}

#[test]
fn a_status_other_than_200_fails_the_pod() {
    for status in [204, 301, 404, 500] {
        check(
            Behaviour::Status(status),
            &format!("expected status 200, found {status}"),
        );
    }
}

#[test]
fn a_response_that_is_not_http_fails_the_pod() {
    check_raw("SSH-2.0-OpenSSH_9.2\r\n", "wait: ");
}

#[test]
fn a_content_type_without_metrics_fails_the_pod() {
    for content_type in ["text/html; charset=utf-8", "application/json"] {
        let reason = format!("body: unsupported Content-Type \"{content_type}\"");
        check_raw(ok_as(content_type, b"a 1\n"), &reason);
    }
}

#[test]
fn bytes_that_are_not_utf8_fail_the_pod() {
    check_raw(ok_as("text/plain", b"a{b=\"\xff\"} 1\n"), "parse: line 1");
}

#[test]
fn a_body_without_content_type_is_text() {
    check_taken(&[ok_with("", SMALL_BODY.as_bytes())]);
}
