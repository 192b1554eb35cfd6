//! What the aggregator counts about itself. Atomics only: any thread may count, nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};

/// The statuses that the front answers by itself; the values of `code` in `metrics_aggregator_front_refusals_total`.
pub const REFUSAL_STATUSES: [u16; 11] = [400, 401, 403, 408, 413, 414, 417, 431, 500, 503, 505];

/// What the front counts beside refusals. Each is a total, but for [`FrontEvent::Ended`]: connections open now are
/// those accepted less those ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEvent {
    /// A connection got its place.
    Accepted,
    /// A connection gave its place back.
    Ended,
    /// A connection without a whole request was closed to make room for another.
    MadeRoom,
    /// `accept` failed, or no thread could be started for a connection.
    AcceptError,
    /// A TLS handshake came to no good end.
    HandshakeFailed,
    /// A client did not take its answer fast enough and was cut off.
    SendCutOff,
}

/// How one refresh of the target cache ended; the values of `result` in
/// `metrics_aggregator_cache_refreshes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshResult {
    /// A complete pod list was published.
    Ok,
    /// 401: the API server does not know the token.
    Unauthorized,
    /// 403: the service account lacks a right.
    Forbidden,
    /// 429: the API server asks for fewer requests.
    Throttled,
    /// Any other status that is not 200.
    ServerError,
    /// No connection, or the connection broke off.
    Connection,
    /// No complete answer in time.
    Timeout,
    /// The answer is not a pod list.
    Malformed,
    /// 410: the list's resource version or continue token is too old.
    Gone,
    /// The credentials or the pod list file cannot be read.
    File,
}

/// The counters. One per process, shared by `Arc`.
#[derive(Debug, Default)]
pub struct Telemetry {
    refreshes: [AtomicU64; 10],
    panics: AtomicU64,
    front_events: [AtomicU64; 6],
    front_refusals: [AtomicU64; REFUSAL_STATUSES.len()],
}

impl Telemetry {
    /// Counts one refresh of the target cache.
    pub fn count_refresh(&self, result: RefreshResult) {
        self.refreshes[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Refreshes so far that ended so.
    #[must_use]
    pub fn refreshes(&self, result: RefreshResult) -> u64 {
        self.refreshes[result as usize].load(Ordering::Relaxed)
    }

    /// Counts one caught panic: of a scrape or of a request.
    pub fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics caught so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Counts one event of the front.
    pub fn count_front(&self, event: FrontEvent) {
        self.front_events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Events of this kind so far.
    #[must_use]
    pub fn front(&self, event: FrontEvent) -> u64 {
        self.front_events[event as usize].load(Ordering::Relaxed)
    }

    /// Counts one request that the front refused with this status, which is one of [`REFUSAL_STATUSES`].
    pub fn count_front_refusal(&self, status: u16) {
        if let Some(index) = REFUSAL_STATUSES.iter().position(|&known| known == status) {
            self.front_refusals[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests that the front refused so far, by status.
    pub fn front_refusals(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self
            .front_refusals
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        REFUSAL_STATUSES.into_iter().zip(counts)
    }
}
