//! Settings: the only reader of the environment.
//!
//! One table, `SETTINGS`, names each setting with its default, what is expected, what it does and how it is read.
//! Parsing, `--help` and the test that compares the README with the program all read that table.

mod values;

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use values::{
    api_url, decimal_seconds, duration, listen_address, log_level, namespaces, number, set,
};

/// Everything that can be set, parsed and in range.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is logged. Defaults to `info` (env `LOG_LEVEL`).
    pub log_level: LevelFilter,
    /// Time between two polls of the API server. Defaults to 10 s (env `CACHE_UPDATE_INTERVAL`, 100 ms to 1 h).
    pub cache_update_interval: Duration,
    /// Threads that answer scrape requests. Defaults to 2 (env `SERVER_WORKERS`, 1 to 256).
    pub server_workers: usize,
    /// Threads that scrape pods. Defaults to 2 (env `CLIENT_WORKERS`, 1 to 1024).
    pub client_workers: usize,
    /// Where to listen. Defaults to all addresses, port 80 (env `LISTEN_ADDRESS`).
    pub listen_address: SocketAddr,
    /// Namespaces that are listed; empty: all, with one list. Defaults to empty (env `NAMESPACES`).
    pub namespaces: Vec<String>,
    /// Another API server than that of the cluster this runs in (env `KUBERNETES_API_URL`).
    pub kubernetes_api_url: Option<String>,
    /// A pod list to read in place of asking an API server (env `POD_LIST_FILE`).
    pub pod_list_file: Option<PathBuf>,
    /// Host and port of the API server that Kubernetes tells every container
    /// (env `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`).
    pub kubernetes_service: Option<(String, u16)>,
    /// Largest body of one target, after decompression. Defaults to 64 MiB (env `MAX_BODY_BYTES`).
    pub body_bytes_max: u64,
    /// More CAs that certificates of pods are checked against, PEM (env `SCRAPE_CA_FILE`).
    pub scrape_ca_file: Option<PathBuf>,
    /// Taken off the scraper's timeout. Defaults to 0.5 s (env `SCRAPE_TIMEOUT_OFFSET_SECONDS`, 0 to 60).
    pub scrape_timeout_offset: Duration,
    /// Scrape requests that may wait for a server worker. Defaults to 64 (env `MAX_WAITING_REQUESTS`, 1 to 10000).
    pub waiting_requests_max: usize,
    /// Level of gzip for answers, 0 for never. Defaults to 1 (env `GZIP_LEVEL`, 0 to 9).
    pub gzip_level: u32,
    /// Names of the pod's labels with `-` in place of `_`. Defaults to false (env `POD_LABEL_STYLE`).
    pub hyphen_labels: bool,
    /// Name and value of each setting that is not unset, for the log.
    effective: Vec<(&'static str, String)>,
}

/// One row of the table.
struct Setting {
    name: &'static str,
    /// As it would stand in the environment; empty where unset means something of its own.
    default: &'static str,
    /// Ends the sentence "expected …" of an error.
    expected: &'static str,
    help: &'static str,
    /// Puts a value into the config, or answers `false` if it is not as expected.
    read: fn(&mut Config, &str) -> bool,
}

/// All settings, in the order of `--help`.
const SETTINGS: &[Setting] = &[
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
];

/// Settings of the contract that this version does not have. Whoever sets one relies on it, some for protection:
/// starting without would be worse than not starting.
const NOT_YET: &[&str] = &[
    "CACHE_UPDATE_MODE",
    "SCRAPE_TOKEN_FILE",
    "SCRAPE_TOKEN_NAMESPACES",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "TLS_CLIENT_CA_FILE",
    "AUTH_TOKEN_FILE",
    "MAX_CONNECTIONS",
    "ADVERTISE_ADDRESS",
];

/// A value that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Name of the variable.
    pub name: &'static str,
    /// Its value as found; `Display` leaves out what stands before an `@`, the place of a password in a URL.
    pub value: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, expected) = (self.name, self.expected);
        match self.value.rsplit_once('@') {
            Some((_, shown)) => write!(
                f,
                "{name}: expected {expected}, found \"…@{}\"",
                shown.escape_debug()
            ),
            None => write!(f, "{name}: expected {expected}, found {:?}", self.value),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads all settings by `lookup`, which answers the value of a variable; unset and empty mean the default.
    ///
    /// # Errors
    /// Every value that is not as expected, in the order of the table, not just the first.
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, Vec<ConfigError>> {
        let lookup = |name: &str| {
            let value = lookup(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let mut config = Config::unset();
        let mut errors = Vec::new();
        for setting in SETTINGS {
            let value = lookup(setting.name).unwrap_or_else(|| setting.default.to_owned());
            if value.is_empty() {
                continue;
            }
            if (setting.read)(&mut config, &value) {
                config.effective.push((setting.name, value));
            } else {
                errors.push(ConfigError {
                    name: setting.name,
                    value,
                    expected: setting.expected,
                });
            }
        }
        for &name in NOT_YET {
            if let Some(value) = lookup(name) {
                errors.push(ConfigError {
                    name,
                    value,
                    expected: "it unset: this version does not have it yet",
                });
            }
        }
        config.read_pod_source(lookup, &mut errors);
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }

    /// All settings as `NAME=value`. No setting holds a secret, only files that do.
    #[must_use]
    pub fn effective(&self, separator: &str) -> String {
        let settings = self
            .effective
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        settings.collect::<Vec<_>>().join(separator)
    }

    /// Where pods come from: exactly one of the file, the URL, or the cluster this runs in.
    fn read_pod_source(
        &mut self,
        lookup: impl Fn(&str) -> Option<String>,
        errors: &mut Vec<ConfigError>,
    ) {
        if let (Some(file), Some(_)) = (&self.pod_list_file, &self.kubernetes_api_url) {
            errors.push(ConfigError {
                name: "POD_LIST_FILE",
                value: file.display().to_string(),
                expected: "it unset, or KUBERNETES_API_URL unset: pods come from one of them",
            });
        }
        let Some(host) = lookup("KUBERNETES_SERVICE_HOST") else {
            return;
        };
        let port = lookup("KUBERNETES_SERVICE_PORT").unwrap_or_default();
        match number(&port, 1..=u16::MAX) {
            Some(number) => self.kubernetes_service = Some((host, number)),
            None => errors.push(ConfigError {
                name: "KUBERNETES_SERVICE_PORT",
                value: port,
                expected: "a port, as Kubernetes sets it beside KUBERNETES_SERVICE_HOST",
            }),
        }
    }

    /// Where the defaults of the table are read into.
    fn unset() -> Config {
        Config {
            log_level: LevelFilter::Off,
            cache_update_interval: Duration::ZERO,
            server_workers: 0,
            client_workers: 0,
            listen_address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            namespaces: Vec::new(),
            kubernetes_api_url: None,
            pod_list_file: None,
            kubernetes_service: None,
            body_bytes_max: 0,
            scrape_ca_file: None,
            scrape_timeout_offset: Duration::ZERO,
            waiting_requests_max: 0,
            gzip_level: 0,
            hyphen_labels: false,
            effective: Vec::new(),
        }
    }
}

/// The settings part of `--help`: one line each, with default, meaning and what is expected.
#[must_use]
pub fn settings_help() -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let default = if setting.default.is_empty() {
            "unset"
        } else {
            setting.default
        };
        text.push_str(&format!(
            "  {} (default: {default})\n      {}\n      expected: {}\n",
            setting.name, setting.help, setting.expected
        ));
    }
    text
}

/// Name and default of every setting, for the test that holds the README against the program.
pub fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETTINGS
        .iter()
        .map(|setting| (setting.name, setting.default))
}
