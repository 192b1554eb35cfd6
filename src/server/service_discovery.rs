//! Prometheus' HTTP service discovery: the targets of the cache as JSON, with this server's address. Pure.
//!
//! Format: <https://prometheus.io/docs/prometheus/latest/http_sd/>. Prometheus uses labels that begin with `__` itself,
//! or drops them after relabelling. All others become labels of every series of the target.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::address::PublicAddress;
use crate::target::{PodMeta, Shard, Target, TargetLabels, TargetSet};

/// One target for Prometheus.
struct Entry<'a> {
    address: &'a str,
    /// By name.
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("targets", &[self.address])?;
        map.serialize_entry("labels", &self.labels)?;
        map.end()
    }
}

/// One target for each job, or `shards` targets for each. They have to be scraped with `honor_labels: true`.
///
/// Prometheus' own `up` of such a target says whether the aggregator responded. Its `instance` is the aggregator's
/// address and path, because there may be several behind one ingress. A shard has `ADDRESS#i/n`. The series of pods
/// have an `instance` of their own.
pub(super) fn jobs(set: &TargetSet, address: &PublicAddress, shards: Option<u16>) -> String {
    let entries = set.jobs().flat_map(|(job, _)| {
        let all = shards.is_none().then(|| job_entry(address, job, None));
        let count = shards.unwrap_or(0);
        let parts = (1..=count).filter_map(move |index| Shard::new(index, count));
        let parts = parts.map(move |shard| job_entry(address, job, Some(shard)));
        all.into_iter().chain(parts)
    });
    json(entries)
}

fn job_entry<'a>(address: &'a PublicAddress, job: &'a str, shard: Option<Shard>) -> Entry<'a> {
    let mut labels = common(address, "/metrics");
    labels.insert("__param_job".into(), job.into());
    labels.insert("job".into(), job.into());
    let mut instance = [&*address.authority, &address.prefix].concat();
    if let Some(shard) = shard {
        labels.insert("__param_shard".into(), shard.to_string().into());
        instance += &format!("#{shard}");
    }
    labels.insert("instance".into(), instance.into());
    Entry {
        address: &address.authority,
        labels,
    }
}

/// One target for each target of the cache, through `/probe`: with the labels that the pod's series have in a merged
/// response, and for relabelling those of Prometheus' pod role.
///
/// Includes pods with invalid options, so that Prometheus shows them as down, and terminating pods.
pub(super) fn pods(
    set: &TargetSet,
    address: &PublicAddress,
    target_labels: &TargetLabels,
    timeouts: bool,
) -> String {
    json(set.targets().map(|target| {
        let mut labels = common(address, "/probe");
        labels.insert("__param_target".into(), target.to_string().into());
        for (name, value) in target_labels.of(target) {
            labels.insert(name.into(), value);
        }
        if let (true, Ok(options)) = (timeouts, &target.options) {
            let timeout = format!("{}ms", options.timeout.as_millis().max(1));
            labels.insert("__scrape_timeout__".into(), timeout.into());
        }
        add_meta(target, &target.meta, &mut labels);
        Entry {
            address: &address.authority,
            labels,
        }
    }))
}

fn common<'a>(address: &PublicAddress, path: &str) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
    let path = [&address.prefix, path].concat();
    let mut labels = BTreeMap::from([("__metrics_path__".into(), path.into())]);
    if address.is_https {
        labels.insert("__scheme__".into(), "https".into());
    }
    labels
}

/// Adds the labels that `podLabels` in Prometheus' `discovery/kubernetes/pod.go` adds. Prometheus ignores labels
/// without a value, so they are left out.
fn add_meta<'a>(
    target: &'a Target,
    meta: &'a PodMeta,
    labels: &mut BTreeMap<Cow<'a, str>, Cow<'a, str>>,
) {
    let mut add = |name: &'static str, value: &'a str| {
        labels.insert(name.into(), value.into());
    };
    add("__meta_kubernetes_namespace", &target.namespace);
    add("__meta_kubernetes_pod_name", &target.pod);
    add("__meta_kubernetes_pod_uid", &target.uid);
    add("__meta_kubernetes_pod_ip", &target.pod_ip);
    add("__meta_kubernetes_pod_ready", meta.ready);
    for (name, value) in [
        ("__meta_kubernetes_pod_node_name", &meta.node_name),
        ("__meta_kubernetes_pod_phase", &meta.phase),
        ("__meta_kubernetes_pod_host_ip", &meta.host_ip),
    ] {
        if let Some(value) = value {
            add(name, value);
        }
    }
    if let Some((kind, name)) = &meta.controller {
        add("__meta_kubernetes_pod_controller_kind", kind);
        add("__meta_kubernetes_pod_controller_name", name);
    }
    // Prometheus 3.13 and later use it in place of `scrape_native_histograms` in the scrape configuration.
    if let Some(is_wanted) = meta.native_histograms {
        let value = if is_wanted { "true" } else { "false" };
        add("__scrape_native_histograms__", value);
    }
    for (name, value) in meta.labels.iter() {
        let name = sanitized(name);
        let label = format!("__meta_kubernetes_pod_label_{name}");
        let present = format!("__meta_kubernetes_pod_labelpresent_{name}");
        labels.insert(label.into(), value.into());
        labels.insert(present.into(), "true".into());
    }
}

/// The label name that `strutil.SanitizeLabelName` of Prometheus makes of this text.
fn sanitized(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(legal).collect()
}

fn json<'a>(entries: impl Iterator<Item = Entry<'a>>) -> String {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    serializer
        .collect_seq(entries)
        .expect("maps with string keys, into memory");
    String::from_utf8(json).expect("JSON is UTF-8")
}
