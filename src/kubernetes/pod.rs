//! One pod: the fields of its JSON that are read, and the targets that it becomes. Pure: no I/O, no clock, no log.
//!
//! Pods without an IP and finished pods are skipped, as by Prometheus' pod role (`discovery/kubernetes/pod.go`,
//! `buildPod`) and vmagent. Pods that are not Ready are targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{Deserialize, Deserializer, MapAccess};

use super::fields::{Fields, ReadField, object, objects, value};
use super::options::{Endpoint, PodOptions};
use super::ports::NamedPorts;
use crate::target::{OptionError, PodLabels, PodMeta, ScrapeOptions, Target};

/// The namespace of an object that names none, as for `kubectl`. The API server always names one.
const DEFAULT_NAMESPACE: &str = "default";

/// The targets of one pod: one, or one for each entry of the annotation `scrape-targets`.
///
/// Empty for a pod that is skipped: without the label `job-name`, without an IP, or in phase Succeeded or Failed. A pod
/// with an invalid option is not skipped: its target has the error. If the job's name is invalid, or the pod has no
/// name, the target has no job. A pod without a uid, which only a handwritten file can have, is identified by namespace
/// and name.
#[must_use]
pub fn targets_from_pod(pod: &Pod) -> Vec<Arc<Target>> {
    let metadata = &pod.metadata;
    let options = PodOptions {
        labels: metadata.labels.as_ref(),
        annotations: metadata.annotations.as_ref(),
        ports: NamedPorts(pod.spec.as_ref()),
    };
    let (Some(job), Some(pod_ip)) = (options.job_name(), pod_ip(pod)) else {
        return Vec::new();
    };
    let job = job.and_then(|job| named(metadata).map(|()| job));
    let ip = parse_pod_ip(pod_ip);
    let job_name = job.clone().unwrap_or_default();
    let shown_ip = ip
        .as_ref()
        .map_or_else(|_| pod_ip.to_owned(), IpAddr::to_string);
    let meta = Arc::new(meta(pod, &options));
    let target = |pod_port, options| {
        Arc::new(Target {
            job: job_name.to_owned(),
            namespace: namespace(metadata).to_owned(),
            pod: metadata.name.clone().unwrap_or_default(),
            uid: pod_uid(pod),
            pod_ip: shown_ip.clone(),
            pod_port,
            terminating: metadata.deletion_timestamp.is_some(),
            meta: Arc::clone(&meta),
            options,
        })
    };
    let endpoints = job.and(ip).and_then(|ip| Ok((ip, options.endpoints()?)));
    let (ip, endpoints) = match endpoints {
        Ok(endpoints) => endpoints,
        Err(error) => return vec![target(None, Err(error))],
    };
    let common = options.common();
    let with_options = |endpoint: Endpoint| {
        let options = common.clone().map(|(timeout, tls)| ScrapeOptions {
            address: SocketAddr::new(ip, endpoint.port),
            path_and_query: endpoint.path_and_query,
            timeout,
            tls,
        });
        target(endpoint.pod_port, options)
    };
    endpoints.into_iter().map(with_options).collect()
}

/// The pod's IP as it was found; `None` for a pod that is skipped.
fn pod_ip(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    // Empty while a pod is starting, and after it was evicted.
    status.pod_ip.as_deref().filter(|ip| !ip.is_empty())
}

fn parse_pod_ip(text: &str) -> Result<IpAddr, OptionError> {
    text.parse()
        .map_err(|_| field_error("status.podIP", text, "an IPv4 or IPv6 address"))
}

/// Checks that the pod has a name, because the label `instance` is its name.
fn named(metadata: &ObjectMeta) -> Result<(), OptionError> {
    match metadata.name.as_deref() {
        None | Some("") => Err(field_error("metadata.name", "", "the name of the pod")),
        Some(_) => Ok(()),
    }
}

fn field_error(path: &str, value: &str, expected: &'static str) -> OptionError {
    OptionError {
        source: "field",
        key: path.to_owned(),
        value: value.to_owned(),
        expected: expected.into(),
    }
}

/// The facts that Prometheus' pod role has too (`discovery/kubernetes/pod.go`, `podLabels`).
fn meta(pod: &Pod, options: &PodOptions<'_>) -> PodMeta {
    let boxed = |text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        text.map(Box::from)
    };
    let owners = pod.metadata.owner_references.iter().flatten();
    let controller = owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| (owner.kind.as_str().into(), owner.name.as_str().into()))
        .next();
    let labels = pod.metadata.labels.iter().flatten();
    let status = pod.status.as_ref();
    PodMeta {
        node_name: pod.spec.as_ref().and_then(|spec| boxed(&spec.node_name)),
        phase: status.and_then(|status| boxed(&status.phase)),
        host_ip: status.and_then(|status| boxed(&status.host_ip)),
        ready: status.map_or("unknown", ready),
        controller,
        native_histograms: options.native_histograms().unwrap_or_default(),
        labels: PodLabels::new(labels.map(|(name, value)| (name.as_str(), value.as_str()))),
    }
}

fn ready(status: &PodStatus) -> &'static str {
    let mut conditions = status.conditions.iter().flatten();
    match conditions.find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => "true",
        Some(ready) if ready.status == "False" => "false",
        _ => "unknown",
    }
}

/// The `uid` of all targets of a pod.
pub(super) fn pod_uid(pod: &Pod) -> String {
    let metadata = &pod.metadata;
    match &metadata.uid {
        Some(uid) if !uid.is_empty() => uid.clone(),
        _ => {
            let name = metadata.name.as_deref().unwrap_or_default();
            format!("{}/{name}", namespace(metadata))
        }
    }
}

fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
}

/// One item of the list, or the object of a watch event; `None` if it says that it is not a pod.
pub(super) struct Item(pub(super) Option<Pod>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        let Fields(read) = Fields::<PodFields>::deserialize(deserializer)?;
        Ok(Item((!read.is_other).then_some(read.pod)))
    }
}

#[derive(Default)]
struct PodFields {
    pod: Pod,
    is_other: bool,
}

impl ReadField for PodFields {
    const WHAT: &'static str = "a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            // The items of a `PodList` have no kind; those of a `List` have one.
            "kind" => self.is_other = value::<String, A>(map)?.is_some_and(|kind| kind != "Pod"),
            "metadata" => self.pod.metadata = object(map)?.unwrap_or_default(),
            "spec" => self.pod.spec = object(map)?,
            "status" => self.pod.status = object(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl ReadField for ObjectMeta {
    const WHAT: &'static str = "the metadata of a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "name" => self.name = value(map)?,
            "namespace" => self.namespace = value(map)?,
            "uid" => self.uid = value(map)?,
            "resourceVersion" => self.resource_version = value(map)?,
            "labels" => self.labels = strings(map)?,
            "annotations" => self.annotations = strings(map)?,
            "deletionTimestamp" => self.deletion_timestamp = value(map)?,
            "ownerReferences" => self.owner_references = value(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Labels or annotations. Null is an empty value, as for the API server.
fn strings<'de, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<BTreeMap<String, String>>, A::Error> {
    let read = value::<BTreeMap<String, Option<String>>, A>(map)?;
    let text = |(key, value): (String, Option<String>)| (key, value.unwrap_or_default());
    Ok(read.map(|read| read.into_iter().map(text).collect()))
}

impl ReadField for PodSpec {
    const WHAT: &'static str = "the spec of a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "nodeName" => self.node_name = value(map)?,
            "containers" => self.containers = objects(map)?.unwrap_or_default(),
            "initContainers" => self.init_containers = objects(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl ReadField for PodStatus {
    const WHAT: &'static str = "the status of a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "phase" => self.phase = value(map)?,
            "podIP" => self.pod_ip = value(map)?,
            "hostIP" => self.host_ip = value(map)?,
            "conditions" => self.conditions = value(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
