//! What the aggregator counts about itself. Atomics only: any thread may count, nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};

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
}
