//! `CACHE_UPDATE_MODE=watch`: a thread for each namespace (or one for all) lists once and then follows the watch; the
//! cache thread gathers what they learn and publishes it a few times a second at most.
//!
//! A watch goes on from the last resource version that was seen, so a connection that breaks costs no list. What a
//! watch cannot be trusted with any more (410, a line that is none, a right that is missing) is listed again. Every
//! pause comes from one [`Backoff`], which only a watch that went well for a while resets: however an API server
//! misbehaves, it is not asked in a loop.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, select};
use log::{debug, error};

use super::WatchTimes;
use super::backoff::{Backoff, random_fraction};
use super::publisher::{News, Publisher, Refresh};
use super::source::ListError;
use crate::kubernetes::client::ApiClient;
use crate::kubernetes::error::ClientError;
use crate::kubernetes::url::Freshness;
use crate::kubernetes::watch::PodEvent;
use crate::target::Target;

/// The least time between two published sets. Hundreds of changes, as a rollout brings them, then cost a handful of
/// new sets; one alone is published at once.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

/// Messages that wait for the cache thread. Beyond that the watches wait, and TCP holds back the API server.
pub(super) const MESSAGES_MAX: usize = 256;

/// What a watch thread tells the cache thread.
#[derive(Debug)]
pub(super) struct Message {
    /// Index of what it watches.
    scope: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Listed(Instant, Vec<Arc<Target>>),
    Event(Instant, PodEvent),
    /// A watch was begun, or ended in good order.
    Current(Instant),
    Failed(ListError),
    /// The thread has ended.
    Ended,
}

/// One watch, and its thread's state.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) scope: usize,
    /// `None`: all namespaces.
    pub(super) namespace: Option<String>,
    pub(super) client: ApiClient,
    pub(super) times: WatchTimes,
    pub(super) messages: Sender<Message>,
    pub(super) stop: Receiver<Infallible>,
}

/// [`super::Discovery::stop`] was called.
struct Stopped;

/// What the thread does next.
enum Step {
    List(Freshness),
    Watch,
}

/// How far a thread has come.
struct Progress {
    resource_version: String,
    list_due: Instant,
    backoff: Backoff,
}

impl Watcher {
    /// Lists and watches until the other end of the channel is dropped.
    pub(super) fn run(mut self) {
        let _end = EndGuard {
            scope: self.scope,
            messages: self.messages.clone(),
        };
        let mut progress = Progress {
            resource_version: String::new(),
            list_due: Instant::now(),
            backoff: Backoff::default(),
        };
        let mut step = Ok(Step::List(Freshness::Any));
        while let Ok(next) = step {
            step = match next {
                Step::List(freshness) => self.list(freshness, &mut progress),
                Step::Watch => self.watch(&mut progress),
            };
        }
    }

    fn list(&mut self, freshness: Freshness, progress: &mut Progress) -> Result<Step, Stopped> {
        let begin = Instant::now();
        let namespace = self.namespace.as_deref();
        match self.client.list_pods(namespace, &freshness) {
            Ok(list) => {
                progress.resource_version = list.resource_version;
                progress.list_due = Instant::now() + self.times.full_list;
                self.send(Content::Listed(begin, list.targets))?;
                Ok(Step::Watch)
            }
            Err(error) => {
                // A server may not have seen the version yet, or not any more.
                let freshness = match freshness {
                    Freshness::NotOlderThan(_) if error.status().is_some() => Freshness::Latest,
                    freshness => freshness,
                };
                self.fail(ListError::Client(error), &mut progress.backoff)?;
                Ok(Step::List(freshness))
            }
        }
    }

    fn watch(&mut self, progress: &mut Progress) -> Result<Step, Stopped> {
        let begin = Instant::now();
        let until_list = progress.list_due.saturating_duration_since(begin);
        if until_list < Duration::from_secs(1) {
            return Ok(Step::List(Freshness::NotOlderThan(
                progress.resource_version.clone(),
            )));
        }
        let timeout = self.times.server_timeout.mul_f64(1.0 + random_fraction());
        let result = self.follow(&mut progress.resource_version, timeout.min(until_list))?;
        let was_steady = begin.elapsed() >= self.times.steady;
        if was_steady {
            progress.backoff.succeeded();
        }
        match result {
            Ok(()) => {
                // The server's timeout; or something that ends each watch at once.
                if !was_steady {
                    self.pause(progress.backoff.failed(None))?;
                }
                Ok(Step::Watch)
            }
            Err(error) => self.after_failure(error, was_steady, progress),
        }
    }

    /// Passes the events on until the watch ends.
    fn follow(
        &mut self,
        resource_version: &mut String,
        timeout: Duration,
    ) -> Result<Result<(), ClientError>, Stopped> {
        let (namespace, idle) = (self.namespace.as_deref(), self.times.idle);
        let watch = self
            .client
            .watch_pods(namespace, resource_version, timeout, idle);
        let mut watch = match watch {
            Ok(watch) => watch,
            Err(error) => return Ok(Err(error)),
        };
        self.send(Content::Current(Instant::now()))?;
        loop {
            match watch.next_event() {
                Ok(Some(event)) => {
                    resource_version.clear();
                    resource_version.push_str(watch.resource_version());
                    self.send(Content::Event(Instant::now(), event))?;
                }
                Ok(None) => {
                    self.send(Content::Current(Instant::now()))?;
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn after_failure(
        &mut self,
        error: ClientError,
        was_steady: bool,
        progress: &mut Progress,
    ) -> Result<Step, Stopped> {
        let step = match (&error, error.status()) {
            // What is too old for a watch is too old for a list too.
            (_, Some(410)) => Step::List(Freshness::Latest),
            (_, Some(401 | 429 | 500..)) => Step::Watch,
            (ClientError::Malformed(_) | ClientError::TooLarge { .. }, _) | (_, Some(_)) => {
                Step::List(Freshness::NotOlderThan(progress.resource_version.clone()))
            }
            _ => Step::Watch,
        };
        // A connection that broke after a good while is taken up again, and a version that became too old replaced,
        // without anybody having to hear of it; the second time in a row is a fault.
        let is_usual = match &step {
            Step::List(Freshness::Latest) => !progress.backoff.is_failing(),
            Step::Watch => was_steady && error.status().is_none(),
            Step::List(_) => false,
        };
        if is_usual {
            debug!("watch: {error}");
            if matches!(step, Step::List(_)) {
                // Takes note only: the next failure in a row waits.
                progress.backoff.failed(None);
            }
            self.check_stop()?;
        } else {
            self.fail(ListError::Watch(error), &mut progress.backoff)?;
        }
        Ok(step)
    }

    /// Reports the failure and waits until it is time to try again.
    fn fail(&self, error: ListError, backoff: &mut Backoff) -> Result<(), Stopped> {
        // What was interrupted is nobody's fault.
        self.check_stop()?;
        let wait = backoff.failed(error.retry_after());
        self.send(Content::Failed(error))?;
        self.pause(wait)
    }

    fn check_stop(&self) -> Result<(), Stopped> {
        match self.stop.try_recv() {
            Err(TryRecvError::Empty) => Ok(()),
            _ => Err(Stopped),
        }
    }

    fn pause(&self, wait: Duration) -> Result<(), Stopped> {
        match self.stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Stopped),
        }
    }

    /// The cache thread drops its end of the channel when it stops.
    fn send(&self, content: Content) -> Result<(), Stopped> {
        let scope = self.scope;
        self.messages
            .send(Message { scope, content })
            .map_err(|_| Stopped)
    }
}

/// Tells the cache thread of the end of a watch thread, however it ends.
struct EndGuard {
    scope: usize,
    messages: Sender<Message>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        // The cache thread may have ended before.
        let _ = self.messages.send(Message {
            scope: self.scope,
            content: Content::Ended,
        });
    }
}

/// The cache thread's side.
#[derive(Debug)]
pub(super) struct Gatherer {
    pub(super) publisher: Publisher,
    pub(super) messages: Receiver<Message>,
    pub(super) stop: Receiver<Infallible>,
    pub(super) watchers: Vec<JoinHandle<()>>,
}

impl Gatherer {
    /// Publishes what the watch threads send until the other end of `stop` is dropped, or one of them ends.
    pub(super) fn run(mut self) {
        let mut publish_at = Instant::now();
        while let Ok(message) = self.next() {
            if self.gather(message, publish_at).is_err() {
                break;
            }
            publish_at = Instant::now() + PUBLISH_INTERVAL;
        }
        // Whoever is sending is let go before it is waited for.
        drop(self.messages);
        for watcher in self.watchers {
            if watcher.join().is_err() {
                error!("a watch ended with a panic");
            }
        }
    }

    /// Publishes together what comes until then.
    fn gather(&mut self, mut message: Message, publish_at: Instant) -> Result<(), Stopped> {
        let mut refresh = Refresh::default();
        loop {
            let is_list = matches!(message.content, Content::Listed(..));
            if is_list && !refresh.is_before_list(message.scope) {
                self.publisher.apply(std::mem::take(&mut refresh));
            }
            message.add_to(&mut refresh)?;
            let left = publish_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.next_within(left)? {
                Some(next) => message = next,
                None => break,
            }
        }
        self.publisher.apply(refresh);
        Ok(())
    }

    fn next(&self) -> Result<Message, Stopped> {
        select! {
            recv(self.messages) -> message => message.map_err(|_| Stopped),
            recv(self.stop) -> _ => Err(Stopped),
        }
    }

    /// `None` after the timeout.
    fn next_within(&self, timeout: Duration) -> Result<Option<Message>, Stopped> {
        select! {
            recv(self.messages) -> message => message.map(Some).map_err(|_| Stopped),
            recv(self.stop) -> _ => Err(Stopped),
            default(timeout) => Ok(None),
        }
    }
}

impl Message {
    /// `Stopped` when it says that its sender has ended.
    fn add_to(self, refresh: &mut Refresh) -> Result<(), Stopped> {
        let news = match self.content {
            Content::Listed(begin, targets) => {
                refresh.listed.extend(targets);
                News::Listed(begin)
            }
            Content::Event(moment, event) => {
                if let PodEvent::Changed { uid, targets } = event {
                    refresh.changed.insert(uid, targets);
                }
                News::Current(moment)
            }
            Content::Current(moment) => News::Current(moment),
            Content::Failed(error) => News::Failed(error),
            Content::Ended => return Err(Stopped),
        };
        refresh.news.push((self.scope, news));
        Ok(())
    }
}
