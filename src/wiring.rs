//! Makes the settings of each part of the program from those of the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kubernetes_metrics_aggregator::aggregate::Aggregator;
use kubernetes_metrics_aggregator::config::Config;
use kubernetes_metrics_aggregator::discovery::{DiscoverySettings, PodSource, WatchTimes};
use kubernetes_metrics_aggregator::kubernetes::credentials::SERVICE_ACCOUNT_DIR;
use kubernetes_metrics_aggregator::reloaded::FileError;
use kubernetes_metrics_aggregator::scrape::client::{ScrapeClient, ScrapeSettings};
use kubernetes_metrics_aggregator::scrape::pool::ScrapePool;
use kubernetes_metrics_aggregator::scrape::{ClientCertificateFiles, TokenSettings};
use kubernetes_metrics_aggregator::server::ServerSettings;
use kubernetes_metrics_aggregator::server::listener::{Limits, ListenerSettings, TlsFiles};
use kubernetes_metrics_aggregator::target::TargetLabels;
use kubernetes_metrics_aggregator::telemetry::Telemetry;

const NOT_IN_CLUSTER: &str = "\
    not inside a Kubernetes cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): \
    set KUBERNETES_API_URL (with kubectl proxy: http://127.0.0.1:8001) or POD_LIST_FILE, or try --demo";

/// Where the pods are listed.
///
/// # Errors
/// Nowhere: what to set, for people.
pub(crate) fn source(config: &Config) -> Result<PodSource, &'static str> {
    if let Some(file) = &config.pod_list_file {
        return Ok(PodSource::File(file.clone()));
    }
    let service_account_dir = PathBuf::from(SERVICE_ACCOUNT_DIR);
    if let Some(url) = &config.kubernetes_api_url {
        return Ok(PodSource::Url {
            url: url.clone(),
            service_account_dir,
        });
    }
    match &config.kubernetes_service {
        Some((host, port)) => Ok(PodSource::in_cluster(host, *port, service_account_dir)),
        None => Err(NOT_IN_CLUSTER),
    }
}

pub(crate) fn discovery(
    config: &Config,
    source: PodSource,
    own_address: Option<SocketAddr>,
) -> DiscoverySettings {
    DiscoverySettings {
        source,
        namespaces: config.namespaces.clone(),
        interval: config.cache_update_interval,
        watch: config.watch.then(WatchTimes::default),
        own_address,
    }
}

pub(crate) fn server(config: &Config) -> ServerSettings {
    ServerSettings {
        workers: config.server_workers,
        waiting_requests_max: config.waiting_requests_max,
        gzip_level: config.gzip_level,
        scrape_timeout_offset: config.scrape_timeout_offset,
        client_workers: config.client_workers,
        advertise_address: config.advertise_address.clone(),
        is_tls: config.tls_cert_file.is_some(),
    }
}

pub(crate) fn listener(config: &Config) -> ListenerSettings {
    let tls = config
        .tls_cert_file
        .clone()
        .zip(config.tls_key_file.clone());
    ListenerSettings {
        connections_max: config.connections_max,
        tls: tls.map(|(cert, key)| TlsFiles {
            cert,
            key,
            client_ca: config.tls_client_ca_file.clone(),
        }),
        token_file: config.auth_token_file.clone(),
        path_prefix: config.advertise_path().to_owned(),
        limits: Limits::default(),
    }
}

/// # Errors
/// The client certificate cannot be used.
pub(crate) fn aggregator(
    config: &Config,
    telemetry: &Arc<Telemetry>,
) -> Result<Aggregator, FileError> {
    let labels = TargetLabels {
        is_hyphenated: config.hyphen_labels,
        from_pod: config.pod_target_labels.clone().into(),
    };
    let client = Arc::new(scrape_client(config)?);
    let pool = ScrapePool::start(config.client_workers, &client, &labels, telemetry);
    Ok(Aggregator::new(pool, labels, Arc::clone(telemetry)))
}

/// # Errors
/// The client certificate cannot be used.
pub(crate) fn scrape_client(config: &Config) -> Result<ScrapeClient, FileError> {
    let cluster_ca = PathBuf::from(SERVICE_ACCOUNT_DIR).join("ca.crt");
    let cluster_ca = cluster_ca.exists().then_some(cluster_ca);
    let pair = config
        .scrape_cert_file
        .clone()
        .zip(config.scrape_key_file.clone());
    let settings = ScrapeSettings {
        ca_files: cluster_ca
            .into_iter()
            .chain(config.scrape_ca_file.clone())
            .collect(),
        client_certificate: pair.map(|(cert, key)| ClientCertificateFiles { cert, key }),
        body_bytes_max: config.body_bytes_max,
        samples_max: config.samples_max,
        token: config.scrape_token_file.clone().map(|file| TokenSettings {
            file,
            namespaces: config.scrape_token_namespaces.clone(),
        }),
    };
    ScrapeClient::new(settings)
}
