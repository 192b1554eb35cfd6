//! How the last scrape of each target went: for the status page, and for the order of the next request.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::exposition::Exposition;
use crate::scrape::pool::{Ordered, ProbeResult, ScrapeResult};
use crate::scrape::{Phase, ScrapeError};
use crate::target::{Target, TargetSet};

/// A target that took longer last time is scraped after the others.
const SLOW: Duration = Duration::from_secs(1);

/// How the last scrape of a target went.
#[derive(Debug, Clone)]
pub struct LastScrape {
    /// When it ended.
    pub at: SystemTime,
    /// Why it failed, on one line; `None`: it is up.
    pub failure: Option<String>,
    /// Length of the scrape.
    pub duration: Duration,
    /// Samples in the body; `None` where it was handed on unread.
    pub samples: Option<u64>,
    /// Bytes of the body: after decompression, or as sent where it was handed on.
    pub body_bytes: usize,
    /// Targets with a higher one are scraped later.
    turn: Turn,
}

/// When a target is scraped in the next request, by its last scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// It answered quickly.
    Early,
    /// Nothing is known of it.
    Untried,
    /// It was slow.
    Late,
    /// It failed.
    Last,
}

/// What a target keeps while its pod lives: uid and port.
type TargetKey = (String, Option<u16>);

/// The last scrapes of all targets; shared by all that scrape.
#[derive(Debug, Default)]
pub(super) struct LastScrapes(Mutex<HashMap<TargetKey, LastScrape>>);

/// Sorts neighbours apart from each other: multiples of the golden ratio, of which only the fraction counts, fill a
/// range evenly from the start.
fn spread(index: usize) -> u64 {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    (index as u64).wrapping_mul(GOLDEN_RATIO)
}

impl LastScrapes {
    fn lock(&self) -> MutexGuard<'_, HashMap<TargetKey, LastScrape>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    pub(super) fn get(&self, target: &Target) -> Option<LastScrape> {
        self.lock().get(&key(target)).cloned()
    }

    /// Positions of the targets, and the targets themselves, in the order in which they are to be scraped: those that
    /// failed or were slow the last time go last, so that the others are in before the deadline. Neighbours of which
    /// nothing is known are scraped apart from each other: pods of one namespace or node often hang together.
    pub(super) fn scrape_order(&self, targets: &[Arc<Target>]) -> (Vec<usize>, Ordered) {
        let last_scrapes = self.lock();
        let turn = |index: usize| {
            let last = last_scrapes.get(&key(&targets[index]));
            (last.map_or(Turn::Untried, |last| last.turn), index)
        };
        let mut order: Vec<(Turn, usize)> = (0..targets.len()).map(turn).collect();
        drop(last_scrapes);
        order.sort_unstable_by_key(|(turn, index)| match turn {
            Turn::Untried => (*turn, spread(*index), *index),
            _ => (*turn, 0, *index),
        });
        let up_to = |most| order.partition_point(|(turn, _)| *turn <= most);
        let ordered = Ordered {
            quick: up_to(Turn::Early),
            unsuspected: up_to(Turn::Untried),
            not_failed: up_to(Turn::Late),
            targets: order
                .iter()
                .map(|(_, index)| Arc::clone(&targets[*index]))
                .collect(),
        };
        (order.into_iter().map(|(_, index)| index).collect(), ordered)
    }

    /// Whether the target answered the last time.
    pub(super) fn has_answered(&self, target: &Target) -> bool {
        let last_scrapes = self.lock();
        let last = last_scrapes.get(&key(target));
        last.is_some_and(|last| matches!(last.turn, Turn::Early | Turn::Late))
    }

    /// Takes note of one request's scrapes: the results are those of the targets, in their order.
    pub(super) fn remember(
        &self,
        set: &TargetSet,
        targets: &[Arc<Target>],
        results: &[ScrapeResult],
    ) {
        let mut last_scrapes = self.lock();
        for (target, result) in targets.iter().zip(results) {
            let samples = result.outcome.as_ref().map_or(0, Exposition::samples);
            let outcome = result.outcome.as_ref().map(|_| ());
            let entry = last_scrapes.entry(key(target));
            let previous = match &entry {
                Entry::Occupied(previous) => Some(previous.get()),
                Entry::Vacant(_) => None,
            };
            let last = LastScrape {
                samples: Some(samples),
                body_bytes: result.body_bytes,
                ..last_scrape(outcome, result.duration, previous)
            };
            entry.insert_entry(last);
        }
        // Pods that are gone: looked for only once as many entries as targets may be of such.
        if last_scrapes.len() > 2 * set.len() {
            let known: HashSet<TargetKey> = set.targets().map(|target| key(target)).collect();
            last_scrapes.retain(|key, _| known.contains(key));
        }
    }

    /// Takes note of one target's scrape for somebody else.
    pub(super) fn remember_probe(&self, target: &Target, result: &ProbeResult) {
        let mut last_scrapes = self.lock();
        let outcome = result.outcome.as_ref().map(|_| ());
        let last = LastScrape {
            body_bytes: result.outcome.as_ref().map_or(0, |pod| pod.body.len()),
            ..last_scrape(outcome, result.duration, last_scrapes.get(&key(target)))
        };
        last_scrapes.insert(key(target), last);
    }
}

fn last_scrape(
    outcome: Result<(), &ScrapeError>,
    duration: Duration,
    previous: Option<&LastScrape>,
) -> LastScrape {
    LastScrape {
        at: SystemTime::now(),
        failure: outcome.err().map(ToString::to_string),
        duration,
        samples: None,
        body_bytes: 0,
        turn: turn(outcome, duration, previous),
    }
}

/// A target whose turn did not come keeps it: nothing new is known of it.
fn turn(
    outcome: Result<(), &ScrapeError>,
    duration: Duration,
    previous: Option<&LastScrape>,
) -> Turn {
    match outcome {
        Err(error) if error.phase == Phase::Queue => {
            previous.map_or(Turn::Untried, |last| last.turn)
        }
        Err(_) => Turn::Last,
        Ok(()) if duration > SLOW => Turn::Late,
        Ok(()) => Turn::Early,
    }
}

fn key(target: &Target) -> TargetKey {
    (target.uid.clone(), target.port())
}
