//! One request's work: its targets are scraped until the deadline, what they sent becomes one merged text.
//!
//! Runs on the server worker that answers the request. Every target always yields a result: its samples and `up 1`,
//! or `up 0` and a reason.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::exposition::{Exposition, IdentityLabels, MergedText, Part, Report, merge};
use crate::scrape::pool::{ScrapePool, ScrapeResult};
use crate::scrape::{Phase, Reason, ScrapeError};
use crate::target::{PodLabelStyle, Target, TargetSet};

/// A target that took longer last time is scraped after the quick ones.
const SLOW: Duration = Duration::from_secs(1);
/// Scrapes end this long before the request's deadline, so that they can say why they failed; at most a quarter of
/// what is left until then.
const HAND_IN_TIME: Duration = Duration::from_millis(50);

/// Scrapes and merges; shared by all server workers.
#[derive(Debug)]
pub struct Aggregator {
    pool: ScrapePool,
    style: PodLabelStyle,
    last_scrapes: Mutex<HashMap<TargetKey, LastScrape>>,
}

/// How the last scrape of a target went.
#[derive(Debug, Clone)]
pub struct LastScrape {
    /// When it ended.
    pub at: SystemTime,
    /// Why it failed, on one line; `None`: it is up.
    pub failure: Option<String>,
    /// Length of the scrape.
    pub duration: Duration,
    /// Samples in the body.
    pub samples: u64,
    /// Bytes of the body after decompression.
    pub body_bytes: usize,
    /// Targets with a higher one are scraped later.
    turn: Turn,
}

/// When a target is scraped in the next request, by its last scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Early,
    /// It was slow.
    Late,
    /// It failed.
    Last,
}

/// What a target keeps while its pod lives: uid and port.
type TargetKey = (String, Option<u16>);

/// The answer to one request.
#[derive(Debug)]
pub struct Answer {
    /// Ready to be sent.
    pub text: MergedText,
    /// For the log.
    pub summary: Summary,
}

/// One request in numbers.
#[derive(Debug, Default)]
pub struct Summary {
    /// Targets asked for.
    pub targets: usize,
    /// Targets with a complete, valid body.
    pub up: usize,
    /// Targets without; terminating ones that are left out are in neither.
    pub down: usize,
    /// Samples of all bodies.
    pub samples: u64,
    /// Bytes of all bodies after decompression.
    pub body_bytes: usize,
    /// Target and reason of the first failure, in the order of targets.
    pub first_failure: Option<String>,
    /// From the start of the request to the merged text.
    pub duration: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "targets={} up={} down={} samples={} bytes={} duration={:.3}s",
            self.targets,
            self.up,
            self.down,
            self.samples,
            self.body_bytes,
            self.duration.as_secs_f64()
        )?;
        match &self.first_failure {
            Some(failure) => write!(f, " first={failure:?}"),
            None => Ok(()),
        }
    }
}

impl Aggregator {
    /// Merges what the workers of `pool` scrape.
    #[must_use]
    pub fn new(pool: ScrapePool, style: PodLabelStyle) -> Aggregator {
        Aggregator {
            pool,
            style,
            last_scrapes: Mutex::default(),
        }
    }

    /// Scrapes the targets, which have to be in the order of answers, and merges what they send.
    ///
    /// Ends when all have answered or failed, at the latest at `deadline`; a target that is not done by then is
    /// `up 0`.
    pub fn scrape(
        &self,
        set: &TargetSet,
        targets: &[Arc<Target>],
        deadline: Option<Instant>,
    ) -> Answer {
        let start = Instant::now();
        let mut results = self.collect(targets, deadline);
        self.remember(set, targets, &results);
        let mut summary = Summary {
            targets: targets.len(),
            ..Summary::default()
        };
        let mut parts = Vec::with_capacity(targets.len());
        for (target, result) in targets.iter().zip(results.drain(..)) {
            summary.add(target, &result);
            if result.outcome.is_ok() || !target.terminating {
                parts.push(self.part(target, result));
            }
        }
        let text = merge(parts);
        summary.duration = start.elapsed();
        Answer { text, summary }
    }

    /// How the last scrape of the target went, if there was one.
    #[must_use]
    pub fn last_scrape(&self, target: &Target) -> Option<LastScrape> {
        self.last_scrapes().get(&key(target)).cloned()
    }

    fn last_scrapes(&self) -> MutexGuard<'_, HashMap<TargetKey, LastScrape>> {
        self.last_scrapes
            .lock()
            .expect("no holder of this lock panics")
    }

    /// One result for each target, in their order.
    fn collect(&self, targets: &[Arc<Target>], deadline: Option<Instant>) -> Vec<ScrapeResult> {
        let start = Instant::now();
        let order = self.scrape_order(targets);
        let batch = order
            .iter()
            .map(|&index| Arc::clone(&targets[index]))
            .collect();
        let mut results: Vec<Option<ScrapeResult>> = targets.iter().map(|_| None).collect();
        let left = deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(start)
        });
        let hand_in_time = HAND_IN_TIME.min(left / 4);
        let scrapes_end = deadline.map(|deadline| deadline - hand_in_time);
        for mut result in self
            .pool
            .scrape(batch, scrapes_end, hand_in_time)
            .take(targets.len())
        {
            result.index = order[result.index];
            let index = result.index;
            results[index] = Some(result);
        }
        let missing = |(index, result): (usize, Option<ScrapeResult>)| {
            result.unwrap_or_else(|| ScrapeResult {
                index,
                outcome: Err(ScrapeError {
                    phase: Phase::Queue,
                    reason: Reason::Deadline,
                }),
                duration: start.elapsed(),
                body_bytes: 0,
            })
        };
        results.into_iter().enumerate().map(missing).collect()
    }

    /// Positions of the targets: those that failed or were slow the last time go last, so that the others are in
    /// before the deadline.
    fn scrape_order(&self, targets: &[Arc<Target>]) -> Vec<usize> {
        let last_scrapes = self.last_scrapes();
        let turn = |index: &usize| {
            last_scrapes
                .get(&key(&targets[*index]))
                .map_or(Turn::Early, |last| last.turn)
        };
        let mut order: Vec<usize> = (0..targets.len()).collect();
        order.sort_by_cached_key(turn);
        order
    }

    fn remember(&self, set: &TargetSet, targets: &[Arc<Target>], results: &[ScrapeResult]) {
        let at = SystemTime::now();
        let mut last_scrapes = self.last_scrapes();
        for (target, result) in targets.iter().zip(results) {
            let last = LastScrape {
                at,
                failure: result.outcome.as_ref().err().map(ToString::to_string),
                duration: result.duration,
                samples: result.outcome.as_ref().map_or(0, Exposition::samples),
                body_bytes: result.body_bytes,
                turn: turn(result, last_scrapes.get(&key(target))),
            };
            last_scrapes.insert(key(target), last);
        }
        // Pods that are gone: looked for only once as many entries as targets may be of such.
        if last_scrapes.len() > 2 * set.len() {
            let known: HashSet<TargetKey> = set.targets().map(|target| key(target)).collect();
            last_scrapes.retain(|key, _| known.contains(key));
        }
    }

    fn part(&self, target: &Target, result: ScrapeResult) -> Part {
        let labels = target.identity_labels(self.style);
        let samples_scraped = match &result.outcome {
            Ok(exposition) => exposition.samples(),
            Err(error) => error.samples_before(),
        };
        Part {
            labels: IdentityLabels::new(labels.iter().map(|(name, value)| (*name, value.as_str()))),
            report: Report {
                up: result.outcome.is_ok(),
                duration: result.duration,
                samples_scraped,
            },
            exposition: result.outcome.ok(),
        }
    }
}

impl Summary {
    fn add(&mut self, target: &Target, result: &ScrapeResult) {
        match &result.outcome {
            Ok(exposition) => {
                self.up += 1;
                self.samples += exposition.samples();
                self.body_bytes += result.body_bytes;
            }
            Err(error) => {
                log::debug!("{target}: {error}");
                if !target.terminating {
                    self.down += 1;
                    self.first_failure
                        .get_or_insert_with(|| format!("{target}: {error}"));
                }
            }
        }
    }
}

/// A target whose turn did not come keeps it: nothing new is known of it.
fn turn(result: &ScrapeResult, previous: Option<&LastScrape>) -> Turn {
    match &result.outcome {
        Err(error) if error.phase == Phase::Queue => previous.map_or(Turn::Early, |last| last.turn),
        Err(_) => Turn::Last,
        Ok(_) if result.duration > SLOW => Turn::Late,
        Ok(_) => Turn::Early,
    }
}

fn key(target: &Target) -> TargetKey {
    (target.uid.clone(), target.port())
}
