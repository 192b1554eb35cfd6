//! Requests that are refused: malformed, too large, or with a body. README: "Status codes".

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use kubernetes_metrics_aggregator::server::listener::{HEADERS_MAX, TARGET_BYTES_MAX};

use crate::support::listener::TestListener;
use crate::support::program::TEST_TIMEOUT;

#[track_caller]
fn check_refused(listener: &TestListener, request: &[u8], status: u16, text: &str) {
    let response = listener.ask(request);
    let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
    let (head, body) = response
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{shown:?}: {response}"));
    let is_expected = head.starts_with(&format!("HTTP/1.1 {status} "))
        && head.contains("\r\nConnection: close")
        && head.contains("\r\nContent-Type: text/plain")
        && body.contains(text)
        && body.ends_with('\n')
        && body.lines().count() == 1;
    assert!(
        is_expected,
        "{shown:?}: expected {status} {text:?}, found {response}"
    );
}

/// Parts of the texts.
const BODY: &str = "must not have a body";
const ALONE: &str = "one number, alone";
const VERSIONS: &str = "HTTP/1.0 and HTTP/1.1";
const LINE: &str = "first line";
const HOST: &str = "name the host";

/// Request heads, the status, and a part of the text.
const BAD_HEADS: &[(&str, u16, &str)] = &[
    ("GET / HTTP/1.1\nHost: h\n\n", 400, "CR LF"),
    ("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400, "CR LF"),
    ("\r\n\r\n", 400, LINE),
    ("GET\r\n\r\n", 400, LINE),
    ("GET /\r\n\r\n", 400, LINE),
    ("GET  / HTTP/1.1\r\n\r\n", 400, LINE),
    ("GET / HTTP/1.1 \r\n\r\n", 400, LINE),
    (" GET / HTTP/1.1\r\n\r\n", 400, LINE),
    ("G(T / HTTP/1.1\r\n\r\n", 400, LINE),
    ("GET /\t HTTP/1.1\r\n\r\n", 400, LINE),
    ("GET / http/1.1\r\n\r\n", 400, LINE),
    ("AVERYLONGMETHODINDEED / HTTP/1.1\r\n\r\n", 400, LINE),
    ("GET /\0 HTTP/1.1\r\n", 400, "control"),
    ("GET /\u{7f} HTTP/1.1\r\n", 400, "control"),
    ("GET /ü HTTP/1.1\r\nHost: h\r\n\r\n", 400, "percent-encode"),
    ("GET / HTTP/1.1\r\n\r\n", 400, HOST),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, HOST),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, HOST),
    ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "not folded"),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "header lines"),
    ("GET / HTTP/1.1\r\nHost\r\n\r\n", 400, "header lines"),
    ("GET / HTTP/1.1\r\n: a\r\n\r\n", 400, "header lines"),
    ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, VERSIONS),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, VERSIONS),
];

/// Header lines in an otherwise valid head, the status, and a part of the text.
const BAD_HEADERS: &[(&str, u16, &str)] = &[
    ("Content-Length: 1", 413, BODY),
    ("content-length: 99999999999999999999", 413, BODY),
    ("Content-Length: +1", 400, "one number"),
    ("Content-Length: 0, 0", 400, "one number"),
    ("Content-Length: ", 400, "one number"),
    ("Transfer-Encoding: chunked", 413, BODY),
    ("Transfer-encoding: identity", 413, BODY),
    ("Transfer-Encoding: gzip, chunked", 413, BODY),
    (
        "Transfer-Encoding: chunked\r\nExpect: 100-continue",
        413,
        BODY,
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        400,
        ALONE,
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        400,
        ALONE,
    ),
    ("Expect: tea", 417, "100-continue"),
    ("X: a\u{1}b", 400, "control"),
];

#[test]
fn a_malformed_request_or_one_with_a_body_is_refused_at_once() {
    let listener = TestListener::start(|_| {});
    for (request, status, text) in BAD_HEADS {
        check_refused(&listener, request.as_bytes(), *status, text);
    }
    for (header, status, text) in BAD_HEADERS {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\nx");
        check_refused(&listener, request.as_bytes(), *status, text);
    }
}

const CHUNKED: &str = "GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n";

/// RFC 9112, section 7.1: the last chunk is any number of zeros, with extensions and trailers. Some proxies add it to
/// every GET.
#[test]
fn a_chunked_body_without_content_is_accepted() {
    let listener = TestListener::start(|_| {});
    let mut client = listener.client();
    for body in [
        "0\r\n\r\n",
        "0000000000000000000000000\r\n\r\n",
        "0;a=b;c=\"d e\"\r\n\r\n",
        "0 \t;a\r\n\r\n",
        "0 \r\n\r\n",
        "0\r\nX-Trailer: y\r\nHost: other\r\nContent-Length: 7\r\n\r\n",
    ] {
        // The next request comes in the same piece.
        client.send(format!("{CHUNKED}{body}GET /b HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!(client.response(), "200 GET /a\nHost: h\n", "{body:?}");
        assert_eq!(client.response(), "200 GET /b\nHost: h\n", "{body:?}");
        // And it is the same byte by byte.
        for byte in format!("{CHUNKED}{body}").as_bytes() {
            client.send(std::slice::from_ref(byte));
        }
        assert_eq!(client.response(), "200 GET /a\nHost: h\n", "{body:?}");
    }
    assert!(client.get("/c").starts_with("200 GET /c\n"));
}

#[test]
fn a_chunked_body_with_content_or_without_an_end_is_refused() {
    let listener = TestListener::start(|settings| settings.limits.head_time = TEST_TIMEOUT);
    let long = "x".repeat(20_000);
    for (body, status, text) in [
        ("1\r\n", 413, BODY),
        ("00000000000000001", 413, BODY),
        ("a", 413, BODY),
        ("00x", 413, BODY),
        ("-0", 413, BODY),
        ("+0", 413, BODY),
        ("\r\n", 413, BODY),
        (";a\r\n", 413, BODY),
        ("0\n\n", 400, "CR LF"),
        ("0\r\nX: y\n", 400, "CR LF"),
        ("0;\u{1}\r\n", 400, "control"),
        ("0\r\n1\r\n\r\n", 400, "header lines"),
        ("0\r\nX: y\r\n folded\r\n\r\n", 400, "not folded"),
        ("0", 400, "ends before"),
        ("0\r\n", 400, "ends before"),
        (&format!("0;{long}"), 431, "16 KiB"),
        (&format!("0\r\nX: {long}"), 431, "16 KiB"),
        (&"0".repeat(20_000), 431, "16 KiB"),
        (
            &format!("0\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1)),
            431,
            "more than 100 headers",
        ),
    ] {
        let mut client = listener.client();
        // A refusal comes at once, except where the client could still send more: there it closes its side.
        client.send(format!("{CHUNKED}{body}").as_bytes());
        if text == "ends before" {
            client.stream.shutdown(Shutdown::Write).unwrap();
        }
        let response = client.rest();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")) && response.contains(text),
            "{body:?}: {response}"
        );
    }
    let old = "GET /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check_refused(&listener, old.as_bytes(), 400, "alone");
}

#[test]
fn a_chunked_body_that_drips_is_cut_off_at_the_time_of_a_head() {
    let listener = TestListener::start(|settings| {
        settings.limits.head_time = Duration::from_millis(150);
    });
    for start in ["", "0", "0\r\nX: y\r\n"] {
        let response = listener.ask(format!("{CHUNKED}{start}").as_bytes());
        assert!(
            response.starts_with("HTTP/1.1 408 "),
            "{start:?}: {response}"
        );
    }
}

#[test]
fn a_request_that_is_too_large_is_refused_before_it_ends() {
    let listener = TestListener::start(|_| {});
    let long = "x".repeat(TARGET_BYTES_MAX);
    check_refused(
        &listener,
        format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(),
        414,
        "8 KiB",
    );
    check_refused(
        &listener,
        format!("GET /{long}{long}{long}").as_bytes(),
        414,
        "8 KiB",
    );
    let headers = "X: y\r\n".repeat(HEADERS_MAX);
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    check_refused(&listener, many.as_bytes(), 431, "more than 100 headers");
    let endless = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}{long}{long}");
    check_refused(&listener, endless.as_bytes(), 431, "16 KiB");
    // Far more than is read, and yet the response arrives.
    let mut client = listener.client();
    let _ = client.stream.write_all(&vec![b'x'; 200_000]);
    assert!(client.rest().starts_with("HTTP/1.1 414 "));
}
