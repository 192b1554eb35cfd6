//! The table of all settings. Each row is a field of [`Config`] and an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::reader::{Setting, SettingsReader};
use super::values::{
    advertise_address, api_url, decimal_seconds, interval, is_second, listen_address, log_level,
    namespaces, number, path, pod_target_labels,
};

/// Turns each row into a field, an entry of `--help` and a call of [`SettingsReader`]. The comment of a row is its text
/// in `--help`, and `expected` completes the error "expected …". A row without a default may be unset.
macro_rules! settings {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $type:ty = $read:ident($parse:expr),
        $name:literal, $(default: $default:literal,)? expected: $expected:literal;
    )+) => {
        /// All settings, parsed and valid.
        #[derive(Debug, Clone)]
        pub struct Config {
            $(
                $(#[doc = $help])+
                #[doc = concat!("(env `", $name, "`)")]
                pub $field: $type,
            )+
            /// Host and port of the API server, which Kubernetes sets in every container
            /// (env `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`).
            pub kubernetes_service: Option<(String, u16)>,
            /// Name and value of each setting that is set or has a default, for the log.
            pub(super) effective: Vec<(&'static str, String)>,
        }

        /// All settings, in the order of `--help`.
        pub(super) const SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            default: concat!($($default)?),
            expected: $expected,
            help: concat!($($help),+),
        }),+];

        impl Config {
            /// `reader` is at the first row of [`SETTINGS`].
            pub(super) fn read(reader: &mut SettingsReader<impl Fn(&str) -> Option<String>>) -> Config {
                Config {
                    $($field: reader.$read($parse),)+
                    kubernetes_service: reader.kubernetes_service(),
                    effective: Vec::new(),
                }
            }
        }
    };
}

settings! {
    /// What is logged: at info a line for each request and each pod list with news, at debug each failed scrape too.
    log_level: LevelFilter = value(log_level),
        "LOG_LEVEL", default: "info", expected: "error, warning, warn, info, debug or trace";
    /// Time between two pod lists; a number without a unit is seconds.
    cache_update_interval: Duration = value(interval),
        "CACHE_UPDATE_INTERVAL", default: "10", expected: "a time from 100ms to 1h, such as 10, 10s, 500ms or 1m";
    /// watch: list the pods once and follow their changes; list again every ten minutes.
    watch: bool = value(|mode| is_second(mode, ["poll", "watch"])),
        "CACHE_UPDATE_MODE", default: "poll", expected: "poll or watch";
    /// Threads that handle /metrics requests, one request each at a time.
    server_workers: usize = value(|count| number(count, 1..=256)),
        "SERVER_WORKERS", default: "2", expected: "a number from 1 to 256";
    /// Threads that scrape pods, one pod each at a time.
    client_workers: usize = value(|count| number(count, 1..=1024)),
        "CLIENT_WORKERS", default: "2", expected: "a number from 1 to 1024";
    /// Where to listen; :PORT means all addresses.
    listen_address: SocketAddr = value(listen_address),
        "LISTEN_ADDRESS", default: ":80", expected: "ADDR:PORT or :PORT, such as 127.0.0.1:8080, [::1]:8080 or :8080";
    /// Only pods of these namespaces are listed; unset: of the whole cluster.
    namespaces: Vec<String> = list(namespaces),
        "NAMESPACES", expected: "names of namespaces, separated by commas";
    /// Another API server than the cluster's own, such as `http://127.0.0.1:8001` for kubectl proxy.
    kubernetes_api_url: Option<String> = optional(api_url),
        "KUBERNETES_API_URL", expected: "an http:// or https:// URL without user, query or fragment";
    /// A pod list in JSON (kubectl get pods -A -o json), read at each interval instead of asking an API server.
    pod_list_file: Option<PathBuf> = optional(path),
        "POD_LIST_FILE", expected: "the path of a file";
    /// Largest body of one target, after decompression.
    body_bytes_max: u64 = value(|bytes| number(bytes, 1024..=u32::MAX.into())),
        "MAX_BODY_BYTES", default: "67108864", expected: "a number from 1024 to 4294967295";
    /// Most samples of one target, so that no pod makes its job exceed the scraper's sample_limit; unset: no limit.
    samples_max: Option<u64> = optional(|count| number(count, 1..=u32::MAX.into())),
        "MAX_SAMPLES", expected: "a number from 1 to 4294967295";
    /// More CAs to verify certificates of pods with, besides the cluster's.
    scrape_ca_file: Option<PathBuf> = optional(path),
        "SCRAPE_CA_FILE", expected: "the path of a PEM file";
    /// Client certificate for pods that ask for one, shown only over verified TLS. Read again when it changes.
    scrape_cert_file: Option<PathBuf> = optional(path),
        "SCRAPE_CERT_FILE", expected: "the path of a PEM file, and SCRAPE_KEY_FILE with it";
    /// Key of that certificate.
    scrape_key_file: Option<PathBuf> = optional(path),
        "SCRAPE_KEY_FILE", expected: "the path of a PEM file, and SCRAPE_CERT_FILE with it";
    /// Bearer token for pods of SCRAPE_TOKEN_NAMESPACES, sent only over verified TLS.
    scrape_token_file: Option<PathBuf> = optional(path),
        "SCRAPE_TOKEN_FILE", expected: "the path of a file, and SCRAPE_TOKEN_NAMESPACES with it";
    /// Namespaces whose pods get the token; anyone who may label a pod there can collect it.
    scrape_token_namespaces: Vec<String> = list(namespaces),
        "SCRAPE_TOKEN_NAMESPACES",
        expected: "names of namespaces, separated by commas, and SCRAPE_TOKEN_FILE with them";
    /// How long before the scraper's timeout the response leaves.
    scrape_timeout_offset: Duration = value(|seconds| decimal_seconds(seconds, 60)),
        "SCRAPE_TIMEOUT_OFFSET_SECONDS", default: "0.5", expected: "a number of seconds from 0 to 60";
    /// Certificate for scrapers; with it only https is served. Read again when it changes.
    tls_cert_file: Option<PathBuf> = optional(path),
        "TLS_CERT_FILE", expected: "the path of a PEM file";
    /// Key of this certificate.
    tls_key_file: Option<PathBuf> = optional(path),
        "TLS_KEY_FILE", expected: "the path of a PEM file";
    /// Scrapers need a client certificate from one of these CAs, except for /-/healthy and /-/ready.
    tls_client_ca_file: Option<PathBuf> = optional(path),
        "TLS_CLIENT_CA_FILE", expected: "the path of a PEM file";
    /// Scrapers have to send one of these bearer tokens, one in each line, except for /-/healthy and /-/ready. After a
    /// token, job=NAME,... or namespace=NAME,... limits it. Read again when the file changes.
    auth_token_file: Option<PathBuf> = optional(path),
        "AUTH_TOKEN_FILE", expected: "the path of a file";
    /// Client connections at once; one more closes the one that has waited longest without a request.
    connections_max: usize = value(|count| number(count, 1..=10_000)),
        "MAX_CONNECTIONS", default: "512", expected: "a number from 1 to 10000";
    /// /metrics requests that may wait for a server worker; one more gets 503.
    waiting_requests_max: usize = value(|count| number(count, 1..=10_000)),
        "MAX_WAITING_REQUESTS", default: "64", expected: "a number from 1 to 10000";
    /// Compression of responses if the scraper accepts gzip; 0: none.
    gzip_level: u32 = value(|level| number(level, 0..=9)),
        "GZIP_LEVEL", default: "1", expected: "a number from 0 to 9";
    /// underscore: pod_namespace and pod_ip; hyphen: "pod-namespace" and "pod-ip" in quotes, for Prometheus 3 only.
    hyphen_labels: bool = value(|style| is_second(style, ["underscore", "hyphen"])),
        "POD_LABEL_STYLE", default: "underscore", expected: "underscore or hyphen";
    /// Labels of a pod to put on all its series (app.kubernetes.io/version becomes app_kubernetes_io_version);
    /// spec.nodeName puts the node's name there, as node.
    pod_target_labels: Vec<(String, String)> = list(pod_target_labels),
        "POD_TARGET_LABELS",
        expected: "keys of pod labels that begin with a letter, or spec.nodeName, separated by commas";
    /// How scrapers reach this server, for /sd/jobs, /sd/pods and links; unset: what they write in Host.
    /// A path (https://host/aggregator) is put before all paths that are handed out, and cut from those of requests.
    advertise_address: Option<String> = optional(advertise_address),
        "ADVERTISE_ADDRESS",
        expected: "HOST or HOST:PORT, with or without https:// before it and a path such as /aggregator after it";
}
