//! Kept connections to pods: bytes that nobody asked for, connections that the pod has closed, and large heads.
//! README: "When something fails".

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crossbeam_channel::unbounded;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::certificates::Authority;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, ok, ok_with};
use crate::support::program::{Program, TEST_TIMEOUT, TempFile, pod_at, pod_with};

#[test]
fn a_head_of_almost_64_kib_is_read() {
    let cookie = format!("Set-Cookie: {}\r\n", "c".repeat(60_000));
    let response = ok_with(&cookie, SMALL_BODY.as_bytes());
    let (_fake, program) = Program::with_pod(FakePod::start(Behaviour::Raw(response)), &[]);
    assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
}

/// Some servers say 408 when a connection was idle for long, and close it. It is no response to the next request.
const UNASKED: &str = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";

/// A pod that responds once on each connection, and sends `at_once` after its response.
struct TalkativePod {
    address: SocketAddr,
    /// The connections that have had their response.
    responded: Receiver<TcpStream>,
}

impl TalkativePod {
    fn start(at_once: &'static str) -> TalkativePod {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, responded) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                respond(stream, at_once, &sender);
            }
        });
        TalkativePod { address, responded }
    }
}

fn respond(mut stream: TcpStream, at_once: &str, responded: &Sender<TcpStream>) {
    let mut head = BufReader::new(&stream).lines();
    let end_of_head = head.find(|line| line.as_ref().is_ok_and(String::is_empty));
    assert!(end_of_head.is_some(), "a whole head");
    let response = [ok(SMALL_BODY), at_once.into()].concat();
    // The server may be gone by now, and with it the test.
    let _ = stream.write_all(&response);
    let _ = responded.send(stream);
}

#[test]
fn bytes_after_a_response_are_not_the_next_response() {
    let fake = TalkativePod::start(UNASKED);
    let program = Program::scraping(&[pod_at("shop", "web-0", "web", fake.address)], &[]);
    for _ in 0..3 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    }
    assert_eq!(fake.responded.try_iter().count(), 3);
}

#[test]
fn bytes_on_an_idle_connection_are_not_the_next_response() {
    let fake = TalkativePod::start("");
    let program = Program::scraping(&[pod_at("shop", "web-0", "web", fake.address)], &[]);
    for _ in 0..3 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
        let responded = fake.responded.recv_timeout(TEST_TIMEOUT);
        let mut idle = responded.expect("the pod has responded");
        idle.write_all(UNASKED.as_bytes()).unwrap();
    }
}

/// A pod that responds to the first request of a connection when it is let go, and closes the connection at the second.
struct ForgetfulPod {
    address: SocketAddr,
    /// For each request the number of its connection, from 1.
    requests: Receiver<usize>,
    go: crossbeam_channel::Sender<()>,
}

impl ForgetfulPod {
    fn start(tls: Option<Arc<ServerConfig>>) -> ForgetfulPod {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        let (go, wait) = unbounded();
        thread::spawn(move || {
            for (number, stream) in (1..).zip(listener.incoming().flatten()) {
                let (tls, sender, wait) = (tls.clone(), sender.clone(), wait.clone());
                thread::spawn(move || match tls {
                    None => respond_once(stream, number, &sender, &wait),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).unwrap();
                        respond_once(StreamOwned::new(connection, stream), number, &sender, &wait);
                    }
                });
            }
        });
        ForgetfulPod {
            address,
            requests,
            go,
        }
    }

    fn next_request(&self) -> usize {
        self.requests.recv_timeout(TEST_TIMEOUT).unwrap()
    }
}

fn respond_once(
    mut stream: impl Read + Write,
    number: usize,
    requests: &Sender<usize>,
    go: &crossbeam_channel::Receiver<()>,
) {
    if read_head(&mut stream) && requests.send(number).is_ok() {
        let may_go = go.recv_timeout(TEST_TIMEOUT);
        may_go.expect("the test lets it respond");
        stream.write_all(&ok(SMALL_BODY)).unwrap();
        stream.flush().unwrap();
    }
    // The end of the test is the other end of this connection.
    if read_head(&mut stream) {
        let _ = requests.send(number);
    }
}

/// Whether there was one before the end.
fn read_head(stream: &mut impl Read) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_exact(&mut byte).is_err() {
            return false;
        }
        head.extend(byte);
    }
    true
}

/// Two requests at once leave two kept connections. When one of them turns out to be closed the other is not tried.
#[track_caller]
fn check_forgetful(fake: &ForgetfulPod, labels: &[(&str, &str)], settings: &[(&str, &str)]) {
    let pods = [pod_with("n", "p", "web", fake.address, labels)];
    let settings = [settings, &[("CLIENT_WORKERS", "4")]].concat();
    let program = Program::scraping(&pods, &settings);
    thread::scope(|scope| {
        let asked = [(); 2].map(|()| scope.spawn(|| program.get("/metrics?job=web").up("p")));
        let connections = [fake.next_request(), fake.next_request()];
        assert_eq!(connections.iter().sum::<usize>(), 3, "two connections");
        fake.go.send(()).unwrap();
        fake.go.send(()).unwrap();
        assert_eq!(asked.map(|asked| asked.join().unwrap()), [Some(true); 2]);
    });
    fake.go.send(()).unwrap();
    assert_eq!(program.get("/metrics?job=web").up("p"), Some(true));
    let asked: Vec<usize> = fake.requests.try_iter().collect();
    assert!(matches!(asked[..], [1 | 2, 3]), "{asked:?}");
}

#[test]
fn a_request_is_sent_again_on_a_new_connection() {
    check_forgetful(&ForgetfulPod::start(None), &[], &[]);
}

#[test]
fn a_request_over_tls_is_sent_again_on_a_new_connection() {
    let ca = Authority::new();
    let fake = ForgetfulPod::start(Some(ca.server(&["127.0.0.1"])));
    let ca = TempFile::new(ca.pem().as_bytes());
    let settings = [("SCRAPE_CA_FILE", ca.path())];
    check_forgetful(&fake, &[("tls-enabled", "true")], &settings);
}

/// A new connection without a response fails at once: a pod in trouble is not asked twice.
#[test]
fn a_request_on_a_new_connection_is_sent_once() {
    let fake = FakePod::start(Behaviour::Raw(Vec::new()));
    let program = Program::scraping(&[pod_at("n", "p", "web", fake.address)], &[]);
    assert_eq!(program.get("/metrics?job=web").up("p"), Some(false));
    assert_eq!(fake.connections(), 1);
}
