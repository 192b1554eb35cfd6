//! Serves one connection on its own thread: the handshake, then request by request the head, authorisation, response.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Shared;
use super::connections::{BeginResponse, Slot};
use super::head::{Head, HeadBuffer};
use super::stream::{ClientStream, SendProgress};
use crate::server::http_error::{HttpError, INTERNAL, STOPPING};
use crate::server::response::Response;
use crate::server::route::{counted_path, without_prefix};
use crate::target::TargetScope;
use crate::telemetry::{ListenerEvent, Path};

/// How much is read from the client at once. Most heads are smaller.
const READ_BYTES: usize = 2 * 1024;
/// How often to check whether the client still waits for its response.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A body up to this size goes out in one write with its head.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Why a connection ends.
enum ConnectionEnd {
    /// The client gets an error as its last response.
    Refused(HttpError),
    /// Everything is sent.
    Done,
    /// The client has closed the connection, or was cut off.
    Broken(io::Error),
}

impl From<HttpError> for ConnectionEnd {
    fn from(error: HttpError) -> ConnectionEnd {
        ConnectionEnd::Refused(error)
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    slot: &'a Slot,
    stream: ClientStream,
    buffer: HeadBuffer,
    /// No request has been read yet.
    fresh: bool,
    /// Whether the current request is HEAD, so that its response has no body.
    head_only: bool,
    /// The path that the current request is counted by; `Other` until its head is read.
    path: Path,
}

/// Serves the connection until it ends.
pub(super) fn serve(shared: &Shared, slot: &Slot, tcp: &Arc<TcpStream>) {
    let tls = shared.files.tls.as_ref();
    let tls = tls.map(|tls| tls.current(Instant::now())).transpose();
    let tls = tls.map_err(io::Error::other);
    let stream = match tls.and_then(|tls| ClientStream::new(Arc::clone(tcp), tls)) {
        Ok(stream) => stream,
        Err(error) => return log::debug!("connection {}: {error}", slot.id),
    };
    let buffer = HeadBuffer::default();
    let mut connection = Connection {
        shared,
        slot,
        stream,
        buffer,
        fresh: true,
        head_only: false,
        path: Path::Other,
    };
    let Err(end) = connection.run();
    match end {
        ConnectionEnd::Refused(error) => {
            log::debug!(
                "connection {}: refused with {}: {error}",
                slot.id,
                error.status
            );
            shared.telemetry.listener_errors.count(error.status);
            if connection.send(Response::from(&error), false).is_ok() {
                connection.stream.close(&shared.limits);
            }
        }
        ConnectionEnd::Done => connection.stream.close(&shared.limits),
        ConnectionEnd::Broken(error) => log::debug!("connection {}: {error}", slot.id),
    }
}

/// A connection always ends with a reason.
type Never = std::convert::Infallible;

impl Connection<'_> {
    fn run(&mut self) -> Result<Never, ConnectionEnd> {
        self.handshake()?;
        loop {
            (self.head_only, self.path) = (false, Path::Other);
            let mut head = self.read_head()?;
            head.target = without_prefix(&head.target, &self.shared.path_prefix).into_owned();
            self.fresh = false;
            self.head_only = head.method == "HEAD";
            self.path = counted_path(&head.target);
            let scope = self.authorise(&head)?;
            let response = match self.slot.begin_response(scope, head.is_open()) {
                BeginResponse::Respond(response) => response,
                BeginResponse::Full => {
                    let what =
                        "all connections are responding (MAX_CONNECTIONS), new ones are refused";
                    self.shared.warn(what);
                    let message = "all connections are busy; try again, or raise MAX_CONNECTIONS";
                    return Err(HttpError::new(503, message).into());
                }
                BeginResponse::Closed => return Err(ConnectionEnd::Done),
            };
            let responded = self.respond(&head, &response);
            let may_go_on = self.slot.end_response();
            if !responded? || !may_go_on {
                return Err(ConnectionEnd::Done);
            }
        }
    }

    fn handshake(&mut self) -> Result<(), ConnectionEnd> {
        let deadline = Instant::now() + self.shared.limits.handshake_time;
        if self
            .stream
            .turned_plain(deadline)
            .map_err(ConnectionEnd::Broken)?
        {
            let message = "this port speaks TLS: use https://";
            return Err(HttpError::new(400, message).into());
        }
        self.stream.handshake(deadline).map_err(|error| {
            self.shared
                .telemetry
                .events
                .count(ListenerEvent::HandshakeFailed);
            log::debug!("connection {}: TLS handshake: {error}", self.slot.id);
            ConnectionEnd::Done
        })
    }

    /// Reads one complete request.
    fn read_head(&mut self) -> Result<Head, ConnectionEnd> {
        let limits = &self.shared.limits;
        let idle = self.buffer.is_empty() && !self.fresh;
        let mut deadline = Instant::now()
            + if idle {
                limits.idle_time
            } else {
                limits.head_time
            };
        let mut bytes = [0; READ_BYTES];
        loop {
            if let Some(head) = self.buffer.take()? {
                return Ok(head);
            }
            match self.stream.read(&mut bytes, deadline) {
                Ok(0) if self.buffer.is_empty() => return Err(ConnectionEnd::Done),
                Ok(0) => {
                    let message = "the request ends before its empty line; send the whole head";
                    return Err(HttpError::new(400, message).into());
                }
                Ok(length) => {
                    if self.buffer.is_empty() && idle {
                        deadline = Instant::now() + limits.head_time;
                    }
                    self.buffer.push(&bytes[..length]);
                }
                Err(error) if error.kind() != ErrorKind::TimedOut => {
                    return Err(ConnectionEnd::Broken(error));
                }
                Err(_) if self.buffer.is_empty() => return Err(ConnectionEnd::Done),
                Err(_) => {
                    let message = "the request head did not arrive in time; send it at once";
                    return Err(HttpError::new(408, message).into());
                }
            }
        }
    }

    /// The targets that the client may see.
    fn authorise(&self, head: &Head) -> Result<Arc<TargetScope>, HttpError> {
        let files = &self.shared.files;
        if head.is_open() {
            return Ok(Arc::default());
        }
        if files.needs_client_certificate && !self.stream.has_client_certificate() {
            let message = "present a client certificate (TLS_CLIENT_CA_FILE)";
            return Err(HttpError::new(403, message));
        }
        let Some(tokens) = &files.tokens else {
            return Ok(Arc::default());
        };
        let tokens = tokens.current(Instant::now()).ok();
        let scope = tokens.and_then(|tokens| tokens.scope(&head.authorization));
        let message = "send the right token: Authorization: Bearer TOKEN";
        scope.ok_or_else(|| HttpError::new(401, message))
    }

    /// Passes the request on and sends its response. Returns whether the client may send another request.
    fn respond(
        &mut self,
        head: &Head,
        response: &Receiver<Response>,
    ) -> Result<bool, ConnectionEnd> {
        let shared = self.shared;
        let sent = shared.requests.send(head, self.slot.id);
        sent.map_err(|error| {
            log::debug!("connection {}: {error}", self.slot.id);
            STOPPING
        })?;
        let response = self.wait(response).ok_or_else(|| {
            let stopping = shared.connections.is_stopping();
            if stopping { STOPPING } else { INTERNAL }
        })?;
        let keep_alive = head.keep_alive && !shared.connections.is_stopping();
        self.send(response, keep_alive).map_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                shared.telemetry.events.count(ListenerEvent::SendCutOff);
            }
            ConnectionEnd::Broken(error)
        })?;
        Ok(keep_alive)
    }

    /// Waits for the response, and notes when the client has left. `None` if there will be no response.
    fn wait(&mut self, response: &Receiver<Response>) -> Option<Response> {
        loop {
            match response.recv_timeout(LOOK_INTERVAL) {
                Err(RecvTimeoutError::Timeout) if !self.stream.has_left() => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.slot.note_left();
                    return response.recv().ok();
                }
                received => return received.ok(),
            }
        }
    }

    /// Counts the response and sends it.
    fn send(&mut self, mut response: Response, keep_alive: bool) -> io::Result<()> {
        let shared = self.shared;
        shared
            .telemetry
            .requests
            .count((self.path, response.status));
        let mut progress = SendProgress::start(&shared.limits, self.slot);
        let mut head = response.head(keep_alive);
        let mut left = if self.head_only { 0 } else { response.length };
        if left <= JOINED_BYTES_MAX {
            response.pass_body(mem::take(&mut left), |piece| head.write_all(piece))?;
        }
        self.stream.write_all(&head, &mut progress)?;
        response.pass_body(left, |piece| self.stream.write_all(piece, &mut progress))
    }
}
