//! Makes the response to a routed request: the work of the threads `server` and `pages`, and what a client worker calls
//! when it has scraped the target of a `/probe`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::address::PublicAddress;
use super::http_error::{HttpError, INTERNAL, NO_SUCH_PATH, shown};
use super::listener::Request;
use super::response::Response;
use super::route::{Route, Selection, accepts_gzip};
use super::{ServerSettings, Sources, reply, service_discovery, status_page};
use crate::aggregate::{PodResponse, ProbeWants, Reason, ScrapeError};
use crate::discovery::TargetCache;
use crate::exposition::{Accept, Asked};
use crate::target::{Target, TargetScope, TargetSet};
use crate::telemetry::Gauges;

/// The Content-Type of the text format.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Prometheus accepts no other Content-Type for service discovery.
const JSON_TYPE: &str = "application/json";

/// A scrape request in the queue of the server workers.
pub(super) struct ScrapeRequest {
    pub(super) request: Request,
    pub(super) selection: Selection,
    pub(super) deadline: Option<Instant>,
    /// When it was put into the queue.
    pub(super) since: Instant,
}

/// A request that needs no pod, and its route.
pub(super) type Page = (Request, Route);

/// Makes the responses; shared by all threads of the server.
pub(super) struct Handlers {
    pub(super) settings: ServerSettings,
    pub(super) sources: Sources,
    /// The queue of the server workers.
    pub(super) waiting: Receiver<ScrapeRequest>,
}

impl Handlers {
    /// The work of a server worker: responds to scrape requests until the queue is closed and empty.
    pub(super) fn scrape_all(&self) {
        for scrape in &self.waiting {
            let telemetry = &self.sources.telemetry;
            telemetry.request_wait.count(scrape.since.elapsed());
            let _busy = telemetry.busy_server_workers.busy();
            let response = self.caught(|| self.metrics(&scrape));
            scrape.request.respond(response);
        }
    }

    /// Responds to requests for pages until the queue is closed and empty. Never waits for a client, because all other
    /// requests would wait too.
    pub(super) fn show_all(&self, pages: &Receiver<Page>) {
        for (request, route) in pages {
            let response = self.caught(|| self.page(&request, &route));
            request.respond_now(response);
        }
    }

    /// The response of `/-/ready` or `/-/healthy`.
    pub(super) fn health(&self, route: &Route) -> Response {
        match route {
            Route::Ready => match snapshot(&self.sources.cache) {
                Ok(_) => Response::text(200, "ready\n"),
                Err(error) => Response::from(&error),
            },
            _ => Response::text(200, "healthy\n"),
        }
    }

    /// Queues the scrape of one target for a client worker, which responds when it is done. So targets that hang occupy
    /// no server worker.
    pub(super) fn probe(&self, request: Request, name: &str, deadline: Option<Instant>) {
        let target = match self.find(name, request.scope()) {
            Ok(target) => target,
            Err(error) => return request.respond_now(Response::from(&error)),
        };
        let header = |name| request.header(name).map(str::to_owned);
        let wants = ProbeWants {
            accept: header("Accept"),
            accept_encoding: header("Accept-Encoding"),
        };
        let probed = Arc::clone(&target);
        let done = move |outcome, duration| {
            // The client worker must not wait for a client.
            request.respond_now(probe_response(&probed, outcome, duration));
        };
        let aggregator = &self.sources.aggregator;
        aggregator.probe(&target, wants, deadline, done);
    }

    fn find(&self, name: &str, scope: &TargetScope) -> Result<Arc<Target>, HttpError> {
        let set = snapshot(&self.sources.cache)?;
        let found = set.find(name).filter(|target| scope.admits(target));
        found.cloned().ok_or_else(|| {
            let name = shown(name);
            let message = format!("no target has the name {name}; /sd/pods lists them");
            HttpError::new(404, message)
        })
    }

    fn metrics(&self, scrape: &ScrapeRequest) -> Result<Response, HttpError> {
        let request = &scrape.request;
        let is_wanted = || !request.is_abandoned();
        if !is_wanted() {
            return Err(abandoned());
        }
        if scrape.deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(HttpError::new(
                503,
                "the scrape timeout was over before a server worker was free; more SERVER_WORKERS may help",
            ));
        }
        let set = snapshot(&self.sources.cache)?;
        let selection = &scrape.selection;
        let targets = selected(&set, selection, request.scope())?;
        let gzip_level = self.gzip_level(request);
        let asked = Asked {
            accept: Accept::parse(request.header("Accept").unwrap_or_default()),
            families: selection.families.clone(),
        };
        let aggregator = &self.sources.aggregator;
        let deadline = scrape.deadline;
        let merged = aggregator
            .scrape(&set, &targets, &asked, deadline, gzip_level, &is_wanted)
            .ok_or_else(abandoned)?;
        let shard = selection.shard;
        let shard = shard.map_or_else(String::new, |shard| format!(" shard={shard}"));
        let jobs = shown(&selection.jobs.join(","));
        let level = level(merged.summary.down > 0);
        log::log!(level, "job={jobs}{shard} {}", merged.summary);
        let content_type = asked.accept.content_type(merged.format);
        Ok(reply::metrics(merged, content_type, gzip_level))
    }

    fn page(&self, request: &Request, route: &Route) -> Result<Response, HttpError> {
        let scope = request.scope();
        let response = match route {
            // The own metrics name all jobs.
            Route::OwnMetrics if scope.is_limited() => return Err(NO_SUCH_PATH),
            Route::OwnMetrics => Response::typed(EXPOSITION_TYPE, self.own_metrics()),
            Route::SdJobs { shards } => {
                let set = snapshot(&self.sources.cache)?.within(scope);
                let address = self.address(request)?;
                Response::typed(JSON_TYPE, service_discovery::jobs(&set, &address, *shards))
            }
            Route::SdPods { timeouts } => {
                let set = snapshot(&self.sources.cache)?.within(scope);
                let address = self.address(request)?;
                let labels = self.sources.aggregator.labels();
                let pods = service_discovery::pods(&set, &address, labels, *timeouts);
                Response::typed(JSON_TYPE, pods)
            }
            Route::Style => status_page::style(),
            Route::Script => status_page::script(),
            Route::Status(filter) => status_page::page(
                &self.sources,
                scope,
                filter,
                request.header("Accept").unwrap_or_default(),
                self.address(request).ok().as_ref(),
            ),
            // The router passes none of these on to this function.
            Route::Metrics(_) | Route::Probe { .. } | Route::Healthy | Route::Ready => {
                self.health(route)
            }
        };
        Ok(reply::compressed(response, self.gzip_level(request)))
    }

    fn address(&self, request: &Request) -> Result<PublicAddress, HttpError> {
        let advertised = self.settings.advertise_address.as_deref();
        let address = advertised.or_else(|| request.header("Host"));
        address
            .and_then(|address| PublicAddress::new(address, self.settings.is_tls))
            .ok_or_else(|| {
                let message = "expected HOST or HOST:PORT in the Host header; send it, or set ADVERTISE_ADDRESS";
                HttpError::new(400, message)
            })
    }

    fn own_metrics(&self) -> String {
        let set = self.sources.cache.snapshot();
        let jobs = set.iter().flat_map(|set| set.jobs());
        self.sources.telemetry.text(&Gauges {
            targets: jobs.map(|(job, targets)| (job, targets.len())).collect(),
            invalid_targets: set.as_ref().map_or(0, |set| set.invalid().count()),
            cache_age: self.sources.cache.last_success().map(|at| at.elapsed()),
            requests_waiting: self.waiting.len(),
            scrapes_waiting: self.sources.aggregator.queue_length(),
            server_workers: self.settings.workers,
            client_workers: self.settings.client_workers,
        })
    }

    /// The level for the response; 0 if the client does not accept gzip.
    fn gzip_level(&self, request: &Request) -> u32 {
        match request.header("Accept-Encoding") {
            Some(accepted) if accepts_gzip(accepted) => self.settings.gzip_level,
            _ => 0,
        }
    }

    /// A panic costs only the request in which it happens.
    fn caught(&self, handle: impl FnOnce() -> Result<Response, HttpError>) -> Response {
        // Unwind safe: shared data is locked or atomic, and no code that may panic holds a lock.
        let result = catch_unwind(AssertUnwindSafe(handle)).unwrap_or_else(|_| {
            self.sources.telemetry.panics.add(1);
            Err(INTERNAL)
        });
        result.unwrap_or_else(|error| Response::from(&error))
    }
}

fn snapshot(cache: &TargetCache) -> Result<Arc<TargetSet>, HttpError> {
    cache.snapshot().ok_or_else(|| {
        let message = "no complete pod list from the API server yet; / and the log say why";
        HttpError::new(503, message)
    })
}

/// The response to a client that has closed its side of the connection during the scrape. Hardly any reads it.
fn abandoned() -> HttpError {
    HttpError::new(503, "keep the connection open until the response")
}

/// The targets that a request asks for and that its client may see, in the order of the response.
fn selected(
    set: &TargetSet,
    selection: &Selection,
    scope: &TargetScope,
) -> Result<Vec<Arc<Target>>, HttpError> {
    let mut targets = set.select(&selection.jobs);
    targets.retain(|target| scope.admits(target));
    if targets.is_empty() && !selection.absent_ok {
        let jobs = shown(&selection.jobs.join(", "));
        let message = format!(
            "no pod has the label metrics-aggregator.apawel.me/job-name with the value {jobs}; \
             / lists the jobs, and &absent=ok makes one without pods an empty text"
        );
        return Err(HttpError::new(404, message));
    }
    if let Some(shard) = selection.shard {
        targets.retain(|target| shard.contains(&target.uid));
    }
    Ok(targets)
}

fn level(is_failure: bool) -> log::Level {
    if is_failure {
        log::Level::Warn
    } else {
        log::Level::Info
    }
}

/// The response to a `/probe`. Writes the line about it to the log.
fn probe_response(
    target: &Target,
    outcome: Result<PodResponse, ScrapeError>,
    duration: Duration,
) -> Response {
    let (name, seconds) = (target.to_string(), duration.as_secs_f64());
    let error = match outcome {
        Ok(pod) => {
            let bytes = pod.body.len();
            log::info!("target={name:?} up=1 bytes={bytes} duration={seconds:.3}s");
            return reply::probe(pod);
        }
        Err(error) => error,
    };
    let status = match error.reason {
        Reason::Timeout(_) | Reason::Deadline => 504,
        Reason::QueueFull => 503,
        Reason::Failed(_) => 502,
    };
    let reason = error.to_string();
    // It is expected that a terminating pod fails.
    log::log!(
        level(!target.terminating),
        "target={name:?} up=0 duration={seconds:.3}s first={reason:?}"
    );
    Response::from(&HttpError::new(status, format!("{name}: {reason}")))
}
