//! The aggregator's own metrics: the counters, and the response of `/-/metrics`.
//!
//! Any thread may count, and none waits long: a counter is atomic, or behind a lock that is held for one addition.
//! Label values come from closed sets ([`Path`], [`Phase`], [`RefreshResult`]), and the number of jobs is bounded.
//!
//! To add a metric, add a row to `families.rs`, what it counts to [`Telemetry`] or [`Gauges`], and a row to
//! `k8s/prometheus/README.md`.

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

pub use families::{FAMILIES, Family};
pub use jobs::COUNTED_JOBS_MAX;
pub use labels::{BodyFormat, Path, Phase, RefreshResult};
pub use process::open_files_max;

use families::Now;
use histogram::Durations;
use jobs::Jobs;
use text::Samples;

/// Status codes of the listener's error responses that are written even if there has been none.
const REFUSAL_STATUSES: [u16; 11] = [400, 401, 403, 408, 413, 414, 417, 431, 500, 503, 505];

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

/// Counters by a key, for few keys.
#[derive(Debug)]
struct Counts<K>(Mutex<BTreeMap<K, u64>>);

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

    fn count(&self, key: K) {
        *self.lock().entry(key).or_default() += 1;
    }

    fn get(&self, key: K) -> u64 {
        self.lock().get(&key).copied().unwrap_or_default()
    }

    /// All counters in the order of their keys; `keys` are included even if they have not been counted yet.
    fn with(&self, keys: impl IntoIterator<Item = K>) -> BTreeMap<K, u64> {
        let zeros = keys.into_iter().map(|key| (key, 0));
        let mut counts: BTreeMap<K, u64> = zeros.collect();
        counts.extend(self.lock().iter());
        counts
    }
}

/// The counters. There is one for the process, shared as an `Arc`.
#[derive(Debug, Default)]
pub struct Telemetry {
    refreshes: Counts<RefreshResult>,
    panics: AtomicU64,
    events: Counts<ListenerEvent>,
    /// By status.
    refusals: Counts<u16>,
    /// By path and status.
    requests: Counts<(Path, u16)>,
    request_wait: Durations,
    busy_server_workers: AtomicU64,
    busy_client_workers: AtomicU64,
    /// Successful ones.
    scrapes: AtomicU64,
    scrape_failures: Counts<Phase>,
    scrape_duration: Durations,
    jobs: Jobs,
    bodies: Counts<BodyFormat>,
    merged_responses: Counts<BodyFormat>,
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
        self.refreshes.count(result);
    }

    /// Refreshes so far with this result.
    #[must_use]
    pub fn refreshes(&self, result: RefreshResult) -> u64 {
        self.refreshes.get(result)
    }

    /// Counts one caught panic, of a scrape or of a request.
    pub fn count_panic(&self) {
        add(&self.panics, 1);
    }

    /// Panics caught so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        load(&self.panics)
    }

    /// Counts one event of the listener.
    pub fn count_event(&self, event: ListenerEvent) {
        self.events.count(event);
    }

    /// Events of this kind so far.
    #[must_use]
    pub fn events(&self, event: ListenerEvent) -> u64 {
        self.events.get(event)
    }

    /// Counts one request to which the listener responded with this error status.
    pub fn count_refusal(&self, status: u16) {
        self.refusals.count(status);
    }

    /// Error responses of the listener so far, by status.
    pub fn refusals(&self) -> impl Iterator<Item = (u16, u64)> {
        self.refusals.with(REFUSAL_STATUSES).into_iter()
    }

    /// Counts one response.
    pub fn count_request(&self, path: Path, status: u16) {
        self.requests.count((path, status));
    }

    /// Counts the time that a scrape request waited for a server worker.
    pub fn count_request_wait(&self, wait: Duration) {
        self.request_wait.count(wait);
    }

    /// Counts a server worker as busy until the returned value is dropped.
    pub fn busy_server_worker(&self) -> Busy<'_> {
        Busy::new(&self.busy_server_workers)
    }

    /// Counts a client worker as busy until the returned value is dropped.
    pub fn busy_client_worker(&self) -> Busy<'_> {
        Busy::new(&self.busy_client_workers)
    }

    /// Counts a scrape that succeeded.
    pub fn count_scrape(&self, job: &str, duration: Duration, body_bytes: usize) {
        add(&self.scrapes, 1);
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

    /// Counts one valid body in this format.
    pub fn count_body(&self, format: BodyFormat) {
        self.bodies.count(format);
    }

    /// Counts a merged response in this format.
    pub fn count_merged_response(&self, format: BodyFormat) {
        self.merged_responses.count(format);
    }

    /// Counts the samples of one body, and how many of them were dropped as duplicates.
    pub fn count_samples(&self, samples: u64, duplicates: u64) {
        add(&self.samples, samples);
        add(&self.duplicates, duplicates);
    }

    /// Counts the families of one response on whose HELP or TYPE targets disagree.
    pub fn count_conflicts(&self, help: u64, type_: u64) {
        add(&self.help_conflicts, help);
        add(&self.type_conflicts, type_);
    }

    /// The response of `/-/metrics`, in the text format.
    #[must_use]
    pub fn text(&self, gauges: &Gauges<'_>) -> String {
        let now = Now {
            counts: self,
            gauges,
            jobs: self.jobs.with_targets(gauges.targets.iter().copied()),
        };
        let mut out = Samples::new();
        FAMILIES
            .iter()
            .for_each(|family| family.write(&mut out, &now));
        out.into_text()
    }
}
