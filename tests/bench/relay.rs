//! The relay: a process that does the least any merging server must do, and parses nothing.
//!
//! Asked for `/N`, it fetches the bodies of all pods over kept connections, with as many threads as the server
//! scrapes with, drops them, and then sends N bytes. Asked for `/fetch`, it only fetches, and sends two numbers: the
//! bytes it got and the nanoseconds it took.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::http::{BUFFER_BYTES, read_head, read_response};
use crate::workload::{Workload, pod_ip};

/// Sent over and over: the merged text of a real server is larger, and reading it from memory would cost more.
const WRITE_BYTES: usize = 1 << 20;

/// Connects to the pods of the farm at this port, starts the relay on a free port, and says which.
pub(crate) fn start(workload: Workload, farm_port: u16) -> io::Result<SocketAddr> {
    let fetchers = Fetchers::start(workload, farm_port)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new()
        .name("relay".to_owned())
        .spawn(move || {
            let text = vec![b'#'; WRITE_BYTES];
            for stream in listener.incoming().flatten() {
                if let Err(error) = respond(&stream, &fetchers, &text) {
                    // The client sees a connection that was closed; this says why.
                    let _ = writeln!(io::stderr(), "relay: {error}");
                }
            }
        })?;
    Ok(address)
}

fn respond(mut stream: &TcpStream, fetchers: &Fetchers, text: &[u8]) -> io::Result<()> {
    let mut request = [0; 1024];
    let (head_end, _) = read_head(stream, &mut request)?;
    let head = String::from_utf8_lossy(&request[..head_end]);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let start = Instant::now();
    let fetched = fetchers.fetch_all()?;
    if path == "/fetch" {
        let numbers = format!("{fetched} {}", start.elapsed().as_nanos());
        return stream.write_all(format!("{}{numbers}", response_head(numbers.len())).as_bytes());
    }
    let mut left: usize = path
        .strip_prefix('/')
        .and_then(|bytes| bytes.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no such path: {path:?}")))?;
    stream.write_all(response_head(left).as_bytes())?;
    while left > 0 {
        let length = left.min(text.len());
        stream.write_all(&text[..length])?;
        left -= length;
    }
    Ok(())
}

fn response_head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

/// Position of the next pod in a round of fetches, shared by its threads.
type Round = Arc<AtomicUsize>;

/// The threads that fetch, and their connections.
struct Fetchers {
    threads: usize,
    rounds: Sender<Round>,
    results: Receiver<io::Result<usize>>,
}

/// A kept connection and the request that is sent on it.
#[derive(Debug)]
struct Pod {
    stream: Mutex<TcpStream>,
    request: Vec<u8>,
}

impl Fetchers {
    fn start(workload: Workload, farm_port: u16) -> io::Result<Fetchers> {
        let pods = (workload.hanging..workload.pods).map(|index| Pod::connect(index, farm_port));
        let pods: Arc<[Pod]> = pods.collect::<io::Result<_>>()?;
        let threads = workload.client_workers.min(pods.len());
        let (rounds, incoming) = bounded::<Round>(threads);
        let (sender, results) = bounded(threads);
        for _ in 0..threads {
            let (pods, incoming, sender) = (Arc::clone(&pods), incoming.clone(), sender.clone());
            thread::Builder::new()
                .name("fetch".to_owned())
                .spawn(move || {
                    let mut buffer = vec![0; BUFFER_BYTES];
                    incoming
                        .iter()
                        .map(|round| fetch_some(&pods, &round, &mut buffer))
                        .try_for_each(|result| sender.send(result))
                })?;
        }
        Ok(Fetchers {
            threads,
            rounds,
            results,
        })
    }

    /// Fetches the body of each pod once; gives the bytes of all.
    fn fetch_all(&self) -> io::Result<usize> {
        let ended = |_| io::Error::other("the fetching threads have ended");
        let round = Round::default();
        for _ in 0..self.threads {
            self.rounds
                .send(Arc::clone(&round))
                .map_err(io::Error::other)?;
        }
        let results = (0..self.threads).map(|_| self.results.recv().map_err(ended).flatten());
        // All have to be taken, or the next round would find them.
        let results: Vec<io::Result<usize>> = results.collect();
        results.into_iter().sum()
    }
}

/// Fetches pods until the round has no more; gives their bytes.
fn fetch_some(pods: &[Pod], round: &Round, buffer: &mut [u8]) -> io::Result<usize> {
    let mut bytes = 0;
    while let Some(pod) = pods.get(round.fetch_add(1, Ordering::Relaxed)) {
        bytes += pod.fetch(buffer)?;
    }
    Ok(bytes)
}

impl Pod {
    fn connect(index: usize, port: u16) -> io::Result<Pod> {
        let ip = pod_ip(index);
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {ip}:{port}\r\nAccept: text/plain;version=0.0.4\r\n\r\n"
        );
        Ok(Pod {
            stream: Mutex::new(TcpStream::connect((ip, port))?),
            request: request.into_bytes(),
        })
    }

    fn fetch(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream.lock().map_err(|_| io::Error::other("poison"))?;
        stream.write_all(&self.request)?;
        let response = read_response(&*stream, buffer, |_| {})?;
        if response.status == 200 {
            Ok(response.body_bytes)
        } else {
            Err(io::Error::other(format!("status {}", response.status)))
        }
    }
}
