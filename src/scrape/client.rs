//! One GET of one target within a deadline: its body, or the phase and reason of the failure.
//!
//! Runs in the client workers. Connections to pods are kept between requests. Never follows a redirect, never uses a
//! proxy; sends a credential only as `token.rs` allows.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Response;

use super::agents::Agents;
use super::connect;
use super::error::brief;
use super::token::{Token, TokenSettings};
use super::{Phase, Reason, ScrapeError};
use crate::exposition::Format;
use crate::target::Target;

/// What all scrapes have in common.
#[derive(Debug, Clone)]
pub struct ScrapeSettings {
    /// PEM files with the CAs that certificates of pods are checked against. Read again each minute; one that cannot
    /// be read is left out, and its text stands in the reason of the scrapes that fail for it.
    pub ca_files: Vec<PathBuf>,
    /// Largest body, in bytes after decompression.
    pub body_bytes_max: u64,
    /// The token that some pods are sent, if any.
    pub token: Option<TokenSettings>,
}

/// Scrapes targets; shared by all client workers.
#[derive(Debug)]
pub struct ScrapeClient {
    agents: Agents,
    body_bytes_max: u64,
    token: Option<Token>,
}

/// A declared Content-Length is believed up to here; a longer body grows the buffer as it arrives.
const BODY_RESERVE_BYTES_MAX: u64 = 1 << 20;
/// Kept connections that the other side closed may be found one after the other.
const ATTEMPTS_MAX: usize = 3;

impl ScrapeClient {
    /// A client without connections. Reads the CA files.
    #[must_use]
    pub fn new(settings: ScrapeSettings) -> ScrapeClient {
        ScrapeClient {
            agents: Agents::new(settings.ca_files),
            body_bytes_max: settings.body_bytes_max,
            token: settings.token.map(Token::new),
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
        let (agent, url) = self.agents.agent_and_url(address, options);
        let authorization = self
            .token
            .as_ref()
            .and_then(|token| token.header_for(target, options));
        let response = get(&agent, &url, authorization.as_deref(), budget)?;
        if let (401, Some(token)) = (response.status().as_u16(), &self.token) {
            token.expire();
        }
        self.read_body(response, budget, body)
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
        let limit = self.body_bytes_max;
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
    authorization: Option<&str>,
    budget: Duration,
) -> Result<Response<ureq::Body>, ScrapeError> {
    let deadline = Instant::now() + budget;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let left = deadline.saturating_duration_since(Instant::now());
        connect::start_scrape();
        let mut request = agent.get(url).header(
            "X-Prometheus-Scrape-Timeout-Seconds",
            format!("{:.3}", left.as_secs_f64()),
        );
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request.config().timeout_global(Some(left)).build().call();
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
