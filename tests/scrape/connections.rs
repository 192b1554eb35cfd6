//! What pods do with connections that are kept: large heads, and words that nobody asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::with_headers;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{Program, TempFile, pod_at};

#[test]
fn a_head_of_almost_64_kib_is_read() {
    let cookie = format!("Set-Cookie: {}\r\n", "c".repeat(60_000));
    let length = format!("Content-Length: {}\r\n", SMALL_BODY.len());
    let headers = format!("Content-Type: text/plain\r\n{cookie}{length}");
    let fake = FakePod::start(Behaviour::Raw(with_headers(
        &headers,
        SMALL_BODY.as_bytes(),
    )));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
}

/// Some servers say 408 when a connection was idle for long, and close it. It is no answer to the next request.
const UNASKED: &str = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";

/// A pod that answers on each connection once, and says `at_once` behind its answer.
struct TalkativePod {
    address: SocketAddr,
    /// The connections that were answered.
    answered: Receiver<TcpStream>,
}

impl TalkativePod {
    fn start(at_once: &'static str) -> TalkativePod {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, answered) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, at_once, &sender);
            }
        });
        TalkativePod { address, answered }
    }
}

fn answer(mut stream: TcpStream, at_once: &str, answered: &Sender<TcpStream>) {
    let mut head = BufReader::new(&stream).lines();
    let end_of_head = head.find(|line| line.as_ref().is_ok_and(String::is_empty));
    assert!(end_of_head.is_some(), "a whole head");
    let headers = format!(
        "Content-Type: text/plain\r\nContent-Length: {}\r\n",
        SMALL_BODY.len()
    );
    let body = [SMALL_BODY, at_once].concat();
    // The server may be gone by now, and with it the test.
    let _ = stream.write_all(&with_headers(&headers, body.as_bytes()));
    let _ = answered.send(stream);
}

#[test]
fn words_behind_an_answer_are_not_the_next_answer() {
    let fake = TalkativePod::start(UNASKED);
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    for _ in 0..3 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    }
    assert_eq!(fake.answered.try_iter().count(), 3);
}

#[test]
fn words_on_an_idle_connection_are_not_the_next_answer() {
    let fake = TalkativePod::start("");
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    for _ in 0..3 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
        let mut idle = fake.answered.recv().unwrap();
        idle.write_all(UNASKED.as_bytes()).unwrap();
    }
}
