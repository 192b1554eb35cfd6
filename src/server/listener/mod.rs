//! The listener: accepts the connections of clients, and protects tiny_http from them.
//!
//! It limits the number of connections, does TLS and authentication, and reads one request at a time, which must be
//! well-formed and have no body. It passes the request to tiny_http and sends the response. Time and size of all of
//! this are limited. A client that breaks a rule gets one line at once that says what to do.
//!
//! Threads: `listener` accepts connections, and each connection has a thread `connection` until it ends. Connections
//! are kept alive, so that a scraper that uses TLS does not need a handshake for each scrape.
//!
//! What strangers cause is logged at debug, except for one warning a minute.

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

/// Stack of a connection's thread. A TLS handshake needs much of it; pages that are never used cost nothing.
const STACK_BYTES: usize = 256 * 1024;
/// The first and the longest pause after `accept` has failed because the process lacks descriptors or memory.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The time between two warnings.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The settings of the listener.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// The most connections at once (`MAX_CONNECTIONS`), but never more than half of the process's open files limit.
    pub connections_max: usize,
    /// The files for TLS. `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The file with the bearer tokens, of which each request needs one.
    pub token_file: Option<PathBuf>,
    /// The path of `ADVERTISE_ADDRESS`, which is removed from the paths of requests. Empty, or begins with `/`.
    pub path_prefix: String,
    /// Limits of time and size. Only tests change them.
    pub limits: Limits,
}

/// How long the listener waits for a client, and how much it reads and holds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a TLS handshake: 10 s.
    pub handshake_time: Duration,
    /// For a complete request head, from the start of the connection or from the first byte of the head: 10 s.
    pub head_time: Duration,
    /// For the first byte of the next request: 2 min, longer than most scrape intervals.
    pub idle_time: Duration,
    /// A client has to take `progress_bytes` of its response in this time: 10 s.
    pub progress_time: Duration,
    /// 64 KiB. Less if less is left of the response.
    pub progress_bytes: usize,
    /// For a complete response: 5 min, longer than any scrape.
    pub send_time: Duration,
    /// For the client to close the connection after the last response: 2 s.
    pub linger_time: Duration,
    /// The most bytes that are read during that time: 256 KiB.
    pub linger_bytes: usize,
    /// The send budget: the bytes of all responses that clients have not taken yet: 256 MiB.
    pub unsent_bytes_max: usize,
    /// If the send budget is used up, a response may be cut off after this time: 2 s.
    pub unsent_time: Duration,
    /// The same, if the client takes no `progress_bytes` in this time: 500 ms.
    pub unsent_stall_time: Duration,
    /// The age at which certificate and token files are read again: 2 s.
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
    /// Reads the files to check them.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn check(&self) -> Result<(), FileError> {
        self.open_files().map(drop)
    }

    fn open_files(&self) -> Result<Files, FileError> {
        let max_age = self.limits.reload_interval;
        Files::open(self.tls.as_ref(), self.token_file.clone(), max_age)
    }
}

/// Listens on the address. `[::]` includes IPv4, and means only IPv4 on a machine without IPv6.
///
/// # Errors
/// The address is in use or not one of this machine, or the process has no right to use the port.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            // The first error is about the requested address, so it is the one to report.
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).map_err(|_| error)
        }
        bound => bound,
    }
}

/// The running listener. [`Requests`] yields its requests.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    /// The listening socket again, to shut it down.
    closer: TcpStream,
    /// A message ends the pause of the thread.
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
    /// A file cannot be used, as [`ListenerSettings::check`] says, or a socket or thread cannot be created.
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
        // An error is a panic, which the panic hook has logged.
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
            // No descriptors, memory or threads are left. Connections that wait for a request are closed to free some.
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
                "all connections are in use (MAX_CONNECTIONS): those that wait longest without a request are closed",
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

    /// Logs something that strangers can cause. Only one line a minute is a warning.
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

/// The number of connection slots: as set, but at most half of the open files limit, because scrapes and files need
/// descriptors too.
fn slots(connections_max: usize) -> usize {
    let half = open_files_max().map_or(usize::MAX, |limit| limit / 2);
    if half < connections_max {
        log::warn!(
            "MAX_CONNECTIONS is {connections_max}, but only {half} are accepted: half of the open files limit"
        );
    }
    connections_max.min(half).max(1)
}
