//! The life of one connection, on its own thread: handshake, then request by request head, authorisation, answer.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::Shared;
use super::connections::{Begin, Place};
use super::head::{Head, HeadBuffer};
use super::refusal::Refusal;
use super::requests::Awaited;
use super::response::Response;
use super::room::Share;
use super::stream::{ClientStream, Progress};
use crate::telemetry::FrontEvent;

/// Read from the client at once; most heads are smaller.
const READ_BYTES: usize = 2 * 1024;
/// Between two looks whether the client still waits for its answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A body up to this size goes out in one write with its head.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Why a connection ends.
enum End {
    /// The client gets a last answer.
    Refused(Refusal),
    /// All is said.
    Done,
    /// The client is gone, or was cut off.
    Broken(io::Error),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    place: &'a Place,
    tcp: &'a Arc<TcpStream>,
    stream: ClientStream,
    buffer: HeadBuffer,
    /// No request has been read yet.
    fresh: bool,
    /// The request at hand is HEAD: its answer has no body.
    head_only: bool,
}

/// Serves the connection until it ends.
pub(super) fn serve(shared: &Shared, place: &Place, tcp: &Arc<TcpStream>) {
    let tls = shared.files.tls.as_ref();
    let tls = match tls.map(|tls| tls.current(Instant::now())).transpose() {
        Ok(tls) => tls,
        Err(error) => return log::debug!("connection {}: {error}", place.id()),
    };
    let stream = match ClientStream::new(Arc::clone(tcp), tls) {
        Ok(stream) => stream,
        Err(error) => return log::debug!("connection {}: {error}", place.id()),
    };
    let buffer = HeadBuffer::default();
    let mut connection = Connection {
        shared,
        place,
        tcp,
        stream,
        buffer,
        fresh: true,
        head_only: false,
    };
    let Err(end) = connection.run();
    match end {
        End::Refused(refusal) => {
            log::debug!(
                "connection {}: refused with {}: {refusal}",
                place.id(),
                refusal.status()
            );
            shared.telemetry.count_front_refusal(refusal.status());
            if connection
                .send(Response::from(refusal), &Share::none(), false)
                .is_ok()
            {
                connection.stream.close(&shared.limits);
            }
        }
        End::Done => connection.stream.close(&shared.limits),
        End::Broken(error) => log::debug!("connection {}: {error}", place.id()),
    }
}

/// There is always a reason to end.
type Never = std::convert::Infallible;

impl Connection<'_> {
    fn run(&mut self) -> Result<Never, End> {
        self.handshake()?;
        loop {
            let head = self.read_head()?;
            self.fresh = false;
            self.head_only = head.method == "HEAD";
            self.authorise(&head)?;
            match self.place.begin_answer(head.is_open()) {
                Begin::Answer => {}
                Begin::Full => {
                    self.shared
                        .warn_full("all connections are being answered, new ones are refused");
                    return Err(Refusal::Full.into());
                }
                Begin::Closed => return Err(End::Done),
            }
            let answered = self.answer(&head);
            let may_go_on = self.place.end_answer();
            if !answered? || !may_go_on {
                return Err(End::Done);
            }
        }
    }

    fn handshake(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + self.shared.limits.handshake_time;
        if self.stream.turned_plain(deadline).map_err(End::Broken)? {
            return Err(Refusal::PlainHttp.into());
        }
        self.stream.handshake(deadline).map_err(|error| {
            self.shared
                .telemetry
                .count_front(FrontEvent::HandshakeFailed);
            log::debug!("connection {}: TLS handshake: {error}", self.place.id());
            End::Done
        })
    }

    /// Reads until a whole request is there.
    fn read_head(&mut self) -> Result<Head, End> {
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
                Ok(0) if self.buffer.is_empty() => return Err(End::Done),
                Ok(0) => return Err(Refusal::Truncated.into()),
                Ok(length) => {
                    if self.buffer.is_empty() && idle {
                        deadline = Instant::now() + limits.head_time;
                    }
                    self.buffer.push(&bytes[..length]);
                }
                Err(error) if error.kind() != ErrorKind::TimedOut => {
                    return Err(End::Broken(error));
                }
                Err(_) if self.buffer.is_empty() => return Err(End::Done),
                Err(_) => return Err(Refusal::TooSlow.into()),
            }
        }
    }

    fn authorise(&self, head: &Head) -> Result<(), Refusal> {
        let files = &self.shared.files;
        if head.is_open() {
            return Ok(());
        }
        if files.needs_client_certificate && !self.stream.has_client_certificate() {
            return Err(Refusal::Certificate);
        }
        let Some(token) = &files.token else {
            return Ok(());
        };
        match token.current(Instant::now()) {
            Ok(tokens) if tokens.admits(&head.authorization) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    /// Has the request answered; answers whether the client may send another one.
    fn answer(&mut self, head: &Head) -> Result<bool, End> {
        let shared = self.shared;
        let awaited = shared.requests.send(head, self.tcp).map_err(|error| {
            log::debug!("connection {}: {error}", self.place.id());
            Refusal::Stopping
        })?;
        let Some((answer, share)) = self.wait(&awaited) else {
            let stopping = shared.connections.is_stopping();
            return Err(if stopping {
                Refusal::Stopping
            } else {
                Refusal::NoAnswer
            }
            .into());
        };
        let keep_alive = head.keep_alive && !shared.connections.is_stopping();
        self.send_with(answer, share, keep_alive)?;
        Ok(keep_alive)
    }

    /// Waits for the answer and looks whether the client does so too; `None` when there will be none.
    fn wait(&mut self, awaited: &Awaited) -> Option<(Response, Share)> {
        loop {
            match awaited.answer.recv_timeout(LOOK_INTERVAL) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if self.stream.has_left() {
                        awaited.left.store(true, Ordering::Relaxed);
                        return awaited.answer.recv().ok();
                    }
                }
            }
        }
    }

    fn send_with(&mut self, answer: Response, share: Share, keep_alive: bool) -> Result<(), End> {
        let sent = self.send(answer, &share, keep_alive);
        drop(share);
        sent.map_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                self.shared.telemetry.count_front(FrontEvent::SendCutOff);
            }
            End::Broken(error)
        })
    }

    fn send(&mut self, mut answer: Response, share: &Share, keep_alive: bool) -> io::Result<()> {
        let mut progress = Progress::start(&self.shared.limits, share);
        let mut head = answer.head(keep_alive);
        let mut left = if self.head_only { 0 } else { answer.length };
        if left <= JOINED_BYTES_MAX {
            take_body(&mut answer, left, |piece| {
                head.extend_from_slice(piece);
                Ok(())
            })?;
            left = 0;
        }
        self.stream.write_all(&head, &mut progress)?;
        take_body(&mut answer, left, |piece| {
            self.stream.write_all(piece, &mut progress)
        })
    }
}

/// Passes `left` bytes of the body on, piece by piece.
fn take_body(
    answer: &mut Response,
    mut left: usize,
    mut pass: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while left > 0 {
        let piece = match answer.body.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            piece => piece?,
        };
        if piece.is_empty() {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the answer ended before its length",
            ));
        }
        let length = piece.len().min(left);
        pass(&piece[..length])?;
        answer.body.consume(length);
        left -= length;
    }
    Ok(())
}
