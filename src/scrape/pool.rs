//! The client workers: a fixed number of threads that scrape the targets of all requests, fairly.
//!
//! A request hands in one batch. In the queue stands each batch that still has targets to scrape, once: a worker
//! takes the batch at the head, takes one target of it, puts the batch back at the tail, and scrapes. So requests
//! share the workers target by target, whatever their sizes. A batch whose request has gone is dropped when its turn
//! comes; its targets cost nothing.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use threadpool::ThreadPool;

use super::client::{PodAnswer, ProbeWants, ScrapeClient};
use super::{Phase, Reason, ScrapeError};
use crate::exposition::{Exposition, IdentityLabels, parse};
use crate::target::{PodLabelStyle, Target};
use crate::telemetry::Telemetry;

/// Batches in the queue: those of requests under way and the abandoned ones that no worker has met yet.
const QUEUE_MAX: usize = 1024;

/// Between two looks whether the results are still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What became of one target of a batch.
#[derive(Debug)]
pub struct ScrapeResult {
    /// Position of the target in the batch.
    pub index: usize,
    /// The valid body with labels put in, or why there is none.
    pub outcome: Result<Exposition, ScrapeError>,
    /// From the start of the scrape until the body is read and valid, or until it failed.
    pub duration: Duration,
    /// Bytes of the body after decompression, 0 when it is not complete.
    pub body_bytes: usize,
}

/// What became of a target that was scraped for somebody else.
#[derive(Debug)]
pub struct ProbeResult {
    /// What the pod sent, or why there is nothing.
    pub outcome: Result<PodAnswer, ScrapeError>,
    /// From the start of the scrape until the last byte is read, or until it failed.
    pub duration: Duration,
}

/// Takes the result of a probe.
pub type ProbeDone = Box<dyn FnOnce(ProbeResult) + Send>;

/// One target to be scraped for somebody else.
struct Probe {
    target: Arc<Target>,
    wants: ProbeWants,
    deadline: Option<Instant>,
    done: ProbeDone,
}

/// The targets of one request, and how far they are.
struct Batch {
    targets: Vec<Arc<Target>>,
    next: AtomicUsize,
    deadline: Option<Instant>,
    closed: Arc<AtomicBool>,
    results: Sender<ScrapeResult>,
}

impl Batch {
    /// Position of the next target to scrape, each given out once; `None` when there is none or nobody waits for it.
    fn take(&self) -> Option<usize> {
        let late = self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        if late || self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.targets.len()).then_some(index)
    }

    fn has_more(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.targets.len()
            && !self.closed.load(Ordering::Relaxed)
    }
}

/// The results of a batch as they come in. Dropping it closes the batch: what is not yet scraped never will be.
#[derive(Debug)]
pub struct Results {
    results: Receiver<ScrapeResult>,
    until: Option<Instant>,
    closed: Arc<AtomicBool>,
}

impl Results {
    /// The next result; `None` when all are in, the time for them is over, or nobody wants them any more.
    pub fn next(&mut self, is_wanted: &dyn Fn() -> bool) -> Option<ScrapeResult> {
        loop {
            let look = Instant::now() + LOOK_INTERVAL;
            let until = self.until.map_or(look, |until| until.min(look));
            match self.results.recv_deadline(until) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Timeout) if until == look && is_wanted() => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// What stands in the queue.
enum Turn {
    Scrape(Arc<Batch>),
    Probe(Box<Probe>),
    /// The worker that takes it ends.
    Stop,
}

/// The workers. Dropping it ends them: each finishes the scrape it is at.
pub struct ScrapePool {
    queue: Sender<Turn>,
    threads: ThreadPool,
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
        style: PodLabelStyle,
        telemetry: &Arc<Telemetry>,
    ) -> Self {
        let (queue, turns) = bounded(QUEUE_MAX);
        let threads = threadpool::Builder::new()
            .num_threads(workers)
            .thread_name("scrape".to_owned())
            .build();
        for _ in 0..workers {
            let worker = Worker {
                client: Arc::clone(client),
                style,
                telemetry: Arc::clone(telemetry),
                queue: queue.clone(),
                turns: turns.clone(),
            };
            threads.execute(move || worker.run());
        }
        ScrapePool { queue, threads }
    }

    /// Has the targets scraped in about this order, each once, and none later than the deadline.
    ///
    /// Waits for a place in the queue, at most until the deadline. Scrapes end at the deadline too, and have
    /// `hand_in_time` longer to say how they ended. Targets that get no result were not scraped in time.
    #[must_use]
    pub fn scrape(
        &self,
        targets: Vec<Arc<Target>>,
        deadline: Option<Instant>,
        hand_in_time: Duration,
    ) -> Results {
        let (results, incoming) = bounded(targets.len());
        let closed = Arc::new(AtomicBool::new(false));
        let batch = Batch {
            targets,
            next: AtomicUsize::new(0),
            deadline,
            closed: Arc::clone(&closed),
            results,
        };
        let turn = Turn::Scrape(Arc::new(batch));
        // A batch that finds no place is dropped, and with it the sender of its results: `Results` is at its end.
        let placed = match deadline {
            Some(deadline) => self.queue.send_deadline(turn, deadline).is_ok(),
            None => self.queue.send(turn).is_ok(),
        };
        if !placed {
            log::debug!("no place in the queue of the client workers before the deadline");
        }
        Results {
            results: incoming,
            until: deadline.map(|deadline| deadline + hand_in_time),
            closed,
        }
    }

    /// Has one target scraped for somebody else, in its turn; `done` gets the result in the worker that scraped, or
    /// here and at once where the queue is full.
    pub fn probe(
        &self,
        target: Arc<Target>,
        wants: ProbeWants,
        deadline: Option<Instant>,
        done: ProbeDone,
    ) {
        let turn = Turn::Probe(Box::new(Probe {
            target,
            wants,
            deadline,
            done,
        }));
        if let Err(refused) = self.queue.try_send(turn)
            && let Turn::Probe(probe) = refused.into_inner()
        {
            (probe.done)(ProbeResult {
                outcome: Err(ScrapeError {
                    phase: Phase::Queue,
                    reason: Reason::QueueFull,
                }),
                duration: Duration::ZERO,
            });
        }
    }

    /// Batches and probes that wait for a worker.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.queue.len()
    }
}

impl Drop for ScrapePool {
    fn drop(&mut self) {
        for _ in 0..self.threads.max_count() {
            // Fails only when no worker is left to stop.
            let _ = self.queue.send(Turn::Stop);
        }
        self.threads.join();
    }
}

/// One client worker.
struct Worker {
    client: Arc<ScrapeClient>,
    style: PodLabelStyle,
    telemetry: Arc<Telemetry>,
    queue: Sender<Turn>,
    turns: Receiver<Turn>,
}

impl Worker {
    fn run(&self) {
        loop {
            match self.turns.recv() {
                Ok(Turn::Scrape(batch)) => self.scrape_turn(&batch),
                Ok(Turn::Probe(probe)) => self.probe(*probe),
                Ok(Turn::Stop) | Err(_) => return,
            }
        }
    }

    fn scrape_turn(&self, batch: &Arc<Batch>) {
        while let Some(index) = batch.take() {
            // Back to the tail before the scrape, so that others can go on with the batch meanwhile. With the
            // queue full this worker keeps the batch and takes its next target itself.
            let passed_on =
                batch.has_more() && self.queue.try_send(Turn::Scrape(Arc::clone(batch))).is_ok();
            let busy = self.telemetry.busy_client_worker();
            let result = self.scrape(batch, index);
            drop(busy);
            // The request may be gone by now.
            let _ = batch.results.send(result);
            if passed_on {
                break;
            }
        }
    }

    fn probe(&self, probe: Probe) {
        let _busy = self.telemetry.busy_client_worker();
        let start = Instant::now();
        let outcome = caught(&self.telemetry, || {
            self.client
                .probe(&probe.target, &probe.wants, probe.deadline)
        });
        let result = ProbeResult {
            outcome,
            duration: start.elapsed(),
        };
        // It counts its own panic; there is nobody left to tell of it.
        let _ = caught(&self.telemetry, || {
            (probe.done)(result);
            Ok(())
        });
    }

    fn scrape(&self, batch: &Batch, index: usize) -> ScrapeResult {
        let target = &batch.targets[index];
        let start = Instant::now();
        let mut body_bytes = 0;
        let outcome = caught(&self.telemetry, || {
            let (format, body) = self.client.scrape(target, batch.deadline)?;
            body_bytes = body.len();
            let labels = target.identity_labels(self.style);
            let labels =
                IdentityLabels::new(labels.iter().map(|(name, value)| (*name, value.as_str())));
            parse(format, body, &labels).map_err(|error| ScrapeError {
                phase: Phase::Parse,
                reason: Reason::Line(error),
            })
        });
        ScrapeResult {
            index,
            outcome,
            duration: start.elapsed(),
            body_bytes,
        }
    }
}

/// A panic costs the one scrape in which it happens.
fn caught<T>(
    telemetry: &Telemetry,
    scrape: impl FnOnce() -> Result<T, ScrapeError>,
) -> Result<T, ScrapeError> {
    // Unwind safe: what the closure holds is either shared and locked or written anew by the next scrape.
    catch_unwind(AssertUnwindSafe(scrape)).unwrap_or_else(|_| {
        telemetry.count_panic();
        Err(ScrapeError {
            phase: Phase::Parse,
            reason: Reason::Panic,
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_scrape_and_counted() {
        let telemetry = Telemetry::default();
        let outcome: Result<(), ScrapeError> = caught(&telemetry, || panic!("on purpose"));
        assert!(matches!(outcome.unwrap_err().reason, Reason::Panic));
        assert_eq!(telemetry.panics(), 1);
    }
}
