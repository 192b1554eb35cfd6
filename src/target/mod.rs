//! What is scraped: a [`Target`], and the [`TargetSet`] of all targets of a cluster at one moment.
//!
//! Pure data: no I/O, no clock, no log. `kubernetes/pod.rs` makes targets from pods, `discovery` publishes sets of
//! them, and everything else only reads them.

mod labels;
mod meta;
mod scope;
mod shard;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use labels::TargetLabels;
pub use meta::{PodLabels, PodMeta};
pub use scope::TargetScope;
pub use shard::{SHARDS_MAX, Shard};

/// One thing to scrape: a port and path of a pod, or a pod with an invalid option.
///
/// A pod is identified by its `uid`, never by its IP: two hostNetwork pods on one node share the IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Value of `job=` in a request and of the label `job`. Empty only in [`TargetSet::without_job`].
    pub job: String,
    /// Namespace of the pod, the label `pod_namespace`.
    pub namespace: String,
    /// Name of the pod, the label `instance`.
    pub pod: String,
    /// `metadata.uid` of the pod.
    pub uid: String,
    /// `status.podIP`, the label `pod_ip` (without brackets, also for IPv6). Never empty. If it is not an IP, this is
    /// the text that was found, and the options say so.
    pub pod_ip: String,
    /// The label `pod_port`, which only targets of the annotation `scrape-targets` have.
    pub pod_port: Option<u16>,
    /// The pod has a `deletionTimestamp`. If it does not respond, it is left out of the response instead of being `up
    /// 0`.
    pub terminating: bool,
    /// Facts about the pod for service discovery.
    pub meta: Arc<PodMeta>,
    /// How to scrape it, or which option is invalid, which makes the target `up 0`.
    pub options: Result<ScrapeOptions, OptionError>,
}

/// How one target is scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeOptions {
    /// IP and port of the pod. No container needs to declare the port.
    pub address: SocketAddr,
    /// Path and query for the request line: begins with `/`, percent-encoded where necessary.
    pub path_and_query: String,
    /// Limits the whole scrape, from connecting to the last byte. Above 0, at most [`SCRAPE_TIMEOUT_MAX`].
    pub timeout: Duration,
    /// `None`: plain HTTP.
    pub tls: Option<TlsOptions>,
}

/// How the certificate of a pod is verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// `false`: it is not verified.
    pub verify: bool,
    /// The name to verify and to send as SNI; `None`: the pod's IP.
    pub server_name: Option<String>,
}

/// The longest scrape timeout that a pod may ask for.
pub const SCRAPE_TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// An invalid option of a pod.
///
/// Its `Display` is for the person who set it: it names the key, the place, what was found and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OptionError {
    /// Where the value is: `label`, `annotation` or `field`.
    pub source: &'static str,
    /// The whole key with its prefix; for a field, its path in the pod.
    pub key: String,
    /// The value that was found, as long as Kubernetes allows; `Display` cuts and escapes it.
    pub value: String,
    /// What is valid, e.g. `true or false`.
    pub expected: Cow<'static, str>,
}

/// How many characters of an invalid value are shown.
const SHOWN_VALUE_CHARS: usize = 80;

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Excerpt(&self.value, SHOWN_VALUE_CHARS);
        write!(
            f,
            "{} {}: expected {}, found {shown}",
            self.source, self.key, self.expected
        )
    }
}

impl std::error::Error for OptionError {}

/// Text of strangers for an error: in quotes, escaped, and cut after this number of characters.
#[derive(Debug)]
pub struct Excerpt<'a>(pub &'a str, pub usize);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(self.1).collect();
        let cut = if shown.len() < self.0.len() {
            "…"
        } else {
            ""
        };
        write!(f, "{shown:?}{cut}")
    }
}

impl Target {
    /// The port that is scraped, if the options are valid.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.address().map(|address| address.port())
    }

    /// The port in the target's name. For an entry of `scrape-targets` it is known even if another option is invalid.
    fn named_port(&self) -> Option<u16> {
        self.port().or(self.pod_port)
    }

    /// The address of the pod, if the options are valid.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.options.as_ref().ok().map(|options| options.address)
    }
}

/// The name of a target in logs, responses and `/probe?target=`: `namespace/pod:port`, without `:port` if that is
/// unknown. No two targets of jobs have the same name at the same time (a handwritten list: `discovery/source.rs`).
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pod)?;
        match self.named_port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// All targets of the cluster at one moment, by job. The targets of a job are in the order of responses: namespace, pod
/// name, port. Also has the pods that belong to no job because they have no usable job name.
#[derive(Debug, Default)]
pub struct TargetSet {
    jobs: BTreeMap<String, Vec<Arc<Target>>>,
    without_job: Vec<Arc<Target>>,
}

impl TargetSet {
    /// The set after this one; `None` if it would be equal.
    ///
    /// A target that did not change stays the same `Arc`, so it is recognised by its pointer and takes memory only
    /// once.
    #[must_use]
    pub fn updated(&self, targets: impl IntoIterator<Item = Arc<Target>>) -> Option<TargetSet> {
        let mut updated = TargetSet::default();
        for target in targets {
            let job = match &target.job[..] {
                "" => &mut updated.without_job,
                job => updated.jobs.entry(job.to_owned()).or_default(),
            };
            job.push(target);
        }
        let mut reused = sort_and_reuse(&mut updated.without_job, &self.without_job);
        for (name, job) in &mut updated.jobs {
            reused += sort_and_reuse(job, self.job(name).unwrap_or(&[]));
        }
        let is_same = reused == updated.all().count() && reused == self.all().count();
        (!is_same).then_some(updated)
    }

    /// The targets that the scope admits, as if there were no others.
    #[must_use]
    pub fn within(self: &Arc<TargetSet>, scope: &TargetScope) -> Arc<TargetSet> {
        if !scope.is_limited() {
            return Arc::clone(self);
        }
        let admitted = |targets: &[Arc<Target>]| -> Vec<Arc<Target>> {
            let targets = targets.iter().filter(|target| scope.admits(target));
            targets.cloned().collect()
        };
        let jobs = self.jobs.iter();
        let jobs = jobs.map(|(name, targets)| (name.clone(), admitted(targets)));
        Arc::new(TargetSet {
            jobs: jobs.filter(|(_, targets)| !targets.is_empty()).collect(),
            without_job: admitted(&self.without_job),
        })
    }

    /// The targets of a job in the order of responses, or `None` for a job that no pod has.
    #[must_use]
    pub fn job(&self, name: &str) -> Option<&[Arc<Target>]> {
        self.jobs.get(name).map(Vec::as_slice)
    }

    /// The targets of several jobs together in the order of responses; none if no pod has any of the jobs.
    #[must_use]
    pub fn select(&self, names: &[String]) -> Vec<Arc<Target>> {
        let jobs: Vec<_> = names.iter().filter_map(|name| self.job(name)).collect();
        let mut targets = jobs.concat();
        if jobs.len() > 1 {
            targets.sort_by(|a, b| order_key(a).cmp(&order_key(b)));
        }
        targets
    }

    /// The target with this name, as its `Display` writes it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Target>> {
        let (namespace, rest) = name.split_once('/')?;
        let (pod, port) = match rest.split_once(':') {
            Some((pod, port)) => (pod, Some(shard::parse_number(port)?)),
            None => (rest, None),
        };
        let key = (namespace, pod);
        self.jobs.values().find_map(|targets| {
            let start = targets.partition_point(|target| (&*target.namespace, &*target.pod) < key);
            targets[start..]
                .iter()
                .take_while(|target| (&*target.namespace, &*target.pod) == key)
                .find(|target| target.named_port() == port)
        })
    }

    /// The jobs in the order of their names, each with its targets.
    pub fn jobs(&self) -> impl Iterator<Item = (&str, &[Arc<Target>])> {
        self.jobs
            .iter()
            .map(|(name, targets)| (name.as_str(), targets.as_slice()))
    }

    /// The pods without a usable job name, each as a target whose options say why. They are never scraped.
    #[must_use]
    pub fn without_job(&self) -> &[Arc<Target>] {
        &self.without_job
    }

    /// The targets with an invalid option, including pods without a job.
    pub fn invalid(&self) -> impl Iterator<Item = (&Arc<Target>, &OptionError)> {
        self.all()
            .filter_map(|target| Some((target, target.options.as_ref().err()?)))
    }

    /// The targets of all jobs and the pods without one.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets().chain(&self.without_job)
    }

    /// All targets, job by job.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.jobs.values().flatten()
    }
}

/// The sort key of targets. The uid makes the order total while a pod is replaced by another one with its name.
fn order_key(target: &Target) -> (&str, &str, Option<u16>, &str) {
    (&target.namespace, &target.pod, target.port(), &target.uid)
}

/// Sorts the new targets, replaces each by the `Arc` of an equal previous one, and returns how many were replaced. The
/// previous targets are sorted, and none is used twice.
fn sort_and_reuse(current: &mut [Arc<Target>], previous: &[Arc<Target>]) -> usize {
    current.sort_by(|a, b| order_key(a).cmp(&order_key(b)));
    let mut previous = previous.iter().peekable();
    let mut reused = 0;
    for target in current {
        while previous
            .next_if(|old| order_key(old) < order_key(target))
            .is_some()
        {}
        // `Arc` compares pointers first.
        if let Some(old) = previous.next_if(|old| *old == target) {
            *target = Arc::clone(old);
            reused += 1;
        }
    }
    reused
}
