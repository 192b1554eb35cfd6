//! Generated request heads: the reader never panics, and a head that passes means the same to tiny_http. README:
//! Security.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Mutex, OnceLock};

use kubernetes_metrics_aggregator::server::HttpError;
use kubernetes_metrics_aggregator::server::listener::{Head, HeadBuffer};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

use crate::support::listener::TestListener;
use crate::support::program::TEST_TIMEOUT;

/// Reads all of it at once.
fn read_head(bytes: &[u8]) -> Result<Option<Head>, HttpError> {
    let mut buffer = HeadBuffer::default();
    buffer.push(bytes);
    buffer.take()
}

/// Reads it in pieces of this size.
fn read_in_pieces(bytes: &[u8], size: usize) -> Result<Option<Head>, HttpError> {
    let mut buffer = HeadBuffer::default();
    for piece in bytes.chunks(size) {
        buffer.push(piece);
        if let Some(head) = buffer.take()? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

fn one_of(words: &[&'static str]) -> impl Strategy<Value = &'static str> {
    select(words.to_vec())
}

fn line_end() -> impl Strategy<Value = &'static str> {
    one_of(&["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "])
}

fn almost_a_request_line() -> impl Strategy<Value = String> {
    let whole = one_of(&["*", "http://h/a"]).prop_map(str::to_owned);
    let method = one_of(&["GET", "HEAD", "get", "B-R!EW", "", "G T"]);
    let blank = one_of(&[" ", " ", " ", "  ", "\t"]);
    let target = prop_oneof!["/[!-~]{0,20}", ".{0,4}", whole];
    let version = one_of(&[" HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/1.2", ""]);
    (method, blank, target, version, line_end())
        .prop_map(|(a, b, c, d, e)| [a, b, c.as_str(), d, e].concat())
}

fn almost_a_header() -> impl Strategy<Value = String> {
    let name = one_of(&[
        "Host",
        "Accept",
        "accept-encoding",
        "Content-Length",
        "Transfer-Encoding",
    ]);
    let colon = one_of(&[":", ": ", " :", ""]);
    let value = one_of(&[
        "h:1", "0", "a, b;q=1", "\t x\t", "", "M\u{fc}", "a: b", "\u{7f}", "chunked",
    ]);
    (name, colon, value, line_end()).prop_map(|(a, b, c, d)| [a, b, c, d].concat())
}

/// Bytes that are almost a head, put together from its parts.
fn almost_a_head() -> impl Strategy<Value = Vec<u8>> {
    let headers = proptest::collection::vec(almost_a_header(), 0..6);
    let end = one_of(&[
        "\r\n",
        "\r\n",
        "\n",
        "",
        "\r\n0;a\r\n\r\n",
        "\r\n00\r\nX: y\r\n\r\n",
    ]);
    (almost_a_request_line(), headers, end).prop_map(|(first, headers, end)| {
        [&first, headers.concat().as_str(), end]
            .concat()
            .into_bytes()
    })
}

/// One tiny_http and one connection to it, for all cases.
struct Parser {
    http: tiny_http::Server,
    stream: TcpStream,
}

fn parser() -> &'static Mutex<Parser> {
    static PARSER: OnceLock<Mutex<Parser>> = OnceLock::new();
    PARSER.get_or_init(|| {
        let http = tiny_http::Server::http((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(http.server_addr().to_ip().unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        Mutex::new(Parser { http, stream })
    })
}

/// Method, target and headers.
type Parsed = (String, String, Vec<(String, String)>);

/// What tiny_http makes of a head; `None` if it refuses it.
fn parsed_by_tiny_http(head: &Head) -> Option<Parsed> {
    let mut parser = parser().lock().unwrap();
    parser
        .stream
        .write_all(format!("{}\r\n", head.encode()).as_bytes())
        .unwrap();
    let request = parser.http.recv_timeout(TEST_TIMEOUT).unwrap()?;
    let headers = request
        .headers()
        .iter()
        .map(|header| (header.field.to_string(), header.value.to_string()));
    let parsed = (
        request.method().to_string(),
        request.url().to_owned(),
        headers.collect(),
    );
    drop(request.into_writer());
    Some(parsed)
}

fn check_same_for_tiny_http(head: &Head) -> Result<(), TestCaseError> {
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let ours = (head.method.clone(), head.target.clone(), headers);
    prop_assert_eq!(parsed_by_tiny_http(head), Some(ours));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        size in 1..50_usize,
    ) {
        prop_assert_eq!(read_head(&bytes).is_ok(), read_in_pieces(&bytes, size).is_ok());
    }

    #[test]
    fn a_head_that_passes_means_the_same_to_tiny_http(bytes in almost_a_head(), size in 1..50_usize) {
        let head = read_head(&bytes);
        prop_assert_eq!(&head, &read_in_pieces(&bytes, size));
        if let Ok(Some(head)) = head {
            check_same_for_tiny_http(&head)?;
        }
    }
}

#[test]
fn a_head_like_a_generated_one_passes() {
    // The property above would hold for a reader that refuses everything.
    let head = read_head(
        b"B-R!EW /!~ HTTP/1.1\r\nHost: h:1\r\nAccept: a, b;q=1\r\naccept-encoding:\t x\t\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    check_same_for_tiny_http(&head.unwrap().unwrap()).unwrap();
}

#[test]
fn random_bytes_get_an_error_or_an_end_and_harm_no_other_client() {
    let listener = TestListener::start(|_| {});
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 1..2000);
    for _ in 0..100 {
        let bytes = bytes.new_tree(&mut runner).unwrap().current();
        let mut stream = listener.tcp();
        let _ = stream.write_all(&bytes);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        assert!(
            response.is_empty() || response.starts_with(b"HTTP/1.1 4"),
            "{bytes:?}"
        );
    }
    listener.client().check_served();
}
