//! The aggregator's own metrics: the counters, and the response of `/-/metrics`.
//!
//! Any thread may count, and none waits long: a counter is atomic, or behind a lock that is held for one addition.
//! Label values come from closed sets ([`Path`], [`Phase`], [`RefreshResult`]), and the number of jobs is bounded.
//!
//! To add a metric, add a row to `families.rs`, what it counts to [`Telemetry`] or [`Gauges`], and a row to
//! `k8s/prometheus/README.md`. `tests/own_metrics.rs` has to cause a change of it, or to name the test that does. What
//! the listener counts is a [`ListenerEvent`].

mod families;
mod histogram;
mod jobs;
mod labels;
mod process;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

pub use families::{FAMILIES, OwnMetric};
pub use histogram::Durations;
pub use jobs::COUNTED_JOBS_MAX;
pub use labels::{BodyFormat, Path, Phase, RefreshResult};
pub use process::open_files_max;

use families::Now;
use jobs::Jobs;
use text::Samples;

/// What the listener counts besides error responses. The number of open connections is the number of accepted ones
/// minus the number of ended ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerEvent {
    /// A connection got its slot.
    Accepted,
    /// A connection gave its slot back.
    Ended,
    /// A connection without a whole request was closed to make room for another.
    MadeRoom,
    /// `accept` failed, or no thread could be started for a connection.
    AcceptError,
    /// A TLS handshake failed.
    HandshakeFailed,
    /// A client read its response too slowly and was cut off.
    SendCutOff,
}

/// Current values, which are not counted but measured for each response.
#[derive(Debug, Default)]
pub struct Gauges<'a> {
    /// Jobs and their numbers of targets.
    pub targets: Vec<(&'a str, usize)>,
    /// Targets with invalid options, pods without a usable job name among them.
    pub invalid_targets: usize,
    /// Age of the last complete pod list; `None` before the first one.
    pub cache_age: Option<Duration>,
    /// Scrape requests in the queue of the server workers.
    pub requests_waiting: usize,
    /// Requests in the queue of the client workers.
    pub scrapes_waiting: usize,
    /// Threads that handle scrape requests.
    pub server_workers: usize,
    /// Threads that scrape.
    pub client_workers: usize,
}

/// A counter, or a gauge of busy threads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more until the returned value is dropped.
    pub fn busy(&self) -> Busy<'_> {
        self.add(1);
        Busy(self)
    }
}

/// Counts one busy thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Busy<'a>(&'a Counter);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counters by a key, for few keys.
#[derive(Debug)]
pub struct Counts<K>(Mutex<BTreeMap<K, u64>>);

// A derived implementation would require a default of the key.
impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts(Mutex::default())
    }
}

impl<K: Copy + Ord> Counts<K> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, u64>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Counts one of this key.
    pub fn count(&self, key: K) {
        *self.lock().entry(key).or_default() += 1;
    }

    /// The number of this key so far.
    #[must_use]
    pub fn get(&self, key: K) -> u64 {
        self.lock().get(&key).copied().unwrap_or_default()
    }

    /// All counters in the order of their keys; `keys` are included even if they have not been counted yet.
    pub fn with(&self, keys: impl IntoIterator<Item = K>) -> BTreeMap<K, u64> {
        let zeros = keys.into_iter().map(|key| (key, 0));
        let mut counts: BTreeMap<K, u64> = zeros.collect();
        counts.extend(self.lock().iter());
        counts
    }
}

/// The counters. There is one for the process, shared as an `Arc`.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// Refreshes of the target cache.
    pub refreshes: Counts<RefreshResult>,
    /// Caught panics, of scrapes and of requests.
    pub panics: Counter,
    /// What the listener does besides error responses.
    pub events: Counts<ListenerEvent>,
    /// Error responses of the listener, by status.
    pub listener_errors: Counts<u16>,
    /// Responses, by path and status.
    pub requests: Counts<(Path, u16)>,
    /// How long scrape requests waited for a server worker.
    pub request_wait: Durations,
    /// Server workers that handle a request.
    pub busy_server_workers: Counter,
    /// Client workers that scrape.
    pub busy_client_workers: Counter,
    scrapes: Counter,
    scrape_failures: Counts<Phase>,
    scrape_duration: Durations,
    jobs: Jobs,
    /// Valid bodies.
    pub bodies: Counts<BodyFormat>,
    /// Merged responses.
    pub merged_responses: Counts<BodyFormat>,
    /// Samples of valid bodies.
    pub samples: Counter,
    /// Samples that were dropped as duplicates.
    pub duplicates: Counter,
    /// Families of responses on whose HELP targets disagree.
    pub help_conflicts: Counter,
    /// Families of responses on whose TYPE targets disagree.
    pub type_conflicts: Counter,
}

impl Telemetry {
    /// Counts a scrape that succeeded.
    pub fn count_scrape(&self, job: &str, duration: Duration, body_bytes: usize) {
        self.scrapes.add(1);
        self.scrape_duration.count(duration);
        self.jobs.count_body(job, body_bytes as u64);
    }

    /// Counts a scrape that failed in this phase. In the first two phases nothing was sent, so the duration of those
    /// is not counted.
    pub fn count_scrape_failure(&self, phase: Phase, duration: Duration) {
        self.scrape_failures.count(phase);
        if !matches!(phase, Phase::Options | Phase::Queue) {
            self.scrape_duration.count(duration);
        }
    }

    /// The response of `/-/metrics`, in the text format.
    #[must_use]
    pub fn text(&self, gauges: &Gauges<'_>) -> String {
        let now = Now {
            counts: self,
            gauges,
            jobs: self.jobs.with_targets(gauges.targets.iter().copied()),
        };
        let mut out = Samples::default();
        for family in FAMILIES {
            family.write(&mut out, &now);
        }
        out.into_text()
    }
}
