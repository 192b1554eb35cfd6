//! `CACHE_UPDATE_MODE=poll`: lists again and again, on the cache thread itself.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::backoff::Backoff;
use super::publisher::{News, Publisher, Refresh};
use super::source::Lister;

/// The state of the cache thread.
#[derive(Debug)]
pub(super) struct Poller {
    lister: Lister,
    scopes: Vec<Scope>,
    interval: Duration,
    publisher: Publisher,
    stop: Receiver<Infallible>,
}

/// When what is listed next.
#[derive(Debug)]
struct Scope {
    /// `None`: all namespaces.
    namespace: Option<String>,
    due: Instant,
    backoff: Backoff,
}

impl Poller {
    pub(super) fn new(
        lister: Lister,
        namespaces: Vec<Option<String>>,
        interval: Duration,
        publisher: Publisher,
        stop: Receiver<Infallible>,
    ) -> Poller {
        let scope = |namespace| Scope {
            namespace,
            due: Instant::now(),
            backoff: Backoff::default(),
        };
        Poller {
            lister,
            scopes: namespaces.into_iter().map(scope).collect(),
            interval,
            publisher,
            stop,
        }
    }

    /// Refreshes until the other end of the channel is dropped.
    pub(super) fn run(mut self) {
        loop {
            let refresh = self.list_due();
            // A list that was interrupted is nobody's fault.
            if self.stop.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
            self.publisher.apply(refresh);
            let due = self.scopes.iter().map(|scope| scope.due).min();
            let wait = due.map_or(self.interval, |due| {
                due.saturating_duration_since(Instant::now())
            });
            if self.stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Lists what is due. The ones that succeed are due together again, so that they stay one refresh.
    fn list_due(&mut self) -> Refresh {
        let now = Instant::now();
        let mut refresh = Refresh::default();
        let mut succeeded = Vec::new();
        let due = self.scopes.iter_mut().enumerate();
        for (index, scope) in due.filter(|(_, scope)| scope.due <= now) {
            let begin = Instant::now();
            let namespace = scope.namespace.as_deref();
            match self.lister.list(namespace) {
                Ok(targets) => {
                    refresh.news.push((index, News::Listed(begin)));
                    refresh.listed.extend(targets);
                    scope.backoff.succeeded();
                    succeeded.push(scope);
                }
                Err(error) => {
                    scope.due = Instant::now() + scope.backoff.failed(error.retry_after());
                    refresh.news.push((index, News::Failed(error)));
                }
            }
        }
        let due = Instant::now() + self.interval;
        for scope in succeeded {
            scope.due = due;
        }
        refresh
    }
}
