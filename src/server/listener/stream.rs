//! The client's side of a connection: TCP with or without TLS. Each read and write has a limit of time.
//!
//! The sockets are blocking and have timeouts. Only the connection's own thread reads and writes. Other threads may
//! shut the socket down, which ends a read or write in progress.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};

use super::Limits;
use super::connections::Slot;

/// How long one write waits before the progress is checked.
const WRITE_WAIT: Duration = Duration::from_millis(500);
/// The most bytes of one write, so that the progress of a slow client is noticed.
const WRITE_BYTES: usize = 256 * 1024;
/// How much is read at once while waiting for the client to close.
const DRAIN_BYTES: usize = 8 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(super) struct ClientStream {
    tcp: Arc<TcpStream>,
    tls: Option<Box<ServerConnection>>,
}

/// How fast a client takes its response. It has to take [`Limits::progress_bytes`], or the rest, in each
/// [`Limits::progress_time`], and everything in [`Limits::send_time`]. Only the time of writing counts, not the time in
/// which the response is made.
#[derive(Debug)]
pub(super) struct SendProgress<'a> {
    limits: &'a Limits,
    slot: &'a Slot,
    spent: Duration,
    window_spent: Duration,
    window_bytes: usize,
}

impl<'a> SendProgress<'a> {
    pub(super) fn start(limits: &'a Limits, slot: &'a Slot) -> SendProgress<'a> {
        SendProgress {
            limits,
            slot,
            spent: Duration::ZERO,
            window_spent: Duration::ZERO,
            window_bytes: 0,
        }
    }

    /// Writes once, and records how long it took. Returns 0 if the client took nothing.
    fn write(&mut self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let started = Instant::now();
        let written = write();
        let took = started.elapsed();
        let written = match written {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if is_wait(&error) => 0,
            Err(error) => return Err(error),
        };
        self.spent += took;
        self.window_spent += took;
        self.window_bytes += written;
        if self.window_bytes >= self.limits.progress_bytes {
            self.window_bytes = 0;
            self.window_spent = Duration::ZERO;
            self.slot.note_progress();
        }
        if self.window_spent > self.limits.progress_time || self.spent > self.limits.send_time {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(written)
    }
}

impl ClientStream {
    /// Configures the socket, without reading or writing.
    pub(super) fn new(
        tcp: Arc<TcpStream>,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<ClientStream> {
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(WRITE_WAIT))?;
        let tls = tls
            .map(ServerConnection::new)
            .transpose()
            .map_err(io::Error::other)?
            .map(Box::new);
        Ok(ClientStream { tcp, tls })
    }

    /// Does the TLS handshake, if the stream has TLS. If it fails, the client gets an alert and nothing else.
    pub(super) fn handshake(&mut self, deadline: Instant) -> io::Result<()> {
        let tls = self.tls.as_mut();
        let done = tls.map_or(Ok(()), |tls| complete_handshake(tls, &self.tcp, deadline));
        done.inspect_err(|_| self.tls = None)
    }

    /// Whether the client sends plain HTTP although TLS is expected. If so, the stream has no TLS afterwards.
    ///
    /// A TLS record starts with a byte below 32, a request with a letter.
    pub(super) fn turned_plain(&mut self, deadline: Instant) -> io::Result<bool> {
        if self.tls.is_none() {
            return Ok(false);
        }
        let mut first = [0];
        set_read_deadline(&self.tcp, deadline)?;
        let length = self.tcp.peek(&mut first).map_err(timed_out)?;
        let plain = length == 1 && first[0].is_ascii_alphabetic();
        if plain {
            self.tls = None;
        }
        Ok(plain)
    }

    /// Whether the client has presented a certificate. An invalid one has ended the handshake.
    pub(super) fn has_client_certificate(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.peer_certificates().is_some())
    }

    /// Reads at least one byte; 0 means that the client sends no more.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub(super) fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return read_tcp(&self.tcp, buffer, deadline);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The client ended without a TLS close_notify. An incomplete head is refused anyway.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            flush_tls(tls, &self.tcp, deadline)?;
            read_tls(tls, &self.tcp, deadline)?;
        }
    }

    /// Whether the client has closed its side of the connection. Does not wait, and cannot tell if the client has sent
    /// another request before.
    pub(super) fn has_left(&mut self) -> bool {
        // No other thread reads or writes.
        if self.tcp.set_nonblocking(true).is_err() {
            return true;
        }
        let left = match &mut self.tls {
            None => self.tcp.peek(&mut [0]).map(|length| length == 0),
            Some(tls) => has_left_tls(tls, &self.tcp),
        };
        self.tcp.set_nonblocking(false).is_err() || left.unwrap_or_else(|error| !is_wait(&error))
    }

    /// Writes all bytes.
    ///
    /// # Errors
    /// `TimedOut` when the client makes no progress.
    pub(super) fn write_all(
        &mut self,
        mut bytes: &[u8],
        progress: &mut SendProgress<'_>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let Some(tls) = &mut self.tls else {
                let piece = &bytes[..bytes.len().min(WRITE_BYTES)];
                let written = progress.write(|| (&*self.tcp).write(piece))?;
                bytes = &bytes[written..];
                continue;
            };
            let taken = tls.writer().write(bytes)?;
            bytes = &bytes[taken..];
            while tls.wants_write() {
                progress.write(|| tls.write_tls(&mut &*self.tcp))?;
            }
        }
        Ok(())
    }

    /// Ends the connection. The client gets a limited time to close it first, because closing a socket while bytes from
    /// the client are unread sends a reset, and the client would lose the response.
    pub(super) fn close(mut self, limits: &Limits) {
        let deadline = Instant::now() + limits.linger_time;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // An error means that the client has left.
            let _ = flush_tls(tls, &self.tcp, deadline);
        }
        if self.tcp.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut buffer = [0; DRAIN_BYTES];
        let mut left = limits.linger_bytes;
        while left > 0 {
            match read_tcp(&self.tcp, &mut buffer, deadline) {
                Ok(0) | Err(_) => return,
                Ok(length) => left = left.saturating_sub(length),
            }
        }
    }
}

fn complete_handshake(
    tls: &mut ServerConnection,
    tcp: &TcpStream,
    deadline: Instant,
) -> io::Result<()> {
    while tls.is_handshaking() {
        flush_tls(tls, tcp, deadline)?;
        read_tls(tls, tcp, deadline)?;
    }
    flush_tls(tls, tcp, deadline)
}

fn read_tls(tls: &mut ServerConnection, mut tcp: &TcpStream, deadline: Instant) -> io::Result<()> {
    set_read_deadline(tcp, deadline)?;
    if tls.read_tls(&mut tcp).map_err(timed_out)? == 0 && tls.is_handshaking() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if let Err(error) = tls.process_new_packets() {
        // Sends the client the alert. If that fails too, the first error is returned.
        let _ = flush_tls(tls, tcp, deadline);
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    Ok(())
}

fn has_left_tls(tls: &mut ServerConnection, mut tcp: &TcpStream) -> io::Result<bool> {
    let state = tls.process_new_packets().map_err(io::Error::other)?;
    // rustls reads no further while decrypted bytes are waiting.
    if state.plaintext_bytes_to_read() > 0 {
        return Ok(false);
    }
    let length = tls.read_tls(&mut tcp)?;
    let state = tls.process_new_packets().map_err(io::Error::other)?;
    Ok(length == 0 || state.peer_has_closed())
}

fn flush_tls(tls: &mut ServerConnection, mut tcp: &TcpStream, deadline: Instant) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut tcp) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if is_wait(&error) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

fn read_tcp(mut tcp: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        set_read_deadline(tcp, deadline)?;
        match tcp.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.map_err(timed_out),
        }
    }
}

fn set_read_deadline(tcp: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    tcp.set_read_timeout(Some(left))
}

/// On Linux, a socket timeout is a `WouldBlock`.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock {
        ErrorKind::TimedOut.into()
    } else {
        error
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
