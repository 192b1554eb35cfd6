//! Parsers of single values: text in, value or `None` out.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

/// Whether the value is the second of two words; `None` if it is neither.
pub(super) fn is_second(value: &str, words: [&str; 2]) -> Option<bool> {
    let index = words.iter().position(|word| *word == value)?;
    Some(index == 1)
}

pub(super) fn path(value: &str) -> Option<PathBuf> {
    Some(PathBuf::from(value))
}

/// The levels of the crate `log` by name, and `warning`.
pub(super) fn log_level(value: &str) -> Option<LevelFilter> {
    match value.to_ascii_lowercase().as_str() {
        "warning" => Some(LevelFilter::Warn),
        "off" => None,
        name => name.parse().ok(),
    }
}

/// A number in the range, written in decimal digits.
pub(super) fn number<T: FromStr + PartialOrd>(value: &str, range: RangeInclusive<T>) -> Option<T> {
    // `from_str` would accept a leading plus sign.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits)?;
    range.contains(&number).then_some(number)
}

/// The time between two polls, 100 ms to 1 h: a whole number with the unit `ms`, `s`, `m` or `h`, or without one for
/// seconds.
pub(super) fn interval(value: &str) -> Option<Duration> {
    let unit_at = value.find(|c: char| !c.is_ascii_digit());
    let (count, unit) = value.split_at(unit_at.unwrap_or(value.len()));
    let unit_millis: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number(count, 1..=3_600_000)? * unit_millis;
    (100..=3_600_000)
        .contains(&millis)
        .then(|| Duration::from_millis(millis))
}

/// A decimal number of seconds up to `most`, without sign, exponent or unit.
pub(super) fn decimal_seconds(value: &str, most: u64) -> Option<Duration> {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = value.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|seconds| *seconds <= Duration::from_secs(most))
}

/// `ADDR:PORT`, or `:PORT` for all addresses.
pub(super) fn listen_address(value: &str) -> Option<SocketAddr> {
    match value.strip_prefix(':') {
        Some(port) => Some(SocketAddr::from((
            Ipv6Addr::UNSPECIFIED,
            number(port, 0..=u16::MAX)?,
        ))),
        None => value.parse().ok(),
    }
}

/// Names of namespaces, which are DNS labels (RFC 1123).
pub(super) fn namespaces(value: &str) -> Option<Vec<String>> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    names(value, |name| name.len() <= 63 && name.bytes().all(legal))
}

/// Keys of pod labels or `spec.nodeName`, each with the label name that Prometheus makes of it (`SanitizeLabelName` in
/// `util/strutil`; the node is `node`, as the Prometheus Operator names it).
///
/// Keys that no pod can have are invalid, such as the paths of other fields. So are keys that begin with a digit,
/// because Prometheus 2 would not accept the name.
pub(super) fn pod_target_labels(value: &str) -> Option<Vec<(String, String)>> {
    let is_field = |key: &str| {
        let fields = ["metadata.", "spec.", "status."];
        !key.contains('/') && fields.iter().any(|field| key.starts_with(field))
    };
    let keys = names(value, |key| {
        key == NODE_NAME
            || (key.starts_with(char::is_alphabetic) && is_label_key(key) && !is_field(key))
    })?;
    let named = |key: String| match key.as_str() {
        NODE_NAME => (key, "node".to_owned()),
        _ => {
            let name = key.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            (key, name)
        }
    };
    Some(keys.into_iter().map(named).collect())
}

const NODE_NAME: &str = "spec.nodeName";

/// `NAME` or `DOMAIN/NAME`:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
fn is_label_key(key: &str) -> bool {
    let is_part = |part: &str, bytes_max: usize| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        part.len() <= bytes_max
            && part.bytes().all(legal)
            && is_end(part.bytes().next())
            && is_end(part.bytes().last())
    };
    match key.split_once('/') {
        Some((domain, name)) => is_part(domain, 253) && is_part(name, 63),
        None => is_part(key, 63),
    }
}

/// Names separated by commas, without duplicates; `None` if one of them is invalid or empty.
fn names(value: &str, is_legal: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for name in value.split(',').map(str::trim) {
        if name.is_empty() || !is_legal(name) {
            return None;
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Some(names)
}

/// An absolute URL without user, query and fragment; a final `/` is dropped.
pub(super) fn api_url(value: &str) -> Option<String> {
    let rest = value
        .strip_prefix("http://")
        .or_else(|| value.strip_prefix("https://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&byte);
    (!authority.is_empty() && rest.bytes().all(legal))
        .then(|| value.trim_end_matches('/').to_owned())
}

/// `HOST` or `HOST:PORT`, with or without `http://` or `https://` before it and a path after it. A `/` at the end is
/// dropped. The path has only characters that are never percent-encoded, so that it can be compared byte by byte.
pub(super) fn advertise_address(value: &str) -> Option<String> {
    let value = value.strip_suffix('/').unwrap_or(value);
    let rest = value
        .split_once("://")
        .map_or(Some(value), |(scheme, rest)| {
            ["http", "https"].contains(&scheme).then_some(rest)
        })?;
    let mut parts = rest.split('/');
    let is_host = |authority: &str| {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, "80"),
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_port = number(port, 1..=u16::MAX).is_some();
        !host.is_empty() && host.bytes().all(legal) && is_port
    };
    let is_segment = |segment: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@+=".contains(&byte);
        !["", ".", ".."].contains(&segment) && segment.bytes().all(legal)
    };
    (parts.next().is_some_and(is_host) && parts.all(is_segment)).then(|| value.to_owned())
}
