//! The kept connections to pods: an agent of ureq for each pod's address and TLS options.
//!
//! One agent for all pods would keep all connections in one list, through which ureq goes at each connect and each
//! return: with a thousand pods most of the processor's time. An agent of its own also keeps pods apart whose
//! certificates are checked for the same name, because ureq finds kept connections by the URL's host.
//!
//! New CAs (`roots.rs`) drop the connections that were checked against the old ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Uri;

use super::connect::{self, IDLE_CONNECTION_AGE_MAX, Tls};
use super::encoding::EncodingTimes;
use super::roots::{Roots, Trust};
use crate::target::{ScrapeOptions, TlsOptions};
use crate::telemetry::open_files_max;

/// Time between two searches for pods that are not scraped any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// More pods with kept connections than one aggregator scrapes are of no use.
const KEPT_PODS_MAX: usize = 20_000;

/// The agents of all scrapes.
#[derive(Debug)]
pub(super) struct Agents {
    roots: Roots,
    unverified: Tls,
    kept_pods_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    pods: HashMap<Pod, KeptAgent>,
    trust: Trust,
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
    access: Access,
    /// Path and query of its URL: those that were asked for last.
    path: String,
    used_at: Instant,
}

/// What is needed to ask a pod.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) agent: Agent,
    pub(super) url: Uri,
    /// Kept as long as the agent.
    pub(super) times: Arc<EncodingTimes>,
}

impl Agents {
    /// No agent yet. Reads the CA files.
    pub(super) fn new(ca_files: Vec<PathBuf>) -> Agents {
        let roots = Roots::open(ca_files);
        let kept = Kept {
            pods: HashMap::new(),
            trust: roots.trust(),
            swept_at: Instant::now(),
        };
        Agents {
            roots,
            unverified: Tls::unverified(),
            kept_pods_max: kept_pods_max(),
            kept: Mutex::new(kept),
        }
    }

    /// The agent that may talk to this pod, the URL for this path and query in it, and what is known of its times.
    ///
    /// # Errors
    /// There is no such URL.
    pub(super) fn access(
        &self,
        options: &ScrapeOptions,
        path: &str,
    ) -> Result<Access, ureq::Error> {
        let pod = Pod {
            address: options.address,
            tls: options.tls.clone(),
        };
        let now = Instant::now();
        self.roots.refresh(now);
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        if !self.roots.is_current(&kept.trust) {
            kept.trust = self.roots.trust();
            kept.pods.retain(|pod, _| !pod.is_verified());
        }
        if let Some(known) = kept.pods.get_mut(&pod) {
            known.used_at = now;
            if known.path != path {
                known.access.url = url(&pod, path)?;
                path.clone_into(&mut known.path);
            }
            return Ok(known.access.clone());
        }
        kept.sweep(now);
        let tls = match &pod.tls {
            Some(tls) if !tls.verify => &self.unverified,
            _ => &kept.trust.verified,
        };
        let access = Access {
            agent: connect::agent(tls, pod.address),
            url: url(&pod, path)?,
            times: Arc::default(),
        };
        // Over the bound the connection is closed with its agent, after this one scrape.
        if kept.pods.len() < self.kept_pods_max {
            let kept_agent = KeptAgent {
                access: access.clone(),
                path: path.to_owned(),
                used_at: now,
            };
            kept.pods.insert(pod, kept_agent);
        }
        Ok(access)
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;
    use std::{env, fs, process};

    use super::super::roots::CA_FILES_AGE_MAX;
    use super::*;

    #[test]
    fn only_another_ca_drops_the_connections_that_were_checked() {
        let file = |name| env::temp_dir().join(format!("agents-{}-{name}", process::id()));
        let (one, other) = (file("one"), file("other"));
        let ca = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
        let ca = ca.cert.pem();
        fs::write(&one, &ca).unwrap();
        fs::write(&other, &ca).unwrap();
        let agents = Agents::new(vec![one.clone(), other.clone()]);
        let options = ScrapeOptions {
            address: (Ipv4Addr::LOCALHOST, 9).into(),
            path_and_query: "/metrics".to_owned(),
            timeout: Duration::from_secs(1),
            tls: Some(TlsOptions {
                verify: true,
                server_name: None,
            }),
        };
        let mut now = Instant::now();
        let mut scrape = || {
            now += CA_FILES_AGE_MAX;
            agents.roots.refresh(now);
            // Kept for as long as the agent.
            agents.access(&options, "/metrics").unwrap().times
        };
        let first = scrape();
        // One of two files is gone for a moment.
        fs::remove_file(&other).unwrap();
        assert!(Arc::ptr_eq(&first, &scrape()));
        fs::write(&other, "no certificate").unwrap();
        assert!(Arc::ptr_eq(&first, &scrape()));
        fs::write(&other, &ca).unwrap();
        assert!(Arc::ptr_eq(&first, &scrape()));
        fs::write(&other, ca.repeat(2)).unwrap();
        assert!(!Arc::ptr_eq(&first, &scrape()));
        fs::remove_file(&one).unwrap();
        fs::remove_file(&other).unwrap();
    }
}
