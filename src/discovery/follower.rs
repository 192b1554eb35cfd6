//! The threads that list and watch pods.
//!
//! A scope is one namespace, or all of them. Polling and watching run the same loop: wait until a scope is due, do its
//! next step, and report the outcome. A watch continues from the last resource version that was seen, so a broken
//! connection does not cost a list. When a watch can no longer be trusted (410, a malformed line, a missing right), the
//! pods are listed again. Every pause after a failure comes from the scope's [`Backoff`], which a watch resets only
//! after it went well for a while. So the API server is never asked in a loop, however it misbehaves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::debug;

use super::WatchTimes;
use super::backoff::{Backoff, random_fraction};
use super::source::{ListError, Lister};
use crate::kubernetes::client::ApiClient;
use crate::kubernetes::error::ClientError;
use crate::kubernetes::url::Freshness;
use crate::kubernetes::watch::PodEvent;
use crate::target::Target;

/// The outcome of a list or a watch.
#[derive(Debug)]
pub(super) enum ListOutcome {
    /// A complete list, and when it began.
    Listed(Instant, Vec<Arc<Target>>),
    /// An event of a watch.
    Event(Instant, PodEvent),
    /// The watch continues: all changes up to this time are known.
    Current(Instant),
    Failed(ListError),
}

/// What a thread reports to the cache thread.
#[derive(Debug)]
pub(super) enum Message {
    /// Outcomes that belong together, each with the index of its scope.
    Outcomes(Vec<(usize, ListOutcome)>),
    /// The thread has ended.
    Ended,
}

/// [`super::Discovery::stop`] was called.
#[derive(Debug)]
pub(super) struct Stopped;

/// How a thread keeps its scopes up to date.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// It lists again after this pause.
    Poll(Duration),
    /// It follows a watch.
    Watch(WatchTimes),
}

/// One thread and its scopes.
#[derive(Debug)]
pub(super) struct Follower {
    /// At least one; with a watch exactly one, since a watch occupies the thread.
    pub(super) scopes: Vec<PodScope>,
    pub(super) lister: Lister,
    pub(super) pace: Pace,
    pub(super) reporter: Reporter,
}

/// One namespace or all of them: listed or watched separately from others.
#[derive(Debug)]
pub(super) struct PodScope {
    index: usize,
    /// `None`: all namespaces.
    pub(super) namespace: Option<String>,
    /// The next list, if that comes next; `None`: the watch.
    next_list: Option<Freshness>,
    due: Instant,
    backoff: Backoff,
    /// The resource version from which the watch continues.
    resource_version: String,
    /// When the watch is interrupted for a complete list.
    list_due: Instant,
}

impl Follower {
    /// Runs until the other end of `stop` is dropped.
    pub(super) fn run(mut self) {
        let _guard = EndGuard(self.reporter.reports.clone());
        while self.round().is_ok() {}
    }

    /// Waits for the scope that is due first. Scopes that are due together are reported together.
    fn round(&mut self) -> Result<(), Stopped> {
        let due = self.scopes.iter().map(|scope| scope.due).min();
        self.reporter.wait_until(due.unwrap_or_else(Instant::now))?;
        let begin = Instant::now();
        let mut outcomes = Vec::new();
        for scope in self.scopes.iter_mut().filter(|scope| scope.due <= begin) {
            let outcome = match (&scope.next_list, self.pace, &mut self.lister) {
                (None, Pace::Watch(times), Lister::Api(client)) => {
                    scope.watch(client, times, &self.reporter)?
                }
                (_, pace, lister) => Some(scope.list(lister, pace)),
            };
            outcomes.extend(outcome.map(|outcome| (scope.index, outcome)));
        }
        if let Pace::Poll(interval) = self.pace {
            // Scopes that were listed together will be due together again.
            let due = Instant::now() + interval;
            for scope in self.scopes.iter_mut().filter(|scope| scope.due <= begin) {
                scope.due = due;
            }
        }
        self.reporter.report(outcomes)
    }
}

impl PodScope {
    /// A scope that is due at once.
    pub(super) fn new(index: usize, namespace: Option<String>) -> PodScope {
        PodScope {
            index,
            namespace,
            next_list: Some(Freshness::Any),
            due: Instant::now(),
            backoff: Backoff::default(),
            resource_version: String::new(),
            list_due: Instant::now(),
        }
    }

    fn list(&mut self, lister: &mut Lister, pace: Pace) -> ListOutcome {
        let begin = Instant::now();
        let freshness = self.next_list.clone().unwrap_or(Freshness::Any);
        match lister.list(self.namespace.as_deref(), &freshness) {
            Ok(list) => {
                match pace {
                    Pace::Poll(_) => self.backoff.succeeded(),
                    Pace::Watch(times) => {
                        self.next_list = None;
                        self.list_due = Instant::now() + times.full_list;
                    }
                }
                self.resource_version = list.resource_version;
                ListOutcome::Listed(begin, list.targets)
            }
            Err(error) => {
                // The server may not have this version yet, or no longer.
                if matches!(freshness, Freshness::NotOlderThan(_)) && error.status().is_some() {
                    self.next_list = Some(Freshness::Latest);
                }
                self.fail(error)
            }
        }
    }

    /// Follows a watch until it ends. `None` if there is nothing to report.
    fn watch(
        &mut self,
        client: &mut ApiClient,
        times: WatchTimes,
        reporter: &Reporter,
    ) -> Result<Option<ListOutcome>, Stopped> {
        let begin = Instant::now();
        let until_list = self.list_due.saturating_duration_since(begin);
        if until_list < Duration::from_secs(1) {
            self.list_again();
            return Ok(None);
        }
        let timeout = times.server_timeout.mul_f64(1.0 + random_fraction());
        let result = self.follow(client, timeout.min(until_list), times.idle, reporter)?;
        let was_steady = begin.elapsed() >= times.steady;
        if was_steady {
            self.backoff.succeeded();
        }
        match result {
            // The server's timeout, or something that ends each watch at once.
            Ok(()) if was_steady => Ok(None),
            Ok(()) => {
                self.due = Instant::now() + self.backoff.failed(None);
                Ok(None)
            }
            Err(error) => Ok(self.after_failure(error, was_steady)),
        }
    }

    /// Reports the events until the watch ends.
    fn follow(
        &mut self,
        client: &mut ApiClient,
        timeout: Duration,
        idle: Duration,
        reporter: &Reporter,
    ) -> Result<Result<(), ClientError>, Stopped> {
        let report = |outcome| reporter.report(vec![(self.index, outcome)]);
        let namespace = self.namespace.as_deref();
        let mut watch = match client.watch_pods(namespace, &self.resource_version, timeout, idle) {
            Ok(watch) => watch,
            Err(error) => return Ok(Err(error)),
        };
        report(ListOutcome::Current(Instant::now()))?;
        loop {
            match watch.next_event() {
                Ok(Some(event)) => {
                    self.resource_version.clone_from(&watch.resource_version);
                    report(ListOutcome::Event(Instant::now(), event))?;
                }
                Ok(None) => {
                    report(ListOutcome::Current(Instant::now()))?;
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn after_failure(&mut self, error: ClientError, was_steady: bool) -> Option<ListOutcome> {
        let status = error.status();
        match (&error, status) {
            // A version that is too old for a watch is also too old for a list.
            (_, Some(410)) => self.next_list = Some(Freshness::Latest),
            (_, Some(401 | 429 | 500..)) => {}
            (ClientError::Malformed(_) | ClientError::TooLarge(_), _) | (_, Some(_)) => {
                self.list_again();
            }
            _ => {}
        }
        // A connection that breaks after a good while and a version that became too old are normal, so they are not
        // reported; the second in a row is a fault.
        let is_usual = match status {
            Some(410) => !self.backoff.is_failing(),
            Some(_) => false,
            None => was_steady && self.next_list.is_none(),
        };
        if !is_usual {
            return Some(self.fail(ListError::Watch(error)));
        }
        debug!("watch: {error}");
        if status.is_some() {
            // Counts the failure, so that the next one in a row waits.
            self.backoff.failed(None);
        }
        None
    }

    fn list_again(&mut self) {
        let seen = self.resource_version.clone();
        self.next_list = Some(Freshness::NotOlderThan(seen));
    }

    fn fail(&mut self, error: ListError) -> ListOutcome {
        self.due = Instant::now() + self.backoff.failed(error.retry_after());
        ListOutcome::Failed(error)
    }
}

/// The channel to the cache thread, and the one by which the thread is stopped.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    pub(super) reports: Sender<Message>,
    pub(super) stop: Receiver<Infallible>,
}

impl Reporter {
    fn report(&self, outcomes: Vec<(usize, ListOutcome)>) -> Result<(), Stopped> {
        if outcomes.is_empty() {
            return Ok(());
        }
        // The cache thread drops its end of the channel when it stops.
        self.reports
            .send(Message::Outcomes(outcomes))
            .map_err(|_| Stopped)
    }

    fn wait_until(&self, due: Instant) -> Result<(), Stopped> {
        let wait = due.saturating_duration_since(Instant::now());
        match self.stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Stopped),
        }
    }
}

/// Reports the end of the thread to the cache thread, even after a panic.
struct EndGuard(Sender<Message>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        // The cache thread may have ended earlier.
        let _ = self.0.send(Message::Ended);
    }
}
