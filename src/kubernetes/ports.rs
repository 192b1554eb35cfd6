//! The named ports of a pod. Pure.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};
use serde::de::MapAccess;

use super::fields::{ReadField, objects, read_fields, value};

/// The longest name of a port in Kubernetes.
const NAME_BYTES_MAX: usize = 15;

/// How many of a pod's port names an error lists, when it is about a name that the pod does not have.
const NAMES_SHOWN: usize = 20;

/// The named ports of the containers that run as long as the pod does. `Display` lists their names, for an error.
pub(super) struct NamedPorts<'a>(pub(super) Option<&'a PodSpec>);

impl<'a> NamedPorts<'a> {
    /// The port with this name, the first one if several have it, as Kubernetes finds the target port of a Service
    /// (`FindPort` in `pkg/api/v1/pod/util.go`).
    pub(super) fn find(&self, name: &str) -> Option<u16> {
        self.iter()
            .find_map(|(known, port)| (known == name).then_some(port))
    }

    fn iter(&self) -> impl Iterator<Item = (&'a str, u16)> {
        let stays = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let spec = self.0.into_iter();
        let containers = spec.flat_map(move |spec| {
            let init = spec.init_containers.iter().flatten().filter(stays);
            spec.containers.iter().chain(init)
        });
        let ports = containers.flat_map(|container| container.ports.iter().flatten());
        ports.filter_map(|port| {
            let name = port.name.as_deref().filter(|name| is_name(name))?;
            let number = u16::try_from(port.container_port).ok();
            Some((name, number.filter(|number| *number > 0)?))
        })
    }
}

impl fmt::Display for NamedPorts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&str> = self.iter().map(|(name, _)| name).collect();
        let shown: Vec<&str> = names.into_iter().take(NAMES_SHOWN).collect();
        match shown[..] {
            [] => f.write_str("none"),
            _ => f.write_str(&shown.join(", ")),
        }
    }
}

/// Whether Kubernetes accepts this name for a port; a file may contain any.
fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal)
}

read_fields!(Container, "a container of a pod", {
    "ports" => ports: objects,
    "restartPolicy" => restart_policy: value,
});

read_fields!(ContainerPort, "a port of a container", {
    "name" => name: value,
    "containerPort" => container_port: value,
});
