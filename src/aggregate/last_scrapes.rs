//! How the last scrape of each target went: for the status page, and for the order of the next request.

use super::counted;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::exposition::{Body, Format};
use crate::scrape::client::PodResponse;
use crate::scrape::pool::{Health, ProbeResult, ScrapeResult};
use crate::scrape::{Phase, ScrapeError};
use crate::target::{Target, TargetSet};
use crate::telemetry::BodyFormat;

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
    /// Format of the body, if there was one; where it was handed on as its Content-Type says.
    pub format: Option<BodyFormat>,
    /// What it says for the next request.
    health: Health,
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

    /// The positions of the targets in the order in which they are to be scraped, with what is known of each.
    /// Neighbours of which nothing is known are apart from each other: pods of one namespace or node often hang
    /// together, and then not all workers wait for them before they come to others.
    pub(super) fn scrape_order(&self, targets: &[Arc<Target>]) -> Vec<(Health, usize)> {
        let last_scrapes = self.lock();
        let healths = targets.iter().map(|target| health(&last_scrapes, target));
        let mut order: Vec<_> = healths.zip(0..).collect();
        drop(last_scrapes);
        order.sort_unstable_by_key(|(health, index)| match health {
            Health::Unknown => (*health, spread(*index), *index),
            _ => (*health, 0, *index),
        });
        order
    }

    /// How the last scrape of the target went.
    pub(super) fn health(&self, target: &Target) -> Health {
        health(&self.lock(), target)
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
            let samples = result.outcome.as_ref().map_or(0, Body::samples);
            let outcome = result.outcome.as_ref().map(|_| ());
            let entry = last_scrapes.entry(key(target));
            let previous = match &entry {
                Entry::Occupied(previous) => Some(previous.get()),
                Entry::Vacant(_) => None,
            };
            let last = LastScrape {
                samples: Some(samples),
                body_bytes: result.body_bytes,
                format: result
                    .outcome
                    .as_ref()
                    .ok()
                    .map(|body| counted(body.format())),
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
        let pod = result.outcome.as_ref().ok();
        let last = LastScrape {
            body_bytes: pod.map_or(0, |pod| pod.body.len()),
            format: pod.and_then(format_of),
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
        format: None,
        health: match outcome {
            // It was not scraped: nothing new is known of it.
            Err(error) if error.phase == Phase::Queue => {
                previous.map_or(Health::Unknown, |last| last.health)
            }
            Err(_) => Health::Failed,
            Ok(()) if duration > SLOW => Health::Slow,
            Ok(()) => Health::Quick,
        },
    }
}

/// As its Content-Type says.
fn format_of(pod: &PodResponse) -> Option<BodyFormat> {
    let format = Format::from_content_type(pod.content_type.as_deref());
    format.ok().map(counted)
}

fn health(last_scrapes: &HashMap<TargetKey, LastScrape>, target: &Target) -> Health {
    let last = last_scrapes.get(&key(target));
    last.map_or(Health::Unknown, |last| last.health)
}

fn key(target: &Target) -> TargetKey {
    (target.uid.clone(), target.port())
}
