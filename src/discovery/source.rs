//! The source of the pod list: an API server or a file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::DiscoverySettings;
use crate::kubernetes::client::{ApiClient, PodList};
use crate::kubernetes::error::ClientError;
use crate::kubernetes::pod_list::read_pod_list;
use crate::kubernetes::url::Freshness;
use crate::target::{OptionError, Target};
use crate::telemetry::RefreshResult;

/// The largest pod list file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The source of the pod list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodSource {
    /// An API server: `http` without credentials (`kubectl proxy`), `https` with those of the service account.
    Url {
        /// With or without a path.
        url: String,
        /// The directory with the files `token` and `ca.crt`, used only for `https`.
        service_account_dir: PathBuf,
    },
    /// A file with a pod list in JSON, as `kubectl get pods -A -o json` writes it.
    File(PathBuf),
}

impl PodSource {
    /// The API server of the cluster, over https, with the host (a name, an IPv4 address, or an IPv6 address without
    /// brackets) and the port that Kubernetes sets in every container.
    #[must_use]
    pub fn in_cluster(host: &str, port: u16, service_account_dir: PathBuf) -> PodSource {
        let url = if host.contains(':') {
            format!("https://[{host}]:{port}")
        } else {
            format!("https://{host}:{port}")
        };
        PodSource::Url {
            url,
            service_account_dir,
        }
    }
}

/// The lists that make a complete set: one of all namespaces (`None`), or one for each. A file is read once for all of
/// them.
pub(super) fn scopes(settings: &DiscoverySettings) -> Vec<Option<String>> {
    if settings.namespaces.is_empty() || matches!(settings.source, PodSource::File(_)) {
        return vec![None];
    }
    let namespaces: BTreeSet<&String> = settings.namespaces.iter().collect();
    namespaces.into_iter().cloned().map(Some).collect()
}

/// A source that is ready to be listed.
#[derive(Debug, Clone)]
pub(super) enum Lister {
    Api(Box<ApiClient>),
    File {
        path: PathBuf,
        /// Empty: all.
        namespaces: BTreeSet<String>,
    },
}

/// Why a list or a watch failed.
#[derive(Debug)]
pub(super) enum ListError {
    Client(ClientError),
    Watch(ClientError),
    File {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl Lister {
    pub(super) fn new(settings: &DiscoverySettings) -> io::Result<Lister> {
        Ok(match &settings.source {
            PodSource::File(path) => Lister::File {
                path: path.clone(),
                namespaces: settings.namespaces.iter().cloned().collect(),
            },
            PodSource::Url {
                url,
                service_account_dir,
            } => Lister::Api(Box::new(ApiClient::new(url, service_account_dir)?)),
        })
    }

    /// One complete list. A file is always read again.
    pub(super) fn list(
        &mut self,
        namespace: Option<&str>,
        freshness: &Freshness,
    ) -> Result<PodList, ListError> {
        match self {
            Lister::Api(client) => client
                .list_pods(namespace, freshness)
                .map_err(ListError::Client),
            Lister::File { path, namespaces } => {
                list_file(path, namespaces).map_err(|source| ListError::File {
                    path: path.clone(),
                    source,
                })
            }
        }
    }
}

fn list_file(path: &Path, namespaces: &BTreeSet<String>) -> Result<PodList, serde_json::Error> {
    let file = File::open(path).map_err(serde_json::Error::io)?;
    let mut targets = Vec::new();
    read_pod_list(file.take(FILE_BYTES_MAX), &mut targets)?;
    targets.retain(|target| namespaces.is_empty() || namespaces.contains(&target.namespace));
    reject_duplicates(&mut targets);
    Ok(PodList {
        targets,
        resource_version: String::new(),
    })
}

/// Takes its job from each target of a second pod that has the name or the uid of one before it: their series would be
/// the same. Only a list that was put together by hand can contain them.
fn reject_duplicates(targets: &mut [Arc<Target>]) {
    let (mut uids, mut names) = (HashMap::new(), HashMap::new());
    let mut known = HashSet::new();
    for target in targets.iter_mut().filter(|target| !target.job.is_empty()) {
        let name = format!("{}/{}", target.namespace, target.pod);
        let uid = uids
            .entry(name.clone())
            .or_insert_with(|| target.uid.clone());
        let known_name = names.entry(target.uid.clone());
        let is_one_pod = *uid == target.uid && *known_name.or_insert_with(|| name.clone()) == name;
        // The targets of one pod differ in the label `pod_port`.
        if is_one_pod && known.insert((name, target.pod_port)) {
            continue;
        }
        let target = Arc::make_mut(target);
        target.job.clear();
        target.options = Err(OptionError {
            source: "field",
            key: "metadata.name".to_owned(),
            value: target.pod.clone(),
            expected: "a pod whose name and uid no pod before it in the file has".into(),
        });
    }
}

impl ListError {
    /// Whether the API server denies the request (403), which only a person can change.
    pub(super) fn is_refused(&self) -> bool {
        self.result() == RefreshResult::Forbidden
    }

    fn client_error(&self) -> Option<&ClientError> {
        match self {
            ListError::Client(error) | ListError::Watch(error) => Some(error),
            ListError::File { .. } => None,
        }
    }

    /// The status of the response, if there was one other than 200.
    pub(super) fn status(&self) -> Option<u16> {
        self.client_error()?.status()
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.client_error()?.retry_after()
    }

    /// The result that the failure is counted as.
    pub(super) fn result(&self) -> RefreshResult {
        let error = match self {
            ListError::Client(error) | ListError::Watch(error) => error,
            ListError::File { source, .. } if source.is_io() => return RefreshResult::File,
            ListError::File { .. } => return RefreshResult::Malformed,
        };
        match error {
            ClientError::Credentials(_) => RefreshResult::File,
            ClientError::Status { status, .. } => match status {
                401 => RefreshResult::Unauthorized,
                403 => RefreshResult::Forbidden,
                410 => RefreshResult::Gone,
                429 => RefreshResult::Throttled,
                _ => RefreshResult::ServerError,
            },
            ClientError::Timeout(_) => RefreshResult::Timeout,
            ClientError::Connection(error) if error.kind() == io::ErrorKind::TimedOut => {
                RefreshResult::Timeout
            }
            ClientError::Connection(_) => RefreshResult::Connection,
            ClientError::Malformed(_) | ClientError::TooLarge(_) => RefreshResult::Malformed,
        }
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::Client(error) => error.fmt(f),
            ListError::Watch(error) => write!(f, "watch: {error}"),
            ListError::File { path, source } => write!(f, "file {path:?}: {source}"),
        }
    }
}

impl std::error::Error for ListError {}
