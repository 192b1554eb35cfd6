//! The REST client of the API server: its connection, its credentials, and complete pod lists, page by page.
//!
//! It sends one request at a time over one kept connection. A list is complete or an error: a list that broke off
//! returns nothing. The client retries by itself only if another request helps at once (after 401 with a token read
//! again, after 410 between pages); for everything else `discovery` decides when to try again. `watch.rs` has the
//! watch. Runs in the thread that lists, or in a watch thread.
//!
//! API: <https://kubernetes.io/docs/reference/using-api/api-concepts/>.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use ureq::http::{Response, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

use super::body::decompressed;
use super::credentials::ServiceAccount;
use super::error::ClientError;
use super::pod_list::{PodListEnd, read_pod_list};
use super::url::{Freshness, page_url};
use crate::reloaded::{BearerToken, Certificates};
use crate::target::Target;

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The most pages of one list: a million pods, several times what Kubernetes is made for.
const PAGES_MAX: u32 = 2_000;

/// Limits one page, from connecting to the last byte.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Limits name look-up, TCP and TLS of a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits all pages of one list. The continue token of an API server is valid for five minutes.
const LIST_TIMEOUT: Duration = Duration::from_secs(300);

/// The largest page after decompression: 50,000 pods of 20 kB each, in case they come as one page.
const PAGE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How much is read of a response that is not a pod list.
const STATUS_BYTES_MAX: u64 = 64 * 1024;

/// How often one list is started again because its pages became too old.
const RESTARTS_MAX: u32 = 2;

/// How long an idle connection is kept: longer than most refresh intervals, shorter than the API server keeps it.
const IDLE_MAX: Duration = Duration::from_secs(80);

/// A complete list.
#[derive(Debug)]
pub struct PodList {
    /// The targets of all pods, in the order of the list.
    pub targets: Vec<Arc<Target>>,
    /// Where a watch continues.
    pub resource_version: String,
}

/// The client, with its connection and its credentials. A clone shares the credentials.
#[derive(Debug, Clone)]
pub struct ApiClient {
    pub(super) base_url: String,
    /// `None`: plain HTTP, over which no credential is ever sent.
    service_account: Option<Arc<ServiceAccount>>,
    /// The agent, and the CA for which it was made.
    agent: Option<(Agent, Option<Arc<Certificates>>)>,
}

impl ApiClient {
    /// A client of the API server at `base_url`, which may have the path of a proxy. It connects at the first list. The
    /// files in `service_account_dir` are read only for `https`; if they cannot be used, that list fails.
    ///
    /// # Errors
    ///
    /// `base_url` is not an absolute `http` or `https` URL, or it has a user or a query.
    pub fn new(base_url: &str, service_account_dir: &Path) -> io::Result<ApiClient> {
        let is_https = is_https(base_url).ok_or_else(|| {
            let expected = "a URL like https://10.96.0.1:443 or http://127.0.0.1:8001";
            let error = format!("API server: expected {expected}, found {base_url:?}");
            io::Error::new(io::ErrorKind::InvalidInput, error)
        })?;
        Ok(ApiClient {
            base_url: base_url.trim_end_matches('/').to_owned(),
            service_account: is_https.then(|| Arc::new(ServiceAccount::open(service_account_dir))),
            agent: None,
        })
    }

    /// Lists the pods of the namespace (`None`: of all namespaces) that have a job name, and returns their targets.
    ///
    /// # Errors
    ///
    /// The list is not complete, for any reason. The next list reads the credentials again.
    pub fn list_pods(
        &mut self,
        namespace: Option<&str>,
        freshness: &Freshness,
    ) -> Result<PodList, ClientError> {
        let deadline = Instant::now() + LIST_TIMEOUT;
        let mut result = self.list_pages(namespace, freshness, deadline);
        for _ in 0..RESTARTS_MAX {
            if result.as_ref().err().and_then(ClientError::status) == Some(410) {
                result = self.list_pages(namespace, freshness, deadline);
            }
        }
        result.inspect_err(|_| self.expire_credentials())
    }

    fn list_pages(
        &mut self,
        namespace: Option<&str>,
        freshness: &Freshness,
        deadline: Instant,
    ) -> Result<PodList, ClientError> {
        let mut targets = Vec::new();
        let mut continue_token = None;
        for _ in 0..PAGES_MAX {
            let token = continue_token.as_deref();
            let url = page_url(&self.base_url, namespace, freshness, token);
            let response = self.get_authorized(&url, None)?;
            let end = read_page(response, namespace, &mut targets)?;
            if end.continue_token.is_none() {
                return Ok(PodList {
                    targets,
                    resource_version: end.resource_version,
                });
            }
            continue_token = end.continue_token;
            if Instant::now() >= deadline {
                return Err(ClientError::Timeout("all pages"));
            }
        }
        Err(ClientError::TooLarge("2,000 pages"))
    }

    /// Sends a request and returns the response. After a 401 the token is read again and the request sent once more.
    /// `watch`: the limits of the whole response and of each silence in it, which replace [`PAGE_TIMEOUT`].
    pub(super) fn get_authorized(
        &mut self,
        url: &str,
        watch: Option<(Duration, Duration)>,
    ) -> Result<Response<Body>, ClientError> {
        let response = self.get(url, watch)?;
        if response.status().as_u16() != 401 || self.service_account.is_none() {
            return Ok(response);
        }
        self.expire_credentials();
        self.get(url, watch)
    }

    fn get(
        &mut self,
        url: &str,
        watch: Option<(Duration, Duration)>,
    ) -> Result<Response<Body>, ClientError> {
        let (agent, token) = self.agent()?;
        let mut request = agent.get(url);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token.header_value());
        }
        if let Some((whole, silence)) = watch {
            request = request
                // A proxy that compresses a stream may hold back an event until the next one.
                .header(header::ACCEPT_ENCODING, "identity")
                .config()
                .timeout_global(Some(whole))
                .timeout_per_read(Some(silence))
                .build();
        }
        request.call().map_err(client_error)
    }

    /// The agent for the current CA, and the current token.
    fn agent(&mut self) -> Result<(Agent, Option<Arc<BearerToken>>), ClientError> {
        let now = Instant::now();
        let account = self.service_account.as_ref();
        let credentials = account.map(|account| account.credentials(now)).transpose();
        let (token, ca) = credentials.map_err(ClientError::Credentials)?.unzip();
        if let Some((agent, made_for)) = &self.agent
            && made_for.as_ref().map(Arc::as_ptr) == ca.as_ref().map(Arc::as_ptr)
        {
            return Ok((agent.clone(), token));
        }
        let agent = new_agent(ca.as_deref());
        self.agent = Some((agent.clone(), ca));
        Ok((agent, token))
    }

    pub(super) fn expire_credentials(&self) {
        if let Some(account) = &self.service_account {
            account.expire();
        }
    }
}

/// `None` for anything but an absolute `http` or `https` URL without a user and a query.
fn is_https(url: &str) -> Option<bool> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    match uri.scheme_str()? {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

/// Without CA certificates the agent can only use plain HTTP.
fn new_agent(ca: Option<&Certificates>) -> Agent {
    let roots: RootCerts = ca
        .into_iter()
        .flatten()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .into();
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .accept_encoding("gzip")
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(PAGE_TIMEOUT))
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .max_idle_age(IDLE_MAX)
        .build()
        .new_agent()
}

/// Appends the targets of one page.
fn read_page(
    response: Response<Body>,
    namespace: Option<&str>,
    targets: &mut Vec<Arc<Target>>,
) -> Result<PodListEnd, ClientError> {
    if response.status().as_u16() != 200 {
        return Err(status_error(response, "list", namespace));
    }
    let reader = decompressed(response, PAGE_BYTES_MAX);
    read_pod_list(reader, targets).map_err(|error| {
        if error.is_io() {
            client_error(ureq::Error::from(io::Error::from(error)))
        } else {
            ClientError::Malformed(error)
        }
    })
}

pub(super) fn status_error(
    response: Response<Body>,
    verb: &'static str,
    namespace: Option<&str>,
) -> ClientError {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let reader = decompressed(response, STATUS_BYTES_MAX);
    // A body that is not a `Status` says nothing that the HTTP status does not say.
    let message = serde_json::from_reader(io::BufReader::new(reader))
        .ok()
        .and_then(|status: serde_json::Value| Some(status.get("message")?.as_str()?.to_owned()))
        .unwrap_or_default();
    ClientError::Status {
        status,
        verb,
        namespace: namespace.map(str::to_owned),
        message,
        retry_after,
    }
}

pub(super) fn client_error(error: ureq::Error) -> ClientError {
    match error {
        ureq::Error::Timeout(timeout) => ClientError::Timeout(match timeout {
            Timeout::Resolve => "resolve",
            Timeout::Connect => "connect",
            Timeout::PerRead => "event or bookmark",
            _ => "whole response",
        }),
        ureq::Error::BodyExceedsLimit(_) => ClientError::TooLarge("1 GiB"),
        error => ClientError::Connection(error.into_io()),
    }
}
