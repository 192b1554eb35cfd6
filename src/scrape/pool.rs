//! The client workers: a fixed number of threads that scrape the targets of all requests, fairly.
//!
//! A request hands in one batch. It stands in a queue once while it has targets to scrape: a worker takes the batch at
//! the head, takes one target of it, puts the batch back at the tail, and scrapes. So requests share the workers
//! target by target, whatever their sizes. A worker that sees no other batch waiting goes on with the one it has. A
//! batch whose request has gone is dropped when its turn comes; its targets cost nothing.
//!
//! A worker that waits for a pod can do nothing else, so pods that hang could take all workers, and everybody would
//! wait as long as they do. There are two queues therefore: *answering*, for targets that answered the last time, and
//! *doubtful*, for those that failed, and those of which nothing is known. Half of the workers may be at doubtful
//! targets of one request, so that the doubtful ones of another need not wait for it; and a quarter serves the
//! answering queue only, so that those that answer find a worker at once however many requests have pods that hang.
//! The price is that doubtful targets have half of the workers also when nobody else wants any. (To take a worker
//! back from a pod that hangs would spare that, but a thread that connects cannot be interrupted.) Slow targets that
//! answer are not doubtful, or a job of them would have half of the workers for ever. Pods that begin to hang may take
//! any worker, once. What keeps them, and those never scraped, from taking the time of their whole batch stands in
//! `batch.rs`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender, bounded, select};
use threadpool::ThreadPool;

use super::batch::{self, Batch, batch};
pub use super::batch::{Lane, Ordered, Results, ScrapeResult};
use super::body::BodyBuffer;
use super::client::{PodAnswer, ProbeWants, ScrapeClient, ScrapeTime};
use super::ending::Ending;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::IdentityLabels;
use crate::target::{PodLabelStyle, Target};
use crate::telemetry::Telemetry;

/// Batches and probes in a queue: those of requests under way and the abandoned ones that no worker has met yet.
const QUEUE_MAX: usize = 1024;
/// One in so many workers, rounded up, serves targets that answer only; a single worker serves all.
const RESERVED_PART: usize = 4;
/// One in so many workers, rounded up, may be at doubtful targets of the same request.
const DOUBTFUL_PART: usize = 2;

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

/// The queue of a lane, both ends.
#[derive(Clone)]
struct Queue {
    end: Sender<Turn>,
    head: Receiver<Turn>,
}

/// The queues, shared by all workers and all who have something scraped.
#[derive(Clone)]
struct Queues {
    answering: Queue,
    doubtful: Queue,
}

impl Queue {
    fn new() -> Queue {
        let (end, head) = bounded(QUEUE_MAX);
        Queue { end, head }
    }
}

impl Queues {
    fn of(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Answering => &self.answering,
            Lane::Doubtful => &self.doubtful,
        }
    }

    fn len(&self) -> usize {
        self.answering.head.len() + self.doubtful.head.len()
    }
}

/// The workers. Dropping it ends them: each finishes the scrape it is at.
pub struct ScrapePool {
    queues: Queues,
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
        let queues = Queues {
            answering: Queue::new(),
            doubtful: Queue::new(),
        };
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
                style,
                telemetry: Arc::clone(telemetry),
                queues: queues.clone(),
                only: (number < reserved).then_some(Lane::Answering),
                threads: threads.clone(),
            };
            threads.execute(move || worker.run());
        }
        ScrapePool { queues, threads }
    }

    /// Has the targets scraped in about this order, and none after the ending.
    ///
    /// Waits for a place in the queue, at most until then. Targets that get no result were not scraped in time.
    #[must_use]
    pub fn scrape(&self, targets: Ordered, ending: Option<Ending>) -> Results {
        let doubtful_max = self.threads.max_count().div_ceil(DOUBTFUL_PART);
        let (batch, results) = batch(targets, doubtful_max, ending);
        let Some(lane) = batch.put_back() else {
            return results;
        };
        let end = batch.scrapes_end();
        let turn = Turn::Scrape(Arc::new(batch));
        let queue = &self.queues.of(lane).end;
        // A batch that finds no place is dropped, and with it the sender of its results: `Results` is at its end.
        let placed = match end {
            Some(end) => queue.send_deadline(turn, end).is_ok(),
            None => queue.send(turn).is_ok(),
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
        lane: Lane,
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
        if let Err(refused) = self.queues.of(lane).end.try_send(turn)
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
        self.queues.len()
    }
}

impl Drop for ScrapePool {
    fn drop(&mut self) {
        for _ in 0..self.threads.max_count() {
            // All serve this queue. Fails only when no worker is left to stop.
            let _ = self.queues.answering.end.send(Turn::Stop);
        }
        self.threads.join();
    }
}

/// One client worker. A panic outside of a scrape ends its thread; the worker then goes on in another one.
#[derive(Clone)]
struct Worker {
    client: Arc<ScrapeClient>,
    style: PodLabelStyle,
    telemetry: Arc<Telemetry>,
    queues: Queues,
    /// The one lane that it serves, if not both.
    only: Option<Lane>,
    /// Of the pool, which starts a thread in the place of one that panics, but gives it nothing to do.
    threads: ThreadPool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.telemetry.count_panic();
            let worker = self.clone();
            self.threads.execute(move || worker.run());
        }
    }
}

impl Worker {
    fn run(&self) {
        loop {
            match self.next_turn() {
                Ok(Turn::Scrape(batch)) => self.scrape_turns(&batch),
                Ok(Turn::Probe(probe)) => self.probe(*probe),
                Ok(Turn::Stop) | Err(_) => return,
            }
        }
    }

    fn next_turn(&self) -> Result<Turn, RecvError> {
        match self.only {
            Some(lane) => self.queues.of(lane).head.recv(),
            None => select! {
                recv(self.queues.answering.head) -> turn => turn,
                recv(self.queues.doubtful.head) -> turn => turn,
            },
        }
    }

    /// Scrapes targets of the batch, which was taken out of a queue and is put back, until others wait too.
    fn scrape_turns(&self, batch: &Arc<Batch>) {
        // With the queue full this worker keeps the batch and takes its next target itself, of whatever lane.
        let mut only = self.only;
        let mut keeps = true;
        let mut buffer = BodyBuffer::default();
        loop {
            let turn = batch.take(only);
            if keeps {
                // Back to the tail before the scrape, so that others can go on with the batch meanwhile.
                keeps = !self.put_back(batch);
                only = only.filter(|_| !keeps);
            }
            let Some(turn) = turn else {
                if keeps {
                    continue;
                }
                return;
            };
            let busy = self.telemetry.busy_client_worker();
            let result = self.scrape(batch, &turn, &mut buffer);
            buffer.shrink();
            drop(busy);
            if batch.hand_in(&turn, result) {
                keeps = !self.put_back(batch);
            }
            if !keeps && self.others_wait() {
                return;
            }
        }
    }

    /// Whether more waits for this worker than the batch that it has, which stands in a queue too.
    fn others_wait(&self) -> bool {
        let waiting = match self.only {
            Some(lane) => self.queues.of(lane).head.len(),
            None => self.queues.len(),
        };
        waiting > 1
    }

    /// Whether the batch stands in a queue now, or need not.
    fn put_back(&self, batch: &Arc<Batch>) -> bool {
        batch.put_back().is_none_or(|lane| {
            let turn = Turn::Scrape(Arc::clone(batch));
            self.queues.of(lane).end.try_send(turn).is_ok()
        })
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

    fn scrape(&self, batch: &Batch, turn: &batch::Turn, buffer: &mut BodyBuffer) -> ScrapeResult {
        let target = batch.target(turn.index);
        let time = ScrapeTime {
            deadline: batch.scrapes_end(),
            patience: turn.patience,
        };
        let start = Instant::now();
        let mut body_bytes = 0;
        let labels = identity_labels(target, self.style);
        let outcome = caught(&self.telemetry, || {
            let format = self.client.scrape(target, time, buffer)?;
            body_bytes = buffer.body().len();
            let parsed = batch.layouts.parse(format, buffer, &labels);
            parsed.map_err(|error| ScrapeError {
                phase: Phase::Parse,
                reason: Reason::Line(error),
            })
        });
        ScrapeResult {
            index: turn.index,
            labels: Some(labels),
            outcome,
            duration: start.elapsed(),
            body_bytes,
        }
    }
}

/// The labels of a target, ready to be written.
#[must_use]
pub fn identity_labels(target: &Target, style: PodLabelStyle) -> IdentityLabels {
    let labels = target.identity_labels(style);
    IdentityLabels::new(labels.iter().map(|(name, value)| (*name, value.as_str())))
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

    use std::net::Ipv4Addr;
    use std::panic::panic_any;

    use super::super::client::ScrapeSettings;
    use super::*;
    use crate::target::ScrapeOptions;

    #[test]
    fn a_panic_is_an_error_of_its_scrape_and_counted() {
        let telemetry = Telemetry::default();
        let outcome: Result<(), ScrapeError> = caught(&telemetry, || panic!("on purpose"));
        assert!(matches!(outcome.unwrap_err().reason, Reason::Panic));
        assert_eq!(telemetry.panics(), 1);
    }

    /// A panic with this payload goes on where the payload is dropped, and that is outside of the scrape.
    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_panic_outside_of_a_scrape_costs_no_worker() {
        let telemetry = Arc::<Telemetry>::default();
        let client = Arc::new(ScrapeClient::new(ScrapeSettings {
            ca_files: Vec::new(),
            body_bytes_max: 1000,
            token: None,
        }));
        let target = Arc::new(Target {
            job: "web".to_owned(),
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            uid: "u".to_owned(),
            pod_ip: "127.0.0.1".to_owned(),
            pod_port: None,
            terminating: false,
            meta: Arc::default(),
            options: Ok(ScrapeOptions {
                address: (Ipv4Addr::LOCALHOST, 80).into(),
                path_and_query: "/".to_owned(),
                timeout: Duration::from_secs(5),
                tls: None,
            }),
        });
        let pool = ScrapePool::start(1, &client, PodLabelStyle::Underscore, &telemetry);
        // It is too late to ask the pod anything.
        let probe = |done: ProbeDone| {
            let (target, wants) = (Arc::clone(&target), ProbeWants::default());
            pool.probe(target, Lane::Answering, wants, Some(Instant::now()), done);
        };
        probe(Box::new(|_| panic_any(PanicsAgain)));
        let (sender, results) = bounded(1);
        probe(Box::new(move |result| drop(sender.send(result))));
        let result = results.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(
            result.outcome.unwrap_err().reason,
            Reason::Deadline
        ));
        assert_eq!(telemetry.panics(), 2);
    }
}
