//! Combines the outcomes of lists and watches into target sets, publishes these, and logs one line for each refresh.
//! Runs in the cache thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use log::{Level, debug, log};

use super::DiscoverySettings;
use super::cache::TargetCache;
use super::follower::ListOutcome;
use super::own_address::OwnAddress;
use super::source::ListError;
use crate::kubernetes::watch::PodEvent;
use crate::target::{Excerpt, Target, TargetSet};
use crate::telemetry::{RefreshResult, Telemetry};

/// How much of a pod's name is shown. The API server takes 63 characters for a namespace and 253 for a pod.
const SHOWN_NAME_CHARS: usize = 320;

/// How many pods with invalid options the log line of a refresh names.
const NAMED_MAX: usize = 10;

/// The published targets, and how current they are.
#[derive(Debug)]
pub(super) struct CacheWriter {
    scopes: Vec<ScopeStatus>,
    own_address: Option<OwnAddress>,
    cache: TargetCache,
    telemetry: Arc<Telemetry>,
    /// The targets that are published, or will be once every scope has been listed.
    targets: Arc<TargetSet>,
    is_published: bool,
    pending: Refresh,
}

/// The state of the lists and watches of one scope.
#[derive(Debug, Default)]
struct ScopeStatus {
    /// `None`: all namespaces.
    namespace: Option<String>,
    last_success: Option<Instant>,
    /// The API server denied the request (403); only a person can change that.
    is_refused: bool,
    error: Option<Arc<str>>,
}

/// Changes that are published together. The lists among them are older than the changes of single pods.
#[derive(Debug, Default)]
struct Refresh {
    /// The scopes that were listed.
    listed: Vec<usize>,
    /// The targets of all of them.
    targets: Vec<Arc<Target>>,
    /// The targets of single pods by uid; an empty list for a pod that no longer has any.
    changed: HashMap<String, Vec<Arc<Target>>>,
    /// Results to count once the targets are published.
    results: Vec<RefreshResult>,
    failures: Vec<Arc<str>>,
    has_recovered: bool,
}

impl CacheWriter {
    /// `scopes`: the namespace of each, `None` for all.
    pub(super) fn new(
        settings: &DiscoverySettings,
        scopes: Vec<Option<String>>,
        cache: TargetCache,
        telemetry: Arc<Telemetry>,
    ) -> CacheWriter {
        let status = |namespace| ScopeStatus {
            namespace,
            ..ScopeStatus::default()
        };
        CacheWriter {
            scopes: scopes.into_iter().map(status).collect(),
            own_address: settings.own_address.map(OwnAddress),
            cache,
            telemetry,
            targets: Arc::default(),
            is_published: false,
            pending: Refresh::default(),
        }
    }

    /// Records an outcome, which the next [`CacheWriter::publish`] publishes.
    pub(super) fn add(&mut self, scope: usize, outcome: ListOutcome) {
        match outcome {
            ListOutcome::Listed(begin, targets) => {
                // A list replaces all changes that came before it.
                if self.pending.listed.contains(&scope) || !self.pending.changed.is_empty() {
                    self.publish();
                }
                self.pending.results.push(RefreshResult::Ok);
                self.succeeded(scope, begin);
                self.pending.listed.push(scope);
                self.pending.targets.extend(targets);
            }
            ListOutcome::Event(at, event) => {
                self.succeeded(scope, at);
                if let PodEvent::Changed { uid, targets } = event {
                    self.pending.changed.insert(uid, targets);
                }
            }
            ListOutcome::Current(at) => self.succeeded(scope, at),
            ListOutcome::Failed(error) => {
                self.pending.results.push(error.result());
                let text = self.scopes[scope].failed(&error);
                self.pending.failures.push(text);
            }
        }
    }

    fn succeeded(&mut self, scope: usize, at: Instant) {
        let status = &mut self.scopes[scope];
        self.pending.has_recovered |= status.error.is_some();
        status.last_success = Some(at);
        status.is_refused = false;
        status.error = None;
    }

    /// Publishes the changes since the last call, and writes the log line of this refresh.
    pub(super) fn publish(&mut self) {
        let mut refresh = std::mem::take(&mut self.pending);
        let (previous, counts) = (Arc::clone(&self.targets), self.counts());
        let was_published = self.is_published;
        let is_changed = (!refresh.listed.is_empty() || !refresh.changed.is_empty())
            && self.take_over(&mut refresh);
        if self.is_ready() && (is_changed || !self.is_published) {
            self.cache.publish(Arc::clone(&self.targets));
            self.is_published = true;
        }
        let last_success = self.scopes.iter().filter_map(|scope| scope.last_success);
        self.cache.set_outcome(
            last_success.min().filter(|_| self.is_published),
            self.scopes.iter().find_map(|scope| scope.error.clone()),
        );
        for result in &refresh.results {
            self.telemetry.refreshes.count(*result);
        }
        let invalid = is_changed.then(|| self.new_invalid(&previous));
        // Changes by a watch are logged at debug, because a rollout must not fill the log.
        let is_news = was_published != self.is_published
            || (!refresh.listed.is_empty() && counts != self.counts());
        self.log(&refresh, is_news, &invalid.unwrap_or_default());
    }

    /// Replaces the targets of the namespaces that were listed and those of the pods that changed; true if that
    /// changed anything.
    fn take_over(&mut self, refresh: &mut Refresh) -> bool {
        let changed = &mut refresh.changed;
        let mut new = std::mem::take(&mut refresh.targets);
        new.retain(|target| !changed.contains_key(&target.uid));
        new.extend(changed.values_mut().flat_map(std::mem::take));
        if let Some(own_address) = &self.own_address {
            own_address.remove_self(&mut new, &self.targets);
        }
        let is_listed = |namespace: &str| {
            let mut listed = refresh.listed.iter().map(|scope| &self.scopes[*scope]);
            listed.any(|scope| scope.namespace.as_deref().is_none_or(|n| n == namespace))
        };
        let kept = self
            .targets
            .all()
            .filter(|target| !is_listed(&target.namespace) && !changed.contains_key(&target.uid));
        let Some(targets) = self.targets.updated(kept.cloned().chain(new)) else {
            return false;
        };
        self.targets = Arc::new(targets);
        true
    }

    /// Whether the targets are complete: every scope has been listed, except those that are denied.
    fn is_ready(&self) -> bool {
        let is_listed = |scope: &ScopeStatus| scope.last_success.is_some();
        self.scopes.iter().any(is_listed)
            && self.scopes.iter().all(|s| is_listed(s) || s.is_refused)
    }

    /// Number of targets and of jobs.
    fn counts(&self) -> (usize, usize) {
        (self.targets.targets().count(), self.targets.jobs().count())
    }

    /// Each pod with an invalid option that it did not have in the previous set: its name, escaped because a pod list
    /// file may contain anything, and the error.
    fn new_invalid(&self, previous: &TargetSet) -> Vec<String> {
        fn pod(target: &Target) -> (&str, &str) {
            (&target.uid, &target.pod)
        }
        let known = previous
            .invalid()
            .map(|(target, error)| (pod(target), error));
        let known: HashSet<_> = known.collect();
        let mut pods = HashSet::new();
        let new = self.targets.invalid().filter(|(target, error)| {
            !known.contains(&(pod(target), *error)) && pods.insert(pod(target))
        });
        new.map(|(target, error)| {
            let name = target.to_string();
            format!("{}: {error}", Excerpt(&name, SHOWN_NAME_CHARS))
        })
        .collect()
    }

    /// The one line of a refresh at info or above; pods that do not fit are logged at debug.
    fn log(&self, refresh: &Refresh, is_news: bool, invalid: &[String]) {
        let level = if !refresh.failures.is_empty() || !invalid.is_empty() {
            Level::Warn
        } else if refresh.has_recovered || is_news {
            Level::Info
        } else {
            Level::Debug
        };
        if level > log::max_level() {
            return;
        }
        let mut line = "pod list: ".to_owned();
        if let [first, others @ ..] = &refresh.failures[..] {
            line += first;
            if !others.is_empty() {
                line += &format!(" (and {} more namespaces)", others.len());
            }
            line += "; keeping ";
        }
        let (targets, jobs) = self.counts();
        line += &format!("{targets} targets in {jobs} jobs");
        let (named, more) = invalid.split_at(invalid.len().min(NAMED_MAX));
        if !named.is_empty() {
            line += &format!("; invalid option: {}", named.join("; "));
        }
        if !more.is_empty() {
            line += &format!(" (and of {} more pods, see debug)", more.len());
        }
        for error in more {
            debug!("invalid option: {error}");
        }
        log!(level, "{line}");
    }
}

impl ScopeStatus {
    /// Returns the text for the log.
    fn failed(&mut self, error: &ListError) -> Arc<str> {
        self.is_refused = error.is_refused();
        let text: Arc<str> = match &self.namespace {
            Some(namespace) => format!("namespace {namespace:?}: {error}").into(),
            None => error.to_string().into(),
        };
        self.error = Some(Arc::clone(&text));
        text
    }
}
