//! The one table of connections: the socket of each, its state, what it holds, and who is closed to make room.
//!
//! ```text
//! admit ──→ Waiting ── begin_response ──→ Responding ── reserve (a large response) ──→ Sending
//!              ↑                              │                                           │
//!              └──────────────────────── end_response ────────────────────────────────────┘
//! each of them ── shut down ──→ Closed ── its thread ends ──→ out of the table
//! ```
//!
//! **Slots.** A connection has a slot from `accept` until its thread ends, so the number of slots bounds threads,
//! descriptors and memory alike. When all are taken, the connection that has waited longest without a whole request is
//! closed; only a few closed ones may not have ended yet. While all are responding, a few spare slots let new
//! connections in, only to be told so (503).
//!
//! **Send budget.** A server worker hands its response to the connection's thread and is free again, so slow readers
//! hold responses, not workers. The bytes of these responses together are bounded: a worker whose response does not fit
//! waits until others have been sent. Meanwhile a connection is cut off whose client takes nothing, or that had its
//! time. Clients that read at the speed of a network are done long before.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Limits;
use crate::server::response::Response;
use crate::target::TargetScope;
use crate::telemetry::{ListenerEvent, Telemetry};

/// One spare slot for so many slots, and one at least.
const SLOTS_PER_SPARE: usize = 32;
/// For so many slots, one closed connection whose thread has not noticed yet is not waited for, and one at least.
const SLOTS_PER_CLOSED: usize = 8;
/// Responses up to this size are not counted, so that no probe ever waits; those of all connections together are a
/// small part of the budget.
const SMALL_BYTES_MAX: usize = 64 * 1024;

const NO_PANIC: &str = "no panic while the table is locked";

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    /// Most connections that are responding at once.
    slots: usize,
    limits: Limits,
    table: Mutex<Table>,
    /// A state has changed, a connection has left the table, or the listener stops.
    changed: Condvar,
    telemetry: Arc<Telemetry>,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<u64, Entry>,
    next_id: u64,
    stopping: bool,
}

#[derive(Debug)]
struct Entry {
    tcp: Arc<TcpStream>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Without a whole request since then.
    Waiting(Instant),
    /// It has a request. `to` takes a response from these targets, and is here until somebody takes the request up.
    Responding {
        to: Option<(Sender<Response>, Arc<TargetScope>)>,
        client_left: bool,
    },
    /// It sends a response that counts against the send budget.
    Sending {
        bytes: usize,
        since: Instant,
        progress: Instant,
    },
    /// Its socket is shut down, and its thread is about to end. It still holds these bytes of a response.
    Closed(usize),
}

/// A slot in the table; given back when dropped, also by a panic of the thread that holds it.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    /// Number of the connection, never used again for another.
    pub(super) id: u64,
    /// Whether another connection was closed to make room for this one.
    pub(super) made_room: bool,
}

/// What becomes of a whole request.
pub(super) enum Begin {
    /// It gets a response, which comes out of this; its end comes if nobody responds.
    Respond(Receiver<Response>),
    /// All connections are responding.
    Full,
    /// The connection was closed to make room, or the listener stops.
    Closed,
}

impl Connections {
    pub(super) fn new(slots: usize, limits: Limits, telemetry: Arc<Telemetry>) -> Connections {
        Connections {
            slots,
            limits,
            table: Mutex::default(),
            changed: Condvar::new(),
            telemetry,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect(NO_PANIC)
    }

    /// Gives a new connection a slot, closing another one if need be; `None` when the listener stops.
    ///
    /// Waits while too many closed ones have not ended: no longer than their threads need to notice.
    pub(super) fn admit(self: &Arc<Self>, tcp: &Arc<TcpStream>) -> Option<Slot> {
        let mut made_room = false;
        let mut table = self.table();
        loop {
            if table.stopping {
                return None;
            }
            let closed = table.count(|state| matches!(state, State::Closed(_)));
            let is_busy = table.responding() >= self.slots;
            let spare = usize::from(is_busy) * self.slots.div_ceil(SLOTS_PER_SPARE);
            let is_full = table.entries.len() - closed >= self.slots + spare;
            let may_close = closed < self.slots.div_ceil(SLOTS_PER_CLOSED);
            if !is_full && may_close {
                break;
            }
            if may_close && self.close_longest_waiting(&mut table) {
                made_room = true;
                continue;
            }
            table = self.changed.wait(table).expect(NO_PANIC);
        }
        let id = table.next_id;
        table.next_id += 1;
        let (tcp, state) = (Arc::clone(tcp), State::Waiting(Instant::now()));
        table.entries.insert(id, Entry { tcp, state });
        self.telemetry.events.count(ListenerEvent::Accepted);
        Some(Slot {
            connections: Arc::clone(self),
            id,
            made_room,
        })
    }

    /// Closes the connection that has waited longest, if any waits; for when descriptors run out.
    pub(super) fn make_room(&self) {
        self.close_longest_waiting(&mut self.table());
    }

    fn close_longest_waiting(&self, table: &mut Table) -> bool {
        let waiting_since = |state: &State| match state {
            State::Waiting(since) => Some(*since),
            _ => None,
        };
        let Some((_, entry)) = table.first(waiting_since) else {
            return false;
        };
        entry.close();
        self.telemetry.events.count(ListenerEvent::MadeRoom);
        true
    }

    /// Takes up the request of a connection: whoever has the sender responds to it, with nothing but the targets of the
    /// scope. `None` if there is none.
    pub(super) fn take_request(&self, id: u64) -> Option<(Sender<Response>, Arc<TargetScope>)> {
        match self.table().state(id)? {
            State::Responding { to, .. } => to.take(),
            _ => None,
        }
    }

    /// Lets the connections know whose requests nobody has taken up that nobody will.
    pub(super) fn drop_requests(&self) {
        for entry in self.table().entries.values_mut() {
            if let State::Responding { to, .. } = &mut entry.state {
                *to = None;
            }
        }
    }

    /// Whether nobody waits for the response of this connection any more.
    pub(super) fn has_left(&self, id: u64) -> bool {
        let mut table = self.table();
        !matches!(table.state(id), Some(State::Responding { client_left, .. }) if !*client_left)
    }

    /// Takes a response of so many bytes out of the send budget, and returns whether it fits. If it may wait, it waits
    /// until it fits; one that is larger than the whole budget gets it alone.
    pub(super) fn reserve(&self, id: u64, bytes: usize, may_wait: bool) -> bool {
        let mut table = self.table();
        while !table.reserve(id, bytes, self.limits.unsent_bytes_max) {
            // Where nobody waits, the next one may find room.
            let wait = self.cut_one_off(&mut table);
            if !may_wait {
                return false;
            }
            let waited = self.changed.wait_timeout(table, wait);
            (table, _) = waited.expect(NO_PANIC);
        }
        true
    }

    /// Cuts a response off if one had its time; returns how long to wait before looking again.
    fn cut_one_off(&self, table: &mut Table) -> Duration {
        let (time, stall_time) = (self.limits.unsent_time, self.limits.unsent_stall_time);
        let due = |state: &State| match state {
            State::Sending {
                since, progress, ..
            } => Some((*since + time).min(*progress + stall_time)),
            _ => None,
        };
        if table.count(|state| matches!(state, State::Closed(1..))) > 0 {
            return time;
        }
        let Some((due, entry)) = table.first(due) else {
            return time;
        };
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            entry.close();
            self.telemetry.events.count(ListenerEvent::SendCutOff);
            return time;
        }
        left
    }

    /// Lets no more connections in and closes those that wait for a request.
    pub(super) fn stop(&self) {
        let mut table = self.table();
        table.stopping = true;
        let entries = table.entries.values_mut();
        entries
            .filter(|entry| matches!(entry.state, State::Waiting(_)))
            .for_each(Entry::close);
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.table().stopping
    }

    /// Waits until all connections have ended; after `within`, closes those that are left. Returns their number.
    pub(super) fn finish(&self, within: Duration) -> usize {
        let is_used = |table: &mut Table| !table.entries.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(self.table(), within, is_used);
        let (mut table, _) = waited.expect(NO_PANIC);
        table.entries.values_mut().for_each(Entry::close);
        table.entries.len()
    }
}

impl Table {
    fn state(&mut self, id: u64) -> Option<&mut State> {
        self.entries.get_mut(&id).map(|entry| &mut entry.state)
    }

    fn count(&self, which: impl Fn(&State) -> bool) -> usize {
        let states = self.entries.values().map(|entry| &entry.state);
        states.filter(|state| which(state)).count()
    }

    /// The entry with the earliest of these times.
    fn first(&mut self, time: impl Fn(&State) -> Option<Instant>) -> Option<(Instant, &mut Entry)> {
        let entries = self.entries.values_mut();
        let timed = entries.filter_map(|entry| Some((time(&entry.state)?, entry)));
        timed.min_by_key(|(time, _)| *time)
    }

    /// Connections that have a request.
    fn responding(&self) -> usize {
        self.count(|state| matches!(state, State::Responding { .. } | State::Sending { .. }))
    }

    /// Counts a response against the send budget if it fits, and returns whether it does.
    fn reserve(&mut self, id: u64, bytes: usize, bytes_max: usize) -> bool {
        if bytes <= SMALL_BYTES_MAX {
            return true;
        }
        let held = self.entries.values().map(|entry| match entry.state {
            State::Sending { bytes, .. } | State::Closed(bytes) => bytes,
            State::Waiting(_) | State::Responding { .. } => 0,
        });
        let held: usize = held.sum();
        let Some(state @ State::Responding { .. }) = self.state(id) else {
            // A connection that was closed meanwhile drops its response at once.
            return true;
        };
        if held > 0 && held.saturating_add(bytes) > bytes_max {
            return false;
        }
        *state = State::Sending {
            bytes,
            since: Instant::now(),
            progress: Instant::now(),
        };
        true
    }
}

impl Entry {
    /// Wakes the connection's thread from whatever it does with the socket.
    fn close(&mut self) {
        let bytes = match self.state {
            State::Closed(_) => return,
            State::Sending { bytes, .. } => bytes,
            State::Waiting(_) | State::Responding { .. } => 0,
        };
        // An error means that the client has closed it already.
        let _ = self.tcp.shutdown(Shutdown::Both);
        self.state = State::Closed(bytes);
    }
}

impl Slot {
    /// The connection has a whole request, whose client may see the targets of `scope`. `always`: even if all are
    /// responding; for the probes of the kubelet, which would otherwise restart a server that is merely busy.
    pub(super) fn begin_response(&self, scope: Arc<TargetScope>, always: bool) -> Begin {
        let mut table = self.connections.table();
        let is_full = table.responding() >= self.connections.slots;
        let stopping = table.stopping;
        let state = table.state(self.id).filter(|_| !stopping);
        let Some(state @ State::Waiting(_)) = state else {
            return Begin::Closed;
        };
        if is_full && !always {
            return Begin::Full;
        }
        let (to, response) = bounded(1);
        *state = State::Responding {
            to: Some((to, scope)),
            client_left: false,
        };
        // The capacity may have grown by the spare slots.
        self.connections.changed.notify_all();
        Begin::Respond(response)
    }

    /// The client has closed its side, so that most likely nobody waits for the response any more.
    pub(super) fn note_left(&self) {
        self.change(|state| {
            if let State::Responding { client_left, .. } = state {
                *client_left = true;
            }
        });
    }

    /// The client has taken a good piece of its response.
    pub(super) fn note_progress(&self) {
        self.change(|state| {
            if let State::Sending { progress, .. } = state {
                *progress = Instant::now();
            }
        });
    }

    /// The response is sent; the connection waits for its client again. Returns whether it may.
    pub(super) fn end_response(&self) -> bool {
        self.change(|state| {
            if !matches!(state, State::Closed(_)) {
                *state = State::Waiting(Instant::now());
            }
        });
        self.connections.changed.notify_all();
        !self.connections.is_stopping()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.connections.table().state(self.id) {
            change(state);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let connections = &self.connections;
        let mut table = connections.table();
        table.entries.remove(&self.id);
        // Counted before anybody can see that it has left.
        connections.telemetry.events.count(ListenerEvent::Ended);
        connections.changed.notify_all();
        if std::thread::panicking() {
            connections.telemetry.panics.add(1);
        }
    }
}
