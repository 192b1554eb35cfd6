//! The cache thread: lists the pods again and again, and publishes what it finds in the [`TargetCache`].
//!
//! What is published is always a complete list, the last one that there was; readers take it without waiting for
//! anything. With `NAMESPACES` each namespace is listed by itself, with a back-off of its own, and keeps its last
//! targets while it cannot be listed: the others go on. The thread is named `discovery`; it waits on a channel, so that
//! [`Discovery::stop`] ends it at any time.

mod backoff;
mod cache;
mod own_address;
mod refresh;
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
pub use source::{NotInCluster, Source};

use crate::kubernetes::client::Interrupter;
use crate::kubernetes::error::BadUrl;
use crate::telemetry::Telemetry;
use refresh::Refresher;
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
    /// From the end of one list to the beginning of the next.
    pub interval: Duration,
    /// Where this program listens, so that it does not scrape itself.
    pub own_address: Option<SocketAddr>,
}

/// Why discovery cannot start.
#[derive(Debug)]
pub enum DiscoveryError {
    /// The URL of the API server cannot be used.
    Url(BadUrl),
    /// The thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscoveryError::Url(error) => error.fmt(f),
            DiscoveryError::Thread(error) => write!(f, "thread discovery: {error}"),
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

/// The running cache thread.
#[derive(Debug)]
pub struct Discovery {
    stop: Sender<Infallible>,
    ended: Receiver<Infallible>,
    interrupter: Interrupter,
    thread: JoinHandle<()>,
}

impl Discovery {
    /// Starts the thread, which lists at once. It retries for ever: an API server that is down is no error here.
    ///
    /// # Errors
    ///
    /// When the URL of the API server cannot be used, or the thread not be started.
    pub fn start(
        settings: &DiscoverySettings,
        cache: TargetCache,
        telemetry: Arc<Telemetry>,
    ) -> Result<Discovery, DiscoveryError> {
        let (stop, stopped) = bounded(0);
        let (ends, ended) = bounded(0);
        let (lister, interrupter) = Lister::new(settings).map_err(DiscoveryError::Url)?;
        let refresher = Refresher::new(settings, lister, cache, telemetry, stopped);
        let thread = thread::Builder::new()
            .name("discovery".to_owned())
            .spawn(move || {
                // Dropped when the thread ends, however it ends.
                let _ends: Sender<Infallible> = ends;
                refresher.run();
            })
            .map_err(DiscoveryError::Thread)?;
        Ok(Discovery {
            stop,
            ended,
            interrupter,
            thread,
        })
    }

    /// Is disconnected when the thread has ended. Before [`Discovery::stop`] that is a fault after which the cache
    /// would never change again, so that the process should end.
    #[must_use]
    pub fn ended(&self) -> &Receiver<Infallible> {
        &self.ended
    }

    /// Ends the thread, also in the middle of a slow answer, and joins it.
    ///
    /// Takes two seconds at most: a thread that is still connecting then is left to its connect timeout.
    pub fn stop(self) {
        drop(self.stop);
        self.interrupter.interrupt();
        if self.ended.recv_timeout(STOP_WAIT_MAX) == Err(RecvTimeoutError::Timeout) {
            debug!("discovery is still connecting and will end by itself");
        } else if self.thread.join().is_err() {
            error!("discovery ended with a panic");
        }
    }
}
