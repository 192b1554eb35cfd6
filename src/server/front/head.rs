//! One request head: its end in a buffer, its rules, and how it is written again for tiny_http. Pure.
//!
//! Stricter than RFC 9112 has to be: what two parsers could read in two ways is refused, so that nothing that passes
//! here means something else to the parser behind. Only the headers of [`FORWARDED`] go on; above all,
//! `Authorization` does not.

use super::auth::Authorization;
use super::refusal::Refusal;

/// Largest request head: request line, headers and the empty line. A scraper's is around 500 bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest request target: some hundred jobs.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Most header lines.
pub const HEADERS_MAX: usize = 100;
/// Longest method; the longest registered one has 17 bytes.
const METHOD_BYTES_MAX: usize = 20;
/// What stands around the target at most: method, two blanks, version, CR LF.
const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + METHOD_BYTES_MAX + 12;

/// The headers that the server reads; all others end here.
const FORWARDED: [&str; 5] = [
    "Accept",
    "Accept-Encoding",
    "Host",
    "User-Agent",
    "X-Prometheus-Scrape-Timeout-Seconds",
];

/// Paths that are answered without token and client certificate: a kubelet has neither. The whole target has to be
/// one of these, byte for byte, so that no encoding of another path can pass for them.
const OPEN_TARGETS: [&str; 2] = ["/-/healthy", "/-/ready"];

/// One whole, well-formed request without a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// A token, as sent.
    pub method: String,
    /// As sent: visible ASCII, nothing decoded.
    pub target: String,
    /// In the order of the request, names as in the table of those that go on.
    pub headers: Vec<(&'static str, String)>,
    pub(super) authorization: Authorization,
    /// Whether the client may send another request on the connection.
    pub keep_alive: bool,
}

/// What has come from a client and is not yet taken as a request.
#[derive(Debug, Default)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    /// So many bytes from the start are looked at and hold no end of a head.
    seen: usize,
    /// One empty line before a request is passed over (RFC 9112, section 2.2), not more.
    passed_empty_line: bool,
}

impl HeadBuffer {
    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing of a next request has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next request out, or answers `None` while it is not all there.
    ///
    /// # Errors
    /// The first rule that is broken, as soon as that can be told; nothing more can be taken then.
    pub fn take(&mut self) -> Result<Option<Head>, Refusal> {
        if self.bytes.starts_with(b"\r\n") && !self.passed_empty_line {
            self.bytes.drain(..2);
            self.passed_empty_line = true;
            self.seen = 0;
        }
        if self.bytes.starts_with(b"\r\n") {
            return Err(Refusal::RequestLine);
        }
        let Some(length) = end(&self.bytes, self.seen)? else {
            self.seen = self.bytes.len();
            return Ok(None);
        };
        let head = parse(&self.bytes[..length])?;
        self.bytes.drain(..length);
        self.seen = 0;
        self.passed_empty_line = false;
        Ok(Some(head))
    }
}

/// Looks for the end of the head at the start of `bytes`, of which the first `seen` are known to hold none; answers
/// the length of the head with its empty line.
fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    for at in seen..bytes.len().min(HEAD_BYTES_MAX) {
        let after_cr = at > 0 && bytes[at - 1] == b'\r';
        if after_cr != (bytes[at] == b'\n') {
            return Err(Refusal::LineEnd);
        }
        match bytes[at] {
            b'\n' if bytes[..at].ends_with(b"\r\n\r") => return Ok(Some(at + 1)),
            b'\n' | b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err(Refusal::ControlByte),
        }
    }
    if bytes.len() > REQUEST_LINE_BYTES_MAX && !bytes.contains(&b'\n') {
        return Err(Refusal::TargetTooLong);
    }
    if bytes.len() >= HEAD_BYTES_MAX {
        return Err(Refusal::HeadTooLarge);
    }
    Ok(None)
}

/// Reads a head whose end was found by [`end`].
fn parse(head: &[u8]) -> Result<Head, Refusal> {
    let lines = head.strip_suffix(b"\r\n\r\n").ok_or(Refusal::Truncated)?;
    let mut lines = lines
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
    let mut facts = Facts::default();
    let mut headers = Vec::new();
    for (index, line) in lines.enumerate() {
        if index == HEADERS_MAX {
            return Err(Refusal::TooManyHeaders);
        }
        let (name, value) = header_line(line)?;
        facts.take(name, value)?;
        let forwarded = FORWARDED
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        // Bytes over 127 are legal in values, but mean nothing in those that go on.
        if let (Some(name), Ok(value), true) = (forwarded, str::from_utf8(value), value.is_ascii())
        {
            headers.push((name, value.to_owned()));
        }
    }
    if version == Version::Http11 && facts.hosts == 0 {
        return Err(Refusal::Host);
    }
    Ok(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        authorization: facts.authorization,
        keep_alive: version == Version::Http11 && !facts.close,
    })
}

impl Head {
    /// Whether the path is answered to everyone.
    #[must_use]
    pub fn is_open(&self) -> bool {
        OPEN_TARGETS.contains(&self.target.as_str())
    }

    /// The request as tiny_http gets it, without the empty line: the caller may add headers of its own.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn request_line(line: &[u8]) -> Result<(&str, &str, Version), Refusal> {
    if line.len() + 2 > REQUEST_LINE_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    let line = str::from_utf8(line)
        .ok()
        .filter(|line| line.is_ascii())
        .ok_or(Refusal::ControlByte)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    let method_fits =
        (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.bytes().all(is_token_byte);
    let target_fits = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    if !method_fits || !target_fits {
        return Err(Refusal::RequestLine);
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    match version.as_bytes() {
        b"HTTP/1.1" => Ok((method, target, Version::Http11)),
        b"HTTP/1.0" => Ok((method, target, Version::Http10)),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::RequestLine),
    }
}

fn header_line(line: &[u8]) -> Result<(&str, &[u8]), Refusal> {
    let colon = line
        .iter()
        .position(|&byte| byte == b':')
        .ok_or(Refusal::HeaderLine)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A folded line starts with a blank, which is no token byte.
    let name = str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.bytes().all(is_token_byte));
    Ok((name.ok_or(Refusal::HeaderLine)?, value.trim_ascii()))
}

/// What the headers say that the front has to know.
#[derive(Default)]
struct Facts {
    hosts: usize,
    close: bool,
    authorization: Authorization,
}

impl Facts {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        if name.eq_ignore_ascii_case("Host") {
            self.hosts += 1;
            if self.hosts > 1 || !value.iter().copied().all(is_host_byte) {
                return Err(Refusal::Host);
            }
        } else if name.eq_ignore_ascii_case("Content-Length") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(Refusal::ContentLength);
            }
            if value.iter().any(|&digit| digit != b'0') {
                return Err(Refusal::Body);
            }
        } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
            return Err(Refusal::Body);
        } else if name.eq_ignore_ascii_case("Expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::Expect);
            }
        } else if name.eq_ignore_ascii_case("Connection") {
            let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            self.close |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        } else if name.eq_ignore_ascii_case("Authorization") {
            self.authorization.push(value);
        }
        Ok(())
    }
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 3986, section 3.2.2, and the port.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}
