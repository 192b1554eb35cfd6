//! Redirects: where they lead, and whether that is still the same pod.
//!
//! A pod chooses where its redirects lead. Therefore they are followed only to the same scheme, host and port, and no
//! redirect makes this program send a request to another server. References are resolved as in RFC 3986, section 5.2,
//! and as Go does.

use std::net::IpAddr;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use ureq::http::Uri;

/// How many redirects are followed in one scrape.
pub(super) const REDIRECTS_MAX: usize = 3;
/// The longest path and query that a redirect may lead to: the request head has to fit into one buffer.
const PATH_BYTES_MAX: usize = 2048;

/// Why a redirect is not followed: completes an error after the place, and says what to set instead.
pub(super) type NotFollowed = &'static str;

/// It leads from http to https, or the reverse, or to neither.
const OTHER_SCHEME: NotFollowed =
    "another scheme, which is not followed; set the options tls-enabled and port";
const OTHER_HOST: NotFollowed = "another host, which is not followed; \
    set the option endpoint to a path where the pod itself serves its metrics";
const OTHER_PORT: NotFollowed = "another port, which is not followed; set the option port";
/// It has a user name, which Go would send as a credential.
const USER: NotFollowed = "with a user name, which is not followed; set the option endpoint";
/// It is not a URL, or it is too long.
pub(super) const UNREADABLE: NotFollowed =
    "which is not a URL that can be asked for; set the option endpoint";
/// There were too many redirects before it.
pub(super) const TOO_MANY: NotFollowed = "after three redirects, and no more are followed; \
    set the option endpoint to where they lead";

/// The path and query of a redirect, ready for a request, from the header `Location` of a response to `asked`. The pod
/// may be named by the host of that URL or by its IP.
///
/// # Errors
/// The place is not in the pod, or is not valid.
pub(super) fn path_in_pod(
    asked: &Uri,
    pod: IpAddr,
    location: &[u8],
) -> Result<String, NotFollowed> {
    let place = Location::parse(location);
    if place.scheme.is_some() && place.authority.is_none() {
        return Err(UNREADABLE);
    }
    let scheme = asked.scheme_str().unwrap_or_default();
    let is_other = |found: &[u8]| !found.eq_ignore_ascii_case(scheme.as_bytes());
    if place.scheme.is_some_and(is_other) {
        return Err(OTHER_SCHEME);
    }
    if let Some(authority) = place.authority {
        check_authority(asked, pod, authority)?;
    }
    let path = place.path_from(asked.path().as_bytes());
    if location.iter().any(u8::is_ascii_control) || !are_escapes_whole(&path) {
        return Err(UNREADABLE);
    }
    let mut whole = escaped(&path);
    let is_empty = place.authority.is_none() && place.path.is_empty();
    let inherited = asked.query().filter(|_| is_empty).map(str::as_bytes);
    if let Some(query) = place.query.or(inherited) {
        whole.push('?');
        whole.push_str(&escaped(query));
    }
    if whole.len() > PATH_BYTES_MAX {
        return Err(UNREADABLE);
    }
    Ok(whole)
}

/// The place for people to read, without what may be secret in it: user name and query.
pub(super) fn shown(location: &[u8]) -> String {
    let place = Location::parse(location);
    let part = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let mut shown = place.scheme.map_or_else(String::new, |s| part(s) + ":");
    if let Some(authority) = place.authority {
        let host = authority.rsplit(|&byte| byte == b'@').next();
        shown = shown + "//" + &part(host.unwrap_or_default());
    }
    shown += &part(place.path);
    if place.query.is_some() {
        shown.push_str("?…");
    }
    shown
}

/// The parts of a `Location`. A fragment is ignored.
struct Location<'a> {
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: &'a [u8],
    query: Option<&'a [u8]>,
}

impl<'a> Location<'a> {
    fn parse(location: &'a [u8]) -> Location<'a> {
        let (text, _) = split_at_first(location, b"#");
        let (scheme, rest) = match text.iter().position(|byte| !is_scheme_byte(*byte)) {
            Some(end) if text[end] == b':' && text[0].is_ascii_alphabetic() => {
                (Some(&text[..end]), &text[end + 1..])
            }
            _ => (None, text),
        };
        let (authority, rest) = match rest.strip_prefix(b"//") {
            Some(rest) => {
                let (authority, rest) = split_at_first(rest, b"/?");
                (Some(authority), rest)
            }
            None => (None, rest),
        };
        let (path, query) = split_at_first(rest, b"?");
        Location {
            scheme,
            authority,
            path,
            query: query.get(1..),
        }
    }

    /// The path, resolved against the requested one.
    fn path_from(&self, asked: &[u8]) -> Vec<u8> {
        if self.authority.is_some() || self.path.starts_with(b"/") {
            return without_dots(self.path);
        }
        if self.path.is_empty() {
            return without_dots(asked);
        }
        let folder = asked.iter().rposition(|&byte| byte == b'/');
        let folder = &asked[..folder.map_or(0, |slash| slash + 1)];
        without_dots(&[folder, self.path].concat())
    }
}

fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

/// The text before the first of these bytes, and the rest, which begins with it.
fn split_at_first<'a>(text: &'a [u8], ends: &[u8]) -> (&'a [u8], &'a [u8]) {
    let end = text.iter().position(|byte| ends.contains(byte));
    text.split_at(end.unwrap_or(text.len()))
}

fn check_authority(asked: &Uri, pod: IpAddr, authority: &[u8]) -> Result<(), NotFollowed> {
    if authority.contains(&b'@') {
        return Err(USER);
    }
    let authority = std::str::from_utf8(authority).map_err(|_| OTHER_HOST)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_pod = match bare {
        Some(bare) => bare.parse().map(IpAddr::V6) == Ok(pod),
        None => host.parse().map(IpAddr::V4) == Ok(pod),
    };
    let is_its_name = |name: &str| name.eq_ignore_ascii_case(host);
    if !is_pod && !asked.host().is_some_and(is_its_name) {
        return Err(OTHER_HOST);
    }
    let default = match asked.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = match port {
        "" => default,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| UNREADABLE)?
        }
        _ => return Err(UNREADABLE),
    };
    if port != asked.port_u16().unwrap_or(default) {
        return Err(OTHER_PORT);
    }
    Ok(())
}

/// The path without its segments `.` and `..`, and with a leading slash.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.split(|&byte| byte == b'/') {
        ends_in_dots = segment == b"." || segment == b"..";
        if segment == b".." {
            segments.pop();
        }
        if !ends_in_dots {
            segments.push(segment);
        }
    }
    if ends_in_dots {
        segments.push(b"");
    }
    [b"/", &segments.join(&b'/')[..]].concat()
}

/// Whether each `%` is followed by two hexadecimal digits.
fn are_escapes_whole(path: &[u8]) -> bool {
    let mut escapes = path.split(|&byte| byte == b'%').skip(1);
    escapes.all(|rest| {
        let digits = rest.first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The ASCII bytes that a URL may not have (RFC 3986, section 2).
const NOT_IN_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The text with each byte that a URL may not have as `%XX`.
fn escaped(text: &[u8]) -> String {
    percent_encode(text, NOT_IN_URLS).to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[track_caller]
    fn check(asked: &str, location: &str, expected: Result<&str, NotFollowed>) {
        let asked: Uri = asked.parse().unwrap();
        // The host as it is compared.
        let host = asked.host().unwrap().trim_matches(['[', ']']);
        let pod = host.parse().unwrap_or_else(|_| IpAddr::from([10, 0, 0, 1]));
        let path = path_in_pod(&asked, pod, location.as_bytes());
        assert_eq!(path.as_deref(), expected.as_ref().map(|path| *path));
    }

    /// Host names and default ports; `tests/scrape/redirects.rs` tests the rest with real pods.
    #[test]
    fn the_pod_is_known_by_name_and_address() {
        let named = "https://web.shop.svc:8443/metrics";
        check(named, "https://WEB.shop.svc:8443/b", Ok("/b"));
        check(named, "https://10.0.0.1:8443/b", Ok("/b"));
        check(named, "https://web.shop.svc/b", Err(OTHER_PORT));
        check("https://10.0.0.1:443/a", "https://10.0.0.1/b", Ok("/b"));
        check("http://10.0.0.1:80/a", "http://10.0.0.1:/b", Ok("/b"));
        check(
            "http://[fd00::1]:9100/a",
            "http://[FD00:0:0::1]:9100/b",
            Ok("/b"),
        );
        check("http://[fd00::1]:80/a", "http://[fd00::1]/b", Ok("/b"));
        check("http://[fd00::1]:80/a", "http://fd00::1/b", Err(OTHER_HOST));
    }
}
