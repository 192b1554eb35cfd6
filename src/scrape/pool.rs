//! The client workers: a fixed number of threads that scrape the targets of all requests, fairly.
//!
//! A request hands in one batch. In the queue stands each batch that still has targets to scrape, once: a worker
//! takes the batch at the head, takes one target of it, puts the batch back at the tail, and scrapes. So requests
//! share the workers target by target, whatever their sizes. A batch whose request has gone is dropped when its turn
//! comes; its targets cost nothing.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use threadpool::ThreadPool;

use super::batch::{Batch, batch};
pub use super::batch::{Results, ScrapeResult};
use super::client::{PodAnswer, ProbeWants, ScrapeClient};
use super::ending::Ending;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::{IdentityLabels, parse};
use crate::target::{PodLabelStyle, Target};
use crate::telemetry::Telemetry;

/// Batches in the queue: those of requests under way and the abandoned ones that no worker has met yet.
const QUEUE_MAX: usize = 1024;

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

    /// Has the targets scraped in about this order, each once, and none after the ending.
    ///
    /// Waits for a place in the queue, at most until then. Targets that get no result were not scraped in time.
    #[must_use]
    pub fn scrape(&self, targets: Vec<Arc<Target>>, ending: Option<Ending>) -> Results {
        let (batch, results) = batch(targets, ending);
        let end = batch.scrapes_end();
        let turn = Turn::Scrape(Arc::new(batch));
        // A batch that finds no place is dropped, and with it the sender of its results: `Results` is at its end.
        let placed = match end {
            Some(end) => self.queue.send_deadline(turn, end).is_ok(),
            None => self.queue.send(turn).is_ok(),
        };
        if !placed {
            log::debug!("no place in the queue of the client workers before the deadline");
        }
        results
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
            batch.hand_in(result);
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
            let (format, body) = self.client.scrape(target, batch.scrapes_end())?;
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
