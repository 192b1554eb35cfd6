//! What the cache thread does with what it learns: put it together, publish it, say so in one line.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use log::{Level, debug, log};

use super::DiscoverySettings;
use super::cache::TargetCache;
use super::own_address::OwnAddress;
use super::source::ListError;
use crate::target::{OptionError, Target, TargetSet};
use crate::telemetry::{RefreshResult, Telemetry};

/// How much of a pod's name is shown. The API server takes 63 characters for a namespace and 253 for a pod.
const SHOWN_NAME_CHARS: usize = 320;

/// The published targets and how current they are.
#[derive(Debug)]
pub(super) struct Publisher {
    scopes: Vec<Scope>,
    own_address: Option<OwnAddress>,
    cache: TargetCache,
    telemetry: Arc<Telemetry>,
    /// What is published, or will be as soon as every scope has been answered.
    targets: Arc<TargetSet>,
    is_published: bool,
    /// The invalid options that stand in the log already, by the pod's uid and name; those of pods that are gone are
    /// forgotten.
    reported: HashMap<(String, String), OptionError>,
}

/// What is listed or watched by itself, and how that went so far.
#[derive(Debug)]
struct Scope {
    /// `None`: all namespaces.
    namespace: Option<String>,
    last_success: Option<Instant>,
    /// The API server has said no, which only a person can change.
    is_refused: bool,
    error: Option<Arc<str>>,
}

/// What is published together. The lists in it are older than the changes.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    /// By index of the scope, in the order in which it happened.
    pub(super) news: Vec<(usize, News)>,
    /// The targets of all scopes that were listed.
    pub(super) listed: Vec<Arc<Target>>,
    /// The targets of single pods by uid; none for a pod that has none any more.
    pub(super) changed: HashMap<String, Vec<Arc<Target>>>,
}

/// What a scope's list or watch came to.
#[derive(Debug)]
pub(super) enum News {
    /// A complete list, begun then.
    Listed(Instant),
    /// The watch goes on: all changes until then are known.
    Current(Instant),
    Failed(ListError),
}

impl Refresh {
    /// Whether a list of the scope may be added: there is no other list of it yet, and no change that is older.
    pub(super) fn is_before_list(&self, scope: usize) -> bool {
        let is_list = |(of, news): &(usize, News)| *of == scope && matches!(news, News::Listed(_));
        self.changed.is_empty() && !self.news.iter().any(is_list)
    }
}

/// What the log says about one refresh.
#[derive(Debug, Default)]
struct Summary {
    failures: usize,
    first_failure: Option<Arc<str>>,
    has_recovered: bool,
}

impl Publisher {
    /// `scopes`: the namespace of each, `None` for all.
    pub(super) fn new(
        settings: &DiscoverySettings,
        scopes: Vec<Option<String>>,
        cache: TargetCache,
        telemetry: Arc<Telemetry>,
    ) -> Publisher {
        Publisher {
            scopes: scopes.into_iter().map(Scope::new).collect(),
            own_address: settings.own_address.map(OwnAddress::new),
            cache,
            telemetry,
            targets: Arc::default(),
            is_published: false,
            reported: HashMap::new(),
        }
    }

    /// Publishes what changed and writes the line of this refresh.
    pub(super) fn apply(&mut self, refresh: Refresh) {
        let counts = self.counts();
        let was_published = self.is_published;
        let listed = self.listed_namespaces(&refresh);
        let summary = self.take_note(refresh.news);
        let is_changed = (!listed.is_empty() || !refresh.changed.is_empty())
            && self.take_over(&listed, refresh.listed, refresh.changed);
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
        // What changes by a watch goes to debug: a rollout must not fill the log.
        let is_news =
            was_published != self.is_published || (!listed.is_empty() && counts != self.counts());
        self.log(&summary, is_news, &bad);
    }

    fn listed_namespaces(&self, refresh: &Refresh) -> Vec<Option<String>> {
        let namespace = |(scope, news): &(usize, News)| {
            matches!(news, News::Listed(_)).then(|| self.scopes[*scope].namespace.clone())
        };
        refresh.news.iter().filter_map(namespace).collect()
    }

    fn take_note(&mut self, news: Vec<(usize, News)>) -> Summary {
        let mut summary = Summary::default();
        for (index, news) in news {
            let scope = &mut self.scopes[index];
            match news {
                News::Listed(begin) => {
                    self.telemetry.count_refresh(RefreshResult::Ok);
                    summary.has_recovered |= scope.error.is_some();
                    scope.succeeded(begin);
                }
                News::Current(at) => {
                    summary.has_recovered |= scope.error.is_some();
                    scope.succeeded(at);
                }
                News::Failed(error) => {
                    self.telemetry.count_refresh(error.result());
                    let text = scope.failed(&error);
                    summary.failures += 1;
                    summary.first_failure.get_or_insert(text);
                }
            }
        }
        summary
    }

    /// Replaces the targets of the namespaces that were listed and those of the pods that changed; true if that
    /// changed anything.
    fn take_over(
        &mut self,
        listed: &[Option<String>],
        targets: Vec<Arc<Target>>,
        mut changed: HashMap<String, Vec<Arc<Target>>>,
    ) -> bool {
        let mut new = targets;
        new.retain(|target| !changed.contains_key(&target.uid));
        new.extend(changed.values_mut().flat_map(std::mem::take));
        if let Some(own_address) = &self.own_address {
            own_address.remove_self(&mut new, &self.targets);
        }
        let is_listed = |namespace: &str| {
            let is_it = |name: &Option<String>| name.as_deref().is_none_or(|n| n == namespace);
            listed.iter().any(is_it)
        };
        let kept = self
            .targets
            .all()
            .filter(|target| !is_listed(&target.namespace) && !changed.contains_key(&target.uid));
        let updated = self.targets.updated(kept.cloned().chain(new));
        let is_changed = updated.is_some();
        if let Some(targets) = updated {
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
        for (target, error) in self.targets.invalid() {
            let pod = (target.uid.clone(), target.pod.clone());
            let is_new = self.reported.get(&pod) != Some(error);
            if reported.insert(pod, error.clone()).is_none() && is_new {
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
        if level > log::max_level() {
            return;
        }
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
        let (named, more) = bad.split_at(bad.len().min(NAMED_MAX));
        let named: Vec<String> = named
            .iter()
            .filter_map(|target| bad_option(target))
            .collect();
        if !named.is_empty() {
            line += &format!("; invalid option: {}", named.join("; "));
        }
        if !more.is_empty() {
            line += &format!(" (and of {} more pods, see debug)", more.len());
        }
        if log::log_enabled!(Level::Debug) {
            for text in more.iter().filter_map(|target| bad_option(target)) {
                debug!("invalid option: {text}");
            }
        }
        log!(level, "{line}");
    }
}

/// So many pods with bad options are named in the line of a refresh.
const NAMED_MAX: usize = 10;

/// Which pod and which option, escaped: a pod list file may hold anything.
fn bad_option(target: &Target) -> Option<String> {
    let error = target.options.as_ref().err()?;
    let name: String = target.to_string().chars().take(SHOWN_NAME_CHARS).collect();
    Some(format!("{name:?}: {error}"))
}

impl Scope {
    fn new(namespace: Option<String>) -> Scope {
        Scope {
            namespace,
            last_success: None,
            is_refused: false,
            error: None,
        }
    }

    fn succeeded(&mut self, at: Instant) {
        self.last_success = Some(at);
        self.is_refused = false;
        self.error = None;
    }

    /// Returns what to say.
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
