//! Which connections a scrape may use: the agents of ureq by how the pod's certificate is checked.
//!
//! Connections are kept between requests. The CA files are read again each minute; a new CA drops the connections
//! that were checked against the old one.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::connect;
use crate::target::ScrapeOptions;

/// Age at which CA files are read again, as client-go does with its own.
const CA_FILES_AGE_MAX: Duration = Duration::from_secs(60);
/// Agents for named pods; over this the whole map is dropped and fills again. Above any real number of such pods.
const NAMED_AGENTS_MAX: usize = 20_000;
/// More kept connections than pods that one aggregator scrapes are of no use.
const IDLE_CONNECTIONS_MAX: usize = 20_000;

/// The agents of all scrapes.
#[derive(Debug)]
pub(super) struct Agents {
    ca_files: Vec<PathBuf>,
    idle_connections_max: usize,
    plain: Agent,
    unverified: Agent,
    verified: Mutex<Verified>,
}

/// The agents that hang on the CA files or on the name of one pod.
#[derive(Debug)]
struct Verified {
    agent: Agent,
    named: HashMap<NamedPod, Agent>,
    roots: Roots,
}

/// A pod whose certificate is checked for a name, or that is sent one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NamedPod {
    address: SocketAddr,
    server_name: String,
    verify: bool,
}

impl Agents {
    /// Agents without connections. Reads the CA files.
    pub(super) fn new(ca_files: Vec<PathBuf>) -> Agents {
        let idle_connections_max = idle_connections_max();
        let agent = |tls| connect::agent(tls, None, idle_connections_max);
        let roots = Roots::read(&ca_files);
        let verified = Verified {
            agent: agent(connect::verified(roots.certificates.clone())),
            named: HashMap::new(),
            roots,
        };
        Agents {
            // Plain HTTP: no certificate could be right.
            plain: agent(connect::verified(Vec::new())),
            unverified: agent(connect::unverified()),
            verified: Mutex::new(verified),
            idle_connections_max,
            ca_files,
        }
    }

    /// The agent that may talk to this pod, and the URL for it.
    pub(super) fn agent_and_url(
        &self,
        address: SocketAddr,
        options: &ScrapeOptions,
    ) -> (Agent, String) {
        let path = &options.path_and_query;
        let Some(tls) = &options.tls else {
            return (self.plain.clone(), format!("http://{address}{path}"));
        };
        let Some(server_name) = &tls.server_name else {
            let agent = if tls.verify {
                self.current().agent.clone()
            } else {
                self.unverified.clone()
            };
            return (agent, format!("https://{address}{path}"));
        };
        let pod = NamedPod {
            address,
            server_name: server_name.clone(),
            verify: tls.verify,
        };
        let url = format!("https://{server_name}:{}{path}", options.port);
        (self.named_agent(pod), url)
    }

    fn named_agent(&self, pod: NamedPod) -> Agent {
        let mut verified = self.current();
        if verified.named.len() >= NAMED_AGENTS_MAX {
            verified.named.clear();
        }
        if let Some(agent) = verified.named.get(&pod) {
            return agent.clone();
        }
        let tls = if pod.verify {
            connect::verified(verified.roots.certificates.clone())
        } else {
            connect::unverified()
        };
        let agent = connect::agent(tls, Some(pod.address), self.idle_connections_max);
        verified.named.insert(pod, agent.clone());
        agent
    }

    /// The agents for the CA files as they are, at most [`CA_FILES_AGE_MAX`] old.
    fn current(&self) -> MutexGuard<'_, Verified> {
        let mut verified = self
            .verified
            .lock()
            .expect("no scrape panics while it holds this lock");
        if verified.roots.read_at.elapsed() >= CA_FILES_AGE_MAX {
            let roots = Roots::read(&self.ca_files);
            if roots.pem != verified.roots.pem && !roots.certificates.is_empty() {
                let tls = connect::verified(roots.certificates.clone());
                verified.agent = connect::agent(tls, None, self.idle_connections_max);
                verified.named.clear();
                verified.roots = roots;
            }
            verified.roots.read_at = Instant::now();
        }
        verified
    }
}

/// Kept connections of one agent: a quarter of the descriptors that this process may open, so that connections to
/// pods never take those of clients. Where the limit is not known, that of a small process.
fn idle_connections_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?
            .split_whitespace()
            .next()?
            .parse::<usize>()
            .ok()
    });
    soft.unwrap_or(1024).min(IDLE_CONNECTIONS_MAX * 4) / 4
}

/// The CAs that pods are checked against, as last read.
#[derive(Debug)]
struct Roots {
    /// The bytes of the files, to see whether they changed.
    pem: Vec<u8>,
    certificates: Vec<Certificate<'static>>,
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
        let certificates = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        Roots {
            pem,
            certificates,
            read_at: Instant::now(),
        }
    }
}
