//! Where a response ends, and response heads that are refused. README: "What is stored" (only a complete body counts).
//! Prometheus 3.5.3 judges them in the same way unless a note says otherwise: `tests/real/bodies/responses.py`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{check_raw, check_taken};
use crate::support::certificates::Authority;
use crate::support::fake_pod::{SMALL_BODY, raw};
use crate::support::program::{Program, TempFile, pod_at, pod_with};

/// A response with these header lines, and what follows its head.
fn response(headers: &str, rest: &str) -> Vec<u8> {
    raw(
        &format!("{headers}Content-Type: text/plain\r\n"),
        rest.as_bytes(),
    )
}

/// With each `LENGTH` replaced by that of the body.
fn sized(headers: &str) -> Vec<u8> {
    response(
        &headers.replace("LENGTH", &SMALL_BODY.len().to_string()),
        SMALL_BODY,
    )
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// The body as a chunk, and what comes after that.
fn chunks(end: &str) -> String {
    format!("{:x}\r\n{SMALL_BODY}\r\n{end}", SMALL_BODY.len())
}

#[test]
fn complete_bodies_are_taken() {
    let whole = chunks("0\r\n\r\n");
    let extension = whole.replacen("\r\n", ";a=b\r\n", 1);
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
    let proceed = b"HTTP/1.1 100 Continue\r\n\r\n";
    let without_cr = String::from_utf8(sized("Content-Length: LENGTH\r\n")).unwrap();
    check_taken(&[
        response(CHUNKED, &whole),
        response("Transfer-Encoding: CHUNKED\r\n", &whole),
        response(&format!("{CHUNKED}Content-Length: 5\r\n"), &whole),
        response(CHUNKED, &extension),
        response(CHUNKED, &chunks("0\r\nX-Sum: 1\r\n\r\n")),
        [&hints[..], &response(CHUNKED, &whole)].concat(),
        [&proceed[..], &hints, &response(CHUNKED, &whole)].concat(),
        sized("Content-Length: LENGTH\r\n"),
        sized("Content-Length: 00LENGTH\r\n"),
        sized("Content-Length: LENGTH\r\nContent-Length:LENGTH \r\n"),
        sized(""),
        without_cr.replace("\r\n", "\n").into_bytes(),
        // HTTP/1.0 has no chunks.
        String::from_utf8(sized(CHUNKED))
            .unwrap()
            .replace("HTTP/1.1", "HTTP/1.0")
            .into_bytes(),
    ]);
}

/// A pod whose head comes byte by byte.
#[test]
fn a_head_may_come_byte_by_byte() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let whole = response(CHUNKED, &chunks("0\r\n\r\n"));
        whole
            .chunks(1)
            .for_each(|byte| stream.write_all(byte).unwrap());
        // With its request unread, closing would take the response back (RST).
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let program = Program::scraping(&[pod_at("n", "p", "web", address)], &[]);
    assert_eq!(program.get("/metrics?job=web").up("p"), Some(true));
}

/// 63 bits, as in Go. The body is read, and fails because it is shorter.
#[test]
fn the_largest_length_is_63_bits() {
    let length = "Content-Length: 9223372036854775807\r\n";
    check_raw(response(length, SMALL_BODY), "body: ");
}

const NO_LAST_CHUNK: &str =
    "body: connection closed by the pod before the end of the chunked body (0 and an empty line)";

#[test]
fn a_chunked_body_without_its_end_fails_the_pod() {
    for end in ["", "0", "0\r\n", "0\r\n\r", "0\r\nX-Sum: 1\r\n"] {
        check_raw(response(CHUNKED, &chunks(end)), NO_LAST_CHUNK);
    }
    check_raw(response(CHUNKED, ""), NO_LAST_CHUNK);
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
    check_raw(
        [hints, response(CHUNKED, &chunks("0\r\n"))].concat(),
        NO_LAST_CHUNK,
    );
}

#[test]
fn invalid_chunks_fail_the_pod() {
    for rest in ["zz\r\na 1\n\r\n", "4\r\na 1\nb 2\r\n", "\r\n0\r\n\r\n"] {
        check_raw(response(CHUNKED, rest), "body: protocol: chunk");
    }
}

#[test]
fn a_transfer_coding_other_than_chunked_fails_the_pod() {
    let whole = chunks("0\r\n\r\n");
    let check = |headers: &str, rest: &str, found: &str| {
        let reason = format!("wait: expected the Transfer-Encoding chunked or none, found {found}");
        check_raw(response(headers, rest), &reason);
    };
    check(
        "Transfer-Encoding: gzip, chunked\r\n",
        &whole,
        "gzip, chunked",
    );
    check(
        "Transfer-Encoding: identity, chunked\r\n",
        &whole,
        "identity, chunked",
    );
    check(&CHUNKED.repeat(2), &whole, "chunked, chunked");
    check("Transfer-Encoding: identity\r\n", SMALL_BODY, "identity");
    check("Transfer-Encoding: gzip\r\n", SMALL_BODY, "gzip");
    check("Transfer-Encoding:\r\n", SMALL_BODY, "nothing");
}

#[test]
fn a_content_length_that_is_not_one_number_fails_the_pod() {
    let different = "wait: expected one Content-Length, found several that differ";
    check_raw(
        sized("Content-Length: LENGTH\r\nContent-Length: 4\r\n"),
        different,
    );
    check_raw(
        sized("Content-Length: LENGTH\r\nContent-Length: 0LENGTH\r\n"),
        different,
    );
    for length in [
        "LENGTH, LENGTH",
        "+LENGTH",
        "-1",
        "0x10",
        "1 2",
        "9223372036854775808",
    ] {
        let reason = "wait: expected a number as Content-Length, found ";
        check_raw(sized(&format!("Content-Length: {length}\r\n")), reason);
    }
    // Go ignores an empty one.
    let reason = "wait: expected a number as Content-Length, found nothing";
    check_raw(sized("Content-Length:\r\n"), reason);
}

/// Go reads ten megabytes of headers.
#[test]
fn more_than_128_headers_fail_the_pod() {
    let headers = |number| "X-Padding: 1\r\n".repeat(number);
    // One more comes with the response.
    check_taken(&[response(&headers(127), SMALL_BODY)]);
    let reason = "wait: expected 128 headers at most, found more; have the pod send fewer";
    check_raw(response(&headers(128), SMALL_BODY), reason);
}

/// Go accepts them, except before the first header.
#[test]
fn a_header_folded_into_two_lines_fails_the_pod() {
    for folded in [
        "X-Long: a\r\n b\r\n",
        "X-Long: a\n\tb\r\n",
        "X-Long:\r\n \r\n",
        " b\r\n",
    ] {
        let reason = "wait: expected each header in one line, found one that goes on in the next (folded); \
                      have the pod send it in one";
        check_raw(response(folded, SMALL_BODY), reason);
    }
}

/// SETTINGS with one setting, and a GOAWAY as gRPC servers send it to clients that do not speak HTTP/2.
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
const HTTP_2: &str = "wait: expected HTTP/1.1, found a frame of HTTP/2, which is not spoken here; \
                      have the pod serve its metrics over HTTP/1.1";

/// Without TLS Prometheus does not read it either.
#[test]
fn a_pod_that_speaks_http_2_is_told_what_to_set() {
    for frame in [SETTINGS, GOAWAY] {
        check_raw(frame, HTTP_2);
    }
}

#[test]
fn a_pod_that_speaks_tls_unasked_is_told_what_to_set() {
    // An alert: unexpected message.
    let reason = "wait: expected HTTP, found TLS; set the option tls-enabled to true";
    check_raw(*b"\x15\x03\x03\0\x02\x02\x0a", reason);
}

/// A pod over TLS that sends this and closes the connection, with or without close_notify.
fn over_tls(config: Arc<ServerConfig>, response: Vec<u8>, with_farewell: bool) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = BufReader::new(StreamOwned::new(connection, stream));
            let mut line = String::new();
            while tls.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let mut tls = tls.into_inner();
            tls.write_all(&response).unwrap();
            if with_farewell {
                tls.conn.send_close_notify();
            }
            tls.flush().unwrap();
        }
    });
    address
}

/// The status page after a scrape of a pod over TLS.
fn state_over_tls(response: Vec<u8>, with_farewell: bool) -> String {
    let ca = Authority::new();
    let address = over_tls(ca.server(&["127.0.0.1"]), response, with_farewell);
    let labels = [("tls-enabled", "true")];
    let ca = TempFile::new(ca.pem().as_bytes());
    let pods = [pod_with("n", "p", "web", address, &labels)];
    let program = Program::scraping(&pods, &[("SCRAPE_CA_FILE", ca.path())]);
    program.get("/metrics?job=web");
    program.get("/").text().to_owned()
}

#[test]
fn responses_over_tls_are_judged_in_the_same_way() {
    for with_farewell in [true, false] {
        for (response, state) in [
            (response(CHUNKED, &chunks("0\r\n\r\n")), "up    1 sample,"),
            (response(CHUNKED, &chunks("0\r\n")), NO_LAST_CHUNK),
            (
                response("Transfer-Encoding: gzip, chunked\r\n", ""),
                "found gzip, chunked",
            ),
            (SETTINGS.to_vec(), HTTP_2),
            // Go accepts an end without close_notify between two records.
            (response("", SMALL_BODY), "up    1 sample,"),
        ] {
            let page = state_over_tls(response, with_farewell);
            assert!(
                page.contains(state),
                "{with_farewell}: no {state:?} in {page}"
            );
        }
    }
}
