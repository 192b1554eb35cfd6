//! Settings. This is the only place that reads the environment ([`variable`]).
//!
//! One table has the name, default, range, meaning and parser of each setting. It is in `settings.rs`, with the macro
//! that makes [`Config`] and the list for `--help` of it. A test compares the README with this table, so a new setting
//! is one row there and one in the README.

mod reader;
mod settings;
mod values;

use std::collections::HashSet;
use std::{env, fmt};

pub use settings::Config;

use reader::{Setting, SettingsReader};
use settings::SETTINGS;

/// How many namespaces can be watched, each with its own watch.
const WATCHED_NAMESPACES_MAX: usize = 64;

/// Names that no label of `POD_TARGET_LABELS` may have: identity labels, and the labels of histogram buckets and
/// quantiles.
const TAKEN_LABELS: [&str; 7] = [
    "instance",
    "job",
    "pod_namespace",
    "pod_ip",
    "pod_port",
    "le",
    "quantile",
];

/// An invalid value of a setting.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Name of the variable.
    pub name: &'static str,
    /// The value that was found; `Display` leaves out everything before an `@`, where a URL has its password.
    pub value: String,
    /// What is valid.
    pub expected: &'static str,
}

impl ConfigError {
    fn new(name: &'static str, value: String, expected: &'static str) -> ConfigError {
        ConfigError {
            name,
            value,
            expected,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, expected) = (self.name, self.expected);
        write!(f, "{name}: expected {expected}, found ")?;
        match self.value.rsplit_once('@') {
            Some((_, shown)) => write!(f, "\"…@{}\"", shown.escape_debug()),
            None => write!(f, "{:?}", self.value),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The value of a variable of the environment.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

impl Config {
    /// Reads all settings. `lookup` returns the value of a variable; unset and empty mean the default.
    ///
    /// # Errors
    /// All invalid values in the order of the table, not just the first.
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, Vec<ConfigError>> {
        let mut reader = SettingsReader::new(SETTINGS, lookup);
        let mut config = Config::read(&mut reader);
        config.effective = reader.effective;
        let mut errors = reader.errors;
        errors.extend(config.pair_errors());
        errors.extend(config.watch_error());
        errors.extend(config.source_error());
        errors.extend(config.target_label_errors());
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }

    /// All settings as `NAME=value`. No setting is a secret itself: secrets are in files.
    #[must_use]
    pub fn effective(&self, separator: &str) -> String {
        let settings = self
            .effective
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        settings.collect::<Vec<_>>().join(separator)
    }

    /// The path of `ADVERTISE_ADDRESS`, starting with `/`; empty if it has none.
    #[must_use]
    pub fn advertise_path(&self) -> &str {
        let address = self.advertise_address.as_deref().unwrap_or_default();
        let (_, rest) = address.split_once("://").unwrap_or(("", address));
        rest.find('/').map_or("", |at| &rest[at..])
    }

    /// Settings that must be set together. If one of them is missing, it is unclear which one is the mistake.
    fn pair_errors(&self) -> impl Iterator<Item = ConfigError> {
        let token = "SCRAPE_TOKEN_FILE and SCRAPE_TOKEN_NAMESPACES both set, or none of them";
        let client = "SCRAPE_CERT_FILE and SCRAPE_KEY_FILE both set, or none of them";
        let tls = "TLS_CERT_FILE and TLS_KEY_FILE both set, or none of them";
        let client_ca = "TLS_CERT_FILE and TLS_KEY_FILE both set with it";
        let pairs = [
            ("SCRAPE_TOKEN_FILE", "SCRAPE_TOKEN_NAMESPACES", token),
            ("SCRAPE_TOKEN_NAMESPACES", "SCRAPE_TOKEN_FILE", token),
            ("SCRAPE_CERT_FILE", "SCRAPE_KEY_FILE", client),
            ("SCRAPE_KEY_FILE", "SCRAPE_CERT_FILE", client),
            ("TLS_CERT_FILE", "TLS_KEY_FILE", tls),
            ("TLS_KEY_FILE", "TLS_CERT_FILE", tls),
            ("TLS_CLIENT_CA_FILE", "TLS_CERT_FILE", client_ca),
        ];
        let value = |wanted| {
            let found = self.effective.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let alone = pairs
            .into_iter()
            .filter(move |(_, other, _)| value(*other).is_none());
        alone.filter_map(move |(name, _, expected)| {
            Some(ConfigError::new(name, value(name)?, expected))
        })
    }

    /// Each watch takes a thread and a connection.
    fn watch_error(&self) -> Option<ConfigError> {
        let is_too_many = self.watch && self.namespaces.len() > WATCHED_NAMESPACES_MAX;
        let expected = "at most 64 namespaces with CACHE_UPDATE_MODE=watch";
        is_too_many.then(|| ConfigError::new("NAMESPACES", self.namespaces.join(","), expected))
    }

    /// No series may have one label twice.
    fn target_label_errors(&self) -> impl Iterator<Item = ConfigError> {
        let mut taken = HashSet::from(TAKEN_LABELS);
        let labels = self.pod_target_labels.iter();
        let not_new = labels.filter(move |(_, name)| !taken.insert(name));
        let expected = "keys that become different labels (all but letters and digits becomes _), none of them \
            instance, job, pod_namespace, pod_ip, pod_port, le or quantile";
        not_new.map(move |(key, _)| ConfigError::new("POD_TARGET_LABELS", key.clone(), expected))
    }

    /// There is one source of pods.
    fn source_error(&self) -> Option<ConfigError> {
        let (file, _) = self
            .pod_list_file
            .as_ref()
            .zip(self.kubernetes_api_url.as_ref())?;
        let expected = "it unset, or KUBERNETES_API_URL unset: pods come from one of them";
        let value = file.display().to_string();
        Some(ConfigError::new("POD_LIST_FILE", value, expected))
    }
}

/// The settings part of `--help`: default, meaning and valid values of each.
#[must_use]
pub fn settings_help() -> String {
    let entry = |setting: &Setting| {
        let default = match setting.default {
            "" => "unset",
            default => default,
        };
        let (name, help, expected) = (setting.name, setting.help, setting.expected);
        format!("  {name} (default: {default})\n     {help}\n      expected: {expected}\n")
    };
    SETTINGS.iter().map(entry).collect()
}

/// Name and default of every setting, for the test that compares the README with the program.
pub fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETTINGS
        .iter()
        .map(|setting| (setting.name, setting.default))
}
