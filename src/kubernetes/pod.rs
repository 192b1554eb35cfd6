//! One pod: the fields of its JSON that are read, and the targets that it becomes. Pure: no I/O, no clock, no log.
//!
//! Pods without an IP and finished pods are skipped, as by Prometheus' pod role (`discovery/kubernetes/pod.go`,
//! `buildPod`) and vmagent. Pods that are not Ready are targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{Deserialize, Deserializer, MapAccess};

use super::fields::{Partial, ReadField, object, objects, read_fields, value};
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
    let native_histograms = options.native_histograms();
    let meta = Arc::new(meta(pod, native_histograms.clone().unwrap_or_default()));
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
    let common = common.and_then(|common| native_histograms.map(|_| common));
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
fn meta(pod: &Pod, native_histograms: Option<bool>) -> PodMeta {
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
        native_histograms,
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
#[derive(Default)]
pub(super) struct Item(pub(super) Option<Pod>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        let Partial(read) = Partial::<PodFields>::deserialize(deserializer)?;
        // The items of a `PodList` have no kind; those of a `List` have one.
        if read.kind.is_some_and(|kind| kind != "Pod") {
            return Ok(Item(None));
        }
        Ok(Item(Some(Pod {
            metadata: read.metadata.unwrap_or_default(),
            spec: read.spec,
            status: read.status,
        })))
    }
}

#[derive(Default)]
struct PodFields {
    kind: Option<String>,
    metadata: Option<ObjectMeta>,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

read_fields!(PodFields, "a pod", {
    "kind" => kind: value,
    "metadata" => metadata: object,
    "spec" => spec: object,
    "status" => status: object,
});

read_fields!(ObjectMeta, "the metadata of a pod", {
    "name" => name: value,
    "namespace" => namespace: value,
    "uid" => uid: value,
    "resourceVersion" => resource_version: value,
    "labels" => labels: strings,
    "annotations" => annotations: strings,
    "deletionTimestamp" => deletion_timestamp: value,
    "ownerReferences" => owner_references: value,
});

/// Labels or annotations. Null is an empty value, as for the API server.
fn strings<'de, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<BTreeMap<String, String>>, A::Error> {
    let read: Option<BTreeMap<String, Option<String>>> = value(map)?;
    let text = |(key, value): (String, Option<String>)| (key, value.unwrap_or_default());
    Ok(read.map(|read| read.into_iter().map(text).collect()))
}

read_fields!(PodSpec, "the spec of a pod", {
    "nodeName" => node_name: value,
    "containers" => containers: containers,
    "initContainers" => init_containers: objects,
});

fn containers<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<Container>, A::Error> {
    Ok(objects(map)?.unwrap_or_default())
}

read_fields!(PodStatus, "the status of a pod", {
    "phase" => phase: value,
    "podIP" => pod_ip: value,
    "hostIP" => host_ip: value,
    "conditions" => conditions: value,
});
