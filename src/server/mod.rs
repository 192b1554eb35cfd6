//! The HTTP server: the front takes requests in, a few threads route them, the server workers answer scrape requests.
//!
//! Cheap answers (health, status) are given at once by the thread that routed the request and never wait behind
//! scrapes. Scrape requests wait in a bounded queue for one of the `SERVER_WORKERS`.

pub mod front;
mod reply;
pub mod route;
mod status_page;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::aggregate::Aggregator;
use crate::discovery::TargetCache;
use crate::telemetry::Telemetry;
use front::{Answer, Front, FrontError, FrontRequest, FrontSettings, Requests};
use route::{RequestError, Route, accepts_gzip, route, scrape_timeout};

/// Threads that take requests from the front and give the cheap answers.
const ROUTE_THREADS: usize = 2;
/// Time that requests have to end when the server stops. The Deployment's grace period is longer.
const SHUTDOWN_TIME: Duration = Duration::from_secs(20);
/// Time that server workers have to end once nobody waits for their answers.
const JOIN_TIME: Duration = Duration::from_secs(1);

/// What can be set.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Threads that answer scrape requests.
    pub workers: usize,
    /// Scrape requests that may wait for one of them.
    pub waiting_requests_max: usize,
    /// 0: answers are never compressed.
    pub gzip_level: u32,
    /// Taken off the scraper's timeout.
    pub scrape_timeout_offset: Duration,
}

/// What the answers are made from.
#[derive(Debug)]
pub struct Sources {
    /// Read side of the target cache.
    pub cache: TargetCache,
    /// Scrapes and merges.
    pub aggregator: Aggregator,
    /// The aggregator's own counters.
    pub telemetry: Arc<Telemetry>,
}

/// The running server.
pub struct Server {
    front: Front,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    route_threads: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    // Disconnected once the last worker has ended.
    ended: Receiver<()>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A scrape request on its way from the router to a server worker.
struct ScrapeRequest {
    request: FrontRequest,
    jobs: Vec<String>,
    deadline: Option<Instant>,
}

impl Server {
    /// Serves on the listener.
    ///
    /// `failed` gets an `Err` with the reason if the server cannot go on by itself; the process should then end.
    ///
    /// # Errors
    /// A certificate, key or token file is not right, or a thread cannot be started.
    pub fn start(
        listener: TcpListener,
        front: FrontSettings,
        settings: ServerSettings,
        sources: Sources,
        failed: &Sender<Result<i32, String>>,
    ) -> Result<Server, FrontError> {
        let address = listener.local_addr().map_err(FrontError::Start)?;
        let (front, requests) = Front::start(listener, front, Arc::clone(&sources.telemetry))?;
        Server::start_threads(
            front,
            address,
            &requests,
            Answering { settings, sources },
            failed,
        )
        .map_err(FrontError::Start)
    }

    fn start_threads(
        front: Front,
        address: SocketAddr,
        requests: &Arc<Requests>,
        answering: Answering,
        failed: &Sender<Result<i32, String>>,
    ) -> io::Result<Server> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (queue, waiting) = bounded(answering.settings.waiting_requests_max);
        let (alive, ended) = bounded(0);
        let answering = Arc::new(answering);
        let mut workers = Vec::new();
        for _ in 0..answering.settings.workers {
            let (answering, waiting, alive) =
                (Arc::clone(&answering), waiting.clone(), alive.clone());
            workers.push(
                thread::Builder::new()
                    .name("server".to_owned())
                    .spawn(move || {
                        answering.work(&waiting);
                        drop(alive);
                    })?,
            );
        }
        let mut route_threads = Vec::new();
        for _ in 0..ROUTE_THREADS {
            let router = Router {
                requests: Arc::clone(requests),
                stopping: Arc::clone(&stopping),
                answering: Arc::clone(&answering),
                queue: queue.clone(),
                failed: failed.clone(),
            };
            route_threads.push(
                thread::Builder::new()
                    .name("http".to_owned())
                    .spawn(move || router.run())?,
            );
        }
        Ok(Server {
            front,
            address,
            stopping,
            route_threads,
            workers,
            ended,
        })
    }

    /// Where it listens: the port is the real one where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking requests, lets those under way end within a bound, and joins the threads.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.front.finish(SHUTDOWN_TIME);
        for thread in self.route_threads {
            // An Err is a panic outside of a request; the hook has logged it.
            let _ = thread.join();
        }
        // The routers held the last senders of the queue: the workers end when it is empty.
        if self.ended.recv_timeout(JOIN_TIME) == Err(RecvTimeoutError::Timeout) {
            log::warn!("scrapes that nobody waits for any more are cut off");
            return;
        }
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}

/// Takes requests from the front.
struct Router {
    requests: Arc<Requests>,
    stopping: Arc<AtomicBool>,
    answering: Arc<Answering>,
    queue: Sender<ScrapeRequest>,
    failed: Sender<Result<i32, String>>,
}

impl Router {
    fn run(&self) {
        while let Some(request) = self.requests.next() {
            self.route(request);
        }
        if !self.stopping.load(Ordering::Relaxed) {
            // One message is enough for all routers.
            let _ = self
                .failed
                .try_send(Err("no more requests can be read".to_owned()));
        }
    }

    fn route(&self, request: FrontRequest) {
        match read_request(&request, self.answering.settings.scrape_timeout_offset) {
            Ok((Route::Metrics { jobs }, deadline)) => {
                let refused = match self.queue.try_send(ScrapeRequest {
                    request,
                    jobs,
                    deadline,
                }) {
                    Ok(()) => return,
                    Err(TrySendError::Full(refused)) => {
                        (refused.request, RequestError::TooManyWaiting)
                    }
                    Err(TrySendError::Disconnected(refused)) => {
                        (refused.request, RequestError::ShuttingDown)
                    }
                };
                refused.0.answer(Answer::from(&refused.1));
            }
            Ok((route, _)) => {
                let answer = self.answering.caught(|| self.answering.cheap(&route));
                request.answer(answer);
            }
            Err(error) => request.answer(Answer::from(&error)),
        }
    }
}

/// Route and deadline of a request.
fn read_request(
    request: &FrontRequest,
    offset: Duration,
) -> Result<(Route, Option<Instant>), RequestError> {
    let route = route(request.method(), request.url())?;
    let timeout = request
        .header("X-Prometheus-Scrape-Timeout-Seconds")
        .map(scrape_timeout)
        .transpose()?;
    // An offset that would leave less than half of a short timeout is cut to that half.
    let budget = timeout.map(|timeout| timeout.saturating_sub(offset).max(timeout / 2));
    Ok((
        route,
        budget.and_then(|budget| Instant::now().checked_add(budget)),
    ))
}

/// Makes the answers; shared by routers and server workers.
struct Answering {
    settings: ServerSettings,
    sources: Sources,
}

impl Answering {
    /// A server worker: answers scrape requests until the queue is closed and empty.
    fn work(&self, waiting: &Receiver<ScrapeRequest>) {
        for ScrapeRequest {
            request,
            jobs,
            deadline,
        } in waiting
        {
            let accepts_gzip = request.header("Accept-Encoding").is_some_and(accepts_gzip);
            let gzip_level = if accepts_gzip {
                self.settings.gzip_level
            } else {
                0
            };
            let answer = self.caught(|| match self.metrics(&jobs, deadline, gzip_level) {
                Ok(answer) => answer,
                Err(error) => Answer::from(&error),
            });
            request.answer(answer);
        }
    }

    /// The answers that cost nothing.
    fn cheap(&self, route: &Route) -> Answer {
        match route {
            Route::Healthy => Answer::text(200, "healthy\n"),
            Route::Ready if self.sources.cache.snapshot().is_some() => Answer::text(200, "ready\n"),
            Route::Ready => Answer::from(&RequestError::NotReady),
            Route::Status | Route::Metrics { .. } => {
                Answer::text(200, status_page::render(&self.sources))
            }
        }
    }

    fn metrics(
        &self,
        jobs: &[String],
        deadline: Option<Instant>,
        gzip_level: u32,
    ) -> Result<Answer, RequestError> {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(RequestError::WaitedTooLong);
        }
        let set = self
            .sources
            .cache
            .snapshot()
            .ok_or(RequestError::NotReady)?;
        let targets = set
            .select(jobs)
            .ok_or_else(|| RequestError::UnknownJob(jobs.join(", ")))?;
        let answer = self.sources.aggregator.scrape(&set, &targets, deadline);
        let level = if answer.summary.down > 0 {
            log::Level::Warn
        } else {
            log::Level::Info
        };
        log::log!(level, "job={:?} {}", jobs.join(","), answer.summary);
        Ok(reply::metrics(answer.text, gzip_level))
    }

    /// A panic costs the one request in which it happens.
    fn caught(&self, answer: impl FnOnce() -> Answer) -> Answer {
        // Unwind safe: what is shared is locked or atomic, and no lock is held where a panic could come from.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            self.sources.telemetry.count_panic();
            Answer::from(&RequestError::Panic)
        })
    }
}
