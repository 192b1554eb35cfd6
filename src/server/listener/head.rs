//! One request head: its end in a buffer, its rules, and how it is written again for tiny_http. Pure.
//!
//! A chunked body without content, which some proxies add to a GET, belongs to its head here: it is read to its end
//! and dropped, within the same limits. Any other body is refused.
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
    is_chunked: bool,
}

/// What has come from a client and is not yet taken as a request.
#[derive(Debug, Default)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    /// So many bytes from the start are looked at and hold no end of a head.
    seen: usize,
    /// One empty line before a request is passed over (RFC 9112, section 2.2), not more.
    passed_empty_line: bool,
    /// A head whose chunked body has not ended yet.
    awaits_body: Option<Head>,
}

impl HeadBuffer {
    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing of a next request has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.awaits_body.is_none()
    }

    /// Takes the next request out, or returns `None` while it is not all there.
    ///
    /// # Errors
    /// The first rule that is broken, as soon as that can be told; nothing more can be taken then.
    pub fn take(&mut self) -> Result<Option<Head>, Refusal> {
        let head = match self.awaits_body.take() {
            Some(head) => head,
            None => match self.take_head()? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        if head.is_chunked && !self.take_empty_body()? {
            self.awaits_body = Some(head);
            return Ok(None);
        }
        Ok(Some(head))
    }

    fn take_head(&mut self) -> Result<Option<Head>, Refusal> {
        if self.bytes.starts_with(b"\r\n") && !self.passed_empty_line {
            self.bytes.drain(..2);
            self.passed_empty_line = true;
            self.seen = 0;
        }
        if self.bytes.starts_with(b"\r\n") {
            return Err(Refusal::RequestLine);
        }
        let end = self.find_end();
        let is_one_line = self.bytes.len() > REQUEST_LINE_BYTES_MAX && !self.bytes.contains(&b'\n');
        let length = match end {
            Ok(None) | Err(Refusal::HeadTooLarge) if is_one_line => {
                return Err(Refusal::TargetTooLong);
            }
            Ok(None) => return Ok(None),
            Ok(Some(length)) => length,
            Err(refusal) => return Err(refusal),
        };
        let head = parse(&self.bytes[..length])?;
        self.remove(length);
        self.passed_empty_line = false;
        Ok(Some(head))
    }

    /// Takes out a chunked body of no bytes: the last chunk, its extensions and the trailers. Returns whether it was
    /// all there.
    fn take_empty_body(&mut self) -> Result<bool, Refusal> {
        if !starts_like_last_chunk(&self.bytes) {
            return Err(Refusal::Body);
        }
        let Some(length) = self.find_end()? else {
            return Ok(false);
        };
        let lines = lines(&self.bytes[..length]).skip(1);
        for (index, trailer) in lines.enumerate() {
            if index == HEADERS_MAX {
                return Err(Refusal::TooManyHeaders);
            }
            header_line(trailer)?;
        }
        self.remove(length);
        Ok(true)
    }

    /// Looks for the first empty line; returns the length of everything up to its end.
    fn find_end(&mut self) -> Result<Option<usize>, Refusal> {
        for at in self.seen..self.bytes.len().min(HEAD_BYTES_MAX) {
            let before = &self.bytes[..at];
            if before.ends_with(b"\r") != (self.bytes[at] == b'\n') {
                return Err(Refusal::LineEnd);
            }
            match self.bytes[at] {
                b'\n' if before.ends_with(b"\r\n\r") => return Ok(Some(at + 1)),
                b'\n' | b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
                _ => return Err(Refusal::ControlByte),
            }
        }
        self.seen = self.bytes.len();
        if self.seen >= HEAD_BYTES_MAX {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(None)
    }

    fn remove(&mut self, length: usize) {
        self.bytes.drain(..length);
        self.seen = 0;
    }
}

/// Whether a chunked body that starts so may have no content (RFC 9112, section 7.1): zeros, then blanks, then the end
/// of the line or an extension, as far as the bytes go.
fn starts_like_last_chunk(bytes: &[u8]) -> bool {
    let after_zeros = bytes.iter().skip_while(|byte| **byte == b'0');
    let mut rest = after_zeros.skip_while(|byte| matches!(byte, b' ' | b'\t'));
    let is_zero = matches!(rest.next(), None | Some(b'\r' | b'\n' | b';'));
    is_zero && matches!(bytes.first(), None | Some(b'0'))
}

/// The lines of a head or of a body's end, without the empty line.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = block.strip_suffix(b"\r\n\r\n").unwrap_or(block);
    lines
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Reads a head, with its empty line.
fn parse(head: &[u8]) -> Result<Head, Refusal> {
    let mut lines = lines(head);
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
        keep_alive: version == Version::Http11 && !facts.close,
        is_chunked: facts.is_chunked(version)?,
        authorization: facts.authorization,
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

/// What the headers say that the listener has to know.
#[derive(Default)]
struct Facts {
    hosts: usize,
    close: bool,
    has_length: bool,
    expects: bool,
    chunked: usize,
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
            self.has_length = true;
        } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Body);
            }
            self.chunked += 1;
        } else if name.eq_ignore_ascii_case("Expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::Expect);
            }
            self.expects = true;
        } else if name.eq_ignore_ascii_case("Connection") {
            let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            self.close |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        } else if name.eq_ignore_ascii_case("Authorization") {
            self.authorization.push(value);
        }
        Ok(())
    }

    /// Whether a chunked body follows. Where two parsers could disagree on its end, or the client waits to be told to
    /// send its content, it is refused.
    fn is_chunked(&self, version: Version) -> Result<bool, Refusal> {
        if self.chunked == 0 {
            return Ok(false);
        }
        let is_clear = self.chunked == 1 && !self.has_length && version == Version::Http11;
        if !is_clear {
            return Err(Refusal::ContentLength);
        }
        if self.expects {
            return Err(Refusal::Body);
        }
        Ok(true)
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
