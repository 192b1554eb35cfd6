//! How the last scrapes of each target went: for the status page, and for the order of scrapes in the next request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::exposition::{Body, Format};
use crate::scrape::client::PodResponse;
use crate::scrape::pool::{Health, ScrapeResult};
use crate::scrape::{Phase, ScrapeError};
use crate::target::{Target, TargetSet};
use crate::telemetry::BodyFormat;

/// A target that took longer than this last time is scraped after the others.
const SLOW: Duration = Duration::from_secs(1);
/// For how long a failure of one kind of scrape counts against a later success of the other kind: longer than most
/// scrape intervals.
const RECENT: Duration = Duration::from_secs(120);

/// How one scrape of a target went.
#[derive(Debug, Clone)]
pub struct LastScrape {
    /// When it ended.
    pub at: SystemTime,
    /// Why it failed, on one line; `None` if the target is up.
    pub failure: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// Samples in the body; `None` if the body was passed on without parsing.
    pub samples: Option<u64>,
    /// Bytes of the body: after decompression, or as sent if it was passed on. 0 if the scrape failed.
    pub body_bytes: usize,
    /// The format of the body, if it is one that can be merged; if the body was passed on, the format of its
    /// Content-Type.
    pub format: Option<BodyFormat>,
}

/// The last scrapes of one target, by purpose, because one may fail while the other does not.
#[derive(Debug, Default, Clone)]
pub struct LastScrapes {
    /// For a merged response.
    pub merged: Option<LastScrape>,
    /// For `/probe`.
    pub probe: Option<LastScrape>,
    /// The result that counts for the order of the next request.
    health: Health,
}

impl LastScrapes {
    /// The scrape that decides whether the target is up: the one that ended last, unless the other one failed shortly
    /// before. So looking at a pod does not hide that it cannot be merged, and an old failure is forgotten.
    #[must_use]
    pub fn decisive(&self) -> Option<&LastScrape> {
        let mut all = self.merged.iter().chain(&self.probe);
        let latest = all.clone().max_by_key(|last| last.at)?;
        let has_just_failed = |last: &&LastScrape| {
            let age = latest.at.duration_since(last.at).unwrap_or_default();
            last.failure.is_some() && age <= RECENT
        };
        all.find(has_just_failed).or(Some(latest))
    }
}

/// A merged response.
#[derive(Debug, Clone)]
pub struct LastRequest {
    /// When it was made.
    pub at: SystemTime,
    /// From the start of the request to the response.
    pub duration: Duration,
    /// Format of the response.
    pub format: BodyFormat,
    /// Bytes of the response, uncompressed.
    pub bytes: usize,
}

/// Identifies a target as long as its pod lives: uid and port.
type TargetKey = (String, Option<u16>);

/// The last scrapes of all targets and the last requests for all jobs. Shared by everything that scrapes.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    targets: HashMap<TargetKey, LastScrapes>,
    jobs: HashMap<String, LastRequest>,
}

/// A sort key that separates neighbours: the fraction of a multiple of the golden ratio. These fractions are spread
/// evenly, however many there are.
fn spread(index: usize) -> u64 {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    (index as u64).wrapping_mul(GOLDEN_RATIO)
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no holder of this lock panics")
    }

    pub(super) fn of_target(&self, target: &Target) -> LastScrapes {
        let known = self.lock().targets.get(&key(target)).cloned();
        known.unwrap_or_default()
    }

    pub(super) fn of_job(&self, job: &str) -> Option<LastRequest> {
        self.lock().jobs.get(job).cloned()
    }

    /// The positions of the targets in the order in which to scrape them, with what is known about each. Neighbours
    /// that were never scraped are kept apart: pods of one namespace or node often hang together, and should not occupy
    /// all workers before others are scraped.
    pub(super) fn scrape_order(&self, targets: &[Arc<Target>]) -> Vec<(Health, usize)> {
        let entries = self.lock();
        let healths = targets.iter().map(|target| entries.health(target));
        let mut order: Vec<_> = healths.zip(0..).collect();
        drop(entries);
        order.sort_unstable_by_key(|(health, index)| match health {
            Health::Unknown => (*health, spread(*index), *index),
            _ => (*health, 0, *index),
        });
        order
    }

    /// How the last scrape of the target went.
    pub(super) fn health(&self, target: &Target) -> Health {
        self.lock().health(target)
    }

    /// Records the scrapes of one request. The results are in the order of the targets.
    pub(super) fn remember(
        &self,
        set: &TargetSet,
        targets: &[Arc<Target>],
        results: &[ScrapeResult],
    ) {
        let mut entries = self.lock();
        for (target, result) in targets.iter().zip(results) {
            let outcome = result.outcome.as_ref();
            let last = LastScrape {
                samples: Some(outcome.map_or(0, Body::samples)),
                body_bytes: result.body_bytes,
                format: outcome.ok().map(|body| counted(body.format())),
                ..last_scrape(outcome.err(), result.duration)
            };
            let known = entries.targets.entry(key(target)).or_default();
            known.note(outcome.err(), result.duration);
            known.merged = Some(last);
        }
        entries.forget_others(set);
    }

    /// Records the response for these targets.
    pub(super) fn remember_request(&self, targets: &[Arc<Target>], request: &LastRequest) {
        let jobs: HashSet<&str> = targets.iter().map(|target| &*target.job).collect();
        let mut entries = self.lock();
        let requests = jobs.iter().map(|job| ((*job).to_owned(), request.clone()));
        entries.jobs.extend(requests);
    }

    /// Records a scrape of one target for `/probe`.
    pub(super) fn remember_probe(
        &self,
        target: &Target,
        outcome: &Result<PodResponse, ScrapeError>,
        duration: Duration,
    ) {
        let (pod, error) = (outcome.as_ref().ok(), outcome.as_ref().err());
        let format = pod.map(|pod| Format::from_content_type(pod.content_type.as_deref()));
        let last = LastScrape {
            body_bytes: pod.map_or(0, |pod| pod.body.len()),
            format: format.and_then(Result::ok).map(counted),
            ..last_scrape(error, duration)
        };
        let mut entries = self.lock();
        let known = entries.targets.entry(key(target)).or_default();
        known.note(error, duration);
        known.probe = Some(last);
    }
}

impl Entries {
    fn health(&self, target: &Target) -> Health {
        let known = self.targets.get(&key(target));
        known.map_or(Health::Unknown, |known| known.health)
    }

    /// Removes pods and jobs that are gone. It searches only once there may be as many of their entries as there are
    /// targets.
    fn forget_others(&mut self, set: &TargetSet) {
        if self.targets.len().max(self.jobs.len()) > 2 * set.targets().count() {
            let known: HashSet<TargetKey> = set.targets().map(|target| key(target)).collect();
            self.targets.retain(|key, _| known.contains(key));
            self.jobs.retain(|job, _| set.job(job).is_some());
        }
    }
}

impl LastScrapes {
    fn note(&mut self, error: Option<&ScrapeError>, duration: Duration) {
        self.health = match error {
            // The target was not scraped, so nothing new is known about it.
            Some(error) if error.phase == Phase::Queue => self.health,
            Some(_) => Health::Failed,
            None if duration > SLOW => Health::Slow,
            None => Health::Quick,
        };
    }
}

fn last_scrape(error: Option<&ScrapeError>, duration: Duration) -> LastScrape {
    LastScrape {
        at: SystemTime::now(),
        failure: error.map(ToString::to_string),
        duration,
        samples: None,
        body_bytes: 0,
        format: None,
    }
}

fn key(target: &Target) -> TargetKey {
    (target.uid.clone(), target.port())
}

/// The format under which it is counted.
pub(super) fn counted(format: Format) -> BodyFormat {
    match format {
        Format::Text => BodyFormat::Text,
        Format::OpenMetrics => BodyFormat::OpenMetrics,
        Format::Protobuf => BodyFormat::Protobuf,
    }
}
