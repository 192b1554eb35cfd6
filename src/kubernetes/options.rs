//! The options of a pod: labels and annotations with this program's prefix. Pure.
//!
//! This is the only place that knows their keys; the fields of [`ScrapeOptions`] say what they mean. To add an option,
//! add a row and a parser here, a field there, which `pod.rs` fills in, values to `tests/pod_options.rs`, and a row to
//! the README. If only service discovery needs it, it is a field of `PodMeta` instead.
//!
//! [`ScrapeOptions`]: crate::target::ScrapeOptions

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_encode_byte;
use rustls::pki_types::ServerName;

use super::ports::NamedPorts;
use super::{JOB_NAME_KEY, KEY_PREFIX};
use crate::target::{OptionError, SCRAPE_TIMEOUT_MAX, TlsOptions};

/// An option: its key without [`KEY_PREFIX`], and what is valid.
type PodOption = (&'static str, &'static str);

/// The table of the options besides the job name: the constant, its key, and what is valid.
macro_rules! options {
    ($($option:ident $key:literal, $expected:literal;)+) => {
        $(const $option: PodOption = ($key, $expected);)+

        /// The keys, for the test that compares the README with the program.
        pub const OPTIONS: &[&str] = &[$($key),+];
    };
}

options! {
    ENDPOINT "endpoint", "a path of at most 4096 bytes";
    PORT "port", "a number from 1 to 65535 or the name of a container port";
    SCRAPE_NATIVE_HISTOGRAMS "scrape-native-histograms", "true or false";
    SCRAPE_TARGETS "scrape-targets",
        "at most 100 different ports with paths, like 8080:/metrics,http:/stats";
    SCRAPE_TIMEOUT "scrape-timeout-seconds", "seconds over 0, at most 300, like 5 or 0.5";
    TLS_ENABLED "tls-enabled", "true or false";
    TLS_SERVER_NAME "tls-server-name", "a DNS name or an IP address";
    TLS_VERIFY "tls-verify", "true or false";
}

const DEFAULT_PORT: u16 = 80;
const DEFAULT_PATH: &str = "/metrics";
const DEFAULT_SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most targets of one pod. An annotation has room for 65,535 ports, and each of them costs a scrape.
const SCRAPE_TARGETS_MAX: usize = 100;

/// The longest path with its query, percent-encoded. Many servers accept no longer request line.
const PATH_BYTES_MAX: usize = 4096;

/// The most characters that Kubernetes allows in the value of a label.
const JOB_NAME_CHARS_MAX: usize = 63;

type Map = BTreeMap<String, String>;

/// The labels and annotations of one pod, and its named ports.
pub(super) struct PodOptions<'a> {
    pub(super) labels: Option<&'a Map>,
    pub(super) annotations: Option<&'a Map>,
    pub(super) ports: NamedPorts<'a>,
}

/// Where to scrape a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The label `pod_port`; only for entries of `scrape-targets`.
    pub(super) pod_port: Option<u16>,
    pub(super) port: u16,
    /// As in [`crate::target::ScrapeOptions::path_and_query`].
    pub(super) path_and_query: String,
}

impl<'a> PodOptions<'a> {
    /// The name of the pod's job; `None` for a pod without the label. An annotation does not count, because the API
    /// server selects by the label.
    pub(super) fn job_name(&self) -> Option<Result<&'a str, OptionError>> {
        let name = self.labels?.get(JOB_NAME_KEY)?;
        let is_usable = (1..=JOB_NAME_CHARS_MAX).contains(&name.chars().count());
        Some(is_usable.then_some(&**name).ok_or_else(|| OptionError {
            source: "label",
            key: JOB_NAME_KEY.to_owned(),
            value: name.clone(),
            expected: "the name of a job, 1 to 63 characters".into(),
        }))
    }

    /// All ports and paths of the pod, at least one. `scrape-targets` replaces `port` and `endpoint`.
    pub(super) fn endpoints(&self) -> Result<Vec<Endpoint>, OptionError> {
        let parse_port = |text: &str| parse_port(text).or_else(|| self.ports.find(text));
        let parse_targets = |text: &str| parse_scrape_targets(text, parse_port);
        let with_names = |error: OptionError| OptionError {
            expected: format!(
                "{} (named ports of the pod: {})",
                error.expected, self.ports
            )
            .into(),
            ..error
        };
        let targets = self.parse(SCRAPE_TARGETS, parse_targets);
        if let Some(endpoints) = targets.map_err(with_names)? {
            return Ok(endpoints);
        }
        let port = self.parse(PORT, parse_port);
        let path = self.parse(ENDPOINT, parse_path);
        Ok(vec![Endpoint {
            pod_port: None,
            port: port.map_err(with_names)?.unwrap_or(DEFAULT_PORT),
            path_and_query: path?.unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        }])
    }

    /// The options for all targets of the pod: scrape timeout and TLS. Every value is checked even if another option
    /// makes it unused, so that you see a typing error at once and not when you switch TLS on.
    pub(super) fn common(&self) -> Result<(Duration, Option<TlsOptions>), OptionError> {
        let timeout = self.parse(SCRAPE_TIMEOUT, parse_timeout)?;
        let enabled = self.parse(TLS_ENABLED, parse_bool)?;
        let verify = self.parse(TLS_VERIFY, parse_bool)?;
        let server_name = self.parse(TLS_SERVER_NAME, parse_server_name)?;
        let tls = enabled.unwrap_or(false).then(|| TlsOptions {
            verify: verify.unwrap_or(true),
            server_name,
        });
        Ok((timeout.unwrap_or(DEFAULT_SCRAPE_TIMEOUT), tls))
    }

    /// Whether Prometheus should scrape native histograms of the pod, if the pod says so.
    pub(super) fn native_histograms(&self) -> Result<Option<bool>, OptionError> {
        self.parse(SCRAPE_NATIVE_HISTOGRAMS, parse_bool)
    }

    /// `None` if the pod does not have the option. The annotation wins over the label.
    fn parse<T>(
        &self,
        (name, expected): PodOption,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, OptionError> {
        let key = format!("{KEY_PREFIX}/{name}");
        let places = [("annotation", self.annotations), ("label", self.labels)];
        let found = places
            .into_iter()
            .find_map(|(source, map)| Some((source, map?.get(&key)?)));
        let Some((source, value)) = found else {
            return Ok(None);
        };
        // The value of a label has no blanks around it, but that of an annotation in a YAML block may.
        let parsed = parse(value.trim_ascii());
        parsed.map(Some).ok_or_else(|| OptionError {
            source,
            key,
            value: value.clone(),
            expected: expected.into(),
        })
    }
}

/// Digits only: `u16::from_str` would accept a `+`.
fn parse_port(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|port| *port > 0 && is_digits(text))
}

/// Digits with an optional fraction. No unit, sign or exponent, because `5s` or `1e3` may be meant differently.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let timeout = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (!timeout.is_zero() && timeout <= SCRAPE_TIMEOUT_MAX).then_some(timeout)
}

/// In upper or lower case, because templates of Python and Ansible write `True`.
fn parse_bool(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(word, value)| text.eq_ignore_ascii_case(word).then_some(value))
}

fn parse_server_name(text: &str) -> Option<String> {
    ServerName::try_from(text).ok()?;
    Some(text.to_owned())
}

/// `PORT:/PATH` or `PORT`, separated by commas. Each port may appear only once, because two targets with the same pod
/// and port would have the same labels.
fn parse_scrape_targets(
    text: &str,
    parse_port: impl Fn(&str) -> Option<u16>,
) -> Option<Vec<Endpoint>> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for entry in text.split(',') {
        let (port, path) = match entry.trim_ascii().split_once(':') {
            Some((port, path)) => (port, path.trim_ascii()),
            None => (entry, DEFAULT_PATH),
        };
        let port = parse_port(port.trim_ascii())?;
        let seen = endpoints.iter().any(|endpoint| endpoint.port == port);
        if seen || path.is_empty() || endpoints.len() == SCRAPE_TARGETS_MAX {
            return None;
        }
        endpoints.push(Endpoint {
            pod_port: Some(port),
            port,
            path_and_query: parse_path(path)?,
        });
    }
    Some(endpoints)
}

/// A path with or without a leading `/`, and a query, in the form for a request line.
///
/// Characters that are not legal there are percent-encoded, also `#`, since a server never gets a fragment. `%XX` stays
/// as it is; any other `%` becomes `%25`.
fn parse_path(text: &str) -> Option<String> {
    let mut path = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        path.push('/');
    }
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if path.len() > PATH_BYTES_MAX {
            return None;
        }
        if is_legal(byte) || (byte == b'%' && begins_triple(&bytes[at..])) {
            path.push(char::from(byte));
        } else {
            path.push_str(percent_encode_byte(byte));
        }
    }
    (path.len() <= PATH_BYTES_MAX).then_some(path)
}

/// Whether a byte may be in the path or query of a request line: RFC 3986, and the brackets that it reserves for hosts,
/// because applications accept `match[]=` unencoded.
fn is_legal(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br##"%"<>\^`{|}#"##.contains(&byte)
}

fn begins_triple(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
