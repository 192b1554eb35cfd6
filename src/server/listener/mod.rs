//! The listener: where clients from outside come in, and all that stands between them and tiny_http.
//!
//! It accepts TCP connections under a bound, does TLS and authentication, reads one well-formed request without a
//! body at a time within limits of size and time, hands it to tiny_http, and sends the response as fast as the client
//! takes it, also within limits. A client that does something wrong gets at once one line that says what to do.
//!
//! Threads: `listener` accepts; each connection has its own, `connection`, from `accept` to its end. Keep-alive is
//! offered: a scraper over TLS then needs one handshake, not one per scrape.
//!
//! Nothing that a stranger can cause is logged above debug, but for one bounded warning.

mod auth;
mod connection;
mod connections;
mod files;
mod head;
mod requests;
mod stream;
mod tls;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::reloaded::FileError;
use crate::telemetry::{ListenerEvent, Telemetry, open_files_max};
use connections::Connections;
use files::Files;
pub use head::{HEAD_BYTES_MAX, HEADERS_MAX, Head, HeadBuffer, TARGET_BYTES_MAX};
pub use requests::{Request, Requests};
pub use tls::TlsFiles;

/// Stack of a connection's thread: a handshake needs a good part of it. Untouched pages cost nothing.
const STACK_BYTES: usize = 256 * 1024;
/// First and longest pause after `accept` has failed for want of something.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Least time between two warnings of one kind.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// What can be set.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Most connections at once (`MAX_CONNECTIONS`); at most half of the descriptors that the process may open are
    /// used for them.
    pub connections_max: usize,
    /// Certificate files; without, plain HTTP is spoken.
    pub tls: Option<TlsFiles>,
    /// The bearer token that requests have to show, if any.
    pub token_file: Option<PathBuf>,
    /// What is taken off the path of requests that have it: empty, or `/` and more (of `ADVERTISE_ADDRESS`).
    pub path_prefix: String,
    /// Time and size limits; nobody but a test needs others than the default.
    pub limits: Limits,
}

/// How long and how much of it a client is waited for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a TLS handshake: 10 s.
    pub handshake_time: Duration,
    /// For a whole request head, from the connection's start or from its first byte: 10 s.
    pub head_time: Duration,
    /// For the first byte of a next request: 2 min, longer than most scrape intervals.
    pub idle_time: Duration,
    /// A client that takes less than `progress_bytes` of its response in this time is cut off: 10 s.
    pub progress_time: Duration,
    /// See there: 64 KiB, or what is left of the response.
    pub progress_bytes: usize,
    /// For a whole response: 5 min, longer than any scrape.
    pub send_time: Duration,
    /// For the client to close after the last response: 2 s.
    pub linger_time: Duration,
    /// What it may still send then: 256 KiB.
    pub linger_bytes: usize,
    /// Responses that clients have not taken yet, together: 256 MiB.
    pub unsent_bytes_max: usize,
    /// To make room for another, a response under way may be cut off after this time: 2 s,
    pub unsent_time: Duration,
    /// or after this time without `progress_bytes` being taken: 500 ms.
    pub unsent_stall_time: Duration,
    /// How old the certificate and tokens may be before their files are read again: 2 s.
    pub reload_interval: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake_time: Duration::from_secs(10),
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(120),
            progress_time: Duration::from_secs(10),
            progress_bytes: 64 * 1024,
            send_time: Duration::from_secs(300),
            linger_time: Duration::from_secs(2),
            linger_bytes: 256 * 1024,
            unsent_bytes_max: 256 * 1024 * 1024,
            unsent_time: Duration::from_secs(2),
            unsent_stall_time: Duration::from_millis(500),
            reload_interval: Duration::from_secs(2),
        }
    }
}

impl ListenerSettings {
    /// Reads the files, to say beforehand whether they can be used.
    ///
    /// # Errors
    /// The first file that cannot.
    pub fn check(&self) -> Result<(), FileError> {
        self.open_files().map(drop)
    }

    fn open_files(&self) -> Result<Files, FileError> {
        let max_age = self.limits.reload_interval;
        Files::open(self.tls.as_ref(), self.token_file.clone(), max_age)
    }
}

/// Listens on the address. All addresses means IPv6 and IPv4 alike; where the machine has no IPv6, IPv4 alone.
///
/// # Errors
/// The address is in use, is none of this machine's, or the port needs a right that the process does not have.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            // The first error is the one to report: it is about what was asked for.
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).map_err(|_| error)
        }
        bound => bound,
    }
}

/// The running listener. Its requests come out of the [`Requests`] that were started with it.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    /// A second handle of the listening socket.
    closer: TcpStream,
    /// A message ends the waiting of the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What all threads of the listener share.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    path_prefix: String,
    files: Files,
    connections: Arc<Connections>,
    requests: Arc<Requests>,
    telemetry: Arc<Telemetry>,
    warned: Mutex<Option<Instant>>,
}

impl Listener {
    /// Starts to accept connections.
    ///
    /// # Errors
    /// A file is not right, which [`ListenerSettings::check`] says beforehand, or the machine lacks something.
    pub fn start(
        listener: TcpListener,
        settings: ListenerSettings,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<(Listener, Arc<Requests>)> {
        let files = settings.open_files().map_err(io::Error::other)?;
        let limits = settings.limits;
        let slots = slots(settings.connections_max);
        let connections = Connections::new(slots, limits.clone(), Arc::clone(&telemetry));
        let connections = Arc::new(connections);
        let requests = Arc::new(Requests::open(Arc::clone(&connections))?);
        let shared = Arc::new(Shared {
            limits,
            path_prefix: settings.path_prefix,
            files,
            connections,
            requests: Arc::clone(&requests),
            telemetry,
            warned: Mutex::default(),
        });
        Ok((Listener::start_thread(listener, shared)?, requests))
    }

    fn start_thread(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Listener> {
        // A listening socket can be shut down, but std offers that for streams only.
        let closer = TcpStream::from(OwnedFd::from(listener.try_clone()?));
        let (stop, stopped) = bounded(1);
        let accepting = Arc::clone(&shared);
        let accept = move || accepting.accept_all(&listener, &stopped);
        let thread = thread::Builder::new()
            .name("listener".to_owned())
            .spawn(accept)?;
        Ok(Listener {
            shared,
            closer,
            stop,
            thread,
        })
    }

    /// Stops accepting: the kernel refuses new connections at once, and those without a complete request are closed.
    /// Requests in progress continue.
    pub fn stop_accepting(&self) {
        // An error means that the message was sent before.
        let _ = self.stop.try_send(());
        self.shared.connections.stop();
        // Wakes the thread that accepts. An error means that this was done before.
        let _ = self.closer.shutdown(Shutdown::Both);
    }

    /// Stops accepting, waits until all requests in progress have their responses, then ends the rest.
    ///
    /// The caller has to keep handling requests during this time. Afterwards [`Requests::next`] returns `None`.
    pub fn finish(self, within: Duration) {
        self.stop_accepting();
        let left = self.shared.connections.finish(within);
        self.shared.requests.finish();
        if left > 0 {
            log::warn!(
                "{left} connections still had no response after {} s and are cut off",
                within.as_secs()
            );
            self.shared
                .connections
                .finish(self.shared.limits.linger_time);
        }
        // An error is a panic; the hook has logged it.
        let _ = self.thread.join();
    }
}

impl Shared {
    fn accept_all(self: &Arc<Self>, listener: &TcpListener, stopped: &Receiver<()>) {
        let (mut pause, pause_max) = ACCEPT_PAUSE;
        loop {
            let accepted = listener.accept().and_then(|(tcp, _)| self.admit(tcp));
            if self.connections.is_stopping() {
                return;
            }
            let Err(error) = accepted else {
                pause = ACCEPT_PAUSE.0;
                continue;
            };
            self.telemetry.events.count(ListenerEvent::AcceptError);
            if matches!(
                error.kind(),
                ErrorKind::ConnectionAborted | ErrorKind::Interrupted
            ) {
                continue;
            }
            // Out of descriptors, memory or threads. Those who wait give theirs back.
            self.warn(&format!("a connection cannot be accepted: {error}"));
            self.connections.make_room();
            // Ends at once when the listener stops.
            let _ = stopped.recv_timeout(pause);
            pause = (pause * 2).min(pause_max);
        }
    }

    /// Gives a connection a slot and a thread.
    fn admit(self: &Arc<Self>, tcp: TcpStream) -> io::Result<()> {
        let tcp = Arc::new(tcp);
        let Some(slot) = self.connections.admit(&tcp) else {
            return Ok(());
        };
        if slot.made_room {
            self.warn(
                "all connections are taken (MAX_CONNECTIONS), those that wait longest without a request are closed",
            );
        }
        let shared = Arc::clone(self);
        let thread = thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(STACK_BYTES);
        thread
            .spawn(move || connection::serve(&shared, &slot, &tcp))
            .map(drop)
    }

    /// Logs what strangers can cause: one line in a while, whatever happens.
    fn warn(&self, what: &str) {
        let mut warned = self.warned.lock().expect("no panic while it is locked");
        if warned.is_none_or(|last| last.elapsed() >= WARN_INTERVAL) {
            *warned = Some(Instant::now());
            drop(warned);
            log::warn!("{what}");
        } else {
            log::debug!("{what}");
        }
    }
}

/// Connections at once: as set, but at most half of the descriptors that the process may open, so that scrapes and
/// files have the others.
fn slots(connections_max: usize) -> usize {
    let half = open_files_max().map_or(usize::MAX, |limit| limit / 2);
    if half < connections_max {
        log::warn!(
            "MAX_CONNECTIONS is {connections_max}, but only {half} are used: half of the open files limit"
        );
    }
    connections_max.min(half).max(1)
}
