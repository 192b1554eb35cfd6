//! TCP connections to pods, with buffers that belong to the scraping threads.
//!
//! ureq's own transport keeps a read and a write buffer for each connection: with a thousand pods, that is more memory
//! than everything else in an idle server. Here a connection has buffers only during a request, so they can be large
//! enough for most bodies to arrive in a few reads.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::thread::LocalKey;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Error, Timeout};

use super::Phase;
use super::error::ConnectionError;

/// The largest response head of a pod; a larger one fails.
pub(super) const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Larger than the largest response head, which must fit as a whole.
const INPUT_BYTES: usize = RESPONSE_HEAD_BYTES_MAX + 4 * 1024;
/// One request head.
const OUTPUT_BYTES: usize = 4 * 1024;
/// A smaller change does not set the timeout of a socket again, so that a body costs one such call and not one for each
/// read.
const TIMEOUT_TOLERANCE: Duration = Duration::from_millis(5);

thread_local! {
    static INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Connects to the one address that the resolver returned.
#[derive(Debug)]
pub(super) struct PodConnector;

impl<In: Transport> Connector<In> for PodConnector {
    type Out = PodTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<PodTransport>, Error> {
        let transport = PodTransport::connect(details);
        transport
            .map(Some)
            .map_err(|error| ConnectionError::Setup(Phase::Connect, error).into())
    }
}

/// A connection to a pod. A call ends when the time that ureq has for it is over.
#[derive(Debug)]
pub(super) struct PodTransport {
    stream: TcpStream,
    buffers: LentBuffers,
    /// The timeouts that are set for the socket.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Whether anything was read since it was last checked whether the connection is open.
    was_read: bool,
}

impl PodTransport {
    fn connect(details: &ConnectionDetails<'_>) -> Result<PodTransport, Error> {
        let Some(address) = details.addrs.iter().next() else {
            return Err(Error::HostNotFound);
        };
        let left = left_until(deadline(details.timeout)?)?;
        let stream = TcpStream::connect_timeout(address, left).map_err(in_time)?;
        stream.set_nodelay(true)?;
        Ok(PodTransport {
            stream,
            buffers: LentBuffers::default(),
            read_timeout: None,
            write_timeout: None,
            was_read: false,
        })
    }
}

impl Transport for PodTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        bound(&mut self.write_timeout, deadline(timeout)?, |left| {
            self.stream.set_write_timeout(left)
        })?;
        let written = self.stream.write_all(&self.buffers.output()[..amount]);
        self.buffers.give_output_back();
        written.map_err(in_time)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let deadline = deadline(timeout)?;
        let input = self.buffers.input_append_buf();
        let amount = loop {
            // Tried again after an interruption, which would otherwise restart the whole timeout.
            bound(&mut self.read_timeout, deadline, |left| {
                self.stream.set_read_timeout(left)
            })?;
            match self.stream.read(input) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(no_end).map_err(in_time)?,
            }
        };
        self.buffers.input_appended(amount);
        self.was_read = true;
        Ok(amount > 0)
    }

    /// False if the pod closed the connection, or sent bytes without a request. ureq calls this when it puts a
    /// connection away, and again when it takes it for the next request. The first time the socket is not checked,
    /// because that takes three system calls, a third of all calls of a scrape.
    fn is_open(&mut self) -> bool {
        if mem::take(&mut self.was_read) {
            return self.buffers.input().is_empty();
        }
        let is_silent = |mut stream: &TcpStream| -> io::Result<bool> {
            stream.set_nonblocking(true)?;
            let read = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            Ok(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
        };
        self.buffers.input().is_empty() && is_silent(&self.stream).unwrap_or(false)
    }
}

/// Limits the next call to the time that is left, unless the socket's timeout is close enough.
fn bound(
    has: &mut Option<Duration>,
    deadline: Instant,
    set: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> Result<(), Error> {
    let left = left_until(deadline)?;
    if has.is_none_or(|has| has.abs_diff(left) > TIMEOUT_TOLERANCE) {
        set(Some(left))?;
        *has = Some(left);
    }
    Ok(())
}

/// When a call has to end. Each request has a timeout.
fn deadline(timeout: NextTimeout) -> Result<Instant, Error> {
    let deadline = Instant::now().checked_add(*timeout.after);
    deadline.ok_or(Error::Timeout(timeout.reason))
}

fn left_until(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::Timeout(Timeout::Global));
    }
    Ok(left)
}

/// A reset that ureq does not recognise as one: in a body without a length it would take it for the end.
fn no_end(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => io::Error::other(error),
        _ => error,
    }
}

/// Distinguishes a call that took too long from one that failed.
fn in_time(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(Timeout::Global),
        _ => Error::Io(error),
    }
}

/// Buffers that are taken from the thread at the first write, and returned to it when everything has been read.
#[derive(Debug, Default)]
struct LentBuffers {
    input: Vec<u8>,
    /// The part of the input that is read from the socket, and the part of it that has been used.
    filled: usize,
    consumed: usize,
    /// Whether anything was used the last time.
    progress: bool,
    output: Vec<u8>,
}

impl LentBuffers {
    fn give_output_back(&mut self) {
        OUTPUT.set(mem::take(&mut self.output));
    }
}

fn lend(from: &'static LocalKey<Cell<Vec<u8>>>, buffer: &mut Vec<u8>, size: usize) {
    if buffer.is_empty() {
        *buffer = from.take();
        buffer.resize(size, 0);
    }
}

impl Buffers for LentBuffers {
    fn output(&mut self) -> &mut [u8] {
        lend(&OUTPUT, &mut self.output, OUTPUT_BYTES);
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        lend(&INPUT, &mut self.input, INPUT_BYTES);
        if self.consumed > 0 {
            self.input.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.consumed += amount;
        if self.consumed == self.filled && !self.input.is_empty() {
            (self.consumed, self.filled) = (0, 0);
            INPUT.set(mem::take(&mut self.input));
        }
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        lend(&INPUT, &mut self.input, INPUT_BYTES);
        lend(&OUTPUT, &mut self.output, OUTPUT_BYTES);
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.consumed < self.filled
    }
}
