//! One request: scrapes its targets until the deadline, and merges their bodies into one response.
//!
//! Runs in the server worker that handles the request. Every target yields a result: its samples and `up 1`, or `up 0`
//! and a reason.

mod last_scrapes;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use crate::scrape::client::{PodResponse, ProbeWants};
pub use crate::scrape::{Reason, ScrapeError};
pub use last_scrapes::{LastRequest, LastScrape, LastScrapes};

use crate::exposition::{Asked, Body, Format, Merged, Report, TargetResult, merge_with};
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::pool::{Probe, ScrapePool, ScrapeResult, identity_labels};
use crate::target::{Target, TargetLabels, TargetSet};
use crate::telemetry::Telemetry;
use last_scrapes::{History, counted};

/// Scrapes and merges. Shared by all server workers.
#[derive(Debug)]
pub struct Aggregator {
    pool: ScrapePool,
    labels: TargetLabels,
    history: Arc<History>,
    telemetry: Arc<Telemetry>,
}

/// The response to one request.
#[derive(Debug)]
pub struct MergedResponse {
    /// The body, ready to be sent.
    pub body: Merged,
    /// The format of the body.
    pub format: Format,
    /// Numbers for the log.
    pub summary: Summary,
}

/// The numbers of one request.
#[derive(Debug, Default)]
pub struct Summary {
    /// Targets of the request.
    pub targets: usize,
    /// Targets with a complete, valid body.
    pub up: usize,
    /// Targets without one. Terminating targets that are left out are in neither number.
    pub down: usize,
    /// Samples of all bodies.
    pub samples: u64,
    /// Bytes of all bodies after decompression.
    pub body_bytes: usize,
    /// Target and reason of the first failure, in the order of targets.
    pub first_failure: Option<String>,
    /// From the start of the request to the merged body.
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
    pub fn new(pool: ScrapePool, labels: TargetLabels, telemetry: Arc<Telemetry>) -> Aggregator {
        Aggregator {
            pool,
            labels,
            history: Arc::default(),
            telemetry,
        }
    }

    /// Scrapes the targets, which have to be in the order of responses, and merges their bodies. Pods are asked for
    /// what the scraper asks for, and the response has the format that the scraper ranks highest among those that pods
    /// sent.
    ///
    /// Ends when all targets have responded or failed, or early enough before `deadline` to send the response in time,
    /// gzipped at this level; 0: not. A target that is not done by then is `up 0`. Returns `None` as soon as
    /// `is_wanted` returns false; then targets that have not been scraped yet are not scraped.
    pub fn scrape(
        &self,
        set: &TargetSet,
        targets: &[Arc<Target>],
        asked: &Asked,
        deadline: Option<Instant>,
        gzip_level: u32,
        is_wanted: &dyn Fn() -> bool,
    ) -> Option<MergedResponse> {
        let start = Instant::now();
        let deadline = deadline.map(|due| ScrapeDeadline::new(due, gzip_level));
        let mut results = self.collect(targets, asked.clone(), deadline, is_wanted);
        if !is_wanted() {
            return None;
        }
        self.history.remember(set, targets, &results);
        let mut summary = Summary {
            targets: targets.len(),
            ..Summary::default()
        };
        let mut parts = Vec::with_capacity(targets.len());
        for (target, result) in targets.iter().zip(results.drain(..)) {
            self.count(&mut summary, target, &result);
            if result.outcome.is_ok() || !target.terminating {
                parts.push(self.part(target, result));
            }
        }
        let bodies = parts.iter().filter_map(|part| part.body.as_ref());
        let bodies = bodies.filter(|body| body.samples() > 0);
        let format = asked.accept.best(bodies.map(Body::format));
        let body = merge_with(parts, format, asked.accept.may_read_start_timestamps());
        self.telemetry.merged_responses.count(counted(format));
        let (help_conflicts, type_conflicts) = body.conflicts();
        self.telemetry.help_conflicts.add(help_conflicts);
        self.telemetry.type_conflicts.add(type_conflicts);
        summary.duration = start.elapsed();
        let request = LastRequest {
            at: SystemTime::now(),
            duration: summary.duration,
            format: counted(format),
            bytes: body.len(),
        };
        self.history.remember_request(targets, &request);
        Some(MergedResponse {
            body,
            format,
            summary,
        })
    }

    /// Scrapes one target for `/probe`, which passes on what the pod sends. `done` is called exactly once: by the
    /// client worker that scraped, or at once if its queue is full.
    pub fn probe(
        &self,
        target: &Arc<Target>,
        wants: ProbeWants,
        deadline: Option<Instant>,
        done: impl FnOnce(Result<PodResponse, ScrapeError>, Duration) + Send + 'static,
    ) {
        // The closure must not keep the pool alive, because a client worker cannot wait for its own end.
        let (history, telemetry) = (Arc::clone(&self.history), Arc::clone(&self.telemetry));
        let probed = Arc::clone(target);
        let done = move |outcome: Result<PodResponse, ScrapeError>, duration| {
            history.remember_probe(&probed, &outcome, duration);
            match &outcome {
                Ok(pod) => telemetry.count_scrape(&probed.job, duration, pod.body.len()),
                Err(error) => telemetry.count_scrape_failure(error.phase, duration),
            }
            done(outcome, duration);
        };
        let health = self.history.health(target);
        let probe = Probe {
            target: Arc::clone(target),
            wants,
            deadline,
            done: Box::new(done),
        };
        self.pool.probe(probe, health);
    }

    /// How the last scrapes of the target went.
    #[must_use]
    pub fn last_scrapes(&self, target: &Target) -> LastScrapes {
        self.history.of_target(target)
    }

    /// The last merged response for the job, if there was one.
    #[must_use]
    pub fn last_request(&self, job: &str) -> Option<LastRequest> {
        self.history.of_job(job)
    }

    /// The labels that every series gets.
    #[must_use]
    pub fn labels(&self) -> &TargetLabels {
        &self.labels
    }

    /// Requests in the queue of the client workers.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.pool.queue_length()
    }

    /// One result for each target, in their order.
    fn collect(
        &self,
        targets: &[Arc<Target>],
        asked: Asked,
        deadline: Option<ScrapeDeadline>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Vec<ScrapeResult> {
        let order = self.history.scrape_order(targets);
        let queued = order
            .iter()
            .map(|(health, index)| (*health, Arc::clone(&targets[*index])));
        let mut incoming = self.pool.scrape(queued.collect(), asked, deadline);
        let mut results: Vec<Option<ScrapeResult>> = targets.iter().map(|_| None).collect();
        for _ in targets {
            let Some(result) = incoming.next(is_wanted) else {
                break;
            };
            let (_, index) = order[result.index];
            results[index] = Some(result);
        }
        for (position, &(_, index)) in order.iter().enumerate() {
            results[index].get_or_insert_with(|| incoming.missing(position));
        }
        results.into_iter().flatten().collect()
    }

    /// Counts a result, in the numbers of the request too.
    fn count(&self, summary: &mut Summary, target: &Target, result: &ScrapeResult) {
        let telemetry = &self.telemetry;
        match &result.outcome {
            Ok(body) => {
                summary.up += 1;
                summary.samples += body.samples();
                summary.body_bytes += result.body_bytes;
                telemetry.count_scrape(&target.job, result.duration, result.body_bytes);
                telemetry.samples.add(body.samples());
                telemetry.duplicates.add(body.duplicates_dropped());
                telemetry.bodies.count(counted(body.format()));
            }
            Err(error) => {
                log::debug!("{target}: {error}");
                telemetry.count_scrape_failure(error.phase, result.duration);
                if !target.terminating {
                    summary.down += 1;
                    let failure = || format!("{target}: {error}");
                    summary.first_failure.get_or_insert_with(failure);
                }
            }
        }
    }

    fn part(&self, target: &Target, result: ScrapeResult) -> TargetResult {
        let labels = result.labels;
        let samples_scraped = match &result.outcome {
            Ok(body) => body.samples(),
            Err(error) => error.samples_before,
        };
        TargetResult {
            labels: labels.unwrap_or_else(|| identity_labels(target, &self.labels)),
            report: Report {
                up: result.outcome.is_ok(),
                duration: result.duration,
                samples_scraped,
            },
            body: result.outcome.ok(),
        }
    }
}
