//! The HTTP server: tiny_http reads requests, a few threads route them, the server workers answer scrape requests.
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
use tiny_http::Request;

use crate::aggregate::Aggregator;
use crate::discovery::TargetCache;
use crate::telemetry::Telemetry;
use reply::Reply;
use route::{RequestError, Route, accepts_gzip, route, scrape_timeout};

/// Threads that take requests from tiny_http and give the cheap answers.
const ROUTE_THREADS: usize = 2;
/// Time that requests have to end when the server stops. The Deployment's grace period is longer.
const SHUTDOWN_TIME: Duration = Duration::from_secs(20);

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
    http: Arc<tiny_http::Server>,
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
    request: Request,
    jobs: Vec<String>,
    deadline: Option<Instant>,
}

impl Server {
    /// Serves on the listener.
    ///
    /// `failed` gets an `Err` with the reason if the server cannot go on by itself; the process should then end.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        listener: TcpListener,
        settings: ServerSettings,
        sources: Sources,
        failed: &Sender<Result<i32, String>>,
    ) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let http =
            Arc::new(tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?);
        let stopping = Arc::new(AtomicBool::new(false));
        let (queue, waiting) = bounded(settings.waiting_requests_max);
        let (alive, ended) = bounded(0);
        let answering = Arc::new(Answering { settings, sources });
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
                http: Arc::clone(&http),
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
            http,
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
        for _ in &self.route_threads {
            // Each call wakes one of them.
            self.http.unblock();
        }
        for thread in self.route_threads {
            // An Err is a panic outside of a request; the hook has logged it.
            let _ = thread.join();
        }
        // Only now: this would take a wake-up away from a thread that still needs it.
        while let Ok(Some(request)) = self.http.try_recv() {
            reply::send(request, Reply::from(&RequestError::ShuttingDown));
        }
        drop(self.http);
        // The routers held the last senders of the queue: the workers end when it is empty.
        match self.ended.recv_timeout(SHUTDOWN_TIME) {
            Err(RecvTimeoutError::Timeout) => {
                log::warn!(
                    "scrape requests still running after {} s are cut off",
                    SHUTDOWN_TIME.as_secs()
                );
            }
            _ => {
                for worker in self.workers {
                    let _ = worker.join();
                }
            }
        }
    }
}

/// Takes requests from tiny_http.
struct Router {
    http: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    answering: Arc<Answering>,
    queue: Sender<ScrapeRequest>,
    failed: Sender<Result<i32, String>>,
}

impl Router {
    fn run(&self) {
        while !self.stopping.load(Ordering::Relaxed) {
            match self.http.recv() {
                Ok(request) => self.route(request),
                Err(_) if self.stopping.load(Ordering::Relaxed) => break,
                Err(error) => {
                    // tiny_http ends its accept loop at the first error: nothing would be answered any more.
                    let _ = self
                        .failed
                        .try_send(Err(format!("accepting connections failed: {error}")));
                    break;
                }
            }
        }
    }

    fn route(&self, request: Request) {
        let routed = read_request(&request, self.answering.settings.scrape_timeout_offset);
        match routed {
            Ok((Route::Metrics { jobs }, deadline)) => {
                match self.queue.try_send(ScrapeRequest {
                    request,
                    jobs,
                    deadline,
                }) {
                    Ok(()) => {}
                    Err(TrySendError::Full(refused)) => {
                        reply::send(refused.request, Reply::from(&RequestError::TooManyWaiting));
                    }
                    Err(TrySendError::Disconnected(refused)) => {
                        reply::send(refused.request, Reply::from(&RequestError::ShuttingDown));
                    }
                }
            }
            Ok((route, _)) => {
                let reply = self.answering.caught(|| self.answering.cheap(&route));
                reply::send(request, reply);
            }
            Err(error) => reply::send(request, Reply::from(&error)),
        }
    }
}

/// Route and deadline of a request.
fn read_request(
    request: &Request,
    offset: Duration,
) -> Result<(Route, Option<Instant>), RequestError> {
    let route = route(request.method().as_str(), request.url())?;
    if request.body_length().is_some_and(|length| length > 0)
        || header(request, "Transfer-Encoding").is_some()
    {
        return Err(RequestError::Body);
    }
    let timeout = header(request, "X-Prometheus-Scrape-Timeout-Seconds")
        .map(scrape_timeout)
        .transpose()?;
    // An offset that would leave less than half of a short timeout is cut to that half.
    let budget = timeout.map(|timeout| timeout.saturating_sub(offset).max(timeout / 2));
    Ok((
        route,
        budget.and_then(|budget| Instant::now().checked_add(budget)),
    ))
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request
        .headers()
        .iter()
        .find(|header| header.field.equiv(name))
        .map(|header| header.value.as_str())
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
            let gzip = self.settings.gzip_level > 0
                && header(&request, "Accept-Encoding").is_some_and(accepts_gzip);
            let reply = self.caught(|| match self.metrics(&jobs, deadline, gzip) {
                Ok(reply) => reply,
                Err(error) => Reply::from(&error),
            });
            reply::send(request, reply);
        }
    }

    /// The answers that cost nothing.
    fn cheap(&self, route: &Route) -> Reply {
        match route {
            Route::Healthy => Reply::text("healthy\n"),
            Route::Ready if self.sources.cache.snapshot().is_some() => Reply::text("ready\n"),
            Route::Ready => Reply::from(&RequestError::NotReady),
            Route::Status | Route::Metrics { .. } => {
                Reply::text(status_page::render(&self.sources))
            }
        }
    }

    fn metrics(
        &self,
        jobs: &[String],
        deadline: Option<Instant>,
        gzip: bool,
    ) -> Result<Reply, RequestError> {
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
        let level = if gzip { self.settings.gzip_level } else { 0 };
        Ok(Reply::metrics(answer.text, level))
    }

    /// A panic costs the one request in which it happens.
    fn caught(&self, answer: impl FnOnce() -> Reply) -> Reply {
        // Unwind safe: what is shared is locked or atomic, and no lock is held where a panic could come from.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            self.sources.telemetry.count_panic();
            Reply::from(&RequestError::Panic)
        })
    }
}
