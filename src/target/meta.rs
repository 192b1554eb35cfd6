//! Facts about a pod for service discovery. Pure data.

/// The facts that Prometheus' pod role has too. Shared by all targets of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodMeta {
    /// `spec.nodeName`.
    pub node_name: Option<Box<str>>,
    /// `status.phase`.
    pub phase: Option<Box<str>>,
    /// `status.hostIP`.
    pub host_ip: Option<Box<str>>,
    /// Status of the condition `Ready`: `true`, `false` or `unknown`.
    pub ready: &'static str,
    /// Kind and name of the controller.
    pub controller: Option<(Box<str>, Box<str>)>,
    /// Whether Prometheus should scrape native histograms of the pod, if an option says so.
    pub native_histograms: Option<bool>,
    /// The labels.
    pub labels: PodLabels,
}

/// The labels of a pod in one piece of memory, because there may be ten thousand pods with a dozen labels each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodLabels(Box<str>);

/// Ends each name and each value; no label of Kubernetes can contain it.
const END: char = '\0';

impl PodLabels {
    /// Keeps names and values in their order. Leaves out pairs that contain a NUL, which only a handwritten file can
    /// have.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> PodLabels {
        let mut packed = String::new();
        for (name, value) in labels {
            if name.contains(END) || value.contains(END) {
                continue;
            }
            for text in [name, value] {
                packed.push_str(text);
                packed.push(END);
            }
        }
        PodLabels(packed.into_boxed_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut texts = self.0.split_terminator(END);
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }

    /// The value of the label with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(n, value)| (n == name).then_some(value))
    }
}
