//! A listener on loopback with a simple handler behind it, and a client that reads its responses byte by byte.

use std::fmt::Write as _;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use kubernetes_metrics_aggregator::server::Response;
use kubernetes_metrics_aggregator::server::listener::{
    Limits, Listener, ListenerSettings, Request, bind,
};
use kubernetes_metrics_aggregator::telemetry::{ListenerEvent, Telemetry};

use super::program::TEST_TIMEOUT;

/// The names that an echoed response shows, if the request has them.
const SHOWN: [&str; 7] = [
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Cookie",
    "Host",
    "User-Agent",
    "X-Prometheus-Scrape-Timeout-Seconds",
];

/// The listener and two threads that respond.
pub(crate) struct TestListener {
    pub(crate) address: SocketAddr,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Requests for `/hold`: the test responds to them.
    pub(crate) held: Receiver<Request>,
    listener: Option<Listener>,
    handlers: Vec<JoinHandle<()>>,
}

impl TestListener {
    /// Starts with these changes to the default settings.
    pub(crate) fn start(change: impl FnOnce(&mut ListenerSettings)) -> TestListener {
        let mut settings = ListenerSettings {
            connections_max: 64,
            tls: None,
            token_file: None,
            path_prefix: String::new(),
            limits: Limits::default(),
        };
        change(&mut settings);
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let telemetry = Arc::new(Telemetry::default());
        let (listener, requests) =
            Listener::start(listener, settings, Arc::clone(&telemetry)).unwrap();
        let (hold, held) = unbounded();
        let handlers = (0..2).map(|_| {
            let (requests, hold) = (Arc::clone(&requests), hold.clone());
            thread::spawn(move || {
                while let Some(request) = requests.next() {
                    respond(request, &hold);
                }
            })
        });
        let handlers = handlers.collect();
        TestListener {
            address,
            telemetry,
            held,
            listener: Some(listener),
            handlers,
        }
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::new(self.tcp())
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).unwrap();
        tcp.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        tcp.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
        tcp
    }

    /// Sends the bytes on a connection of their own and reads all that comes back.
    pub(crate) fn ask(&self, request: &[u8]) -> String {
        let mut client = self.client();
        client.send(request);
        client.rest()
    }

    pub(crate) fn held(&self) -> Request {
        self.held
            .recv_timeout(TEST_TIMEOUT)
            .expect("a request for /hold")
    }

    pub(crate) fn count(&self, event: ListenerEvent) -> u64 {
        self.telemetry.events.get(event)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> u64 {
        self.count(ListenerEvent::Accepted) - self.count(ListenerEvent::Ended)
    }

    pub(crate) fn stop_accepting(&self) {
        self.listener.as_ref().unwrap().stop_accepting();
    }

    /// Ends the listener and its handlers.
    pub(crate) fn finish(&mut self, within: Duration) {
        self.listener.take().unwrap().finish(within);
        for thread in self.handlers.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for TestListener {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.finish(Duration::ZERO);
        }
    }
}

fn respond(request: Request, hold: &Sender<Request>) {
    let url = request.url().to_owned();
    if let Some(bytes) = url.strip_prefix("/bytes/") {
        let length = bytes.parse().unwrap();
        request.respond(bytes_response(length, length));
        return;
    }
    if let Some(bytes) = url.strip_prefix("/now/") {
        let length = bytes.parse().unwrap();
        request.respond_now(bytes_response(length, length));
        return;
    }
    match url.as_str() {
        "/hold" => hold.send(request).unwrap(),
        "/drop" => drop(request),
        "/short" => request.respond(bytes_response(100_000, 200_000)),
        "/panic" => {
            let mut response = Response::text(200, "never sent");
            response.body = Box::new(Panics);
            request.respond(response);
        }
        _ => {
            let mut text = format!("{} {url}\n", request.method());
            for name in SHOWN {
                if let Some(value) = request.header(name) {
                    writeln!(text, "{name}: {value}").unwrap();
                }
            }
            request.respond(Response::text(200, text));
        }
    }
}

fn bytes_response(there: usize, length: usize) -> Response {
    let mut response = Response::text(200, "");
    response.length = length;
    response.body = Box::new(Cursor::new(vec![b'x'; there]));
    response
}

/// A body that panics when it is read.
struct Panics;

impl Read for Panics {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("asked for by the test");
    }
}

impl BufRead for Panics {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        panic!("asked for by the test");
    }

    fn consume(&mut self, _: usize) {}
}

/// One connection, seen by the client.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    /// Read from the stream, but not yet returned.
    buffer: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Client<S> {
        Client {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// `GET` on a connection that stays open; returns the status and the text of the body.
    pub(crate) fn get(&mut self, url: &str) -> String {
        self.send(format!("GET {url} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        self.response()
    }

    /// Checks that a request is served on this connection.
    #[track_caller]
    pub(crate) fn check_served(&mut self) {
        let response = self.get("/served");
        assert!(response.starts_with("200 GET /served\n"), "{response}");
    }

    /// Checks that a response of so many bytes arrives whole.
    #[track_caller]
    pub(crate) fn check_bytes(&mut self, path: &str, bytes: usize) {
        let response = self.get(&format!("{path}{bytes}"));
        assert_eq!(response.len(), "200 ".len() + bytes);
    }

    /// Reads one whole response: status, blank, body.
    pub(crate) fn response(&mut self) -> String {
        let (head, body) = self.raw_response();
        let status = head.split(' ').nth(1).unwrap();
        format!("{status} {}", String::from_utf8(body).unwrap())
    }

    /// Reads one whole response: head and body.
    pub(crate) fn raw_response(&mut self) -> (String, Vec<u8>) {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more();
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while self.buffer.len() < length {
            self.read_more();
        }
        (head, self.buffer.drain(..length).collect())
    }

    fn read_more(&mut self) {
        let mut bytes = [0; 64 * 1024];
        let length = self.stream.read(&mut bytes).unwrap();
        assert!(
            length > 0,
            "closed; so far {:?}",
            String::from_utf8_lossy(&self.buffer)
        );
        self.buffer.extend_from_slice(&bytes[..length]);
    }

    /// Reads until the server closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.buffer);
        self.stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Whether the server has closed or cut the connection, and sent nothing before.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut bytes = [0; 1];
        match self.stream.read(&mut bytes) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
