//! Kept connections to pods: one ureq agent for each address and its TLS options.
//!
//! A single agent for all pods would keep all connections in one list, and ureq goes through that list at each connect
//! and each return: with a thousand pods this takes most of the processor time. Separate agents also keep pods apart
//! whose certificates are checked for the same name, because ureq finds kept connections by the URL's host.
//!
//! New CAs or another client certificate (`tls_files.rs`) drop the connections that were made with the old ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ureq::Agent;

use super::connect::{self, IDLE_CONNECTION_AGE_MAX, Tls};
use super::encoding::EncodingTimes;
use super::tls_files::PodTlsFiles;
use crate::target::{ScrapeOptions, TlsOptions};
use crate::telemetry::open_files_max;

/// How often agents of pods that are no longer scraped are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// How many pods may have kept connections: more than one aggregator scrapes.
const KEPT_PODS_MAX: usize = 20_000;

/// The agents of all scrapes.
#[derive(Debug)]
pub(super) struct Agents {
    files: PodTlsFiles,
    unverified: Tls,
    kept_pods_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    pods: HashMap<PodKey, KeptPod>,
    /// The current content of the files.
    verified: Tls,
    swept_at: Instant,
}

/// What a kept connection depends on: the address, and what was verified when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PodKey {
    address: SocketAddr,
    tls: Option<TlsOptions>,
}

#[derive(Debug)]
struct KeptPod {
    access: Access,
    used_at: Instant,
}

/// What a scrape needs to ask a pod.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) agent: Agent,
    /// Kept as long as the agent.
    pub(super) times: Arc<EncodingTimes>,
}

impl Agents {
    /// There is no agent yet.
    pub(super) fn new(files: PodTlsFiles) -> Agents {
        let kept = Kept {
            pods: HashMap::new(),
            verified: files.verified(),
            swept_at: Instant::now(),
        };
        Agents {
            files,
            unverified: Tls::new(Vec::new(), None, false),
            kept_pods_max: kept_pods_max(),
            kept: Mutex::new(kept),
        }
    }

    /// The agent for a pod with these options, and the times of its scrapes so far. Reads the files that are due.
    pub(super) fn access(&self, options: &ScrapeOptions, now: Instant) -> Access {
        let is_new = self.files.refresh(now);
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        if is_new {
            kept.verified = self.files.verified();
            kept.pods.retain(|pod, _| !pod.is_verified());
        }
        let pod = PodKey {
            address: options.address,
            tls: options.tls.clone(),
        };
        if let Some(known) = kept.pods.get_mut(&pod) {
            known.used_at = now;
            return known.access.clone();
        }
        kept.sweep(now);
        let tls = match &pod.tls {
            Some(tls) if !tls.verify => &self.unverified,
            _ => &kept.verified,
        };
        let access = Access {
            agent: connect::agent(tls, pod.address),
            times: Arc::default(),
        };
        // Over the limit, the connection is closed with its agent after this scrape.
        if kept.pods.len() < self.kept_pods_max {
            let access = access.clone();
            let used_at = now;
            kept.pods.insert(pod, KeptPod { access, used_at });
        }
        access
    }
}

impl Kept {
    /// Removes pods that have not been scraped for so long that their connections are closed anyway.
    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept_at) >= SWEEP_INTERVAL {
            self.swept_at = now;
            self.pods
                .retain(|_, kept| now.duration_since(kept.used_at) < IDLE_CONNECTION_AGE_MAX);
        }
    }
}

impl PodKey {
    fn is_verified(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.verify)
    }
}

/// A quarter of the descriptors that this process may open, so that connections to pods leave enough for those of
/// clients. If the limit is unknown, a small one is assumed.
fn kept_pods_max() -> usize {
    open_files_max().unwrap_or(1024).min(KEPT_PODS_MAX * 4) / 4
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;
    use std::path::PathBuf;
    use std::{env, fs, process};

    use super::super::tls_files::{ClientCertificateFiles, FILES_AGE_MAX};
    use super::*;

    /// Files in a folder that is deleted at the end of the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = env::temp_dir().join(format!("agents-{}-{name}", process::id()));
            fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let file = self.0.join(name);
            fs::write(&file, content).unwrap();
            file
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // It may be gone already.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Asks again and again for the agent of one pod, each time when the files are due.
    struct Scrapes {
        agents: Agents,
        now: Instant,
    }

    impl Scrapes {
        fn new(ca_files: Vec<PathBuf>, client: Option<ClientCertificateFiles>) -> Scrapes {
            Scrapes {
                agents: Agents::new(PodTlsFiles::open(ca_files, client).unwrap()),
                now: Instant::now(),
            }
        }

        /// What is kept for as long as the agent.
        fn next(&mut self) -> Arc<EncodingTimes> {
            self.now += FILES_AGE_MAX;
            let options = ScrapeOptions {
                address: (Ipv4Addr::LOCALHOST, 9).into(),
                path_and_query: "/metrics".to_owned(),
                timeout: Duration::from_secs(1),
                tls: Some(TlsOptions {
                    verify: true,
                    server_name: None,
                }),
            };
            self.agents.access(&options, self.now).times
        }
    }

    #[test]
    fn only_another_ca_drops_the_connections_that_were_checked() {
        let folder = Folder::new("ca");
        let ca = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
        let ca = ca.cert.pem();
        let (one, other) = (folder.write("one", &ca), folder.write("other", &ca));
        let mut scrapes = Scrapes::new(vec![one, other.clone()], None);
        let first = scrapes.next();
        // One of two files is gone for a moment.
        fs::remove_file(&other).unwrap();
        assert!(Arc::ptr_eq(&first, &scrapes.next()));
        folder.write("other", "no certificate");
        assert!(Arc::ptr_eq(&first, &scrapes.next()));
        folder.write("other", &ca);
        assert!(Arc::ptr_eq(&first, &scrapes.next()));
        folder.write("other", &ca.repeat(2));
        assert!(!Arc::ptr_eq(&first, &scrapes.next()));
    }

    #[test]
    fn only_another_client_certificate_drops_the_connections_that_it_was_shown_on() {
        let folder = Folder::new("client");
        let [one, other] = [(); 2].map(|()| {
            let pair = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
            (pair.cert.pem(), pair.signing_key.serialize_pem())
        });
        let files = ClientCertificateFiles {
            cert: folder.write("cert", &one.0),
            key: folder.write("key", &one.1),
        };
        let mut scrapes = Scrapes::new(Vec::new(), Some(files));
        let first = scrapes.next();
        // Certificate and key are not always replaced at one moment.
        folder.write("cert", &other.0);
        assert!(Arc::ptr_eq(&first, &scrapes.next()));
        folder.write("key", "no key");
        assert!(Arc::ptr_eq(&first, &scrapes.next()));
        folder.write("key", &other.1);
        let second = scrapes.next();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &scrapes.next()));
    }
}
