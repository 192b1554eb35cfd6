//! Passes requests through tiny_http, and responses around it.
//!
//! All requests go through one loopback connection to tiny_http. Its listening socket is closed once this connection is
//! made. So nothing else can reach tiny_http, an error cannot end its accept loop, and no request needs a descriptor or
//! a thread of tiny_http. A header tells to which client's connection a request belongs.
//!
//! The response goes directly to that connection's thread, so neither tiny_http nor a server worker waits for a client.

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

/// The header with the number of the connection. Clients cannot set it, because only known headers are forwarded.
const CONNECTION_HEADER: &str = "X-Connection-Number";
/// How long tiny_http may take to accept the connection at the start, and to read one request.
const LOOPBACK_TIME: Duration = Duration::from_secs(5);

/// Yields the requests of all connections. Shared by the threads that route them.
pub struct Requests {
    http: Server,
    loopback: Mutex<TcpStream>,
    /// The address of our end, which is the remote address of each request for tiny_http.
    loopback_address: SocketAddr,
    ended: AtomicBool,
    connections: Arc<Connections>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// One request that waits for its response. If it is dropped without one, the client gets 500.
#[derive(Debug)]
pub struct Request {
    /// `None` only while it is dropped.
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
        // A first request shows that tiny_http has accepted the connection.
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
        // At its end the accept loop sends an error.
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

    /// Waits for the next request. `None` when the listener has finished, or cannot continue after an error; then the
    /// process should end.
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
            if let Some(request) = received.ok().and_then(|request| self.claim(request)) {
                return Some(request);
            }
        }
    }

    /// Finds the connection of a request; `None` if there is none any more.
    fn claim(&self, http: tiny_http::Request) -> Option<Request> {
        let is_ours = http.remote_addr() == Some(&self.loopback_address);
        let number = header(&http, CONNECTION_HEADER).filter(|_| is_ours);
        let connection = number.and_then(|number| number.parse().ok());
        let to = connection.and_then(|number| self.connections.claim_request(number));
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

    /// Passes the request of a connection to tiny_http.
    pub(super) fn send(&self, head: &Head, connection: u64) -> io::Result<()> {
        let head = head.encode();
        let text = format!("{head}{CONNECTION_HEADER}: {connection}\r\n\r\n");
        let mut loopback = self.loopback();
        let written = loopback.write_all(text.as_bytes());
        if written.is_err() {
            // Only a part of the request may be written, so no other request can follow.
            self.end(&loopback);
        }
        written
    }

    /// Ends the connection to tiny_http. Requests that [`Requests::next`] has not returned yet get no response.
    pub(super) fn finish(&self) {
        self.end(&self.loopback());
    }

    fn loopback(&self) -> MutexGuard<'_, TcpStream> {
        let loopback = self.loopback.lock();
        loopback.expect("no panic while the stream is locked")
    }

    fn end(&self, loopback: &TcpStream) {
        self.ended.store(true, Ordering::SeqCst);
        // An error means that it is already closed.
        let _ = loopback.shutdown(Shutdown::Both);
        self.connections.drop_requests();
        self.http.unblock();
    }
}

impl Request {
    fn http(&self) -> &tiny_http::Request {
        self.http.as_ref().expect("only drop takes it out")
    }

    /// The method, as sent.
    #[must_use]
    pub fn method(&self) -> &str {
        self.http().method().as_str()
    }

    /// The URL without the path prefix; nothing is decoded.
    #[must_use]
    pub fn url(&self) -> &str {
        self.http().url()
    }

    /// The targets that the client may see.
    #[must_use]
    pub fn scope(&self) -> &TargetScope {
        &self.scope
    }

    /// The value of the first header with this name, if the listener forwards such headers.
    #[must_use]
    pub fn header(&self, name: &'static str) -> Option<&str> {
        header(self.http(), name)
    }

    /// Whether the client has closed its side of the connection, so that it most likely does not wait for the response
    /// any more. This is noticed after some tenths of a second.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.connections.has_left(self.connection)
    }

    /// Passes the response to the connection's thread, which counts and sends it. A response of more than 64 KiB waits
    /// until it fits into the send budget.
    pub fn respond(self, response: Response) {
        self.connections
            .reserve(self.connection, response.length, true);
        self.hand_over(response);
    }

    /// The same, but never waits: if the response does not fit, the client gets 503.
    pub fn respond_now(self, response: Response) {
        let connections = &self.connections;
        if connections.reserve(self.connection, response.length, false) {
            return self.hand_over(response);
        }
        let message = "other clients do not read their responses; try again";
        self.hand_over(Response::from(&HttpError::new(503, message)));
    }

    fn hand_over(self, response: Response) {
        // An error means that the connection has ended.
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

/// Drops a request of tiny_http. Otherwise it would write a response of its own and wait for all those before it.
fn discard(request: tiny_http::Request) {
    drop(request.into_writer());
}
