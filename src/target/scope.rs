//! Which targets a token may see. Pure.

use super::Target;

/// The longest name of a job or a namespace: that of a label value.
const NAME_BYTES_MAX: usize = 63;

/// What a bearer token is limited to: the targets of some jobs, of some namespaces, or both. Defaults to all targets.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TargetScope {
    jobs: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
}

impl TargetScope {
    /// Parses `job=NAME,…` and `namespace=NAME,…`, each at most once; no word means no limit. `None` if a word is
    /// anything else, or a name cannot be that of a job or namespace.
    pub fn parse<'w>(words: impl Iterator<Item = &'w str>) -> Option<TargetScope> {
        let mut scope = TargetScope::default();
        for word in words {
            let (key, names) = word.split_once('=')?;
            let limit = match key {
                "job" => &mut scope.jobs,
                "namespace" => &mut scope.namespaces,
                _ => return None,
            };
            if limit.is_some() || !names.split(',').all(is_name) {
                return None;
            }
            *limit = Some(names.split(',').map(str::to_owned).collect());
        }
        Some(scope)
    }

    /// Whether it hides anything.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.jobs.is_some() || self.namespaces.is_some()
    }

    /// Whether the target may be seen. A limit on jobs hides all pods without a job.
    #[must_use]
    pub fn admits(&self, target: &Target) -> bool {
        let has = |limit: &Option<Vec<String>>, name: &String| {
            limit.as_ref().is_none_or(|names| names.contains(name))
        };
        has(&self.jobs, &target.job) && has(&self.namespaces, &target.namespace)
    }
}

/// The characters of label values; names of namespaces have fewer.
fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal)
}
