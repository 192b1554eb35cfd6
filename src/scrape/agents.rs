//! The kept connections to pods: an agent of ureq for each pod's address and TLS options.
//!
//! One agent for all pods would keep all connections in one list, through which ureq goes at each connect and each
//! return: with a thousand pods most of the processor's time. An agent of its own also keeps pods apart whose
//! certificates are checked for the same name, because ureq finds kept connections by the URL's host.
//!
//! The CA files are read again each minute; a new CA drops the connections that were checked against the old one.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{PemItem, parse_pem};

use super::connect::{self, IDLE_CONNECTION_AGE_MAX, Tls};
use super::encoding::EncodingTimes;
use crate::target::{ScrapeOptions, TlsOptions};
use crate::telemetry::open_files_max;

/// Age at which CA files are read again, as client-go does with its own.
const CA_FILES_AGE_MAX: Duration = Duration::from_secs(60);
/// Time between two searches for pods that are not scraped any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// More pods with kept connections than one aggregator scrapes are of no use.
const KEPT_PODS_MAX: usize = 20_000;

/// The agents of all scrapes.
#[derive(Debug)]
pub(super) struct Agents {
    ca_files: Vec<PathBuf>,
    kept_pods_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    pods: HashMap<Pod, KeptAgent>,
    roots: Roots,
    swept_at: Instant,
}

/// Whom a kept connection is to, and what was checked when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pod {
    address: SocketAddr,
    tls: Option<TlsOptions>,
}

#[derive(Debug)]
struct KeptAgent {
    agent: Agent,
    /// Path and query that were asked for last, and the URL with them.
    path: String,
    url: Uri,
    times: Arc<EncodingTimes>,
    used_at: Instant,
}

/// What is needed to ask a pod.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) agent: Agent,
    pub(super) url: Uri,
    /// Kept as long as the agent.
    pub(super) times: Arc<EncodingTimes>,
}

impl Agents {
    /// No agent yet. Reads the CA files.
    pub(super) fn new(ca_files: Vec<PathBuf>) -> Agents {
        let kept = Kept {
            pods: HashMap::new(),
            roots: Roots::read(&ca_files),
            swept_at: Instant::now(),
        };
        Agents {
            ca_files,
            kept_pods_max: kept_pods_max(),
            kept: Mutex::new(kept),
        }
    }

    /// The agent that may talk to this pod, the URL for it, and what is known of its times.
    ///
    /// # Errors
    /// There is no such URL.
    pub(super) fn access(
        &self,
        address: SocketAddr,
        options: &ScrapeOptions,
    ) -> Result<Access, ureq::Error> {
        let pod = Pod {
            address,
            tls: options.tls.clone(),
        };
        let path = &options.path_and_query;
        let now = Instant::now();
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        if kept.roots.read_at.elapsed() >= CA_FILES_AGE_MAX {
            self.read_roots_again(&mut kept);
        }
        if let Some(known) = kept.pods.get_mut(&pod) {
            known.used_at = now;
            if known.path != *path {
                known.url = url(&pod, path)?;
                known.path.clone_from(path);
            }
            return Ok(Access {
                agent: known.agent.clone(),
                url: known.url.clone(),
                times: Arc::clone(&known.times),
            });
        }
        kept.sweep(now);
        let agent = connect::agent(kept.roots.tls(&pod), pod.address);
        let url = url(&pod, path)?;
        let times = Arc::<EncodingTimes>::default();
        // Over the bound the connection is closed with its agent, after this one scrape.
        if kept.pods.len() < self.kept_pods_max {
            let kept_agent = KeptAgent {
                agent: agent.clone(),
                path: path.clone(),
                url: url.clone(),
                times: Arc::clone(&times),
                used_at: now,
            };
            kept.pods.insert(pod, kept_agent);
        }
        Ok(Access { agent, url, times })
    }

    fn read_roots_again(&self, kept: &mut Kept) {
        let roots = Roots::read(&self.ca_files);
        if roots.pem != kept.roots.pem && !roots.is_empty {
            kept.roots = roots;
            kept.pods.retain(|pod, _| !pod.is_verified());
        }
        kept.roots.read_at = Instant::now();
    }
}

fn url(pod: &Pod, path: &str) -> Result<Uri, ureq::Error> {
    let address = pod.address;
    let url = match &pod.tls {
        None => format!("http://{address}{path}"),
        Some(TlsOptions {
            server_name: Some(name),
            ..
        }) => format!("https://{name}:{}{path}", address.port()),
        Some(_) => format!("https://{address}{path}"),
    };
    Uri::try_from(url).map_err(|error| ureq::Error::Http(error.into()))
}

impl Kept {
    /// Forgets pods that have not been scraped for so long that their connections are not used any more.
    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept_at) >= SWEEP_INTERVAL {
            self.swept_at = now;
            self.pods
                .retain(|_, kept| now.duration_since(kept.used_at) < IDLE_CONNECTION_AGE_MAX);
        }
    }
}

impl Pod {
    fn is_verified(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.verify)
    }
}

/// A quarter of the descriptors that this process may open, so that connections to pods never take those of clients.
/// Where the limit is not known, that of a small process.
fn kept_pods_max() -> usize {
    open_files_max().unwrap_or(1024).min(KEPT_PODS_MAX * 4) / 4
}

/// The CAs that pods are checked against, as last read.
#[derive(Debug)]
struct Roots {
    /// The bytes of the files, to see whether they changed.
    pem: Vec<u8>,
    is_empty: bool,
    verified: Tls,
    unverified: Tls,
    read_at: Instant,
}

impl Roots {
    fn read(files: &[PathBuf]) -> Roots {
        let mut pem = Vec::new();
        for file in files {
            match fs::read(file) {
                Ok(bytes) => pem.extend_from_slice(&bytes),
                Err(error) => log::warn!(
                    "CA file {}: {error}; pods with tls-verify=true may fail",
                    file.display()
                ),
            }
            pem.push(b'\n');
        }
        let certificates: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        Roots {
            pem,
            is_empty: certificates.is_empty(),
            verified: Tls::verified(certificates),
            unverified: Tls::unverified(),
            read_at: Instant::now(),
        }
    }

    /// How the certificate of this pod is checked.
    fn tls(&self, pod: &Pod) -> &Tls {
        match &pod.tls {
            Some(tls) if !tls.verify => &self.unverified,
            _ => &self.verified,
        }
    }
}
