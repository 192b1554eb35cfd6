//! The labels that every series of a target gets besides its own. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use super::Target;

/// The field of a pod that can become a label, like its labels.
const NODE_NAME: &str = "spec.nodeName";

/// Which labels these are, and what they are called. The default is that of the settings.
#[derive(Debug, Clone, Default)]
pub struct TargetLabels {
    /// Use `pod-namespace` and `pod-ip` instead of `pod_namespace` and `pod_ip`. They have to be quoted, and need
    /// Prometheus 3 (setting `POD_LABEL_STYLE`).
    pub is_hyphenated: bool,
    /// Labels of the pod that its series get too: the key, or `spec.nodeName`, and the name of the label (setting
    /// `POD_TARGET_LABELS`). All names differ from each other and from the other labels.
    pub from_pod: Arc<[(String, String)]>,
}

impl TargetLabels {
    /// Names and values in the order in which they are written: `instance`, `job`, `pod_namespace`, `pod_ip` and, if
    /// there is one, `pod_port`, which identify the target; then labels of the pod, if it has them.
    ///
    /// The names are not quoted, and the values are not escaped.
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
            // For Prometheus an empty label does not exist.
            let value = value.filter(|value| !value.is_empty())?;
            Some((name.as_str(), value.into()))
        }));
        labels
    }
}
