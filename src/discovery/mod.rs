//! Discovery: finds the pods by polling or by a watch, and publishes their targets in the [`TargetCache`].
//!
//! A published set is always complete: it has the last complete list and every change that the watch has shown since.
//! Readers take it without waiting. With `NAMESPACES` each namespace is listed or watched separately and has its own
//! back-off. A namespace that cannot be listed keeps its last targets, and the others are not affected.
//!
//! The thread `discovery` (the cache thread) publishes what other threads find: one thread `list`, which polls all
//! namespaces in turn, so that their number has no limit, or one thread `watch` for each namespace.

mod backoff;
mod cache;
mod cache_thread;
mod cache_writer;
mod follower;
mod own_address;
mod source;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

pub use cache::TargetCache;
pub use source::PodSource;

use crate::telemetry::Telemetry;
use cache_thread::REPORTS_MAX;
use cache_writer::CacheWriter;
use follower::{Follower, Pace, PodScope, Reporter};
use source::Lister;

/// How long [`Discovery::stop`] waits for the thread, which is never busy for so long.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

/// Where to find pods, and how often to look.
#[derive(Debug, Clone)]
pub struct DiscoverySettings {
    /// Where the pods are listed.
    pub source: PodSource,
    /// The namespaces to list; empty: all.
    pub namespaces: Vec<String>,
    /// The pause between two lists, without a watch.
    pub interval: Duration,
    /// The times of a watch, to follow one instead of polling; ignored for a file.
    pub watch: Option<WatchTimes>,
    /// The address of this program, so that it does not scrape itself.
    pub own_address: Option<SocketAddr>,
}

/// The times of a watch.
#[derive(Debug, Clone, Copy)]
pub struct WatchTimes {
    /// The time between two complete lists, in case a watch ever missed a change. Defaults to ten minutes.
    pub full_list: Duration,
    /// The `timeoutSeconds` after which the API server is asked to end the watch. A random time of up to the same
    /// length is added, so that watches do not all start again together. Defaults to five minutes, as in client-go.
    pub server_timeout: Duration,
    /// After this time without an event the connection counts as dead, and the watch is started again. An API server
    /// sends a bookmark each minute; one that does not is asked a little more often, which costs almost nothing.
    /// Defaults to 150 s: two missing bookmarks and a margin.
    pub idle: Duration,
    /// A watch that lasted this long resets the back-off. Defaults to 30 s.
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

/// The running cache thread, and the watch threads if there are any.
#[derive(Debug)]
pub struct Discovery {
    stop: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

impl Discovery {
    /// Starts the threads, which list at once. They retry for ever, so an API server that is down is not an error here.
    ///
    /// # Errors
    ///
    /// The URL of the API server is invalid, or a thread cannot be started.
    pub fn start(
        settings: &DiscoverySettings,
        cache: TargetCache,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<Discovery> {
        let (stop, stopped) = bounded(0);
        let (sender, reports) = bounded(REPORTS_MAX);
        let lister = Lister::new(settings)?;
        let scopes = source::scopes(settings);
        let writer = CacheWriter::new(settings, scopes.clone(), cache, telemetry);
        let reporter = Reporter {
            reports: sender,
            stop: stopped.clone(),
        };
        for (name, follower) in followers(lister, scopes, settings, &reporter) {
            spawn(&name, move || follower.run())?;
        }
        let (ends, ended) = bounded(0);
        spawn("discovery", move || {
            // Dropped when the thread ends, even by a panic.
            let _ends: Sender<Infallible> = ends;
            cache_thread::run(writer, &reports, &stopped);
        })?;
        Ok(Discovery { stop, ended })
    }

    /// Is disconnected once the thread has ended. If that happens before [`Discovery::stop`], the cache would never
    /// change again, so the process should end.
    #[must_use]
    pub fn ended(&self) -> &Receiver<Infallible> {
        &self.ended
    }

    /// Ends the cache thread, after which nothing is published, and waits for it.
    ///
    /// It does not wait for a thread that waits for the API server: that ends at the response, or at its timeout.
    pub fn stop(self) {
        drop(self.stop);
        // Nothing is ever sent: the thread drops its end.
        let _ = self.ended.recv_timeout(STOP_WAIT_MAX);
    }
}

/// The threads to start, by name: one that polls all scopes, or one for each scope that watches it.
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
    let scopes = scopes.map(|(index, namespace)| PodScope::new(index, namespace));
    let (Lister::Api(_), Some(times)) = (&lister, settings.watch) else {
        let pace = Pace::Poll(settings.interval);
        return vec![("list".to_owned(), follower(scopes.collect(), lister, pace))];
    };
    let watch = |scope: PodScope| {
        let name = match &scope.namespace {
            Some(namespace) => format!("watch-{namespace}"),
            None => "watch".to_owned(),
        };
        let pace = Pace::Watch(times);
        (name, follower(vec![scope], lister.clone(), pace))
    };
    scopes.map(watch).collect()
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread
        .map(drop)
        .map_err(|error| io::Error::new(error.kind(), format!("thread {name}: {error}")))
}
