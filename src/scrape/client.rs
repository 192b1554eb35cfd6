//! One GET of one target within a deadline: its body, or the phase and reason of the failure.
//!
//! Runs in the client workers. Connections to pods are kept between requests. Never follows a redirect, never uses a
//! proxy, never sends a credential.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::connect;
use super::error::brief;
use super::{Phase, Reason, ScrapeError};
use crate::exposition::Format;
use crate::target::{ScrapeOptions, Target};

/// What all scrapes have in common.
#[derive(Debug, Clone)]
pub struct ScrapeSettings {
    /// PEM files with the CAs that certificates of pods are checked against. Read again each minute; one that cannot
    /// be read is left out, and its text stands in the reason of the scrapes that fail for it.
    pub ca_files: Vec<PathBuf>,
    /// Largest body, in bytes after decompression.
    pub body_bytes_max: u64,
}

/// Scrapes targets; shared by all client workers.
#[derive(Debug)]
pub struct ScrapeClient {
    settings: ScrapeSettings,
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

/// Age at which CA files are read again, as client-go does with its own.
const CA_FILES_AGE_MAX: Duration = Duration::from_secs(60);
/// Agents for named pods; over this the whole map is dropped and fills again. Above any real number of such pods.
const NAMED_AGENTS_MAX: usize = 20_000;
/// A declared Content-Length is believed up to here; a longer body grows the buffer as it arrives.
const BODY_RESERVE_BYTES_MAX: u64 = 1 << 20;
/// More kept connections than pods that one aggregator scrapes are of no use.
const IDLE_CONNECTIONS_MAX: usize = 20_000;
/// Kept connections that the other side closed may be found one after the other.
const ATTEMPTS_MAX: usize = 3;

impl ScrapeClient {
    /// A client without connections. Reads the CA files.
    #[must_use]
    pub fn new(settings: ScrapeSettings) -> ScrapeClient {
        let idle_connections_max = idle_connections_max();
        let roots = Roots::read(&settings.ca_files);
        let verified = Verified {
            agent: connect::agent(
                connect::verified(roots.certificates.clone()),
                None,
                idle_connections_max,
            ),
            named: HashMap::new(),
            roots,
        };
        ScrapeClient {
            plain: connect::agent(connect::unverified(), None, idle_connections_max),
            unverified: connect::agent(connect::unverified(), None, idle_connections_max),
            verified: Mutex::new(verified),
            idle_connections_max,
            settings,
        }
    }

    /// Scrapes the target: its complete, decompressed body replaces what is in `body`.
    ///
    /// Ends at the target's own timeout or at `deadline`, whichever comes first; that covers connecting, TLS, the
    /// head and the last byte of the body.
    ///
    /// # Errors
    /// Anything but a complete body with status 200 and a content type that Prometheus reads as text. What `body`
    /// holds then has no meaning.
    pub fn scrape(
        &self,
        target: &Target,
        deadline: Option<Instant>,
        body: &mut Vec<u8>,
    ) -> Result<Format, ScrapeError> {
        let options = target.options.as_ref().map_err(|error| ScrapeError {
            phase: Phase::Options,
            reason: Reason::Option(error.clone()),
        })?;
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let budget = left.map_or(options.timeout, |left| left.min(options.timeout));
        if budget.is_zero() {
            return Err(ScrapeError {
                phase: Phase::Queue,
                reason: Reason::Deadline,
            });
        }
        let address = SocketAddr::new(target.pod_ip, options.port);
        let (agent, url) = self.agent_and_url(address, options);
        let response = get(&agent, &url, Instant::now() + budget, budget)?;
        self.read_body(response, budget, body)
    }

    fn agent_and_url(&self, address: SocketAddr, options: &ScrapeOptions) -> (Agent, String) {
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
    fn current(&self) -> std::sync::MutexGuard<'_, Verified> {
        let mut verified = self
            .verified
            .lock()
            .expect("no scrape panics while it holds this lock");
        if verified.roots.read_at.elapsed() >= CA_FILES_AGE_MAX {
            let roots = Roots::read(&self.settings.ca_files);
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

    fn read_body(
        &self,
        response: Response<ureq::Body>,
        budget: Duration,
        body: &mut Vec<u8>,
    ) -> Result<Format, ScrapeError> {
        let fail = |reason| ScrapeError {
            phase: Phase::Body,
            reason,
        };
        let status = response.status().as_u16();
        if status != 200 {
            return Err(ScrapeError {
                phase: Phase::Wait,
                reason: Reason::Status(status),
            });
        }
        if let Some(encoding) = response.headers().get("content-encoding")
            && encoding != "identity"
        {
            return Err(fail(Reason::Encoding(brief(&format!("{encoding:?}")))));
        }
        let content_type = response
            .headers()
            .get("content-type")
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let limit = self.settings.body_bytes_max;
        body.clear();
        let expected = response.body().content_length().unwrap_or(0);
        let reserve = usize::try_from(expected.min(BODY_RESERVE_BYTES_MAX).min(limit)).unwrap_or(0);
        body.reserve(reserve);
        let mut reader = response
            .into_body()
            .into_with_config()
            .limit(limit)
            .reader();
        reader
            .read_to_end(body)
            .map_err(|error| scrape_error(Phase::Body, ureq::Error::from(error), budget))?;
        // As in Prometheus, nobody asks what an empty body is.
        if body.is_empty() {
            return Ok(Format::Text);
        }
        Format::from_content_type(content_type.as_deref())
            .map_err(|error| fail(Reason::ContentType(error)))
    }
}

/// Sends the request and reads the head of the answer. A connection that was kept and turns out to be closed is
/// replaced; a new one that fails is not tried again.
fn get(
    agent: &Agent,
    url: &str,
    deadline: Instant,
    budget: Duration,
) -> Result<Response<ureq::Body>, ScrapeError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let left = deadline.saturating_duration_since(Instant::now());
        connect::start_scrape();
        let answer = agent
            .get(url)
            .header(
                "X-Prometheus-Scrape-Timeout-Seconds",
                format!("{:.3}", left.as_secs_f64()),
            )
            .config()
            .timeout_global(Some(left))
            .build()
            .call();
        match answer {
            Ok(response) => return Ok(response),
            Err(ureq::Error::Io(_)) if !connect::has_connected() && attempts < ATTEMPTS_MAX => {}
            Err(error) => return Err(scrape_error(connect::phase(), error, budget)),
        }
    }
}

/// The reason behind an error of ureq, in the phase in which it came up.
fn scrape_error(phase: Phase, error: ureq::Error, budget: Duration) -> ScrapeError {
    let reason = match error {
        ureq::Error::Timeout(_) => Reason::Timeout(budget),
        ureq::Error::BodyExceedsLimit(limit_bytes) => Reason::BodyTooLarge { limit_bytes },
        ureq::Error::Decompress(name, error) => {
            Reason::Encoding(format!("{name} that is corrupt: {}", brief(&error)))
        }
        ureq::Error::Io(error)
            if phase == Phase::Tls && error.kind() == io::ErrorKind::InvalidData =>
        {
            Reason::Tls(brief(&error))
        }
        ureq::Error::Io(error) => Reason::Io(error.kind(), brief(&error)),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Reason::Tls(brief(&error)),
        other => Reason::Http(brief(&other)),
    };
    ScrapeError { phase, reason }
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
