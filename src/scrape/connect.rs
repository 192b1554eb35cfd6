//! How a scrape connects to its pod: without DNS, without a proxy, and with TLS as the pod's options say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
};

use super::Phase;
use super::connection::Watching;
use super::error::ConnectionError;
use super::transport::{PodConnector, RESPONSE_HEAD_BYTES_MAX};

/// Kept connections outlast scrape intervals of up to four minutes.
pub(super) const IDLE_CONNECTION_AGE_MAX: Duration = Duration::from_secs(245);
/// Two requests for one job may scrape the same pod at once.
const IDLE_CONNECTIONS_PER_POD_MAX: usize = 2;
/// Buffers of a TLS connection, which are kept while it is idle.
const TLS_INPUT_BYTES: usize = 16 * 1024;
const TLS_OUTPUT_BYTES: usize = 4 * 1024;

/// An agent for one pod: it connects to this address, whatever host the URL names.
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
    let connector = ().chain(PodConnector).chain(tls.clone()).chain(Watching);
    Agent::with_parts(config, connector, PodResolver { address })
}

/// How certificates are verified. Pods with the same options share it, and with it the parsed CAs.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: TlsConfig,
    connector: Arc<RustlsConnector>,
}

impl Tls {
    /// The TLS configuration: verification with these CAs, or none, and the client certificate for pods that ask for
    /// one.
    pub(super) fn new(
        roots: Vec<Certificate<'static>>,
        client: Option<ClientCert>,
        is_verified: bool,
    ) -> Tls {
        let config = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .client_cert(client)
            .disable_verification(!is_verified)
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
        // Each request needs its own configuration, for its timeout. If that one could have other CAs, ureq would parse
        // them for each connection; here they come from the agent.
        let details = &ConnectionDetails {
            request_level: false,
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        let connected = self.connector.connect(details, chained);
        connected.map_err(|error| ConnectionError::Setup(Phase::Tls, error).into())
    }
}

/// Always resolves to the same address, and never asks a name server.
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
