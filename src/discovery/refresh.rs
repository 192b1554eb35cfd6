//! One refresh of the target cache after the other: list what is due, publish, say so in one line.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use log::{Level, debug, log};

use super::DiscoverySettings;
use super::backoff::Backoff;
use super::cache::{Moment, TargetCache};
use super::own_address::OwnAddress;
use super::source::{ListError, Lister};
use crate::target::{OptionError, Target, TargetSet};
use crate::telemetry::{RefreshResult, Telemetry};

/// The state of the cache thread.
#[derive(Debug)]
pub(super) struct Refresher {
    lister: Lister,
    scopes: Vec<Scope>,
    interval: Duration,
    own_address: Option<OwnAddress>,
    cache: TargetCache,
    telemetry: Arc<Telemetry>,
    stop: Receiver<Infallible>,
    /// What is published, or will be as soon as every scope has been answered.
    targets: Arc<TargetSet>,
    is_published: bool,
    /// The bad options that stand in the log already, by pod uid; those of pods that are gone are forgotten.
    reported: HashMap<String, OptionError>,
}

/// What one list is of, and how its lists went so far.
#[derive(Debug)]
struct Scope {
    /// `None`: all namespaces.
    namespace: Option<String>,
    due: Instant,
    backoff: Backoff,
    last_success: Option<Moment>,
    /// The API server has said no, which only a person can change.
    is_refused: bool,
    error: Option<Arc<str>>,
}

/// What the lists of one refresh came to.
#[derive(Debug, Default)]
struct Outcome {
    /// The namespaces that were listed, and their targets.
    listed: Vec<Option<String>>,
    targets: Vec<Target>,
    summary: Summary,
}

/// What the log says about the lists of one refresh.
#[derive(Debug, Default)]
struct Summary {
    failures: usize,
    first_failure: Option<Arc<str>>,
    has_recovered: bool,
}

impl Refresher {
    pub(super) fn new(
        settings: &DiscoverySettings,
        lister: Lister,
        cache: TargetCache,
        telemetry: Arc<Telemetry>,
        stop: Receiver<Infallible>,
    ) -> Refresher {
        let scopes = lister.scopes(&settings.namespaces);
        Refresher {
            lister,
            scopes: scopes.into_iter().map(Scope::new).collect(),
            interval: settings.interval,
            own_address: settings.own_address.map(OwnAddress::new),
            cache,
            telemetry,
            stop,
            targets: Arc::default(),
            is_published: false,
            reported: HashMap::new(),
        }
    }

    /// Refreshes until the other end of the channel is dropped.
    pub(super) fn run(mut self) {
        loop {
            let outcome = self.list_due();
            // A list that was interrupted is nobody's fault.
            if self.stop.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
            self.apply(outcome);
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
    fn list_due(&mut self) -> Outcome {
        let now = Instant::now();
        let mut outcome = Outcome::default();
        let mut succeeded = Vec::new();
        for scope in self.scopes.iter_mut().filter(|scope| scope.due <= now) {
            let begin = Moment::now();
            match self.lister.list(scope.namespace.as_deref()) {
                Ok(targets) => {
                    self.telemetry.count_refresh(RefreshResult::Ok);
                    outcome.summary.has_recovered |= scope.backoff.is_failing();
                    outcome.listed.push(scope.namespace.clone());
                    outcome.targets.extend(targets);
                    scope.succeeded(begin);
                    succeeded.push(scope);
                }
                Err(error) => {
                    self.telemetry.count_refresh(error.result());
                    let text = scope.failed(&error);
                    outcome.summary.failures += 1;
                    outcome.summary.first_failure.get_or_insert(text);
                }
            }
        }
        let due = Instant::now() + self.interval;
        for scope in succeeded {
            scope.due = due;
        }
        outcome
    }

    /// Publishes what changed and writes the line of this refresh.
    fn apply(&mut self, outcome: Outcome) {
        let counts = self.counts();
        let was_published = self.is_published;
        let is_changed =
            !outcome.listed.is_empty() && self.take_over(&outcome.listed, outcome.targets);
        if self.is_ready() && (is_changed || !self.is_published) {
            self.cache.publish(Arc::clone(&self.targets));
            self.is_published = true;
        }
        let last_success = self.scopes.iter().filter_map(|scope| scope.last_success);
        self.cache.set_outcome(
            last_success.min().filter(|_| self.is_published),
            self.scopes.iter().find_map(|scope| scope.error.clone()),
        );
        let bad = if is_changed {
            self.take_new_bad_options()
        } else {
            Vec::new()
        };
        let is_news = was_published != self.is_published || counts != self.counts();
        self.log(&outcome.summary, is_news, &bad);
    }

    /// Replaces the targets of the namespaces that were listed; true if that changed anything.
    fn take_over(&mut self, listed: &[Option<String>], mut targets: Vec<Target>) -> bool {
        if let Some(own_address) = &self.own_address {
            own_address.remove_self(&mut targets, &self.targets);
        }
        if !listed.contains(&None) {
            let kept = self.targets.targets().filter(|target| {
                let is_listed = |name: &Option<String>| name.as_ref() == Some(&target.namespace);
                !listed.iter().any(is_listed)
            });
            targets.extend(kept.map(|target| Target::clone(target)));
        }
        let targets = TargetSet::new(targets, &self.targets);
        let is_changed = targets != *self.targets;
        if is_changed {
            self.targets = Arc::new(targets);
        }
        is_changed
    }

    /// Whether the targets are complete: each scope has been listed, except those that may not be.
    fn is_ready(&self) -> bool {
        let is_listed = |scope: &Scope| scope.last_success.is_some();
        self.scopes.iter().any(is_listed)
            && self.scopes.iter().all(|s| is_listed(s) || s.is_refused)
    }

    /// Number of targets and of jobs.
    fn counts(&self) -> (usize, usize) {
        (self.targets.len(), self.targets.jobs().count())
    }

    /// One target of each pod with a bad option that was not reported before.
    fn take_new_bad_options(&mut self) -> Vec<Arc<Target>> {
        let mut reported = HashMap::new();
        let mut new = Vec::new();
        for target in self.targets.targets() {
            if let Err(error) = &target.options
                && reported.insert(target.uid.clone(), error.clone()).is_none()
                && self.reported.get(&target.uid) != Some(error)
            {
                new.push(Arc::clone(target));
            }
        }
        self.reported = reported;
        new
    }

    /// The one line of a refresh at info or above; what has no room in it goes to debug.
    fn log(&self, summary: &Summary, is_news: bool, bad: &[Arc<Target>]) {
        let level = if summary.failures > 0 || !bad.is_empty() {
            Level::Warn
        } else if summary.has_recovered || is_news {
            Level::Info
        } else {
            Level::Debug
        };
        let mut line = "pod list: ".to_owned();
        if let Some(failure) = &summary.first_failure {
            line += failure;
            if summary.failures > 1 {
                line += &format!(" (and {} more namespaces)", summary.failures - 1);
            }
            line += "; keeping ";
        }
        let (targets, jobs) = self.counts();
        line += &format!("{targets} targets in {jobs} jobs");
        let mut bad = bad.iter().filter_map(|target| bad_option(target));
        if let Some(first) = bad.next() {
            line += &format!("; option that cannot be used: {first}");
            let more: Vec<String> = bad.collect();
            if !more.is_empty() {
                line += &format!(" (and {} more pods)", more.len());
            }
            for text in more {
                debug!("option that cannot be used: {text}");
            }
        }
        log!(level, "{line}");
    }
}

/// Which pod and which option, escaped: a pod list file may hold anything.
fn bad_option(target: &Target) -> Option<String> {
    let error = target.options.as_ref().err()?;
    let name: String = target.to_string().chars().take(SHOWN_NAME_CHARS).collect();
    Some(format!("{name:?}: {error}"))
}

/// How much of a pod's name is shown. The API server takes 63 characters for a namespace and 253 for a pod.
const SHOWN_NAME_CHARS: usize = 320;

impl Scope {
    fn new(namespace: Option<String>) -> Scope {
        Scope {
            namespace,
            due: Instant::now(),
            backoff: Backoff::default(),
            last_success: None,
            is_refused: false,
            error: None,
        }
    }

    fn succeeded(&mut self, begin: Moment) {
        self.backoff.succeeded();
        self.last_success = Some(begin);
        self.is_refused = false;
        self.error = None;
    }

    /// Sets the next try, and returns what to say.
    fn failed(&mut self, error: &ListError) -> Arc<str> {
        self.due = Instant::now() + self.backoff.failed(error.retry_after());
        self.is_refused = error.is_refused();
        let text: Arc<str> = match &self.namespace {
            Some(namespace) => format!("namespace {namespace:?}: {error}").into(),
            None => error.to_string().into(),
        };
        self.error = Some(Arc::clone(&text));
        text
    }
}
