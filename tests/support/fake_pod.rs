//! A pod on loopback that behaves as told, with real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use flate2::Compression;
use flate2::write::GzEncoder;

/// What a fake pod does with each request.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// 200, text format, this body; the connection is kept.
    Body(String),
    /// These bytes as the whole response, then the connection is closed.
    Raw(Vec<u8>),
    /// The bytes of the media type that is the first known one in `Accept`, or else the last, as the whole response;
    /// then the connection is closed.
    Accept(Vec<(&'static str, Vec<u8>)>),
    /// The bytes of the path that is asked for, as the whole response; then the connection is closed.
    Paths(Vec<(&'static str, Vec<u8>)>),
    /// This status with an empty body.
    Status(u16),
    /// Reads the request and says nothing.
    Hang,
    /// Sends a head with this Content-Length and the body, then says nothing.
    HangInBody(usize, &'static str),
    /// Sends the head, then one byte of the body at a time.
    Drip(Duration),
    /// Sends the head, then lines without end.
    Endless,
    /// Closes inside of the head.
    Reset,
    /// Closes inside of the body with most of the request unread, for which the kernel sends a reset (RST).
    ResetInBody,
    /// Responds only once a message is on the channel.
    Wait(Receiver<()>, String),
    /// Keeps the connection but closes it after this many responses.
    CloseAfter(usize, String),
}

/// A running fake pod. Its threads end with the test process.
#[derive(Debug)]
pub(crate) struct FakePod {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// The head of each request, as it comes in.
    pub(crate) requests: Receiver<String>,
}

/// Body of a small well-behaved exporter.
pub(crate) const SMALL_BODY: &str =
    "# HELP pages_total Pages.\n# TYPE pages_total counter\npages_total{kind=\"a\"} 1\n";

static NEXT_IP: AtomicU8 = AtomicU8::new(1);

impl FakePod {
    pub(crate) fn start(behaviour: Behaviour) -> FakePod {
        let ip = Ipv4Addr::new(127, 1, 0, NEXT_IP.fetch_add(1, Ordering::Relaxed));
        let listener = TcpListener::bind((ip, 0)).expect("a loopback port");
        FakePod::on(listener, behaviour)
    }

    /// Responds with this body, in the text format.
    pub(crate) fn serving(body: impl Into<String>) -> FakePod {
        FakePod::start(Behaviour::Body(body.into()))
    }

    /// Responds with [`SMALL_BODY`].
    pub(crate) fn healthy() -> FakePod {
        FakePod::serving(SMALL_BODY)
    }

    pub(crate) fn on(listener: TcpListener, behaviour: Behaviour) -> FakePod {
        let address = listener.local_addr().expect("it is bound");
        let (sender, requests) = unbounded();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let (behaviour, sender) = (behaviour.clone(), sender.clone());
                thread::spawn(move || respond_to_all(&stream, &behaviour, &sender));
            }
        });
        FakePod {
            address,
            connections,
            requests,
        }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn respond_to_all(stream: &TcpStream, behaviour: &Behaviour, requests: &Sender<String>) {
    if matches!(behaviour, Behaviour::ResetInBody) {
        // An error is the scraper going away.
        let _ = reset_in_body(stream);
        return;
    }
    let mut reader = BufReader::new(stream);
    let mut responses = 0;
    while let Some(head) = read_head(&mut reader) {
        // The test may have dropped the pod.
        let _ = requests.send(head.clone());
        responses += 1;
        // An error is the scraper going away, which most behaviours are there to provoke.
        if respond(stream, behaviour, &head).is_err() {
            return;
        }
        match behaviour {
            Behaviour::Body(_) | Behaviour::Status(_) | Behaviour::Wait(..) => {}
            Behaviour::CloseAfter(most, _) if responses < *most => {}
            _ => return,
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
        if &head[before..] == "\r\n" {
            return Some(head);
        }
    }
}

fn respond(mut stream: &TcpStream, behaviour: &Behaviour, request: &str) -> std::io::Result<()> {
    match behaviour {
        Behaviour::Body(body) | Behaviour::CloseAfter(_, body) => stream.write_all(&ok(body)),
        Behaviour::Raw(bytes) => stream.write_all(bytes),
        Behaviour::Accept(known) => {
            let accept = header(request, "accept").unwrap_or_default();
            let mut ranges = accept.split(',');
            let asked = ranges.find_map(|range| {
                let mut known = known.iter();
                known.find(|(media_type, _)| range.starts_with(media_type))
            });
            let (_, response) = asked.or_else(|| known.last()).expect("one at least");
            stream.write_all(response)
        }
        Behaviour::Paths(paths) => {
            let asked = request.split(' ').nth(1);
            let known = paths.iter().find(|(path, _)| Some(*path) == asked);
            let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(known.map_or(not_found, |(_, response)| response))
        }
        Behaviour::Status(status) => stream.write_all(
            format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        ),
        Behaviour::Hang => wait_for_close(stream),
        Behaviour::HangInBody(length, part) => {
            stream.write_all(head(*length).as_bytes())?;
            stream.write_all(part.as_bytes())?;
            wait_for_close(stream)
        }
        Behaviour::Drip(gap) => {
            stream.write_all(head(1 << 30).as_bytes())?;
            loop {
                stream.write_all(b"#")?;
                thread::sleep(*gap);
            }
        }
        Behaviour::Endless => {
            stream.write_all(&raw("Content-Type: text/plain\r\n", b""))?;
            let lines = SMALL_BODY.repeat(1000);
            loop {
                stream.write_all(lines.as_bytes())?;
            }
        }
        Behaviour::Reset => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le"),
        Behaviour::ResetInBody => unreachable!("it reads no request"),
        Behaviour::Wait(go, body) => {
            go.recv().expect("the test lets it go");
            stream.write_all(&ok(body))
        }
    }
}

fn reset_in_body(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(head(100).as_bytes())?;
    stream.write_all(b"a 1\n")?;
    // Time for the scraper to read as far; what it has not read may be lost by the reset.
    thread::sleep(Duration::from_millis(50));
    Ok(())
}

/// Blocks until the scraper closes the connection.
fn wait_for_close(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The value of the header in the head of a request.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = headers.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.to_owned())
}

/// A whole response with status 200, text format and this body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    ok_as("text/plain; version=0.0.4", body.as_bytes())
}

/// A whole response with status 200 and this body of this type.
pub(crate) fn ok_as(content_type: &str, body: &[u8]) -> Vec<u8> {
    ok_with(&format!("Content-Type: {content_type}\r\n"), body)
}

/// A whole response with status 200, these header lines and this body.
pub(crate) fn ok_with(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    raw(&format!("{headers}Content-Length: {length}\r\n"), body)
}

/// Status 200 with these header lines alone, and what follows them.
pub(crate) fn raw(headers: &str, rest: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), rest].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}
