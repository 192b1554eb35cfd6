//! The table of connections: the socket and state of each, and the rules by which one is closed to free resources.
//!
//! ```text
//! admit ──→ Waiting ── begin_response ──→ Responding ── reserve (a large response) ──→ Sending
//!              ↑                              │                                           │
//!              └──────────────────────── end_response ────────────────────────────────────┘
//! each of them ── shut down ──→ Closed ── its thread ends ──→ out of the table
//! ```
//!
//! **Slots.** A connection has a slot from `accept` until its thread ends, so the number of slots limits threads,
//! descriptors and memory. When all slots are in use, the connection that has waited longest without a complete request
//! is closed. Only a few closed connections may still be ending at a time. While all connections are responding, a few
//! spare slots accept new ones, to send them 503.
//!
//! **Send budget.** A server worker passes its response to the connection's thread and is free again, so clients that
//! read slowly hold responses, but no workers. The total size of these responses is limited: a worker waits until its
//! response fits. Meanwhile a connection is cut off if its client takes nothing, or has had enough time. Clients that
//! read at the speed of a network are done long before.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Limits;
use crate::server::response::Response;
use crate::target::TargetScope;
use crate::telemetry::{ListenerEvent, Telemetry};
use ConnectionState::{Closed, Responding, Sending, Waiting};

/// There is one spare slot for this many slots, and at least one.
const SLOTS_PER_SPARE: usize = 32;
/// One closed connection for this many slots, and at least one, may still be ending when another one is closed.
const SLOTS_PER_CLOSED: usize = 8;
/// Responses up to this size do not count for the send budget, so that health probes never wait.
const SMALL_BYTES_MAX: usize = 64 * 1024;

const NO_PANIC: &str = "no panic while the table is locked";

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    /// The most connections that are responding at once.
    slots: usize,
    limits: Limits,
    table: Mutex<Table>,
    /// Notified when a state has changed, a connection has left the table, or the listener stops.
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
    state: ConnectionState,
}

#[derive(Debug)]
enum ConnectionState {
    /// It has had no complete request since this time.
    Waiting(Instant),
    /// It has a request. `to` accepts the response, made from these targets, and is here until the request is claimed.
    Responding {
        to: Option<(Sender<Response>, Arc<TargetScope>)>,
        client_left: bool,
    },
    /// It sends a response that counts for the send budget.
    Sending {
        bytes: usize,
        since: Instant,
        progress: Instant,
    },
    /// Its socket is shut down, and its thread is about to end. It still holds a response of this many bytes.
    Closed(usize),
}

/// A slot in the table. It is free again when this is dropped, even by a panic of its thread.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    /// The number of the connection. Each is used only once.
    pub(super) id: u64,
    /// Whether another connection was closed for this one.
    pub(super) made_room: bool,
}

/// What happens to a complete request.
pub(super) enum BeginResponse {
    /// Its response comes through this channel, which is disconnected if there will be none.
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

    /// Gives a new connection a slot; `None` when the listener stops. If necessary, closes another connection, and
    /// waits while too many closed ones are still ending, which takes their threads only a moment.
    pub(super) fn admit(self: &Arc<Self>, tcp: &Arc<TcpStream>) -> Option<Slot> {
        let mut made_room = false;
        let mut table = self.table();
        loop {
            if table.stopping {
                return None;
            }
            let closed = table.count(|state| matches!(state, Closed(_)));
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
        let (tcp, state) = (Arc::clone(tcp), Waiting(Instant::now()));
        table.entries.insert(id, Entry { tcp, state });
        self.telemetry.events.count(ListenerEvent::Accepted);
        Some(Slot {
            connections: Arc::clone(self),
            id,
            made_room,
        })
    }

    /// Closes the connection that has waited longest, if there is one, to free a descriptor.
    pub(super) fn make_room(&self) {
        self.close_longest_waiting(&mut self.table());
    }

    fn close_longest_waiting(&self, table: &mut Table) -> bool {
        let waiting_since = |state: &ConnectionState| match state {
            Waiting(since) => Some(*since),
            _ => None,
        };
        let Some((_, entry)) = table.first(waiting_since) else {
            return false;
        };
        entry.close();
        self.telemetry.events.count(ListenerEvent::MadeRoom);
        true
    }

    /// Claims the request of a connection: where its response goes, and the targets that its client may see.
    pub(super) fn claim_request(&self, id: u64) -> Option<(Sender<Response>, Arc<TargetScope>)> {
        match self.table().state(id)? {
            Responding { to, .. } => to.take(),
            _ => None,
        }
    }

    /// Tells connections whose requests are not claimed yet that there will be no response.
    pub(super) fn drop_requests(&self) {
        for entry in self.table().entries.values_mut() {
            if let Responding { to, .. } = &mut entry.state {
                *to = None;
            }
        }
    }

    /// Whether the client of this connection does not wait for its response any more.
    pub(super) fn has_left(&self, id: u64) -> bool {
        let mut table = self.table();
        !matches!(table.state(id), Some(Responding { client_left, .. }) if !*client_left)
    }

    /// Reserves this many bytes of the send budget for a response, and returns whether it fits. With `may_wait`, waits
    /// until it fits. A response that is larger than the budget fits when there is no other.
    pub(super) fn reserve(&self, id: u64, bytes: usize, may_wait: bool) -> bool {
        let mut table = self.table();
        while !table.reserve(id, bytes, self.limits.unsent_bytes_max) {
            // Even a caller that does not wait frees bytes for the next response.
            let wait = self.cut_one_off(&mut table);
            if !may_wait {
                return false;
            }
            let waited = self.changed.wait_timeout(table, wait);
            (table, _) = waited.expect(NO_PANIC);
        }
        true
    }

    /// Cuts one response off if it is due. Returns how long to wait before the next attempt.
    fn cut_one_off(&self, table: &mut Table) -> Duration {
        let (time, stall_time) = (self.limits.unsent_time, self.limits.unsent_stall_time);
        let due = |state: &ConnectionState| match state {
            Sending {
                since, progress, ..
            } => Some((*since + time).min(*progress + stall_time)),
            _ => None,
        };
        if table.count(|state| matches!(state, Closed(1..))) > 0 {
            return time;
        }
        let Some((due, entry)) = table.first(due) else {
            return time;
        };
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return left;
        }
        entry.close();
        self.telemetry.events.count(ListenerEvent::SendCutOff);
        time
    }

    /// Accepts no more connections, and closes those that wait for a request.
    pub(super) fn stop(&self) {
        let mut table = self.table();
        table.stopping = true;
        let entries = table.entries.values_mut();
        entries
            .filter(|entry| matches!(entry.state, Waiting(_)))
            .for_each(Entry::close);
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.table().stopping
    }

    /// Waits until all connections have ended. Closes those that are left after `within`, and returns their number.
    pub(super) fn finish(&self, within: Duration) -> usize {
        let (table, changed) = (self.table(), &self.changed);
        let waited = changed.wait_timeout_while(table, within, |table| !table.entries.is_empty());
        let (mut table, _) = waited.expect(NO_PANIC);
        table.entries.values_mut().for_each(Entry::close);
        table.entries.len()
    }
}

impl Table {
    fn state(&mut self, id: u64) -> Option<&mut ConnectionState> {
        self.entries.get_mut(&id).map(|entry| &mut entry.state)
    }

    fn count(&self, which: impl Fn(&ConnectionState) -> bool) -> usize {
        let states = self.entries.values().map(|entry| &entry.state);
        states.filter(|state| which(state)).count()
    }

    /// The entry with the earliest of these times.
    fn first(
        &mut self,
        time: impl Fn(&ConnectionState) -> Option<Instant>,
    ) -> Option<(Instant, &mut Entry)> {
        let entries = self.entries.values_mut();
        let timed = entries.filter_map(|entry| Some((time(&entry.state)?, entry)));
        timed.min_by_key(|(time, _)| *time)
    }

    /// The number of connections that have a request.
    fn responding(&self) -> usize {
        self.count(|state| matches!(state, Responding { .. } | Sending { .. }))
    }

    /// Reserves bytes of the send budget if they fit, and returns whether they do.
    fn reserve(&mut self, id: u64, bytes: usize, bytes_max: usize) -> bool {
        if bytes <= SMALL_BYTES_MAX {
            return true;
        }
        let held = self.entries.values().map(|entry| match entry.state {
            Sending { bytes, .. } | Closed(bytes) => bytes,
            Waiting(_) | Responding { .. } => 0,
        });
        let held: usize = held.sum();
        let Some(state @ Responding { .. }) = self.state(id) else {
            // The connection was closed, and drops its response at once.
            return true;
        };
        if held > 0 && held.saturating_add(bytes) > bytes_max {
            return false;
        }
        *state = Sending {
            bytes,
            since: Instant::now(),
            progress: Instant::now(),
        };
        true
    }
}

impl Entry {
    /// Shuts the socket down, which also wakes the connection's thread.
    fn close(&mut self) {
        let bytes = match self.state {
            Closed(_) => return,
            Sending { bytes, .. } => bytes,
            Waiting(_) | Responding { .. } => 0,
        };
        // An error means that the client has already closed it.
        let _ = self.tcp.shutdown(Shutdown::Both);
        self.state = Closed(bytes);
    }
}

impl Slot {
    /// Begins to respond to a complete request, whose client may see the targets of `scope`. With `always`, even if all
    /// connections are responding: otherwise the kubelet would restart a server that is only busy.
    pub(super) fn begin_response(&self, scope: Arc<TargetScope>, always: bool) -> BeginResponse {
        let mut table = self.connections.table();
        let is_full = table.responding() >= self.connections.slots;
        let stopping = table.stopping;
        let state = table.state(self.id).filter(|_| !stopping);
        let Some(state @ Waiting(_)) = state else {
            return BeginResponse::Closed;
        };
        if is_full && !always {
            return BeginResponse::Full;
        }
        let (to, response) = bounded(1);
        *state = Responding {
            to: Some((to, scope)),
            client_left: false,
        };
        // There may be more spare slots now.
        self.connections.changed.notify_all();
        BeginResponse::Respond(response)
    }

    /// Notes that the client has closed its side of the connection.
    pub(super) fn note_left(&self) {
        self.change(|state| {
            if let Responding { client_left, .. } = state {
                *client_left = true;
            }
        });
    }

    /// Notes that the client has taken another part of its response.
    pub(super) fn note_progress(&self) {
        self.change(|state| {
            if let Sending { progress, .. } = state {
                *progress = Instant::now();
            }
        });
    }

    /// Notes that the response is sent. Returns whether the connection may wait for another request.
    pub(super) fn end_response(&self) -> bool {
        self.change(|state| {
            if !matches!(state, Closed(_)) {
                *state = Waiting(Instant::now());
            }
        });
        self.connections.changed.notify_all();
        !self.connections.is_stopping()
    }

    fn change(&self, change: impl FnOnce(&mut ConnectionState)) {
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
        // Counted before another thread can see that the connection has ended.
        connections.telemetry.events.count(ListenerEvent::Ended);
        connections.changed.notify_all();
        if std::thread::panicking() {
            connections.telemetry.panics.add(1);
        }
    }
}
