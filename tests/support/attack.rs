//! The program under attack: a well-behaved scraper, a kubelet that probes, and its size meanwhile.
//!
//! Probes are timed against a control: a bare thread in the test that responds with one byte and is probed at the same
//! time. What is late for both is due to the machine.
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, StreamOwned};

use super::certificates::{NAME, tls_client};
use super::eventually;
use super::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use super::figures::{Figures, Size};
use super::program::{Program, TEST_TIMEOUT, TempFile, pod_at};

/// Pods of the job `web`.
const WEB_PODS: usize = 4;
/// Pods of the job `huge`, and lines in the body of each, of 10 KB: 50 MB of merged text.
const HUGE_PODS: usize = 50;
const HUGE_LINES: usize = 100;
/// Between two requests of the good scraper.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// Tests that measure do so one after the other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A failed test leaves nothing behind that matters here.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many connections of a flood this process may open besides its other files.
fn flood(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let soft = limit.split_whitespace().next().unwrap();
    // "unlimited" is enough.
    wanted.min(
        soft.parse::<usize>()
            .map_or(wanted, |soft| soft.saturating_sub(200)),
    )
}

/// The running program with healthy pods, and how to talk to it.
pub(crate) struct Site {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    _pods: Vec<FakePod>,
    _list: TempFile,
}

impl Site {
    /// The job `web` of some small pods, the job `huge` whose merged text has 50 MB.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Site {
        Site::start_limited(None, settings)
    }

    /// The same in a process that may open so many files.
    pub(crate) fn start_limited(open_files: Option<usize>, settings: &[(&str, &str)]) -> Site {
        let web: Vec<FakePod> = (0..WEB_PODS)
            .map(|_| FakePod::start(Behaviour::Body(SMALL_BODY.to_owned())))
            .collect();
        let line = |number| format!("text{{t=\"{number}{}\"}} 1\n", "x".repeat(10_000));
        let huge = FakePod::start(Behaviour::Body((0..HUGE_LINES).map(line).collect()));
        let mut pods: Vec<_> = web
            .iter()
            .enumerate()
            .map(|(number, pod)| pod_at("n", &format!("web-{number}"), "web", pod.address))
            .collect();
        pods.extend(
            (0..HUGE_PODS)
                .map(|number| pod_at("n", &format!("huge-{number}"), "huge", huge.address)),
        );
        let list = TempFile::pods(&pods);
        let settings = [settings, &[ALLOCATOR]].concat();
        let program = Program::with_pods_limited(&list, open_files, &settings);
        Site {
            address: program.address,
            program,
            tls: None,
            _pods: web.into_iter().chain([huge]).collect(),
            _list: list,
        }
    }

    /// The same over TLS; trusts the certificate of this PEM.
    pub(crate) fn with_tls(mut self, ca: &str) -> Site {
        self.tls = Some(Arc::new(tls_client(&[ca], None, ALL_VERSIONS)));
        self
    }

    pub(crate) fn connect(&self) -> Option<TcpStream> {
        connect(self.address).ok()
    }

    /// Opens this many connections, or as many as possible.
    pub(crate) fn connect_many(&self, wanted: usize) -> Vec<TcpStream> {
        (0..flood(wanted)).filter_map(|_| self.connect()).collect()
    }

    /// One request on a connection of its own, and all that comes back.
    pub(crate) fn ask(&self, request: &str) -> io::Result<String> {
        ask(self.address, self.tls.as_ref(), request)
    }

    fn is_healthy(&self) -> io::Result<()> {
        let response =
            self.ask("GET /-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        if response.starts_with("HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(io::Error::other(response))
    }

    /// One scrape as a Prometheus does it: within ten seconds, and all pods are up.
    pub(crate) fn scrape(&self) -> io::Result<()> {
        let response = self.ask(
            "GET /metrics?job=web HTTP/1.1\r\nHost: h\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\
             Connection: close\r\n\r\n",
        )?;
        let up = response
            .lines()
            .filter(|line| line.starts_with("up{") && line.ends_with(" 1"));
        if up.count() == WEB_PODS {
            return Ok(());
        }
        Err(io::Error::other(response))
    }

    /// Scrapes, probes and measures during the attack, for `lasting` at least, while what the attack returns is held.
    pub(crate) fn watch<T>(&self, lasting: Duration, attack: impl FnOnce() -> T) -> (T, Figures) {
        let figures = Mutex::new(Figures::default());
        let over = AtomicBool::new(false);
        let control = control();
        let result = thread::scope(|scope| {
            let each = |interval: Duration, work: &dyn Fn()| {
                while !over.load(Ordering::Relaxed) {
                    let next = Instant::now() + interval;
                    work();
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            };
            let note = |change: &dyn Fn(&mut Figures)| change(&mut figures.lock().unwrap());
            scope.spawn(move || {
                each(PROBE_INTERVAL, &|| {
                    let start = Instant::now();
                    let outcome = self.is_healthy().map_err(|error| error.to_string());
                    let took = start.elapsed();
                    note(&|figures| figures.probes.push((took, outcome.clone())));
                });
            });
            scope.spawn(move || {
                each(PROBE_INTERVAL, &|| {
                    let start = Instant::now();
                    ping(control).unwrap();
                    let took = start.elapsed();
                    note(&|figures| figures.control.push(took));
                });
            });
            scope.spawn(move || {
                each(SCRAPE_INTERVAL, &|| {
                    let start = Instant::now();
                    let outcome = self.scrape().map_err(|error| error.to_string());
                    let took = start.elapsed();
                    note(&|figures| figures.scrapes.push((took, outcome.clone())));
                });
            });
            scope.spawn(move || {
                each(PROBE_INTERVAL, &|| {
                    let size = Size::of(self.program.pid());
                    note(&|figures| figures.most = figures.most.max(size));
                });
            });
            let _over = SetAtEnd(&over);
            let start = Instant::now();
            let result = attack();
            thread::sleep(lasting.saturating_sub(start.elapsed()));
            result
        });
        (result, figures.into_inner().unwrap())
    }

    /// Waits until the program is as small as it was.
    #[track_caller]
    pub(crate) fn check_back_to(&self, before: Size) {
        let mut now = Size::default();
        let back = |now: Size| {
            now.threads <= before.threads + SPARE_THREADS
                && now.descriptors <= before.descriptors + SPARE_DESCRIPTORS
                && now.resident_kib <= before.resident_kib + KEPT_KIB
        };
        let deadline = Instant::now() + TEST_TIMEOUT;
        while Instant::now() < deadline {
            now = Size::of(self.program.pid());
            if back(now) {
                println!("  after: {now}; before: {before}");
                return;
            }
            thread::sleep(PROBE_INTERVAL);
        }
        panic!("after: {now}; before: {before}");
    }

    /// Waits until it serves again: scrapes and probes alike.
    #[track_caller]
    pub(crate) fn check_recovers(&self) {
        eventually("a scrape succeeds again", || self.scrape().is_ok());
        eventually("a probe succeeds again", || self.is_healthy().is_ok());
    }
}

/// Threads of the last connections may just be ending.
const SPARE_THREADS: usize = 6;
/// Connections to pods that two workers opened at once; connections that are just ending.
const SPARE_DESCRIPTORS: usize = 8;

/// What the allocator of the C library keeps in arenas and stacks of threads.
const KEPT_KIB: usize = 24 * 1024;
/// Makes it return large allocations at once, so that the memory of the program itself is measured. Without it glibc
/// kept up to 75 MiB more after responses of 50 MB.
const ALLOCATOR: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Sets the flag when dropped, also by a panic: the threads of a scope end only then.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection whose reads and writes have a timeout.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TEST_TIMEOUT)?;
    stream.set_read_timeout(Some(TEST_TIMEOUT))?;
    stream.set_write_timeout(Some(TEST_TIMEOUT))?;
    Ok(stream)
}

/// One request on a connection of its own, and all that comes back.
pub(crate) fn ask(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    request: &str,
) -> io::Result<String> {
    let mut tcp = connect(address)?;
    let mut response = Vec::new();
    match tls {
        None => {
            tcp.write_all(request.as_bytes())?;
            tcp.read_to_end(&mut response)?;
        }
        Some(config) => {
            let name = NAME.try_into().unwrap();
            let connection =
                ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(connection, tcp);
            stream.write_all(request.as_bytes())?;
            stream.flush()?;
            stream.read_to_end(&mut response)?;
        }
    }
    if response.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    String::from_utf8(response).map_err(io::Error::other)
}

/// Responds with one byte on each connection, for as long as the test process lives.
fn control() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut byte = [0];
                stream
                    .read_exact(&mut byte)
                    .and_then(|()| stream.write_all(&byte))
            });
        }
    });
    address
}

fn ping(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])
}
