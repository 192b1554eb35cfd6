//! How a scrape gets to its pod: no DNS, no proxy, TLS as the pod's options have it, and a note of how far it came.
//!
//! ureq calls resolver and connectors on the thread that scrapes, so the phase is kept per thread.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, Timeout};

use super::Phase;
use super::transport::PodConnector;

/// Kept connections outlive scrape intervals of up to four minutes.
pub(super) const IDLE_CONNECTION_AGE_MAX: Duration = Duration::from_secs(245);
/// Two requests for one job may scrape the same pod at once.
const IDLE_CONNECTIONS_PER_POD_MAX: usize = 2;
/// A pod that sends more of a head than this fails.
pub(super) const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Buffers of a TLS connection, kept while it is idle.
const TLS_INPUT_BYTES: usize = 16 * 1024;
const TLS_OUTPUT_BYTES: usize = 4 * 1024;

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static PHASE: Cell<Phase> = const { Cell::new(Phase::Wait) };
    static CONNECTED: Cell<bool> = const { Cell::new(false) };
    static NEEDS_NEW: Cell<bool> = const { Cell::new(false) };
}

/// Forgets the scrape before. Until a connector says otherwise the scrape waits on a kept connection, unless it
/// `needs_new` one.
///
/// The deadline is kept here: for a request that has a timeout of its own ureq would read the CAs again when it connects.
pub(super) fn start_scrape(deadline: Instant, needs_new: bool) {
    DEADLINE.set(Some(deadline));
    NEEDS_NEW.set(needs_new);
    PHASE.set(Phase::Wait);
    CONNECTED.set(false);
}

/// How far this thread's scrape came.
pub(super) fn phase() -> Phase {
    PHASE.get()
}

/// How long this thread's scrape may still take.
pub(super) fn left() -> Result<Duration, ureq::Error> {
    let now = Instant::now();
    let left = DEADLINE
        .get()
        .map(|deadline| deadline.saturating_duration_since(now));
    left.filter(|left| !left.is_zero())
        .ok_or(ureq::Error::Timeout(Timeout::Global))
}

/// Whether this thread's scrape opened a connection; else it used a kept one.
pub(super) fn has_connected() -> bool {
    CONNECTED.get()
}

/// Whether no kept connection is good enough for this thread's scrape.
pub(super) fn needs_new_connection() -> bool {
    NEEDS_NEW.get()
}

/// An agent for one pod: whatever host the URL names, it connects to this address.
pub(super) fn agent(tls: &Tls, address: SocketAddr) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .tls_config(tls.config.clone())
        .max_idle_age(IDLE_CONNECTION_AGE_MAX)
        .max_idle_connections(IDLE_CONNECTIONS_PER_POD_MAX)
        .max_idle_connections_per_host(IDLE_CONNECTIONS_PER_POD_MAX)
        .max_response_header_size(RESPONSE_HEAD_BYTES_MAX)
        .input_buffer_size(TLS_INPUT_BYTES)
        .output_buffer_size(TLS_OUTPUT_BYTES)
        .build();
    let connector =
        ().chain(Entering(Phase::Connect))
            .chain(PodConnector)
            .chain(Entering(Phase::Tls))
            .chain(tls.clone())
            .chain(Entering(Phase::Wait));
    Agent::with_parts(config, connector, PodResolver { address })
}

/// How certificates are checked. All pods of which the same is asked share one, and with it what the CAs became.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: TlsConfig,
    connector: Arc<RustlsConnector>,
}

impl Tls {
    /// Against these CAs.
    pub(super) fn verified(roots: Vec<Certificate<'static>>) -> Tls {
        Tls::new(roots, false)
    }

    /// Not at all.
    pub(super) fn unverified() -> Tls {
        Tls::new(Vec::new(), true)
    }

    fn new(roots: Vec<Certificate<'static>>, disable_verification: bool) -> Tls {
        let config = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .disable_verification(disable_verification)
            .build();
        Tls {
            config,
            connector: Arc::default(),
        }
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        self.connector.connect(details, chained)
    }
}

/// Passes the connection on and notes which phase comes next.
#[derive(Debug)]
struct Entering(Phase);

impl<In: Transport> Connector<In> for Entering {
    type Out = In;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<In>, ureq::Error> {
        CONNECTED.set(true);
        PHASE.set(self.0);
        Ok(chained)
    }
}

/// Always the same address; never asks a name server.
#[derive(Debug)]
struct PodResolver {
    address: SocketAddr,
}

impl Resolver for PodResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.address);
        Ok(addresses)
    }
}
