//! One GET of one target within a deadline: its body, or the phase and reason of the failure.
//!
//! Runs in the client workers. Connections to pods are kept between requests. Redirects are followed within the pod. A
//! proxy is never used, and a credential is sent only as `token.rs` allows.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderValue, Response, Uri, header};

use super::agents::{Access, Agents};
use super::body::{self, BodyBuffer};
use super::error::brief;
use super::get::{self, ScrapeTime};
use super::question::Question;
use super::tls_files::{ClientCertificateFiles, PodTlsFiles};
use super::token::{PodToken, TokenSettings};
use super::{Phase, Reason, ScrapeError};
use crate::exposition::Format;
use crate::reloaded::FileError;
use crate::target::{ScrapeOptions, Target};

/// The settings of all scrapes.
#[derive(Debug, Clone)]
pub struct ScrapeSettings {
    /// PEM files with the CAs that verify the certificates of pods. They are read again each minute. If one cannot be
    /// used, that is logged, and its last content is used, if there is one.
    pub ca_files: Vec<PathBuf>,
    /// The certificate that is shown to pods that ask for one.
    pub client_certificate: Option<ClientCertificateFiles>,
    /// The largest body, in bytes after decompression.
    pub body_bytes_max: u64,
    /// The most samples of a body; `None`: no limit.
    pub samples_max: Option<u64>,
    /// The token that some pods get.
    pub token: Option<TokenSettings>,
}

/// Scrapes targets; shared by all client workers.
#[derive(Debug)]
pub struct ScrapeClient {
    agents: Agents,
    body_bytes_max: u64,
    pub(super) samples_max: u64,
    token: Option<PodToken>,
}

impl ScrapeClient {
    /// Reads the files, and makes a client without connections.
    ///
    /// # Errors
    /// The client certificate cannot be used.
    pub fn new(settings: ScrapeSettings) -> Result<ScrapeClient, FileError> {
        let files = PodTlsFiles::open(settings.ca_files, settings.client_certificate)?;
        Ok(ScrapeClient {
            agents: Agents::new(files),
            body_bytes_max: settings.body_bytes_max,
            samples_max: settings.samples_max.unwrap_or(u64::MAX),
            token: settings.token.map(PodToken::open),
        })
    }

    /// Scrapes the target: reads its complete body, decompresses it, and returns its format.
    ///
    /// The target's own timeout and `deadline` limit all of it: connecting, TLS, the head and the last byte of the
    /// body.
    ///
    /// # Errors
    /// Anything but a complete body with status 200 and a Content-Type that Prometheus accepts.
    pub(super) fn scrape(
        &self,
        target: &Target,
        question: &Question,
        deadline: Option<Instant>,
        body: &mut BodyBuffer,
    ) -> Result<Format, ScrapeError> {
        let start = Instant::now();
        let options = options(target)?;
        let Access { agent, times } = self.agents.access(options, start);
        let asks_gzip = times.is_gzip_next();
        let encoding = if asks_gzip { "gzip" } else { "identity" };
        let url = url(options, &question.path(&options.path_and_query))?;
        let wants = [&*question.accept, encoding];
        let (response, budget) = self.get(target, &agent, url, deadline, wants)?;
        // Prometheus too compares only the first such header, and only with this word. Exporters send charsets, media
        // types and `none` in it. A body that is compressed otherwise fails at its first line.
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        let is_gzip = encoding.is_some_and(|encoding| encoding == "gzip");
        let content_type = response_header(&response, "content-type");
        let limit = self.body_bytes_max;
        body::read(response.into_body(), is_gzip, limit, budget, body)?;
        times.note(asks_gzip, start.elapsed());
        // As in Prometheus, an empty body needs no Content-Type.
        if body.body().is_empty() {
            return Ok(Format::Text);
        }
        Format::from_content_type(content_type.as_deref())
            .map_err(|error| ScrapeError::failed(Phase::Body, error))
    }

    /// Asks the target for what a scraper wants, and returns the response unchanged. Has the limits of a scrape, but
    /// the limit of bytes applies to the body as sent.
    ///
    /// # Errors
    /// Anything but a complete body with status 200.
    pub fn probe(
        &self,
        target: &Target,
        wants: &ProbeWants,
        deadline: Option<Instant>,
    ) -> Result<PodResponse, ScrapeError> {
        let accept = wants.accept.as_deref().unwrap_or("*/*");
        let encoding = wants.accept_encoding.as_deref().unwrap_or("identity");
        let options = options(target)?;
        let agent = self.agents.access(options, Instant::now()).agent;
        let url = url(options, &options.path_and_query)?;
        let (response, budget) = self.get(target, &agent, url, deadline, [accept, encoding])?;
        let content_type = response_header(&response, "content-type");
        let content_encoding = response_header(&response, "content-encoding");
        let mut body = BodyBuffer::default();
        let limit = self.body_bytes_max;
        body::read(response.into_body(), false, limit, budget, &mut body)?;
        Ok(PodResponse {
            content_type,
            content_encoding,
            body: body.take(),
        })
    }

    /// The head of a response with status 200, and the time limit of the whole scrape. The last parameter has the
    /// values of `Accept` and `Accept-Encoding`.
    fn get(
        &self,
        target: &Target,
        agent: &Agent,
        url: Uri,
        deadline: Option<Instant>,
        [accept, encoding]: [&str; 2],
    ) -> Result<(Response<ureq::Body>, Duration), ScrapeError> {
        let options = options(target)?;
        let now = Instant::now();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        let budget = left.map_or(options.timeout, |left| left.min(options.timeout));
        if budget.is_zero() {
            return Err(ScrapeError::new(Phase::Queue, Reason::Deadline));
        }
        let authorization = self
            .token
            .as_ref()
            .and_then(|token| token.header_for(target, options));
        let mut headers = vec![
            (header::ACCEPT, value(accept)?),
            (header::ACCEPT_ENCODING, value(encoding)?),
        ];
        if let Some(authorization) = &authorization {
            headers.push((header::AUTHORIZATION, value(authorization)?));
        }
        let time = ScrapeTime { start: now, budget };
        let response = get::get(agent, url, options.address.ip(), &headers, time)?;
        let status = response.status().as_u16();
        // A pod that did not get the token did not refuse it.
        if let (401, Some(token), Some(_)) = (status, &self.token, authorization) {
            token.expire();
        }
        if status != 200 {
            let text = format!("expected status 200, found {status}");
            return Err(ScrapeError::failed(Phase::Wait, text));
        }
        Ok((response, budget))
    }
}

/// The headers with which a scraper says what it wants from a pod.
#[derive(Debug, Clone, Default)]
pub struct ProbeWants {
    /// The header `Accept`.
    pub accept: Option<String>,
    /// The header `Accept-Encoding`.
    pub accept_encoding: Option<String>,
}

/// A pod's response, unchanged.
#[derive(Debug)]
pub struct PodResponse {
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The header `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// The body as sent.
    pub body: Vec<u8>,
}

fn options(target: &Target) -> Result<&ScrapeOptions, ScrapeError> {
    let options = target.options.as_ref();
    options.map_err(|error| ScrapeError::failed(Phase::Options, error))
}

/// The URL of a pod. It names the host that certificates are verified for.
fn url(options: &ScrapeOptions, path: &str) -> Result<Uri, ScrapeError> {
    let address = options.address;
    let url = match &options.tls {
        None => format!("http://{address}{path}"),
        Some(tls) => match &tls.server_name {
            Some(name) => format!("https://{name}:{}{path}", address.port()),
            None => format!("https://{address}{path}"),
        },
    };
    Uri::try_from(url).map_err(|error| ScrapeError::failed(Phase::Connect, brief(&error)))
}

/// The value of a header of a request.
fn value(text: &str) -> Result<HeaderValue, ScrapeError> {
    HeaderValue::from_str(text).map_err(|error| ScrapeError::failed(Phase::Wait, brief(&error)))
}

fn response_header(response: &Response<ureq::Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
