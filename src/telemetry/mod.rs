//! What the aggregator counts about itself, and the text of `/-/metrics`.
//!
//! Any thread may count and nobody waits: counts are atomics, but for those by job, whose lock is held for an addition.
//! Every label value is of a closed set; the number of jobs is bounded.

mod families;
mod histogram;
mod jobs;
mod process;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use families::{FAMILIES, Family, Kind};
pub use jobs::COUNTED_JOBS_MAX;
pub use process::open_files_max;
pub use text::Gauges;

use histogram::Durations;
use jobs::Jobs;

/// The values of `path` in `metrics_aggregator_requests_total`.
pub const PATHS: [&str; 9] = [
    "/",
    "/-/healthy",
    "/-/metrics",
    "/-/ready",
    "/metrics",
    "/probe",
    "/sd/jobs",
    "/sd/pods",
    "other",
];

/// The values of `code` there.
pub const STATUSES: [u16; 8] = [200, 400, 404, 405, 500, 502, 503, 504];

/// The values of `phase` in `metrics_aggregator_scrape_failures_total`.
pub const SCRAPE_PHASES: [&str; 7] = [
    "options", "queue", "connect", "tls", "wait", "body", "parse",
];

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

/// Every [`RefreshResult`] and its name as a label value.
const REFRESH_RESULTS: [(RefreshResult, &str); 10] = [
    (RefreshResult::Ok, "ok"),
    (RefreshResult::Unauthorized, "unauthorized"),
    (RefreshResult::Forbidden, "forbidden"),
    (RefreshResult::Throttled, "throttled"),
    (RefreshResult::ServerError, "server_error"),
    (RefreshResult::Connection, "connection"),
    (RefreshResult::Timeout, "timeout"),
    (RefreshResult::Malformed, "malformed"),
    (RefreshResult::Gone, "gone"),
    (RefreshResult::File, "file"),
];

/// The counters. One per process, shared by `Arc`.
#[derive(Debug, Default)]
pub struct Telemetry {
    refreshes: [AtomicU64; 10],
    panics: AtomicU64,
    front_events: [AtomicU64; 6],
    front_refusals: [AtomicU64; REFUSAL_STATUSES.len()],
    requests: [[AtomicU64; STATUSES.len()]; PATHS.len()],
    request_wait: Durations,
    busy_server_workers: AtomicU64,
    busy_client_workers: AtomicU64,
    /// Those that succeeded.
    scrapes: AtomicU64,
    scrape_failures: [AtomicU64; SCRAPE_PHASES.len()],
    scrape_duration: Durations,
    jobs: Jobs,
    samples: AtomicU64,
    duplicates: AtomicU64,
    help_conflicts: AtomicU64,
    type_conflicts: AtomicU64,
}

/// Counts a worker as busy until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Busy<'a>(&'a AtomicU64);

impl<'a> Busy<'a> {
    fn new(count: &'a AtomicU64) -> Busy<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Busy(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
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

    /// Counts one answer: `path` is one of [`PATHS`] or is counted as the last of them, `status` one of [`STATUSES`].
    pub fn count_request(&self, path: &str, status: u16) {
        let path = PATHS.iter().position(|known| *known == path);
        let counts = &self.requests[path.unwrap_or(PATHS.len() - 1)];
        if let Some(status) = STATUSES.iter().position(|known| *known == status) {
            add(&counts[status], 1);
        }
    }

    /// Counts the time that a scrape request waited for a server worker.
    pub fn count_request_wait(&self, wait: Duration) {
        self.request_wait.count(wait);
    }

    /// A server worker begins to work.
    pub fn busy_server_worker(&self) -> Busy<'_> {
        Busy::new(&self.busy_server_workers)
    }

    /// A client worker begins to work.
    pub fn busy_client_worker(&self) -> Busy<'_> {
        Busy::new(&self.busy_client_workers)
    }

    /// Counts a scrape that succeeded.
    pub fn count_scrape(&self, job: &str, duration: Duration, body_bytes: usize) {
        add(&self.scrapes, 1);
        self.scrape_duration.count(duration);
        self.jobs.count_body(job, body_bytes as u64);
    }

    /// Counts a scrape that failed in this phase, one of [`SCRAPE_PHASES`]; in the first two of them nothing was sent,
    /// and the time says nothing about pods.
    pub fn count_scrape_failure(&self, phase: &str, duration: Duration) {
        if let Some(index) = SCRAPE_PHASES.iter().position(|known| *known == phase) {
            add(&self.scrape_failures[index], 1);
        }
        if !["options", "queue"].contains(&phase) {
            self.scrape_duration.count(duration);
        }
    }

    /// Counts the samples of one body, and those of them that were left out.
    pub fn count_samples(&self, samples: u64, duplicates: u64) {
        add(&self.samples, samples);
        add(&self.duplicates, duplicates);
    }

    /// Counts the families of one answer on whose HELP or TYPE its targets do not agree.
    pub fn count_conflicts(&self, help: u64, type_: u64) {
        add(&self.help_conflicts, help);
        add(&self.type_conflicts, type_);
    }
}
