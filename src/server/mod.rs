//! The HTTP server: the listener accepts requests, a few threads route them, and others respond.
//!
//! * The threads that route requests respond to those for health at once.
//! * The thread `pages` responds to requests that take longer but need no pod: status, discovery, own metrics.
//! * The `SERVER_WORKERS` respond to scrape requests.
//! * The client worker that scrapes one target for `/probe` responds to that request.
//!
//! Requests for pages and scrape requests wait in two bounded queues.

mod address;
mod handlers;
mod http_error;
pub mod listener;
mod reply;
mod response;
pub mod route;
mod service_discovery;
mod status_page;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::aggregate::Aggregator;
use crate::discovery::TargetCache;
use crate::telemetry::Telemetry;
use handlers::{Handlers, Page, ScrapeRequest};
pub use http_error::HttpError;
use http_error::STOPPING;
use listener::{Listener, ListenerSettings, Request, Requests};
pub use response::Response;
use route::{Route, TIMEOUT_HEADER, route, scrape_timeout};

/// Threads that route requests.
const ROUTE_THREADS: usize = 2;
/// The most requests for pages that wait. Each takes some milliseconds.
const WAITING_PAGES_MAX: usize = 64;
/// How long requests may take to end when the server stops. The Deployment's grace period is longer.
const SHUTDOWN_TIME: Duration = Duration::from_secs(20);
/// How long server workers may take to end when no client waits for their responses any more.
const JOIN_TIME: Duration = Duration::from_secs(1);

/// The settings of the server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Threads that respond to scrape requests.
    pub workers: usize,
    /// The most scrape requests that wait for one of these threads.
    pub waiting_requests_max: usize,
    /// If 0, responses are never compressed.
    pub gzip_level: u32,
    /// Subtracted from the scraper's timeout.
    pub scrape_timeout_offset: Duration,
    /// Threads that scrape, for the own metrics.
    pub client_workers: usize,
    /// The address of this server for others: `HOST:PORT`, with or without `https://` and a path. By default that of
    /// the request's `Host`.
    pub advertise_address: Option<String>,
    /// Whether the server itself uses TLS.
    pub is_tls: bool,
}

/// The parts of the program that responses are made from.
#[derive(Debug)]
pub struct Sources {
    /// Read side of the target cache.
    pub cache: TargetCache,
    /// Scrapes targets and merges their bodies.
    pub aggregator: Aggregator,
    /// The aggregator's own counters.
    pub telemetry: Arc<Telemetry>,
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    address: SocketAddr,
    // Disconnected when the last route thread has ended.
    ended: Receiver<()>,
    route_threads: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    // Disconnected when the last worker has ended.
    workers_ended: Receiver<()>,
}

impl Server {
    /// Serves the connections of a listening socket.
    ///
    /// # Errors
    /// A certificate, key or token file cannot be used, or a thread cannot be started.
    pub fn start(
        socket: TcpListener,
        listener: ListenerSettings,
        settings: ServerSettings,
        sources: Sources,
    ) -> io::Result<Server> {
        let address = socket.local_addr()?;
        let telemetry = Arc::clone(&sources.telemetry);
        let (listener, requests) = Listener::start(socket, listener, telemetry)?;
        let (scrapes, waiting) = bounded(settings.waiting_requests_max);
        let (pages, waiting_pages) = bounded(WAITING_PAGES_MAX);
        let handlers = Arc::new(Handlers {
            settings,
            sources,
            waiting,
        });
        let (alive, workers_ended) = bounded(0);
        let show_all = move |handlers: &Handlers| handlers.show_all(&waiting_pages);
        let mut workers = vec![start_worker("pages", &handlers, &alive, show_all)?];
        for _ in 0..handlers.settings.workers {
            let worker = start_worker("server", &handlers, &alive, Handlers::scrape_all)?;
            workers.push(worker);
        }
        let (routing, ended) = bounded(0);
        let router = Arc::new(Router {
            requests,
            handlers,
            scrapes,
            pages,
            _routing: routing,
        });
        let mut route_threads = Vec::new();
        for _ in 0..ROUTE_THREADS {
            let router = Arc::clone(&router);
            let thread = thread::Builder::new().name("http".to_owned());
            route_threads.push(thread.spawn(move || router.run())?);
        }
        Ok(Server {
            listener,
            address,
            ended,
            route_threads,
            workers,
            workers_ended,
        })
    }

    /// Disconnected when no more requests can be read. The server cannot recover from that, so the process should end.
    #[must_use]
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }

    /// The address on which it listens, with the real port if port 0 was requested.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting requests, gives those in progress a limited time to end, and joins the threads.
    pub fn stop(self) {
        self.listener.finish(SHUTDOWN_TIME);
        for thread in self.route_threads {
            // An Err is a panic outside of a request, which the panic hook has logged.
            let _ = thread.join();
        }
        // The routers held the last senders of the queues, so the workers end when these are empty.
        if self.workers_ended.recv_timeout(JOIN_TIME) == Err(RecvTimeoutError::Timeout) {
            log::warn!(
                "scrapes are still running, although no client waits for them any more: they are cut off"
            );
            return;
        }
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}

/// Starts a thread that calls `work`, which returns when its queue is closed and empty, and then drops `alive`.
fn start_worker(
    name: &str,
    handlers: &Arc<Handlers>,
    alive: &Sender<()>,
    work: impl FnOnce(&Handlers) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (handlers, alive) = (Arc::clone(handlers), alive.clone());
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        work(&handlers);
        // For the last thread, this waits until the client workers have ended.
        drop(handlers);
        drop(alive);
    })
}

/// Takes requests from the listener and passes each to the thread that responds to it.
struct Router {
    requests: Arc<Requests>,
    handlers: Arc<Handlers>,
    scrapes: Sender<ScrapeRequest>,
    pages: Sender<Page>,
    // Dropped with the last router, which `Server::ended` then shows.
    _routing: Sender<()>,
}

impl Router {
    fn run(&self) {
        while let Some(request) = self.requests.next() {
            match self.read(&request) {
                Ok((route, deadline)) => self.hand_over(request, route, deadline),
                Err(error) => request.respond_now(Response::from(&error)),
            }
        }
    }

    /// The route and the deadline of a request.
    fn read(&self, request: &Request) -> Result<(Route, Option<Instant>), HttpError> {
        let route = route(request.method(), request.url())?;
        let timeout = request.header(TIMEOUT_HEADER);
        let timeout = timeout.map(scrape_timeout).transpose()?;
        let offset = self.handlers.settings.scrape_timeout_offset;
        // At least half of a short timeout is left.
        let budget = timeout.map(|timeout| timeout.saturating_sub(offset).max(timeout / 2));
        let deadline = budget.and_then(|budget| Instant::now().checked_add(budget));
        Ok((route, deadline))
    }

    fn hand_over(&self, request: Request, route: Route, deadline: Option<Instant>) {
        match route {
            Route::Healthy | Route::Ready => request.respond_now(self.handlers.health(&route)),
            Route::Probe { target } => self.handlers.probe(request, &target, deadline),
            Route::Metrics(selection) => {
                let queued = self.scrapes.try_send(ScrapeRequest {
                    request,
                    selection,
                    deadline,
                    since: Instant::now(),
                });
                refuse(queued, |scrape| scrape.request);
            }
            page => refuse(self.pages.try_send((request, page)), |(request, _)| request),
        }
    }
}

/// Responds to a request that could not be queued.
fn refuse<T>(queued: Result<(), TrySendError<T>>, request: impl FnOnce(T) -> Request) {
    let Err(refused) = queued else {
        return;
    };
    let error = match &refused {
        TrySendError::Full(_) => HttpError::new(
            503,
            "too many requests are waiting (MAX_WAITING_REQUESTS); more SERVER_WORKERS may help",
        ),
        TrySendError::Disconnected(_) => STOPPING,
    };
    request(refused.into_inner()).respond_now(Response::from(&error));
}
