//! The targets of one request on their way through the client workers, and their results on the way back.
//!
//! A batch is a list of targets, the index of the next one, and a counter of the bytes of all bodies so far. It is in
//! at most one queue, the queue of its next target, and the worker that takes it out has it alone:
//!
//! ```text
//!               a worker takes it                       no target is left, or it is too late,
//! +----------+  and its next target   +---------------+  or the results are not wanted    +------+
//! | in queue | ---------------------> | with a worker | --------------------------------> | gone |
//! +----------+ <--------------------- +---------------+                                   +------+
//!      ^        the worker puts it back
//!   batch()     and scrapes the target
//! ```
//!
//! The results end when all of them are in, or when the last worker that scrapes a target of the batch has dropped it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::body::BodyBuffer;
use super::deadline::ScrapeDeadline;
use super::question::Question;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::{Asked, Body, BodyError, Format, IdentityLabels, SeriesCache};
use crate::target::Target;

/// How often to check whether the results are still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How the last scrape of a target went. A request scrapes its targets in this order, so that those that respond are
/// done before the deadline.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It responded within a second.
    Quick,
    /// It was never scraped.
    #[default]
    Unknown,
    /// It responded later than that.
    Slow,
    /// It failed.
    Failed,
}

impl Health {
    /// Whether the target responded to the last scrape.
    #[must_use]
    pub fn is_healthy(self) -> bool {
        matches!(self, Health::Quick | Health::Slow)
    }
}

/// The result of one target of a batch.
#[derive(Debug)]
pub struct ScrapeResult {
    /// Position of the target in the batch.
    pub index: usize,
    /// The identity labels of the target, if a worker has scraped it.
    pub labels: Option<IdentityLabels>,
    /// The valid body, or why there is none.
    pub outcome: Result<Body, ScrapeError>,
    /// From the start of the scrape until the body is read and valid, or until the scrape failed.
    pub duration: Duration,
    /// Bytes of the body after decompression; 0 if the body is not complete.
    pub body_bytes: usize,
}

/// The targets of one request.
pub(super) struct Batch {
    targets: Vec<(Health, Arc<Target>)>,
    progress: Arc<BatchProgress>,
    deadline: Option<ScrapeDeadline>,
    /// What is known about lines from the bodies so far.
    series: SeriesCache,
    /// What the pods are asked for.
    pub(super) question: Question,
    results: Sender<ScrapeResult>,
}

/// How far the batch is.
#[derive(Debug, Default)]
struct BatchProgress {
    /// The first target that still waits for a worker. Only the worker that has the batch changes it.
    next: AtomicUsize,
    /// Bytes of all bodies so far.
    body_bytes: AtomicUsize,
    /// The results are no longer wanted.
    is_closed: AtomicBool,
}

/// A batch whose targets are scraped in this order until the deadline, and its results. At most `cores` bodies are
/// parsed at once.
pub(super) fn batch(
    targets: Vec<(Health, Arc<Target>)>,
    asked: Asked,
    samples_max: u64,
    deadline: Option<ScrapeDeadline>,
    cores: usize,
) -> (Batch, Results) {
    // The channel has room for all results, so no worker waits here.
    let (sender, results) = bounded(targets.len());
    let progress = Arc::<BatchProgress>::default();
    let batch = Batch {
        targets,
        progress: Arc::clone(&progress),
        deadline,
        question: Question::new(&asked),
        series: SeriesCache::new(asked, samples_max, cores),
        results: sender,
    };
    let results = Results {
        results,
        deadline,
        progress,
        since: Instant::now(),
    };
    (batch, results)
}

impl Batch {
    /// The health of the next target, which decides the queue of the batch. `None` if the batch needs no queue: it has
    /// no target left, it is too late for one, or the results are no longer wanted.
    pub(super) fn next_health(&self) -> Option<Health> {
        let is_late = self.scrapes_end().is_some_and(|end| end <= Instant::now());
        if is_late || self.progress.is_closed.load(Ordering::Relaxed) {
            return None;
        }
        let next = self.progress.next.load(Ordering::Relaxed);
        self.targets.get(next).map(|(health, _)| *health)
    }

    /// The position of the next target, for the worker that has the batch; `None` as for [`Batch::next_health`].
    pub(super) fn take(&self) -> Option<usize> {
        self.next_health()?;
        Some(self.progress.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn target(&self, index: usize) -> &Target {
        &self.targets[index].1
    }

    /// When a scrape that begins now has to end.
    pub(super) fn scrapes_end(&self) -> Option<Instant> {
        let body_bytes = self.progress.body_bytes.load(Ordering::Relaxed);
        self.deadline
            .map(|deadline| deadline.of_scrapes(body_bytes))
    }

    /// Parses a complete body of a target with these labels.
    pub(super) fn read(
        &self,
        format: Format,
        buffer: &mut BodyBuffer,
        labels: &IdentityLabels,
    ) -> Result<Body, ScrapeError> {
        let body = match format {
            Format::Protobuf => {
                let known = Body::known_protobuf(buffer.body(), labels, &self.series);
                known.unwrap_or_else(|| Body::protobuf(buffer.take(), labels, &self.series))
            }
            Format::Text | Format::OpenMetrics => {
                let parsed = self.series.parse(format, buffer.body(), labels);
                parsed.map(Body::Lines).map_err(BodyError::from)
            }
        };
        body.map_err(ScrapeError::of_body)
    }

    /// Sends the result of a target.
    pub(super) fn hand_in(&self, result: ScrapeResult) {
        if result.outcome.is_ok() {
            let bytes = result.body_bytes;
            self.progress.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        // The request may have ended.
        let _ = self.results.send(result);
    }
}

/// The results of a batch as they come in. Dropping it closes the batch: targets that are not scraped yet never will
/// be.
#[derive(Debug)]
pub struct Results {
    results: Receiver<ScrapeResult>,
    deadline: Option<ScrapeDeadline>,
    progress: Arc<BatchProgress>,
    since: Instant,
}

impl Results {
    /// The next result. `None` if all are in, the time is over, or the results are no longer wanted.
    pub fn next(&mut self, is_wanted: &dyn Fn() -> bool) -> Option<ScrapeResult> {
        loop {
            let look = Instant::now() + LOOK_INTERVAL;
            let body_bytes = self.progress.body_bytes.load(Ordering::Relaxed);
            let end = self
                .deadline
                .map(|deadline| deadline.of_results(body_bytes));
            let until = end.map_or(look, |end| end.min(look));
            match self.results.recv_deadline(until) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Timeout) if until == look && is_wanted() => {}
                Err(_) => return None,
            }
        }
    }

    /// The result of the target at this position if none came in time.
    #[must_use]
    pub fn missing(&self, index: usize) -> ScrapeResult {
        let duration = self.since.elapsed();
        let (phase, reason) = if index < self.progress.next.load(Ordering::Relaxed) {
            (Phase::Wait, Reason::Timeout(duration))
        } else {
            (Phase::Queue, Reason::Deadline)
        };
        ScrapeResult {
            index,
            labels: None,
            outcome: Err(ScrapeError::new(phase, reason)),
            duration,
            body_bytes: 0,
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.progress.is_closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use super::*;
    use crate::target::ScrapeOptions;

    pub(in crate::scrape) fn target() -> Arc<Target> {
        Arc::new(Target {
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
        })
    }

    fn three(deadline: Option<ScrapeDeadline>) -> (Batch, Results) {
        let healths = [Health::Quick, Health::Unknown, Health::Slow];
        let targets = healths.map(|health| (health, target()));
        batch(Vec::from(targets), Asked::default(), u64::MAX, deadline, 1)
    }

    #[test]
    fn each_target_is_given_out_once_and_waits_in_the_queue_for_its_health() {
        let (batch, results) = three(None);
        let is_healthy = || batch.next_health().map(Health::is_healthy);
        for (index, expected) in [true, false, true].into_iter().enumerate() {
            assert_eq!(is_healthy(), Some(expected));
            assert_eq!(
                results.missing(index).outcome.unwrap_err().phase,
                Phase::Queue
            );
            assert_eq!(batch.take(), Some(index));
            assert_eq!(
                results.missing(index).outcome.unwrap_err().phase,
                Phase::Wait
            );
        }
        assert_eq!((is_healthy(), batch.take()), (None, None));
    }

    #[test]
    fn nothing_is_given_out_when_it_is_too_late_or_the_results_are_not_wanted() {
        let (late, _results) = three(Some(ScrapeDeadline::new(Instant::now(), 0)));
        assert_eq!((late.next_health(), late.take()), (None, None));
        let (batch, results) = three(None);
        drop(results);
        assert_eq!((batch.next_health(), batch.take()), (None, None));
    }
}
