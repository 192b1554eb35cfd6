//! Settings: the only reader of the environment.
//!
//! One table, `SETTINGS`, names each setting with its default, what is expected, what it does and how it is read.
//! Parsing, `--help` and the test that compares the README with the program all read that table.

mod settings;
mod values;

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use settings::SETTINGS;
use values::number;

/// Everything that can be set, parsed and in range.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is logged. Defaults to `info` (env `LOG_LEVEL`).
    pub log_level: LevelFilter,
    /// Time between two polls of the API server. Defaults to 10 s (env `CACHE_UPDATE_INTERVAL`, 100 ms to 1 h).
    pub cache_update_interval: Duration,
    /// Follow the pods by a watch instead of polling. Defaults to false (env `CACHE_UPDATE_MODE`).
    pub watch: bool,
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
    /// Bearer token for pods (env `SCRAPE_TOKEN_FILE`); set if and only if there are namespaces for it.
    pub scrape_token_file: Option<PathBuf>,
    /// The namespaces whose pods are sent it (env `SCRAPE_TOKEN_NAMESPACES`).
    pub scrape_token_namespaces: Vec<String>,
    /// Taken off the scraper's timeout. Defaults to 0.5 s (env `SCRAPE_TIMEOUT_OFFSET_SECONDS`, 0 to 60).
    pub scrape_timeout_offset: Duration,
    /// Certificate that scrapers are shown, PEM (env `TLS_CERT_FILE`); set if and only if its key is.
    pub tls_cert_file: Option<PathBuf>,
    /// Key of the certificate, PEM (env `TLS_KEY_FILE`).
    pub tls_key_file: Option<PathBuf>,
    /// CAs of which scrapers need a certificate, PEM (env `TLS_CLIENT_CA_FILE`); needs `TLS_CERT_FILE`.
    pub tls_client_ca_file: Option<PathBuf>,
    /// Bearer token that scrapers have to send (env `AUTH_TOKEN_FILE`).
    pub auth_token_file: Option<PathBuf>,
    /// Connections of clients at once. Defaults to 512 (env `MAX_CONNECTIONS`, 1 to 10000).
    pub connections_max: usize,
    /// Scrape requests that may wait for a server worker. Defaults to 64 (env `MAX_WAITING_REQUESTS`, 1 to 10000).
    pub waiting_requests_max: usize,
    /// Level of gzip for answers, 0 for never. Defaults to 1 (env `GZIP_LEVEL`, 0 to 9).
    pub gzip_level: u32,
    /// Names of the pod's labels with `-` in place of `_`. Defaults to false (env `POD_LABEL_STYLE`).
    pub hyphen_labels: bool,
    /// How this server is known to scrapers, for `/sd/*`; unset: what they write in `Host` (env `ADVERTISE_ADDRESS`).
    pub advertise_address: Option<String>,
    /// Name and value of each setting that is not unset, for the log.
    effective: Vec<(&'static str, String)>,
}

/// How many namespaces can be watched, each by itself.
const WATCHED_NAMESPACES_MAX: usize = 64;

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
        config.check_token(&mut errors);
        config.check_tls(&mut errors);
        config.check_watches(&mut errors);
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

    /// Token and namespaces belong together: one alone is a mistake, and which one nobody can tell.
    fn check_token(&self, errors: &mut Vec<ConfigError>) {
        let (name, value) = match (
            &self.scrape_token_file,
            self.scrape_token_namespaces.as_slice(),
        ) {
            (Some(file), []) => ("SCRAPE_TOKEN_FILE", file.display().to_string()),
            (None, [_, ..]) => (
                "SCRAPE_TOKEN_NAMESPACES",
                self.scrape_token_namespaces.join(","),
            ),
            _ => return,
        };
        let expected = "SCRAPE_TOKEN_FILE and SCRAPE_TOKEN_NAMESPACES both set, or none of them";
        // A value that could not be read is reported already.
        if !errors
            .iter()
            .any(|error| error.name.starts_with("SCRAPE_TOKEN_"))
        {
            errors.push(ConfigError {
                name,
                value,
                expected,
            });
        }
    }

    /// Certificate and key belong together, and client certificates need both.
    fn check_tls(&self, errors: &mut Vec<ConfigError>) {
        let (cert, key) = (&self.tls_cert_file, &self.tls_key_file);
        let (name, file) = match (cert, key, &self.tls_client_ca_file) {
            (Some(cert), None, _) => ("TLS_CERT_FILE", cert),
            (None, Some(key), _) => ("TLS_KEY_FILE", key),
            (None, None, Some(ca)) => ("TLS_CLIENT_CA_FILE", ca),
            _ => return,
        };
        let expected = "TLS_CERT_FILE and TLS_KEY_FILE both set with it";
        errors.push(ConfigError {
            name,
            value: file.display().to_string(),
            expected,
        });
    }

    /// Each watch keeps a thread and a connection.
    fn check_watches(&self, errors: &mut Vec<ConfigError>) {
        if self.watch && self.namespaces.len() > WATCHED_NAMESPACES_MAX {
            errors.push(ConfigError {
                name: "NAMESPACES",
                value: self.namespaces.join(","),
                expected: "at most 64 namespaces with CACHE_UPDATE_MODE=watch",
            });
        }
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
            watch: false,
            server_workers: 0,
            client_workers: 0,
            listen_address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            namespaces: Vec::new(),
            kubernetes_api_url: None,
            pod_list_file: None,
            kubernetes_service: None,
            body_bytes_max: 0,
            scrape_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            tls_client_ca_file: None,
            auth_token_file: None,
            connections_max: 0,
            scrape_token_file: None,
            scrape_token_namespaces: Vec::new(),
            scrape_timeout_offset: Duration::ZERO,
            waiting_requests_max: 0,
            gzip_level: 0,
            hyphen_labels: false,
            advertise_address: None,
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
