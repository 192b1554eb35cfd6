//! The targets of one request on their way through the client workers, and their results on the way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::ending::Ending;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::Exposition;
use crate::target::Target;

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

/// The targets of one request.
pub(super) struct Batch {
    pub(super) targets: Vec<Arc<Target>>,
    ending: Option<Ending>,
    progress: Arc<Progress>,
    results: Sender<ScrapeResult>,
}

/// How far a batch is.
#[derive(Debug, Default)]
struct Progress {
    /// Targets before this one have been given out.
    next: AtomicUsize,
    /// Bytes of the bodies so far.
    body_bytes: AtomicUsize,
    /// Nobody waits for the results any more.
    closed: AtomicBool,
}

/// A batch that is to be scraped until its ending, and where its results come out.
pub(super) fn batch(targets: Vec<Arc<Target>>, ending: Option<Ending>) -> (Batch, Results) {
    let (sender, results) = bounded(targets.len());
    let progress = Arc::<Progress>::default();
    let batch = Batch {
        targets,
        ending,
        progress: Arc::clone(&progress),
        results: sender,
    };
    let results = Results {
        results,
        ending,
        progress,
        since: Instant::now(),
    };
    (batch, results)
}

impl Batch {
    /// Position of the next target to scrape, each given out once; `None` when there is none or nobody waits for it.
    pub(super) fn take(&self) -> Option<usize> {
        let late = self.scrapes_end().is_some_and(|end| end <= Instant::now());
        if late || self.progress.closed.load(Ordering::Relaxed) {
            return None;
        }
        let index = self.progress.next.fetch_add(1, Ordering::Relaxed);
        (index < self.targets.len()).then_some(index)
    }

    /// Until when a scrape that begins now may go on.
    pub(super) fn scrapes_end(&self) -> Option<Instant> {
        let body_bytes = self.progress.body_bytes.load(Ordering::Relaxed);
        self.ending.map(|ending| ending.of_scrapes(body_bytes))
    }

    pub(super) fn has_more(&self) -> bool {
        self.progress.next.load(Ordering::Relaxed) < self.targets.len()
            && !self.progress.closed.load(Ordering::Relaxed)
    }

    pub(super) fn hand_in(&self, result: ScrapeResult) {
        let bytes = result.body_bytes;
        self.progress.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        // The request may be gone by now.
        let _ = self.results.send(result);
    }
}

/// The results of a batch as they come in. Dropping it closes the batch: what is not yet scraped never will be.
#[derive(Debug)]
pub struct Results {
    results: Receiver<ScrapeResult>,
    ending: Option<Ending>,
    progress: Arc<Progress>,
    since: Instant,
}

impl Results {
    /// The next result; `None` when all are in, the time for them is over, or nobody wants them any more.
    pub fn next(&mut self, is_wanted: &dyn Fn() -> bool) -> Option<ScrapeResult> {
        loop {
            let look = Instant::now() + LOOK_INTERVAL;
            let body_bytes = self.progress.body_bytes.load(Ordering::Relaxed);
            let end = self.ending.map(|ending| ending.of_results(body_bytes));
            let until = end.map_or(look, |end| end.min(look));
            match self.results.recv_deadline(until) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Timeout) if until == look && is_wanted() => {}
                Err(_) => return None,
            }
        }
    }

    /// What to say of a target of which no result has come in time.
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
            outcome: Err(ScrapeError { phase, reason }),
            duration,
            body_bytes: 0,
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.progress.closed.store(true, Ordering::Relaxed);
    }
}
