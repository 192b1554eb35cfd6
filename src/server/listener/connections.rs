//! The bounded table of connections: who has a place, who gets closed to make room.
//!
//! A place is held from `accept` until the connection is closed, and a bounded number of closed ones may not have
//! ended yet, so the number of places bounds threads, descriptors and memory alike. When all are taken, the connection that has waited longest without a whole request
//! is closed. While all are being answered, a few spare places let new connections in, only to be told so (503).

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::telemetry::{FrontEvent, Telemetry};

/// One spare place for so many places, and one at least.
const PLACES_PER_SPARE: usize = 32;
/// For so many places, one closed connection whose thread has not noticed yet is not waited for, and one at least.
const PLACES_PER_CLOSED: usize = 8;

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    /// Most connections that are answered at once.
    places: usize,
    table: Mutex<Table>,
    /// A connection left the table, was answered, or the listener stops.
    changed: Condvar,
    telemetry: Arc<Telemetry>,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<u64, Entry>,
    next_id: u64,
    /// Entries that are being answered.
    answering: usize,
    /// Entries that are closed.
    closed: usize,
    stopping: bool,
}

#[derive(Debug)]
struct Entry {
    tcp: Arc<TcpStream>,
    /// Without a whole request since then; `None` while one is answered.
    waiting_since: Option<Instant>,
    /// Its socket is shut down; its thread is about to end.
    closed: bool,
}

/// A place in the table; given back when dropped, also by a panic of the thread that holds it.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    made_room: bool,
}

/// What becomes of a whole request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is to be answered.
    Answer,
    /// All connections are being answered.
    Full,
    /// The connection was closed to make room, or the listener stops.
    Closed,
}

impl Connections {
    pub(super) fn new(places: usize, telemetry: Arc<Telemetry>) -> Connections {
        Connections {
            places,
            table: Mutex::default(),
            changed: Condvar::new(),
            telemetry,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table
            .lock()
            .expect("no panic while the table is locked")
    }

    /// Gives a new connection a place, closing another one if need be; `None` when the listener stops.
    ///
    /// Waits while too many closed ones have not ended: no longer than their threads need to notice.
    pub(super) fn admit(self: &Arc<Self>, tcp: &Arc<TcpStream>) -> Option<Place> {
        let mut made_room = false;
        let mut table = self.table();
        loop {
            if table.stopping {
                return None;
            }
            let full = table.entries.len() - table.closed >= self.capacity(&table);
            let may_close = table.closed < self.places.div_ceil(PLACES_PER_CLOSED);
            if !full && may_close {
                break;
            }
            if may_close && self.close_longest_waiting(&mut table) {
                made_room = true;
                continue;
            }
            table = self
                .changed
                .wait(table)
                .expect("no panic while the table is locked");
        }
        let id = table.next_id;
        table.next_id += 1;
        let entry = Entry {
            tcp: Arc::clone(tcp),
            waiting_since: Some(Instant::now()),
            closed: false,
        };
        table.entries.insert(id, entry);
        self.telemetry.count_front(FrontEvent::Accepted);
        Some(Place {
            connections: Arc::clone(self),
            id,
            made_room,
        })
    }

    fn capacity(&self, table: &Table) -> usize {
        let spare = if table.answering < self.places {
            0
        } else {
            self.places.div_ceil(PLACES_PER_SPARE)
        };
        self.places + spare
    }

    /// Closes the connection that has waited longest, if any waits; for when descriptors run out.
    pub(super) fn make_room(&self) {
        let mut table = self.table();
        self.close_longest_waiting(&mut table);
    }

    fn close_longest_waiting(&self, table: &mut Table) -> bool {
        let waiting = table
            .entries
            .values_mut()
            .filter(|entry| !entry.closed && entry.waiting_since.is_some());
        let Some(entry) = waiting.min_by_key(|entry| entry.waiting_since) else {
            return false;
        };
        entry.close();
        table.closed += 1;
        self.telemetry.count_front(FrontEvent::MadeRoom);
        true
    }

    /// Lets no more connections in and closes those that wait for a request.
    pub(super) fn stop(&self) {
        let mut table = self.table();
        table.stopping = true;
        table.close_all(|entry| entry.waiting_since.is_some());
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.table().stopping
    }

    /// Waits until all connections have ended; after `within`, closes those that are left. Answers their number.
    pub(super) fn finish(&self, within: Duration) -> usize {
        let table = self.table();
        let (mut table, _) = self
            .changed
            .wait_timeout_while(table, within, |table| !table.entries.is_empty())
            .expect("no panic while the table is locked");
        table.close_all(|_| true);
        table.entries.len()
    }

    /// Waits until all connections have ended.
    pub(super) fn wait_empty(&self, within: Duration) {
        let table = self.table();
        let waited = self
            .changed
            .wait_timeout_while(table, within, |table| !table.entries.is_empty());
        drop(waited.expect("no panic while the table is locked"));
    }
}

impl Entry {
    /// Wakes the connection's thread from whatever it does with the socket.
    fn close(&mut self) {
        // An error means that the client has closed it already.
        let _ = self.tcp.shutdown(Shutdown::Both);
        self.closed = true;
    }
}

impl Place {
    /// Number of the connection, never used again for another.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether another connection was closed to make room for this one.
    pub(super) fn made_room(&self) -> bool {
        self.made_room
    }

    /// The connection has a whole request. `always`: answer it even where all connections are being answered; for
    /// the probes of the kubelet, which would otherwise restart a server that is merely busy.
    pub(super) fn begin_answer(&self, always: bool) -> Begin {
        let mut table = self.connections.table();
        let full = table.answering >= self.connections.places;
        let stopping = table.stopping;
        let Some(entry) = table.entries.get_mut(&self.id) else {
            return Begin::Closed;
        };
        if entry.closed || stopping {
            return Begin::Closed;
        }
        if full && !always {
            return Begin::Full;
        }
        entry.waiting_since = None;
        table.answering += 1;
        // The capacity may have grown by the spare places.
        self.connections.changed.notify_all();
        Begin::Answer
    }

    /// The request is answered; the connection waits for its client again. Answers whether it may.
    pub(super) fn end_answer(&self) -> bool {
        let mut table = self.connections.table();
        table.set_waiting(self.id);
        self.connections.changed.notify_all();
        !table.stopping
    }
}

impl Table {
    fn close_all(&mut self, which: impl Fn(&Entry) -> bool) {
        for entry in self.entries.values_mut() {
            if !entry.closed && which(entry) {
                entry.close();
                self.closed += 1;
            }
        }
    }

    fn set_waiting(&mut self, id: u64) {
        let entry = self
            .entries
            .get_mut(&id)
            .filter(|entry| entry.waiting_since.is_none());
        if let Some(entry) = entry {
            entry.waiting_since = Some(Instant::now());
            self.answering -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.set_waiting(self.id);
        let entry = table.entries.remove(&self.id);
        table.closed -= usize::from(entry.is_some_and(|entry| entry.closed));
        self.connections.changed.notify_all();
        let telemetry = &self.connections.telemetry;
        telemetry.count_front(FrontEvent::Ended);
        if std::thread::panicking() {
            telemetry.count_panic();
        }
    }
}
