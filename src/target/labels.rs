//! The labels that each series of a target gets beside its own. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use super::Target;

/// The field of a pod whose value can be a label like those of the pod's labels.
const NODE_NAME: &str = "spec.nodeName";

/// Which labels those are, and how they are named. The default is that of the settings.
#[derive(Debug, Clone, Default)]
pub struct TargetLabels {
    /// `pod-namespace` and `pod-ip`, which have to be quoted and need Prometheus 3, in place of `pod_namespace` and
    /// `pod_ip` (setting `POD_LABEL_STYLE`).
    pub is_hyphenated: bool,
    /// Labels of the pod that its series get too: the key, or `spec.nodeName`, and the name that it has there (setting
    /// `POD_TARGET_LABELS`). No name stands twice, and none is one of the others.
    pub from_pod: Arc<[(String, String)]>,
}

impl TargetLabels {
    /// Names and values in the order in which they are written: `instance`, `job`, `pod_namespace`, `pod_ip` and, where
    /// there is one, `pod_port`, which tell the target from all others; then those of the pod, if it has them.
    ///
    /// The names are unquoted, the values are unescaped.
    #[must_use]
    pub fn of<'a>(&'a self, target: &'a Target) -> Vec<(&'a str, Cow<'a, str>)> {
        let [namespace, ip, port] = match self.is_hyphenated {
            false => ["pod_namespace", "pod_ip", "pod_port"],
            true => ["pod-namespace", "pod-ip", "pod-port"],
        };
        let mut labels: Vec<(&str, Cow<'_, str>)> = vec![
            ("instance", target.pod.as_str().into()),
            ("job", target.job.as_str().into()),
            (namespace, target.namespace.as_str().into()),
            (ip, target.pod_ip.as_str().into()),
        ];
        if let Some(number) = target.pod_port {
            labels.push((port, number.to_string().into()));
        }
        labels.extend(self.from_pod.iter().filter_map(|(key, name)| {
            let value = match key.as_str() {
                NODE_NAME => target.meta.node_name.as_deref(),
                key => target.meta.labels.get(key),
            };
            // To Prometheus an empty label is none.
            let value = value.filter(|value| !value.is_empty())?;
            Some((name.as_str(), value.into()))
        }));
        labels
    }
}
