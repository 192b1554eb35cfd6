//! The client workers: a fixed number of threads that scrape the targets of all requests fairly.
//!
//! There are two queues: *healthy*, for targets that responded to the last scrape, and *unhealthy*, for targets that
//! failed or were never scraped. A request hands in one batch (`batch.rs`), which is in the queue of its next target. A
//! worker takes the batch at the head of a queue, takes its next target, puts the batch back at the tail, and scrapes
//! the target. So requests share the workers target by target, however large they are.
//!
//! A worker that waits for a pod can do nothing else. Without a rule, pods that hang could occupy all workers, and
//! everybody would wait for them. Therefore a quarter of the workers serves only the healthy queue. All others serve
//! both queues, because keeping a worker idle would only make unhealthy targets wait longer. Slow targets that respond
//! count as healthy, or else their job would never get that quarter of the workers. A pod that starts hanging can
//! occupy any worker once.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender, bounded, never, select};
use threadpool::ThreadPool;

use super::batch::{Batch, batch};
pub use super::batch::{Health, Results, ScrapeResult};
use super::body::BodyBuffer;
use super::client::{PodResponse, ProbeWants, ScrapeClient};
use super::deadline::ScrapeDeadline;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::{Asked, IdentityLabels};
use crate::target::{Target, TargetLabels};
use crate::telemetry::Telemetry;

/// The most batches and probes in a queue: those of running requests, and abandoned ones that no worker has taken out
/// yet.
const QUEUE_MAX: usize = 1024;
/// One in this many workers, rounded up, serves only the healthy queue; a single worker serves both.
const RESERVED_PART: usize = 4;

/// The outcome of a scrape for `/probe`, and how long it took: until the last byte is read, or until the scrape failed.
type ProbeDone = dyn FnOnce(Result<PodResponse, ScrapeError>, Duration) + Send;

/// One target to be scraped for `/probe`.
pub(crate) struct Probe {
    /// The target.
    pub(crate) target: Arc<Target>,
    /// What the scraper asks for.
    pub(crate) wants: ProbeWants,
    /// When the result is no longer of use.
    pub(crate) deadline: Option<Instant>,
    /// Gets the result, in the worker that scraped, or at once if the queue is full.
    pub(crate) done: Box<ProbeDone>,
}

/// An entry of a queue.
enum QueueItem {
    Batch(Arc<Batch>),
    Probe(Box<Probe>),
    /// Ends the worker that takes it.
    Stop,
}

/// The queues in which batches and probes wait for a worker.
struct Queues {
    healthy: Sender<QueueItem>,
    unhealthy: Sender<QueueItem>,
}

impl Queues {
    fn of(&self, health: Health) -> &Sender<QueueItem> {
        if health.is_healthy() {
            &self.healthy
        } else {
            &self.unhealthy
        }
    }
}

/// The workers. Dropping it ends them, each after the scrape that it is doing.
pub struct ScrapePool {
    queues: Arc<Queues>,
    threads: ThreadPool,
    samples_max: u64,
    cores: usize,
}

impl fmt::Debug for ScrapePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapePool")
            .field("workers", &self.threads.max_count())
            .finish_non_exhaustive()
    }
}

impl ScrapePool {
    /// Starts `workers` threads, named `scrape`.
    #[must_use]
    pub fn start(
        workers: usize,
        client: &Arc<ScrapeClient>,
        labels: &TargetLabels,
        telemetry: &Arc<Telemetry>,
    ) -> Self {
        let (healthy, from_healthy) = bounded(QUEUE_MAX);
        let (unhealthy, from_unhealthy) = bounded(QUEUE_MAX);
        let queues = Arc::new(Queues { healthy, unhealthy });
        let threads = threadpool::Builder::new()
            .num_threads(workers)
            .thread_name("scrape".to_owned())
            .build();
        let reserved = match workers {
            1 => 0,
            _ => workers.div_ceil(RESERVED_PART),
        };
        for number in 0..workers {
            let worker = Worker {
                client: Arc::clone(client),
                labels: labels.clone(),
                telemetry: Arc::clone(telemetry),
                queues: Arc::clone(&queues),
                healthy: from_healthy.clone(),
                unhealthy: match number < reserved {
                    true => never(),
                    false => from_unhealthy.clone(),
                },
                threads: threads.clone(),
            };
            threads.execute(move || worker.run());
        }
        ScrapePool {
            queues,
            threads,
            samples_max: client.samples_max,
            cores: thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }

    /// Scrapes the targets in this order, none of them after the deadline.
    ///
    /// Waits for a place in the queue, at most until the deadline. Targets without a result were not scraped in time.
    #[must_use]
    pub fn scrape(
        &self,
        targets: Vec<(Health, Arc<Target>)>,
        asked: Asked,
        deadline: Option<ScrapeDeadline>,
    ) -> Results {
        let (batch, results) = batch(targets, asked, self.samples_max, deadline, self.cores);
        let Some(health) = batch.next_health() else {
            return results;
        };
        let end = batch.scrapes_end();
        let item = QueueItem::Batch(Arc::new(batch));
        let queue = self.queues.of(health);
        // A batch without a place is dropped, and with it the sender of its results, which ends `Results`.
        let placed = match end {
            Some(end) => queue.send_deadline(item, end).is_ok(),
            None => queue.send(item).is_ok(),
        };
        if !placed {
            log::debug!("no place in the queue of the client workers before the deadline");
        }
        results
    }

    /// Scrapes one target for `/probe`, after everything that waits before it.
    pub(crate) fn probe(&self, probe: Probe, health: Health) {
        let item = QueueItem::Probe(Box::new(probe));
        if let Err(refused) = self.queues.of(health).try_send(item)
            && let QueueItem::Probe(probe) = refused.into_inner()
        {
            let error = ScrapeError::new(Phase::Queue, Reason::QueueFull);
            (probe.done)(Err(error), Duration::ZERO);
        }
    }

    /// Batches and probes that wait for a worker.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.queues.healthy.len() + self.queues.unhealthy.len()
    }
}

impl Drop for ScrapePool {
    fn drop(&mut self) {
        for _ in 0..self.threads.max_count() {
            // All workers serve this queue. Sending fails only if no worker is left to stop.
            let _ = self.queues.healthy.send(QueueItem::Stop);
        }
        self.threads.join();
    }
}

/// One client worker. A panic outside a scrape ends its thread, and the worker continues in another one.
#[derive(Clone)]
struct Worker {
    client: Arc<ScrapeClient>,
    labels: TargetLabels,
    telemetry: Arc<Telemetry>,
    queues: Arc<Queues>,
    healthy: Receiver<QueueItem>,
    /// Always empty for a worker that is reserved for healthy targets.
    unhealthy: Receiver<QueueItem>,
    /// The pool that owns the threads. It replaces a thread that panics, but gives the new one nothing to do.
    threads: ThreadPool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.telemetry.panics.add(1);
            let worker = self.clone();
            self.threads.execute(move || worker.run());
        }
    }
}

impl Worker {
    fn run(&self) {
        let mut buffer = BodyBuffer::default();
        loop {
            match self.next_item(&mut buffer) {
                Ok(QueueItem::Batch(batch)) => self.scrape_next(&batch, &mut buffer),
                Ok(QueueItem::Probe(probe)) => self.probe(*probe),
                Ok(QueueItem::Stop) | Err(_) => return,
            }
        }
    }

    /// The entry at the head of a queue; of either queue if both have one. A worker that has to wait frees its buffer.
    fn next_item(&self, buffer: &mut BodyBuffer) -> Result<QueueItem, RecvError> {
        select! {
            recv(self.healthy) -> item => return item,
            recv(self.unhealthy) -> item => return item,
            default => *buffer = BodyBuffer::default(),
        }
        select! {
            recv(self.healthy) -> item => item,
            recv(self.unhealthy) -> item => item,
        }
    }

    /// Scrapes one target of the batch, which was taken out of a queue and is put back.
    fn scrape_next(&self, batch: &Arc<Batch>, buffer: &mut BodyBuffer) {
        while let Some(index) = batch.take() {
            // Put back before the scrape, so that other workers can continue with the batch.
            let is_put_back = self.put_back(batch);
            let busy = self.telemetry.busy_client_workers.busy();
            let result = self.scrape(batch, index, buffer);
            buffer.shrink();
            drop(busy);
            batch.hand_in(result);
            // If the queue is full, this worker keeps the batch and takes its next target itself, healthy or not.
            if is_put_back {
                return;
            }
        }
    }

    /// Whether the batch is in a queue now, or needs none.
    fn put_back(&self, batch: &Arc<Batch>) -> bool {
        batch.next_health().is_none_or(|health| {
            let item = QueueItem::Batch(Arc::clone(batch));
            self.queues.of(health).try_send(item).is_ok()
        })
    }

    fn probe(&self, probe: Probe) {
        let _busy = self.telemetry.busy_client_workers.busy();
        let start = Instant::now();
        let outcome = caught(&self.telemetry, || {
            self.client
                .probe(&probe.target, &probe.wants, probe.deadline)
        });
        let duration = start.elapsed();
        // A panic is counted, and the request is lost with `done`.
        let _ = caught(&self.telemetry, || {
            (probe.done)(outcome, duration);
            Ok(())
        });
    }

    fn scrape(&self, batch: &Batch, index: usize, buffer: &mut BodyBuffer) -> ScrapeResult {
        let target = batch.target(index);
        let deadline = batch.scrapes_end();
        let start = Instant::now();
        let mut body_bytes = 0;
        let labels = identity_labels(target, &self.labels);
        let outcome = caught(&self.telemetry, || {
            let format = self
                .client
                .scrape(target, &batch.question, deadline, buffer)?;
            body_bytes = buffer.body().len();
            batch.read(format, buffer, &labels)
        });
        ScrapeResult {
            index,
            labels: Some(labels),
            outcome,
            duration: start.elapsed(),
            body_bytes,
        }
    }
}

/// The labels of a target, ready to be written.
#[must_use]
pub fn identity_labels(target: &Target, labels: &TargetLabels) -> IdentityLabels {
    let labels = labels.of(target);
    IdentityLabels::new(labels.iter().map(|(name, value)| (*name, &**value)))
}

/// A panic costs only the scrape in which it happens.
fn caught<T>(
    telemetry: &Telemetry,
    scrape: impl FnOnce() -> Result<T, ScrapeError>,
) -> Result<T, ScrapeError> {
    // Unwind safe: what the closure holds is either shared and locked, or overwritten by the next scrape.
    catch_unwind(AssertUnwindSafe(scrape)).unwrap_or_else(|_| {
        telemetry.panics.add(1);
        let reason = "panic in the scrape, an error in the aggregator; please report it";
        Err(ScrapeError::failed(Phase::Parse, reason))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::panic::panic_any;

    use super::super::batch::tests::target;
    use super::super::client::ScrapeSettings;
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_scrape_and_counted() {
        let telemetry = Telemetry::default();
        let outcome: Result<(), ScrapeError> = caught(&telemetry, || panic!("on purpose"));
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with("parse: panic in the scrape"), "{error}");
        assert_eq!(telemetry.panics.get(), 1);
    }

    /// A payload that panics when it is dropped, which happens outside the scrape.
    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_panic_outside_of_a_scrape_costs_no_worker() {
        let telemetry = Arc::<Telemetry>::default();
        let client = ScrapeClient::new(ScrapeSettings {
            ca_files: Vec::new(),
            client_certificate: None,
            body_bytes_max: 1000,
            samples_max: None,
            token: None,
        });
        let client = Arc::new(client.unwrap());
        let pool = ScrapePool::start(1, &client, &TargetLabels::default(), &telemetry);
        // It is too late to ask the pod.
        let probe = |done: Box<ProbeDone>| {
            let probe = Probe {
                target: target(),
                wants: ProbeWants::default(),
                deadline: Some(Instant::now()),
                done,
            };
            pool.probe(probe, Health::Quick);
        };
        probe(Box::new(|_, _| panic_any(PanicsAgain)));
        let (sender, outcomes) = bounded(1);
        probe(Box::new(move |outcome, _| drop(sender.send(outcome))));
        let outcome = outcomes.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(outcome.unwrap_err().reason, Reason::Deadline));
        assert_eq!(telemetry.panics.get(), 2);
    }
}
