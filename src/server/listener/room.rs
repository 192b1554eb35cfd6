//! Room for answers that clients have not taken yet: what slow readers may hold of memory.
//!
//! A server worker hands its answer to the connection's thread and is free again, so slow readers hold answers, not
//! workers. Their bytes together are bounded: a worker whose answer does not fit waits for one of the answers under
//! way to end, and meanwhile one is cut off that makes no progress, or that had its time. Clients that take their
//! answers at the speed of a network are done long before.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::Limits;
use crate::telemetry::{FrontEvent, Telemetry};

/// Answers up to this size need no room, so that no probe ever waits for any; those of all connections together are
/// a small part of the room.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// The room.
#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    sending: Mutex<Sending>,
    changed: Condvar,
    telemetry: Arc<Telemetry>,
}

#[derive(Debug, Default)]
struct Sending {
    answers: BTreeMap<u64, Entry>,
    next_id: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: usize,
    started: Instant,
    /// Milliseconds from `started` to the last progress.
    progress: Arc<AtomicU64>,
    tcp: Arc<TcpStream>,
    cut_off: bool,
}

/// The room of one answer; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    /// `None` for a small answer.
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Taken {
    room: Arc<Room>,
    id: u64,
    started: Instant,
    progress: Arc<AtomicU64>,
}

impl Room {
    pub(super) fn new(limits: Limits, telemetry: Arc<Telemetry>) -> Room {
        Room {
            limits,
            sending: Mutex::default(),
            changed: Condvar::new(),
            telemetry,
        }
    }

    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending
            .lock()
            .expect("no panic while the room is locked")
    }

    /// Takes room for an answer that goes to this socket, waiting for it if need be; an answer that is larger than
    /// all the room gets it alone.
    pub(super) fn take(self: &Arc<Self>, bytes: usize, tcp: &Arc<TcpStream>) -> Share {
        if bytes <= SMALL_BYTES_MAX {
            return Share::none();
        }
        let mut sending = self.sending();
        while !self.fits(&sending, bytes) {
            let wait = self.cut_one_off(&mut sending);
            let waited = self.changed.wait_timeout(sending, wait);
            (sending, _) = waited.expect("no panic while the room is locked");
        }
        self.share(&mut sending, bytes, tcp)
    }

    /// Takes room without waiting for it; `None` when there is too little.
    pub(super) fn try_take(self: &Arc<Self>, bytes: usize, tcp: &Arc<TcpStream>) -> Option<Share> {
        if bytes <= SMALL_BYTES_MAX {
            return Some(Share::none());
        }
        let mut sending = self.sending();
        if self.fits(&sending, bytes) {
            return Some(self.share(&mut sending, bytes, tcp));
        }
        // Nobody waits, but the next one may have room.
        self.cut_one_off(&mut sending);
        None
    }

    fn fits(&self, sending: &Sending, bytes: usize) -> bool {
        let all = sending.bytes.saturating_add(bytes);
        sending.answers.is_empty() || all <= self.limits.unsent_bytes_max
    }

    fn share(self: &Arc<Self>, sending: &mut Sending, bytes: usize, tcp: &Arc<TcpStream>) -> Share {
        let (started, progress) = (Instant::now(), Arc::default());
        let entry = Entry {
            bytes,
            started,
            progress: Arc::clone(&progress),
            tcp: Arc::clone(tcp),
            cut_off: false,
        };
        let id = sending.next_id;
        sending.next_id += 1;
        sending.bytes += bytes;
        sending.answers.insert(id, entry);
        let room = Arc::clone(self);
        let taken = Taken {
            room,
            id,
            started,
            progress,
        };
        Share { taken: Some(taken) }
    }

    /// Cuts an answer off if one had its time; answers how long to wait before looking again.
    fn cut_one_off(&self, sending: &mut Sending) -> Duration {
        if sending.answers.values().any(|entry| entry.cut_off) {
            return self.limits.unsent_time;
        }
        let answers = sending.answers.values_mut();
        let first = answers.min_by_key(|entry| entry.due(&self.limits));
        let Some(first) = first else {
            return self.limits.unsent_time;
        };
        let left = first
            .due(&self.limits)
            .saturating_duration_since(Instant::now());
        if left.is_zero() {
            first.cut_off = true;
            self.telemetry.count_front(FrontEvent::SendCutOff);
            // An error means that the client has closed it already.
            let _ = first.tcp.shutdown(Shutdown::Both);
            return self.limits.unsent_time;
        }
        left
    }
}

impl Entry {
    /// From when on it may be cut off.
    fn due(&self, limits: &Limits) -> Instant {
        let progress = Duration::from_millis(self.progress.load(Ordering::Relaxed));
        self.started + limits.unsent_time.min(progress + limits.unsent_stall_time)
    }
}

impl Share {
    /// Room for an answer that needs none.
    pub(super) fn none() -> Share {
        Share { taken: None }
    }

    /// The client has taken a good piece.
    pub(super) fn note_progress(&self) {
        if let Some(taken) = &self.taken {
            let elapsed = u64::try_from(taken.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            taken.progress.store(elapsed, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            let mut sending = taken.room.sending();
            if let Some(entry) = sending.answers.remove(&taken.id) {
                sending.bytes -= entry.bytes;
            }
            taken.room.changed.notify_all();
        }
    }
}
