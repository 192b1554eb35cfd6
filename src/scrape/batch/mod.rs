//! The targets of one request on their way through the client workers, and their results on the way back.
//!
//! A target has one turn, or two. While others of its batch wait for theirs, a first turn lasts no longer than an even
//! share of the time left: those that hang then cannot take the time of those that answer, and a job of which all
//! targets are slow loses nothing as long as they fit into the time at all. Who is given up early is scraped once more,
//! when all but those that failed the last time have had their turn, and then as long as its own timeout allows.
//! Targets that are known to fail or to be slow go last, so they keep nobody waiting but each other, and are never
//! given up early.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::ending::Ending;
use super::layouts::Layouts;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::{Exposition, IdentityLabels};
use crate::target::Target;

/// Between two looks whether the results are still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A first turn lasts at least this long, where that is no more than a quarter of the time left: giving up more than
/// a few ordinary targets would cost more than it saves.
const PATIENCE_MIN: Duration = Duration::from_millis(250);
/// The part of a batch that may be given up early: a quarter. When more of it is slow, it is the job that is slow and
/// not some pods that hang; a second turn for each would then cost more time than there is.
const GIVEN_UP_PART: usize = 4;

/// What became of one target of a batch.
#[derive(Debug)]
pub struct ScrapeResult {
    /// Position of the target in the batch.
    pub index: usize,
    /// The identity labels of the target, if a worker had it.
    pub labels: Option<IdentityLabels>,
    /// The valid body, or why there is none.
    pub outcome: Result<Exposition, ScrapeError>,
    /// From the start of the scrape until the body is read and valid, or until it failed.
    pub duration: Duration,
    /// Bytes of the body after decompression, 0 when it is not complete.
    pub body_bytes: usize,
}

/// The targets of one request, in the order in which they are scraped.
#[derive(Debug, Default)]
pub struct Ordered {
    /// First those that answered quickly the last time, then those never scraped, those that answered slowly, and those that
    /// failed.
    pub targets: Vec<Arc<Target>>,
    /// How many are of the first kind.
    pub quick: usize,
    /// How many are of the first two kinds.
    pub unsuspected: usize,
    /// How many are of the first three kinds.
    pub not_failed: usize,
}

impl Ordered {
    /// Whether the target at this position answered the last time.
    fn has_answered(&self, position: usize) -> bool {
        position < self.quick || (self.unsuspected..self.not_failed).contains(&position)
    }
}

/// The targets of one request on their way.
pub(super) struct Batch {
    ordered: Ordered,
    /// So many doubtful targets are scraped at once, at most.
    doubtful_max: usize,
    ending: Option<Ending>,
    progress: Arc<Progress>,
    /// Of the bodies so far.
    pub(super) layouts: Layouts,
    results: Sender<ScrapeResult>,
}

/// How far a batch is.
#[derive(Debug, Default)]
struct Progress {
    turns: Mutex<Turns>,
    /// Bytes of the bodies so far.
    body_bytes: AtomicUsize,
    /// Nobody waits for the results any more.
    closed: AtomicBool,
}

/// Who has had a turn.
#[derive(Debug, Default)]
struct Turns {
    /// Targets from this one on wait for their first turn.
    next: usize,
    /// First turns that have ended.
    ended: usize,
    /// Targets given up early so far.
    given_up: usize,
    /// Those of them that wait for their second turn, with the result of the first.
    again: VecDeque<ScrapeResult>,
    /// Doubtful targets that are being scraped.
    doubtful: usize,
    /// The batch stands in no queue, and no worker is about to put it there.
    is_out: bool,
}

/// One target's turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) index: usize,
    lane: Lane,
    /// The scrape is given up earlier than its timeout, after this.
    pub(super) patience: Option<Duration>,
}

/// In which queue a target waits for a client worker, or a batch for its next target's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// It answered the last time.
    Answering,
    /// It failed the last time, was given up, or was never scraped.
    Doubtful,
}

/// A batch that is to be scraped until its ending, and where its results come out.
pub(super) fn batch(
    ordered: Ordered,
    doubtful_max: usize,
    ending: Option<Ending>,
) -> (Batch, Results) {
    let (sender, results) = bounded(ordered.targets.len());
    let progress = Arc::<Progress>::default();
    let batch = Batch {
        ordered,
        doubtful_max,
        ending,
        progress: Arc::clone(&progress),
        layouts: Layouts::default(),
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
    /// The next turn, each given out once; `None` when there is none for now in the one lane that may be served, if
    /// not both, or when nobody waits for it.
    pub(super) fn take(&self, only: Option<Lane>) -> Option<Turn> {
        let mut turns = self.progress.turns();
        let lane = self.lane(&turns)?;
        if only.is_some_and(|only| only != lane) {
            return None;
        }
        turns.doubtful += usize::from(lane == Lane::Doubtful);
        if turns.next >= self.ordered.not_failed
            && let Some(early) = turns.again.pop_front()
        {
            return Some(Turn {
                index: early.index,
                lane,
                patience: None,
            });
        }
        let index = turns.next;
        turns.next += 1;
        let patience = self.patience(index, &turns);
        Some(Turn {
            index,
            lane,
            patience,
        })
    }

    /// How long a first turn that begins now may last; `None`: as long as it takes.
    fn patience(&self, index: usize, turns: &Turns) -> Option<Duration> {
        let all = self.ordered.targets.len();
        if index >= self.ordered.unsuspected || turns.given_up >= all.div_ceil(GIVEN_UP_PART) {
            return None;
        }
        let end = self.scrapes_end()?;
        let left = end.saturating_duration_since(Instant::now());
        let [workers, waiting] =
            [self.doubtful_max, all - turns.ended].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let share = left.saturating_mul(workers) / waiting;
        Some(share.max(PATIENCE_MIN.min(left / 4)))
    }

    pub(super) fn target(&self, index: usize) -> &Target {
        &self.ordered.targets[index]
    }

    /// The lane of the next turn; `None` when there is none for now, or nobody waits for it.
    fn lane(&self, turns: &Turns) -> Option<Lane> {
        let is_done = turns.next == self.ordered.targets.len() && turns.again.is_empty();
        let is_late = self.scrapes_end().is_some_and(|end| end <= Instant::now());
        if is_done || is_late || self.progress.closed.load(Ordering::Relaxed) {
            None
        } else if self.ordered.has_answered(turns.next) {
            Some(Lane::Answering)
        } else {
            (turns.doubtful < self.doubtful_max).then_some(Lane::Doubtful)
        }
    }

    /// Where to put the batch, for whoever took it out of a queue; `None`: nowhere.
    pub(super) fn put_back(&self) -> Option<Lane> {
        let mut turns = self.progress.turns();
        let lane = self.lane(&turns);
        turns.is_out = lane.is_none();
        lane
    }

    /// Until when a scrape that begins now may go on.
    pub(super) fn scrapes_end(&self) -> Option<Instant> {
        let body_bytes = self.progress.body_bytes.load(Ordering::Relaxed);
        self.ending.map(|ending| ending.of_scrapes(body_bytes))
    }

    /// Takes the result of a turn, which is the target's unless it was given up early. Says whether the caller has to
    /// put the batch into a queue, because there is a turn again and the batch stands in none.
    pub(super) fn hand_in(&self, turn: &Turn, result: ScrapeResult) -> bool {
        if result.outcome.is_ok() {
            let bytes = result.body_bytes;
            self.progress.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let mut turns = self.progress.turns();
        turns.ended += 1;
        turns.doubtful -= usize::from(turn.lane == Lane::Doubtful);
        let is_early = match &result.outcome {
            Err(error) => {
                matches!(error.reason, Reason::Timeout(after) if turn.patience == Some(after))
            }
            Ok(_) => false,
        };
        if is_early {
            turns.given_up += 1;
            turns.again.push_back(result);
        } else {
            // The request may be gone by now. There is room for all results, so this never waits.
            let _ = self.results.send(result);
        }
        let has_to = turns.is_out && self.lane(&turns).is_some();
        turns.is_out &= !has_to;
        has_to
    }
}

impl Progress {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().expect("no holder of this lock panics")
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
        let mut turns = self.progress.turns();
        let given_up = turns.again.iter().position(|early| early.index == index);
        if let Some(early) = given_up.and_then(|position| turns.again.remove(position)) {
            return early;
        }
        let duration = self.since.elapsed();
        let (phase, reason) = if index < turns.next {
            (Phase::Wait, Reason::Timeout(duration))
        } else {
            (Phase::Queue, Reason::Deadline)
        };
        ScrapeResult {
            index,
            labels: None,
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

#[cfg(test)]
mod tests;
