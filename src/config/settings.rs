//! The table of all settings.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::values::{
    advertise_address, api_url, decimal_seconds, duration, listen_address, log_level, namespaces,
    number, set,
};

/// One row of the table.
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// As it would stand in the environment; empty where unset means something of its own.
    pub(super) default: &'static str,
    /// Ends the sentence "expected …" of an error.
    pub(super) expected: &'static str,
    pub(super) help: &'static str,
    /// Puts a value into the config, or answers `false` if it is not as expected.
    pub(super) read: fn(&mut Config, &str) -> bool,
}

/// All settings, in the order of `--help`.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "LOG_LEVEL",
        default: "info",
        expected: "error, warning, warn, info, debug or trace",
        help: "what is logged",
        read: |config, value| set(&mut config.log_level, log_level(value)),
    },
    Setting {
        name: "CACHE_UPDATE_INTERVAL",
        default: "10",
        expected: "a time from 100ms to 1h, such as 10, 10s, 500ms or 1m",
        help: "time between two polls of the API server, in seconds without a unit",
        read: |config, value| {
            let range = Duration::from_millis(100)..=Duration::from_secs(3600);
            let interval = duration(value).filter(|interval| range.contains(interval));
            set(&mut config.cache_update_interval, interval)
        },
    },
    Setting {
        name: "CACHE_UPDATE_MODE",
        default: "poll",
        expected: "poll or watch",
        help: "watch: list the pods once, then follow their changes; listed again every ten minutes",
        read: |config, value| {
            let watch = match value {
                "poll" => Some(false),
                "watch" => Some(true),
                _ => None,
            };
            set(&mut config.watch, watch)
        },
    },
    Setting {
        name: "SERVER_WORKERS",
        default: "2",
        expected: "a number from 1 to 256",
        help: "threads that answer scrape requests",
        read: |config, value| set(&mut config.server_workers, number(value, 1..=256)),
    },
    Setting {
        name: "CLIENT_WORKERS",
        default: "2",
        expected: "a number from 1 to 1024",
        help: "threads that scrape pods",
        read: |config, value| set(&mut config.client_workers, number(value, 1..=1024)),
    },
    Setting {
        name: "LISTEN_ADDRESS",
        default: ":80",
        expected: "ADDR:PORT or :PORT, such as 127.0.0.1:8080, [::1]:8080 or :8080",
        help: "where to listen; :PORT is all addresses",
        read: |config, value| set(&mut config.listen_address, listen_address(value)),
    },
    Setting {
        name: "NAMESPACES",
        default: "",
        expected: "names of namespaces, separated by commas",
        help: "only these namespaces are listed; unset: all of the cluster",
        read: |config, value| set(&mut config.namespaces, namespaces(value)),
    },
    Setting {
        name: "KUBERNETES_API_URL",
        default: "",
        expected: "an http:// or https:// URL without user, query or fragment",
        help: "another API server than the cluster's own, such as http://127.0.0.1:8001 of kubectl proxy",
        read: |config, value| set(&mut config.kubernetes_api_url, api_url(value).map(Some)),
    },
    Setting {
        name: "POD_LIST_FILE",
        default: "",
        expected: "the path of a file",
        help: "a pod list in JSON (kubectl get pods -A -o json), read at each interval in place of an API server",
        read: |config, value| set(&mut config.pod_list_file, Some(Some(PathBuf::from(value)))),
    },
    Setting {
        name: "MAX_BODY_BYTES",
        default: "67108864",
        expected: "a number from 1024 to 4294967295",
        help: "largest body of one target, after decompression",
        read: |config, value| {
            let most = u64::from(u32::MAX);
            set(&mut config.body_bytes_max, number(value, 1024..=most))
        },
    },
    Setting {
        name: "SCRAPE_CA_FILE",
        default: "",
        expected: "the path of a PEM file",
        help: "more CAs that certificates of pods are checked against, beside the cluster's",
        read: |config, value| set(&mut config.scrape_ca_file, Some(Some(PathBuf::from(value)))),
    },
    Setting {
        name: "SCRAPE_TOKEN_FILE",
        default: "",
        expected: "the path of a file, and SCRAPE_TOKEN_NAMESPACES with it",
        help: "bearer token for pods of SCRAPE_TOKEN_NAMESPACES, sent only over TLS with a checked certificate",
        read: |config, value| {
            set(
                &mut config.scrape_token_file,
                Some(Some(PathBuf::from(value))),
            )
        },
    },
    Setting {
        name: "SCRAPE_TOKEN_NAMESPACES",
        default: "",
        expected: "names of namespaces, separated by commas, and SCRAPE_TOKEN_FILE with them",
        help: "namespaces whose pods are sent the token; whoever may label a pod there can collect it",
        read: |config, value| set(&mut config.scrape_token_namespaces, namespaces(value)),
    },
    Setting {
        name: "SCRAPE_TIMEOUT_OFFSET_SECONDS",
        default: "0.5",
        expected: "a number of seconds from 0 to 60",
        help: "taken off the scraper's own timeout, so that the answer arrives before it",
        read: |config, value| {
            let most = Duration::from_secs(60);
            let offset = decimal_seconds(value).filter(|offset| *offset <= most);
            set(&mut config.scrape_timeout_offset, offset)
        },
    },
    Setting {
        name: "TLS_CERT_FILE",
        default: "",
        expected: "the path of a PEM file",
        help: "certificate that scrapers are shown; with it only https is spoken. Read again when it changes",
        read: |config, value| set(&mut config.tls_cert_file, Some(Some(PathBuf::from(value)))),
    },
    Setting {
        name: "TLS_KEY_FILE",
        default: "",
        expected: "the path of a PEM file",
        help: "key of the certificate",
        read: |config, value| set(&mut config.tls_key_file, Some(Some(PathBuf::from(value)))),
    },
    Setting {
        name: "TLS_CLIENT_CA_FILE",
        default: "",
        expected: "the path of a PEM file",
        help: "scrapers need a certificate of one of these CAs, except for /-/healthy and /-/ready",
        read: |config, value| {
            set(
                &mut config.tls_client_ca_file,
                Some(Some(PathBuf::from(value))),
            )
        },
    },
    Setting {
        name: "AUTH_TOKEN_FILE",
        default: "",
        expected: "the path of a file",
        help: "bearer token that scrapers have to send, except for /-/healthy and /-/ready; one a line, any of them. \
               Read again when it changes",
        read: |config, value| {
            set(
                &mut config.auth_token_file,
                Some(Some(PathBuf::from(value))),
            )
        },
    },
    Setting {
        name: "MAX_CONNECTIONS",
        default: "512",
        expected: "a number from 1 to 10000",
        help: "connections of clients at once; then the one that has waited longest without a request makes room",
        read: |config, value| set(&mut config.connections_max, number(value, 1..=10_000)),
    },
    Setting {
        name: "MAX_WAITING_REQUESTS",
        default: "64",
        expected: "a number from 1 to 10000",
        help: "scrape requests that may wait for a server worker; one more gets 503",
        read: |config, value| set(&mut config.waiting_requests_max, number(value, 1..=10_000)),
    },
    Setting {
        name: "GZIP_LEVEL",
        default: "1",
        expected: "a number from 0 to 9",
        help: "compression of answers where the scraper accepts gzip; 0: never",
        read: |config, value| set(&mut config.gzip_level, number(value, 0..=9)),
    },
    Setting {
        name: "POD_LABEL_STYLE",
        default: "underscore",
        expected: "underscore or hyphen",
        help: "pod_namespace and pod_ip, or \"pod-namespace\" and \"pod-ip\" (quoted: needs Prometheus 3)",
        read: |config, value| {
            let hyphen = match value {
                "underscore" => Some(false),
                "hyphen" => Some(true),
                _ => None,
            };
            set(&mut config.hyphen_labels, hyphen)
        },
    },
    Setting {
        name: "ADVERTISE_ADDRESS",
        default: "",
        expected: "HOST or HOST:PORT, with or without https:// before it",
        help: "how scrapers reach this server, for /sd/jobs and /sd/pods; unset: what they write in Host",
        read: |config, value| {
            let address = advertise_address(value).map(Some);
            set(&mut config.advertise_address, address)
        },
    },
];
