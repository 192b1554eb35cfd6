//! The HTTP server: the listener takes requests in, a few threads route them, the server workers answer scrape
//! requests.
//!
//! Health is answered at once by the thread that routed the request. What costs more and asks no pod (status,
//! discovery, own metrics) waits in a bounded queue for one thread of its own, `pages`; scrape requests wait in another
//! for one of the `SERVER_WORKERS`. The answer of one target (`/probe`) is given by the client worker that scraped it.

mod address;
mod gzip;
mod handlers;
pub mod listener;
mod reply;
mod request_error;
pub mod route;
mod service_discovery;
mod status_page;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::aggregate::Aggregator;
use crate::discovery::TargetCache;
use crate::telemetry::{Path, Telemetry};
use gzip::Gzip;
use handlers::{Handlers, Page, ScrapeRequest};
use listener::{Listener, ListenerError, ListenerSettings, Request, Requests};
use route::{RequestError, Route, route, scrape_timeout};

/// Threads that take requests from the listener and give the cheap answers.
const ROUTE_THREADS: usize = 2;
/// Requests for pages that may wait; each takes some milliseconds.
const WAITING_PAGES_MAX: usize = 64;
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
    /// Threads that scrape, for the own metrics.
    pub client_workers: usize,
    /// How this server is known outside, `HOST:PORT` with or without `https://`; else what `Host` says.
    pub advertise_address: Option<String>,
    /// Whether it speaks TLS itself.
    pub is_tls: bool,
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
    front: Listener,
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

impl Server {
    /// Serves on the listener.
    ///
    /// `failed` gets the reason if the server cannot go on by itself; the process should then end.
    ///
    /// # Errors
    /// A certificate, key or token file is not right, or a thread cannot be started.
    pub fn start(
        listener: TcpListener,
        front: ListenerSettings,
        settings: ServerSettings,
        sources: Sources,
        failed: &Sender<String>,
    ) -> Result<Server, ListenerError> {
        let address = listener.local_addr().map_err(ListenerError::Start)?;
        let gzip = Gzip::start().map_err(ListenerError::Start)?;
        let (front, requests) = Listener::start(listener, front, Arc::clone(&sources.telemetry))?;
        Server::start_threads(
            front,
            address,
            &requests,
            Handlers {
                settings,
                sources,
                gzip,
            },
            failed,
        )
        .map_err(ListenerError::Start)
    }

    fn start_threads(
        front: Listener,
        address: SocketAddr,
        requests: &Arc<Requests>,
        answering: Handlers,
        failed: &Sender<String>,
    ) -> io::Result<Server> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (queue, waiting) = bounded(answering.settings.waiting_requests_max);
        let (pages, waiting_pages) = bounded(WAITING_PAGES_MAX);
        let (alive, ended) = bounded(0);
        let answering = Arc::new(answering);
        let mut workers = vec![handlers::start_pages(
            &answering,
            waiting_pages,
            waiting.clone(),
            alive.clone(),
        )?];
        for _ in 0..answering.settings.workers {
            let (answering, waiting, alive) =
                (Arc::clone(&answering), waiting.clone(), alive.clone());
            workers.push(
                thread::Builder::new()
                    .name("server".to_owned())
                    .spawn(move || {
                        answering.work(&waiting);
                        // The last one waits for the client workers too: that is a part of its life.
                        drop(answering);
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
                pages: pages.clone(),
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

/// Takes requests from the listener.
struct Router {
    requests: Arc<Requests>,
    stopping: Arc<AtomicBool>,
    answering: Arc<Handlers>,
    queue: Sender<ScrapeRequest>,
    pages: Sender<Page>,
    failed: Sender<String>,
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
                .try_send("no more requests can be read".to_owned());
        }
    }

    fn route(&self, request: Request) {
        let answering = &self.answering;
        match read_request(&request, answering.settings.scrape_timeout_offset) {
            Ok((
                Route::Metrics {
                    jobs,
                    shard,
                    absent_ok,
                },
                deadline,
            )) => {
                let queued = ScrapeRequest {
                    request,
                    jobs,
                    shard,
                    absent_ok,
                    deadline,
                    since: Instant::now(),
                };
                if let Err(refused) = self.queue.try_send(queued) {
                    let error = refusal(&refused);
                    answering.refuse(refused.into_inner().request, Path::Metrics, &error);
                }
            }
            Ok((Route::Probe { target }, deadline)) => {
                answering.probe(request, &target, deadline);
            }
            Ok((route @ (Route::Healthy | Route::Ready), _)) => {
                let answer = answering.health(&route);
                answering.send(request, route.path(), answer);
            }
            Ok((route, _)) => {
                if let Err(refused) = self.pages.try_send(Page { request, route }) {
                    let error = refusal(&refused);
                    let page = refused.into_inner();
                    answering.refuse(page.request, page.route.path(), &error);
                }
            }
            Err(error) => {
                answering.refuse(request, error.path(), &error);
            }
        }
    }
}

fn refusal<T>(refused: &TrySendError<T>) -> RequestError {
    match refused {
        TrySendError::Full(_) => RequestError::TooManyWaiting,
        TrySendError::Disconnected(_) => RequestError::ShuttingDown,
    }
}

/// Route and deadline of a request.
fn read_request(
    request: &Request,
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
