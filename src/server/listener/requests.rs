//! The way of a request through tiny_http, and the way of its answer past it.
//!
//! All requests go through one connection to tiny_http, made at the start over loopback. Then nobody listens there
//! any more: no one else can reach tiny_http, its accept loop (which ends for good at the first error) has nothing
//! left to do, and no request needs a descriptor or a thread of tiny_http. A request carries a number, under which
//! its connection waits for the answer.
//!
//! The answer goes straight to the connection's thread, so neither tiny_http nor the server worker ever waits for a
//! client.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tiny_http::Server;

use super::head::Head;
use super::refusal::Refusal;
use super::response::Response;
use super::room::{Room, Share};

/// Carries the number of a request. A client cannot set it: only known headers are forwarded.
const NUMBER_HEADER: &str = "X-Listener-Request";
/// Time for tiny_http to take the one connection at the start, and for one request to be written to it.
const LOOPBACK_TIME: Duration = Duration::from_secs(5);

/// Hands out the requests that have come in. Shared by the threads that route them.
pub struct Requests {
    http: Server,
    loopback: Mutex<TcpStream>,
    /// Our end of the connection, which tiny_http knows as the remote address of each request.
    loopback_address: SocketAddr,
    pending: Mutex<Pending>,
    ended: AtomicBool,
    room: Arc<Room>,
}

#[derive(Default)]
struct Pending {
    waiting: HashMap<u64, AnswerPlace>,
    next_number: u64,
}

/// Where the answer of one request goes.
#[derive(Debug)]
struct AnswerPlace {
    answers: Sender<(Response, Share)>,
    tcp: Arc<TcpStream>,
    left: Arc<AtomicBool>,
}

/// What the connection waits for.
#[derive(Debug)]
pub(super) struct Awaited {
    /// The answer comes out of it, or its end if nobody answers.
    pub(super) answer: Receiver<(Response, Share)>,
    /// To be set when the client has left.
    pub(super) left: Arc<AtomicBool>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// One request to be answered. Dropped without an answer, its client gets 500.
#[derive(Debug)]
pub struct Request {
    /// Always there; taken out when dropped.
    http: Option<tiny_http::Request>,
    place: AnswerPlace,
    room: Arc<Room>,
}

impl Requests {
    /// Starts tiny_http and connects to it.
    pub(super) fn open(room: Arc<Room>) -> io::Result<Requests> {
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
            let request = http
                .recv_timeout(LOOPBACK_TIME)?
                .ok_or(ErrorKind::TimedOut)?;
            let ours = request.remote_addr() == Some(&loopback_address);
            discard(request);
            if ours {
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
            pending: Mutex::default(),
            ended: AtomicBool::new(false),
            room,
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
            if let Some(request) = received.ok().and_then(|request| self.claim(request)) {
                return Some(request);
            }
        }
    }

    fn claim(&self, request: tiny_http::Request) -> Option<Request> {
        let number = request
            .headers()
            .iter()
            .find(|header| header.field.equiv(NUMBER_HEADER));
        let number = number.and_then(|header| header.value.as_str().parse().ok());
        let place = match number {
            Some(number) if request.remote_addr() == Some(&self.loopback_address) => {
                self.pending().waiting.remove(&number)
            }
            _ => None,
        };
        match place {
            Some(place) => Some(Request {
                http: Some(request),
                place,
                room: Arc::clone(&self.room),
            }),
            None => {
                discard(request);
                None
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending
            .lock()
            .expect("no panic while the map is locked")
    }

    /// Gives a request to tiny_http.
    pub(super) fn send(&self, head: &Head, tcp: &Arc<TcpStream>) -> io::Result<Awaited> {
        let (answers, answer) = bounded(1);
        let left = Arc::new(AtomicBool::new(false));
        let number = {
            let mut pending = self.pending();
            let number = pending.next_number;
            pending.next_number += 1;
            pending.waiting.insert(
                number,
                AnswerPlace {
                    answers,
                    tcp: Arc::clone(tcp),
                    left: Arc::clone(&left),
                },
            );
            number
        };
        let text = format!("{}{NUMBER_HEADER}: {number}\r\n\r\n", head.encode());
        let mut loopback = self
            .loopback
            .lock()
            .expect("no panic while the stream is locked");
        let written = loopback.write_all(text.as_bytes());
        if written.is_err() {
            // Half a request may be written: nothing can follow it.
            self.end(&loopback);
        }
        written.map(|()| Awaited { answer, left })
    }

    /// Ends it all: requests that are not answered yet get no answer, threads in [`Requests::next`] return.
    pub(super) fn finish(&self) {
        let loopback = self
            .loopback
            .lock()
            .expect("no panic while the stream is locked");
        self.end(&loopback);
    }

    fn end(&self, loopback: &TcpStream) {
        self.ended.store(true, Ordering::SeqCst);
        // An error means that it is closed already.
        let _ = loopback.shutdown(Shutdown::Both);
        self.pending().waiting.clear();
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

    /// Value of the first header of this name; only those that the listener forwards are there.
    #[must_use]
    pub fn header(&self, name: &'static str) -> Option<&str> {
        let header = self
            .http()
            .headers()
            .iter()
            .find(|header| header.field.equiv(name))?;
        Some(header.value.as_str())
    }

    /// Whether the client has closed its side of the connection meanwhile, so that most likely nobody waits for the
    /// answer any more. It may be some tenths of a second before that shows.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.place.left.load(Ordering::Relaxed)
    }

    /// Gives the answer to the connection's thread, which sends it.
    ///
    /// Returns at once for an answer of up to 64 KiB; for a larger one as soon as there is room for it among those
    /// that clients have not taken yet.
    pub fn answer(self, answer: Response) {
        let share = self.room.take(answer.length, &self.place.tcp);
        self.hand_over(answer, share);
    }

    /// The same, but never waits: where there is no room for the answer, the client gets 503.
    pub fn answer_now(self, answer: Response) {
        match self.room.try_take(answer.length, &self.place.tcp) {
            Some(share) => self.hand_over(answer, share),
            None => self.hand_over(Response::from(Refusal::NoRoom), Share::none()),
        }
    }

    fn hand_over(self, answer: Response, share: Share) {
        // An error means that the connection has ended: nobody waits for the answer.
        let _ = self.place.answers.send((answer, share));
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.http.take().into_iter().for_each(discard);
    }
}

/// Drops a request of tiny_http. Left to itself, it would write an answer of its own and wait for all before it.
fn discard(request: tiny_http::Request) {
    drop(request.into_writer());
}
