//! The way of a request through tiny_http, and the way of its response past it.
//!
//! All requests go through one connection to tiny_http, made at the start over loopback. Then nobody listens there
//! any more: no one else can reach tiny_http, its accept loop (which ends for good at the first error) has nothing
//! left to do, and no request needs a descriptor or a thread of tiny_http. A request carries the number of its
//! connection.
//!
//! The response goes straight to the connection's thread, so neither tiny_http nor the server worker ever waits for a
//! client.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::Sender;
use tiny_http::Server;

use super::connections::Connections;
use super::head::Head;
use crate::server::http_error::HttpError;
use crate::server::response::Response;
use crate::target::TargetScope;

/// Carries the number of the connection. A client cannot set it: only known headers are forwarded.
const CONNECTION_HEADER: &str = "X-Connection-Number";
/// Time for tiny_http to take the one connection at the start, and for one request to be written to it.
const LOOPBACK_TIME: Duration = Duration::from_secs(5);

/// Hands out the requests that have come in. Shared by the threads that route them.
pub struct Requests {
    http: Server,
    loopback: Mutex<TcpStream>,
    /// Our end of the connection, which tiny_http knows as the remote address of each request.
    loopback_address: SocketAddr,
    ended: AtomicBool,
    connections: Arc<Connections>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// One request that waits for its response. Dropped without one, its client gets 500.
#[derive(Debug)]
pub struct Request {
    /// Always there; taken out when dropped.
    http: Option<tiny_http::Request>,
    to: Sender<Response>,
    scope: Arc<TargetScope>,
    connection: u64,
    connections: Arc<Connections>,
}

impl Requests {
    /// Starts tiny_http and connects to it.
    pub(super) fn open(connections: Arc<Connections>) -> io::Result<Requests> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        // A listening socket can be shut down, but std offers that for streams only.
        let closer = TcpStream::from(OwnedFd::from(listener.try_clone()?));
        let mut loopback = TcpStream::connect(address)?;
        loopback.set_nodelay(true)?;
        loopback.set_write_timeout(Some(LOOPBACK_TIME))?;
        let loopback_address = loopback.local_addr()?;
        let http = Server::from_listener(listener, None).map_err(io::Error::other)?;
        // A first request shows that tiny_http has taken the connection.
        loopback.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        loop {
            let request = http.recv_timeout(LOOPBACK_TIME)?;
            let request = request.ok_or(ErrorKind::TimedOut)?;
            let is_ours = request.remote_addr() == Some(&loopback_address);
            discard(request);
            if is_ours {
                break;
            }
        }
        closer.shutdown(Shutdown::Both)?;
        // The accept loop says that it ends.
        while let Ok(Some(request)) = http.recv_timeout(LOOPBACK_TIME) {
            discard(request);
        }
        Ok(Requests {
            http,
            loopback: Mutex::new(loopback),
            loopback_address,
            ended: AtomicBool::new(false),
            connections,
        })
    }

    /// Waits for the next request; `None` when the listener has finished, or cannot go on by itself: whoever did not
    /// finish it should then end the process.
    #[must_use]
    pub fn next(&self) -> Option<Request> {
        loop {
            let received = self.http.recv();
            if self.ended.load(Ordering::SeqCst) {
                received.into_iter().for_each(discard);
                // Wakes the next thread that waits here.
                self.http.unblock();
                return None;
            }
            if let Some(request) = received.ok().and_then(|request| self.take_up(request)) {
                return Some(request);
            }
        }
    }

    fn take_up(&self, http: tiny_http::Request) -> Option<Request> {
        let is_ours = http.remote_addr() == Some(&self.loopback_address);
        let number = header(&http, CONNECTION_HEADER).filter(|_| is_ours);
        let connection = number.and_then(|number| number.parse().ok());
        let to = connection.and_then(|number| self.connections.take_request(number));
        let (Some(connection), Some((to, scope))) = (connection, to) else {
            discard(http);
            return None;
        };
        Some(Request {
            http: Some(http),
            to,
            scope,
            connection,
            connections: Arc::clone(&self.connections),
        })
    }

    /// Gives the request of a connection to tiny_http.
    pub(super) fn send(&self, head: &Head, connection: u64) -> io::Result<()> {
        let head = head.encode();
        let text = format!("{head}{CONNECTION_HEADER}: {connection}\r\n\r\n");
        let mut loopback = self.loopback();
        let written = loopback.write_all(text.as_bytes());
        if written.is_err() {
            // Half a request may be written: nothing can follow it.
            self.end(&loopback);
        }
        written
    }

    /// Ends it all: requests that are not taken up yet get no response, threads in [`Requests::next`] return.
    pub(super) fn finish(&self) {
        self.end(&self.loopback());
    }

    fn loopback(&self) -> MutexGuard<'_, TcpStream> {
        let loopback = self.loopback.lock();
        loopback.expect("no panic while the stream is locked")
    }

    fn end(&self, loopback: &TcpStream) {
        self.ended.store(true, Ordering::SeqCst);
        // An error means that it is closed already.
        let _ = loopback.shutdown(Shutdown::Both);
        self.connections.drop_requests();
        self.http.unblock();
    }
}

impl Request {
    fn http(&self) -> &tiny_http::Request {
        self.http.as_ref().expect("taken out by drop only")
    }

    /// The method, as sent.
    #[must_use]
    pub fn method(&self) -> &str {
        self.http().method().as_str()
    }

    /// The request's target, as sent: nothing is decoded.
    #[must_use]
    pub fn url(&self) -> &str {
        self.http().url()
    }

    /// Which targets its client may see. It comes from the connection and never was text that a client could write.
    #[must_use]
    pub fn scope(&self) -> &TargetScope {
        &self.scope
    }

    /// Value of the first header of this name; only those that the listener forwards are there.
    #[must_use]
    pub fn header(&self, name: &'static str) -> Option<&str> {
        header(self.http(), name)
    }

    /// Whether the client has closed its side of the connection meanwhile, so that most likely nobody waits for the
    /// response any more. It may be some tenths of a second before that shows.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.connections.has_left(self.connection)
    }

    /// Gives the response to the connection's thread, which counts and sends it.
    ///
    /// Returns at once for a response of up to 64 KiB; for a larger one as soon as it fits among those that clients
    /// have not taken yet.
    pub fn respond(self, response: Response) {
        self.connections
            .reserve(self.connection, response.length, true);
        self.hand_over(response);
    }

    /// The same, but never waits: where the response does not fit, the client gets 503.
    pub fn respond_now(self, response: Response) {
        let connections = &self.connections;
        if connections.reserve(self.connection, response.length, false) {
            return self.hand_over(response);
        }
        let message = "other clients do not read their responses; try again";
        self.hand_over(Response::from(&HttpError::new(503, message)));
    }

    fn hand_over(self, response: Response) {
        // An error means that the connection has ended: nobody waits for the response.
        let _ = self.to.send(response);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.http.take().into_iter().for_each(discard);
    }
}

fn header<'a>(request: &'a tiny_http::Request, name: &'static str) -> Option<&'a str> {
    let mut headers = request.headers().iter();
    let header = headers.find(|header| header.field.equiv(name))?;
    Some(header.value.as_str())
}

/// Drops a request of tiny_http. Left to itself, it would write a response of its own and wait for all before it.
fn discard(request: tiny_http::Request) {
    drop(request.into_writer());
}
