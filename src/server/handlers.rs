//! From a routed request to its answer: the threads `server` and `pages`, and what the client workers call when the
//! one target that somebody asked for is scraped.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::address::PublicAddress;
use super::gzip::Gzip;
use super::listener::{Request, Response};
use super::request_error::shown;
use super::route::{RequestError, Route, accepts_gzip};
use super::{ServerSettings, Sources, reply, service_discovery, status_page};
use crate::aggregate::{ProbeResult, ProbeWants, Reason};
use crate::discovery::TargetCache;

use crate::target::{Shard, Target, TargetSet};
use crate::telemetry::{Gauges, Path};

/// A scrape request on its way from the router to a server worker.
pub(super) struct ScrapeRequest {
    pub(super) request: Request,
    pub(super) jobs: Vec<String>,
    pub(super) shard: Option<Shard>,
    pub(super) absent_ok: bool,
    pub(super) deadline: Option<Instant>,
    /// When it was put into the queue.
    pub(super) since: Instant,
}

/// A request for something that asks no pod.
pub(super) struct Page {
    pub(super) request: Request,
    pub(super) route: Route,
}

/// Makes the answers; shared by all threads of the server.
pub(super) struct Handlers {
    pub(super) settings: ServerSettings,
    pub(super) sources: Sources,
    pub(super) gzip: Gzip,
}

/// Starts the one thread that answers pages until nobody asks for them any more. `waiting` is the queue of the server
/// workers, for its length.
pub(super) fn start_pages(
    answering: &Arc<Handlers>,
    pages: Receiver<Page>,
    waiting: Receiver<ScrapeRequest>,
    alive: Sender<()>,
) -> io::Result<JoinHandle<()>> {
    let answering = Arc::clone(answering);
    let answer_all = move || {
        for Page { request, route } in pages {
            let answer = answering.caught(|| answering.page(&request, &route, waiting.len()));
            answering.send(request, route.path(), answer);
        }
        // The last one waits for the client workers too: that is a part of its life.
        drop(answering);
        drop(alive);
    };
    thread::Builder::new()
        .name("pages".to_owned())
        .spawn(answer_all)
}

impl Handlers {
    /// A server worker: answers scrape requests until the queue is closed and empty.
    pub(super) fn work(&self, waiting: &Receiver<ScrapeRequest>) {
        for asked in waiting {
            let telemetry = &self.sources.telemetry;
            telemetry.count_request_wait(asked.since.elapsed());
            let busy = telemetry.busy_server_worker();
            let answer = self.caught(|| {
                self.metrics(&asked)
                    .unwrap_or_else(|error| Response::from(&error))
            });
            telemetry.count_request(Path::Metrics, answer.status);
            asked.request.answer(answer);
            drop(busy);
        }
    }

    /// Counts the answer and gives it to the listener. Never waits: others are served by the same thread.
    pub(super) fn send(&self, request: Request, path: Path, answer: Response) {
        self.sources.telemetry.count_request(path, answer.status);
        request.answer_now(answer);
    }

    pub(super) fn refuse(&self, request: Request, path: Path, error: &RequestError) {
        self.send(request, path, Response::from(error));
    }

    /// The answer of `/-/ready`, or else of `/-/healthy`.
    pub(super) fn health(&self, route: &Route) -> Response {
        match route {
            Route::Ready if self.sources.cache.snapshot().is_none() => {
                Response::from(&RequestError::NotReady)
            }
            Route::Ready => Response::text(200, "ready\n"),
            _ => Response::text(200, "healthy\n"),
        }
    }

    /// Has one target scraped; the client worker that does answers. No server worker is needed, so that targets that
    /// hang hold up nobody but the client workers they have.
    pub(super) fn probe(&self, request: Request, name: &str, deadline: Option<Instant>) {
        let target = match self.find(name) {
            Ok(target) => target,
            Err(error) => return self.refuse(request, Path::Probe, &error),
        };
        let header = |name| request.header(name).map(str::to_owned);
        let wants = ProbeWants {
            accept: header("Accept"),
            accept_encoding: header("Accept-Encoding"),
        };
        let telemetry = Arc::clone(&self.sources.telemetry);
        let probed = Arc::clone(&target);
        let done = move |result: ProbeResult| {
            let answer = probe_answer(&probed, result);
            telemetry.count_request(Path::Probe, answer.status);
            // The client worker has other targets to scrape.
            request.answer_now(answer);
        };
        self.sources
            .aggregator
            .probe(&target, wants, deadline, done);
    }

    fn find(&self, name: &str) -> Result<Arc<Target>, RequestError> {
        let set = snapshot(&self.sources.cache)?;
        let target = set.find(name).cloned();
        target.ok_or_else(|| RequestError::UnknownTarget(name.to_owned()))
    }

    fn metrics(&self, asked: &ScrapeRequest) -> Result<Response, RequestError> {
        let is_wanted = || !asked.request.is_abandoned();
        if !is_wanted() {
            return Err(RequestError::Abandoned);
        }
        if asked.deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(RequestError::WaitedTooLong);
        }
        let set = snapshot(&self.sources.cache)?;
        let mut targets = match set.select(&asked.jobs) {
            Some(targets) => targets,
            None if asked.absent_ok => Vec::new(),
            None => return Err(RequestError::UnknownJob(asked.jobs.join(", "))),
        };
        let mut name = format!("job={}", shown(&asked.jobs.join(",")));
        if let Some(shard) = asked.shard {
            targets.retain(|target| shard.contains(&target.uid));
            name += &format!(" shard={shard}");
        }
        let aggregator = &self.sources.aggregator;
        let answer = aggregator
            .scrape(&set, &targets, asked.deadline, &is_wanted)
            .ok_or(RequestError::Abandoned)?;
        log::log!(level(answer.summary.down > 0), "{name} {}", answer.summary);
        let (body_bytes, scraped_at) = (answer.summary.body_bytes, answer.scraped_at);
        let level = self.gzip_level(&asked.request);
        let reply = reply::metrics(answer.text, level, &self.gzip);
        aggregator.answered(body_bytes, scraped_at);
        Ok(reply)
    }

    fn page(&self, request: &Request, route: &Route, requests_waiting: usize) -> Response {
        let answer = match route {
            Route::OwnMetrics => Ok(reply::own_metrics(self.own_metrics(requests_waiting))),
            Route::SdJobs { .. } | Route::SdPods { .. } => self.service_discovery(request, route),
            Route::Style => Ok(status_page::style()),
            Route::Script => Ok(status_page::script()),
            Route::Status(filter) => Ok(status_page::page(
                &self.sources,
                filter,
                request.header("Accept").unwrap_or_default(),
                self.address(request).ok().as_ref(),
            )),
            // Answered elsewhere.
            Route::Metrics { .. } | Route::Probe { .. } | Route::Healthy | Route::Ready => {
                Ok(self.health(route))
            }
        };
        match answer {
            Ok(answer) => reply::compressed(answer, self.gzip_level(request)),
            Err(error) => Response::from(&error),
        }
    }

    fn service_discovery(
        &self,
        request: &Request,
        route: &Route,
    ) -> Result<Response, RequestError> {
        let set = snapshot(&self.sources.cache)?;
        let address = self.address(request)?;
        let text = match route {
            Route::SdJobs { shards } => service_discovery::jobs(&set, &address, *shards),
            _ => {
                let timeouts = matches!(route, Route::SdPods { timeouts: true });
                let style = self.sources.aggregator.style();
                service_discovery::pods(&set, &address, style, timeouts)
            }
        };
        Ok(reply::json(text))
    }

    fn address(&self, request: &Request) -> Result<PublicAddress, RequestError> {
        let set = self.settings.advertise_address.as_deref();
        let address = set.or_else(|| request.header("Host"));
        address
            .and_then(|address| PublicAddress::new(address, self.settings.is_tls))
            .ok_or(RequestError::NoAddress)
    }

    fn own_metrics(&self, requests_waiting: usize) -> String {
        let set = self.sources.cache.snapshot();
        let jobs = set.iter().flat_map(|set| set.jobs());
        self.sources.telemetry.text(&Gauges {
            targets: jobs.map(|(job, targets)| (job, targets.len())).collect(),
            invalid_targets: set.as_ref().map_or(0, |set| set.invalid().count()),
            cache_age: self.sources.cache.last_success().map(|at| at.elapsed()),
            requests_waiting,
            scrapes_waiting: self.sources.aggregator.queue_length(),
            server_workers: self.settings.workers,
            client_workers: self.settings.client_workers,
        })
    }

    /// 0 where the client takes no gzip.
    fn gzip_level(&self, request: &Request) -> u32 {
        match request.header("Accept-Encoding") {
            Some(accepted) if accepts_gzip(accepted) => self.settings.gzip_level,
            _ => 0,
        }
    }

    /// A panic costs the one request in which it happens.
    fn caught(&self, answer: impl FnOnce() -> Response) -> Response {
        // Unwind safe: what is shared is locked or atomic, and no lock is held where a panic could come from.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            self.sources.telemetry.count_panic();
            Response::from(&RequestError::Panic)
        })
    }
}

fn snapshot(cache: &TargetCache) -> Result<Arc<TargetSet>, RequestError> {
    cache.snapshot().ok_or(RequestError::NotReady)
}

fn level(is_failure: bool) -> log::Level {
    if is_failure {
        log::Level::Warn
    } else {
        log::Level::Info
    }
}

/// What somebody gets who asked for one target, and the line about it in the log.
fn probe_answer(target: &Target, result: ProbeResult) -> Response {
    let seconds = result.duration.as_secs_f64();
    match result.outcome {
        Ok(pod) => {
            let bytes = pod.body.len();
            log::info!(
                "target={:?} up=1 bytes={bytes} duration={seconds:.3}s",
                target.to_string()
            );
            reply::probe(pod)
        }
        Err(error) => {
            // As in a merged answer, a terminating pod that is gone is no news.
            log::log!(
                level(!target.terminating),
                "target={:?} up=0 duration={seconds:.3}s first={:?}",
                target.to_string(),
                error.to_string()
            );
            let status = match error.reason {
                Reason::Timeout(_) | Reason::Deadline => 504,
                Reason::QueueFull => 503,
                _ => 502,
            };
            Response::text(status, format!("{target}: {error}\n"))
        }
    }
}
