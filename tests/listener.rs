//! The listener over real sockets: connections, valid requests, and shutdown. README: "When something fails", "Status
//! codes".

mod auth;
mod head;
mod limits;
mod refused;
mod tls;

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use kubernetes_metrics_aggregator::server::Response;
use kubernetes_metrics_aggregator::telemetry::ListenerEvent;

use crate::support::eventually;
use crate::support::listener::TestListener;
use crate::support::program::TEST_TIMEOUT;

#[test]
fn only_known_headers_are_passed_on() {
    let listener = TestListener::start(|_| {});
    let request = "GET /metrics%3Fjob=a?b=%20 HTTP/1.1\r\nhOST: h:80\r\naccept:\t a;q=0.5 \r\n\
                   Authorization: Bearer secret\r\nCookie: secret\r\nX-Listener-Request: 7\r\n\
                   X-Prometheus-Scrape-Timeout-Seconds: 10\r\nX-Name: M\u{fc}ller\r\nConnection: x, CLOSE\r\n\r\n";
    let response = listener.ask(request.as_bytes());
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(
        body,
        "GET /metrics%3Fjob=a?b=%20\nAccept: a;q=0.5\nHost: h:80\nX-Prometheus-Scrape-Timeout-Seconds: 10\n"
    );
}

#[test]
fn unusual_but_valid_requests_get_a_response() {
    let listener = TestListener::start(|_| {});
    for (request, body) in [
        ("GET /a HTTP/1.0\r\n\r\n", "GET /a\n"),
        ("\r\nGET /a HTTP/1.0\r\n\r\n", "GET /a\n"),
        ("GET http://h/a HTTP/1.0\r\n\r\n", "GET http://h/a\n"),
        ("OPTIONS * HTTP/1.0\r\n\r\n", "OPTIONS *\n"),
        (
            "BREW /a HTTP/1.0\r\nContent-Length: 00\r\nExpect: 100-Continue\r\n\r\n",
            "BREW /a\n",
        ),
        (
            "GET /a HTTP/1.0\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            "GET /a\n",
        ),
        ("GET /a HTTP/1.0\r\nX:\r\nHost:\r\n\r\n", "GET /a\nHost: \n"),
    ] {
        let response = listener.ask(request.as_bytes());
        let (_, shown) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(shown, body, "{request:?}");
    }
    let head = listener.ask(b"HEAD /bytes/5 HTTP/1.0\r\n\r\n");
    assert!(
        head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[test]
fn connections_are_kept_and_pipelined_requests_get_responses_in_order() {
    let listener = TestListener::start(|_| {});
    let mut client = listener.client();
    assert!(client.get("/one").starts_with("200 GET /one\n"));
    let many: String = (0..500)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect();
    client.send(many.as_bytes());
    for n in 0..500 {
        assert!(client.response().starts_with(&format!("200 GET /{n}\n")));
    }
    client.send(
        b"HEAD /bytes/5 HTTP/1.1\r\nHost: h\r\n\r\n\
          GET /bytes/3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    let rest = client.rest();
    assert!(rest.ends_with("Connection: close\r\n\r\nxxx"), "{rest}");
    assert_eq!(listener.count(ListenerEvent::Accepted), 1);
}

#[test]
fn a_malformed_request_after_a_head_request_gets_a_reason() {
    let listener = TestListener::start(|_| {});
    let response = listener.ask(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b\r\n\r\n");
    assert!(response.contains("\r\n\r\nHTTP/1.1 400 "), "{response}");
    assert!(
        response.ends_with("/metrics?job=NAME HTTP/1.1\n"),
        "{response}"
    );
}

#[test]
fn a_client_that_closes_its_side_gets_its_response() {
    let listener = TestListener::start(|_| {});
    let mut client = listener.client();
    client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.rest().contains("GET /a\n"));
    let mut client = listener.client();
    client.send(b"GET /a HTTP/1.1\r\nHo");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_panic_of_a_handler_fails_one_request_only() {
    let listener = TestListener::start(|_| {});
    assert!(
        listener
            .client()
            .get("/drop")
            .starts_with("500 internal error")
    );
    let mut client = listener.client();
    client.send(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.is_closed());
    eventually("the panic is counted", || {
        listener.telemetry.panics.get() == 1
    });
    // A body that is shorter than said: the client can tell.
    let response = listener.ask(b"GET /short HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(response.len() < 200_000);
    listener.client().check_served();
    eventually("no connection is left", || listener.open() == 0);
}

#[test]
fn large_responses_arrive_whole() {
    let listener = TestListener::start(|_| {});
    let mut client = listener.client();
    for length in [0, 1, 16 * 1024, 16 * 1024 + 1, 30_000_000] {
        client.check_bytes("/bytes/", length);
    }
}

#[test]
fn shutdown_finishes_running_requests_and_accepts_no_others() {
    let mut listener = TestListener::start(|_| {});
    let mut idle = listener.client();
    idle.check_served();
    let mut silent = listener.client();
    let mut held = listener.client();
    held.send(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    let request = listener.held();
    eventually("all are accepted", || listener.open() == 3);
    listener.stop_accepting();
    assert!(TcpStream::connect(listener.address).is_err());
    assert!(idle.is_closed());
    assert!(silent.is_closed());
    request.respond(Response::text(200, "late\n"));
    let (head, body) = held.raw_response();
    assert_eq!(body, b"late\n");
    assert!(head.contains("Connection: close"), "{head}");
    drop(held);
    listener.finish(TEST_TIMEOUT);
    assert_eq!(listener.open(), 0);
}

#[test]
fn shutdown_does_not_wait_longer_than_its_limit() {
    let mut listener = TestListener::start(|_| {});
    let mut held = listener.client();
    held.send(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    let request = listener.held();
    listener.finish(Duration::from_millis(20));
    assert!(held.is_closed());
    drop(request);
}
