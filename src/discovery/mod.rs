//! The cache thread: learns of the pods by polling or by a watch, and publishes them in the [`TargetCache`].
//!
//! What is published is always complete: the last complete list, with every change of the watch since. Readers take it
//! without waiting for anything. With `NAMESPACES` each namespace is listed or watched by itself, with a back-off of
//! its own, and keeps its last targets while it cannot be listed: the others go on.
//!
//! The thread `discovery` gathers and publishes what other threads learn: one thread `list`, which polls all
//! namespaces in turn, so that their number has no limit; or a thread `watch` for each namespace. All of them wait on a
//! channel or on a connection that is closed, so that [`Discovery::stop`] ends them at any time.

mod backoff;
mod cache;
mod cache_writer;
mod follower;
mod gatherer;
mod own_address;
mod source;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{debug, error};

pub use cache::TargetCache;
pub use source::Source;

use crate::kubernetes::client::Interrupter;
use crate::kubernetes::error::BadUrl;
use crate::telemetry::Telemetry;
use cache_writer::CacheWriter;
use follower::{Follower, Pace, Reporter, Scope};
use gatherer::{Gatherer, REPORTS_MAX};
use source::Lister;

/// How long [`Discovery::stop`] waits for the thread. Only a TCP connect or name look-up can take that long.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

/// What to discover, and how often.
#[derive(Debug, Clone)]
pub struct DiscoverySettings {
    /// Where the pods are listed.
    pub source: Source,
    /// The namespaces to list; empty: all.
    pub namespaces: Vec<String>,
    /// From the end of one list to the beginning of the next, where nothing is watched.
    pub interval: Duration,
    /// Follow a watch instead of listing again and again; a file cannot be followed.
    pub watch: Option<WatchTimes>,
    /// Where this program listens, so that it does not scrape itself.
    pub own_address: Option<SocketAddr>,
}

/// The times of a watch.
#[derive(Debug, Clone, Copy)]
pub struct WatchTimes {
    /// From one complete list to the next, should a watch ever have missed a change. Defaults to ten minutes.
    pub full_list: Duration,
    /// The `timeoutSeconds` that the API server is asked to end the watch after; up to as much again is added at
    /// random, so that watches do not all begin again together. Defaults to five minutes, client-go's.
    pub server_timeout: Duration,
    /// After so long without an event the connection counts as dead and the watch is begun again. An API server sends
    /// a bookmark each minute; one that does not is asked again a little more often, which costs next to nothing.
    /// Defaults to 150 s: two bookmarks that did not come, and some.
    pub idle: Duration,
    /// A watch that lasted so long went well: the pauses after failures begin anew. Defaults to 30 s.
    pub steady: Duration,
}

impl Default for WatchTimes {
    fn default() -> WatchTimes {
        WatchTimes {
            full_list: Duration::from_secs(600),
            server_timeout: Duration::from_secs(300),
            idle: Duration::from_secs(150),
            steady: Duration::from_secs(30),
        }
    }
}

/// Why discovery cannot start.
#[derive(Debug)]
pub enum DiscoveryError {
    /// The URL of the API server cannot be used.
    Url(BadUrl),
    /// A thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscoveryError::Url(error) => error.fmt(f),
            DiscoveryError::Thread(error) => write!(f, "thread of discovery: {error}"),
        }
    }
}

impl std::error::Error for DiscoveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DiscoveryError::Url(error) => Some(error),
            DiscoveryError::Thread(error) => Some(error),
        }
    }
}

/// The running cache thread, and the watch threads if there are any.
#[derive(Debug)]
pub struct Discovery {
    stop: Sender<Infallible>,
    ended: Receiver<Infallible>,
    interrupters: Vec<Interrupter>,
    thread: JoinHandle<()>,
}

impl Discovery {
    /// Starts the threads, which list at once. They retry for ever: an API server that is down is no error here.
    ///
    /// # Errors
    ///
    /// When the URL of the API server cannot be used, or a thread not be started.
    pub fn start(
        settings: &DiscoverySettings,
        cache: TargetCache,
        telemetry: Arc<Telemetry>,
    ) -> Result<Discovery, DiscoveryError> {
        let (stop, stopped) = bounded(0);
        let (sender, reports) = bounded(REPORTS_MAX);
        let lister = Lister::new(settings).map_err(DiscoveryError::Url)?;
        let scopes = source::scopes(settings);
        let writer = CacheWriter::new(settings, scopes.clone(), cache, telemetry);
        let reporter = Reporter {
            reports: sender,
            stop: stopped.clone(),
        };
        let (mut interrupters, mut threads) = (Vec::new(), Vec::new());
        for (name, follower) in followers(lister, scopes, settings, &reporter) {
            interrupters.extend(follower.lister.interrupter());
            let (thread, _) = spawn(&name, move || follower.run())?;
            threads.push(thread);
        }
        let gatherer = Gatherer {
            writer,
            reports,
            stop: stopped,
            threads,
        };
        let (thread, ended) = spawn("discovery", move || gatherer.run())?;
        Ok(Discovery {
            stop,
            ended,
            interrupters,
            thread,
        })
    }

    /// Is disconnected when the thread has ended. Before [`Discovery::stop`] that is a fault after which the cache
    /// would never change again, so that the process should end.
    #[must_use]
    pub fn ended(&self) -> &Receiver<Infallible> {
        &self.ended
    }

    /// Ends the threads, also in the middle of a slow response, and joins them.
    ///
    /// Takes two seconds at most: a thread that is still connecting then is left to its connect timeout.
    pub fn stop(self) {
        drop(self.stop);
        for interrupter in &self.interrupters {
            interrupter.interrupt();
        }
        if self.ended.recv_timeout(STOP_WAIT_MAX) == Err(RecvTimeoutError::Timeout) {
            debug!("discovery is still connecting and will end by itself");
        } else if self.thread.join().is_err() {
            error!("discovery ended with a panic");
        }
    }
}

/// The threads that ask, by name: one that polls all scopes, or one that watches for each of them.
fn followers(
    lister: Lister,
    namespaces: Vec<Option<String>>,
    settings: &DiscoverySettings,
    reporter: &Reporter,
) -> Vec<(String, Follower)> {
    let follower = |scopes, lister, pace| Follower {
        scopes,
        lister,
        pace,
        reporter: reporter.clone(),
    };
    let scopes = namespaces.into_iter().enumerate();
    if let (Lister::Api(client), Some(times)) = (&lister, settings.watch) {
        let watch = |(index, namespace): (usize, Option<String>)| {
            let name = match &namespace {
                Some(namespace) => format!("watch-{namespace}"),
                None => "watch".to_owned(),
            };
            let lister = Lister::Api(Box::new(client.another()));
            let scopes = vec![Scope::new(index, namespace)];
            (name, follower(scopes, lister, Pace::Watch(times)))
        };
        return scopes.map(watch).collect();
    }
    let scopes = scopes.map(|(index, namespace)| Scope::new(index, namespace));
    let pace = Pace::Poll(settings.interval);
    vec![("list".to_owned(), follower(scopes.collect(), lister, pace))]
}

/// The thread, and a channel that is disconnected when it ends, however it ends.
fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(JoinHandle<()>, Receiver<Infallible>), DiscoveryError> {
    let (ends, ended) = bounded(0);
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Dropped when the thread ends.
            let _ends: Sender<Infallible> = ends;
            run();
        })
        .map_err(DiscoveryError::Thread)?;
    Ok((thread, ended))
}
