//! One request head: its end in a buffer, its rules, and how it is written again for tiny_http. Pure.
//!
//! A chunked body without content, which some proxies add to a GET, belongs to its head here: it is read to its end
//! and dropped, within the same limits. Any other body is refused.
//!
//! `httparse` reads the head, under rules that are stricter than RFC 9112 has to be: what two parsers could read in two
//! ways is refused, so that nothing that passes here means something else to the parser behind. Only the headers of
//! [`FORWARDED`] go on; above all, `Authorization` does not.

use super::auth::Authorization;
use crate::server::http_error::HttpError;

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

// What is refused. The texts name the limits.
const _: () = assert!(TARGET_BYTES_MAX == 8 * 1024 && HEAD_BYTES_MAX == 16 * 1024);
const _: () = assert!(HEADERS_MAX == 100);
const LINE_END: HttpError =
    HttpError::fixed(400, "every line of a request head has to end in CR LF");
const ILLEGAL_BYTE: HttpError = HttpError::fixed(
    400,
    "control or non-ASCII byte in the head; percent-encode the URL",
);
const REQUEST_LINE: HttpError = HttpError::fixed(
    400,
    "expected a first line such as GET /metrics?job=NAME HTTP/1.1",
);
const HEADER_LINE: HttpError = HttpError::fixed(
    400,
    "expected header lines such as Accept: text/plain, not folded",
);
const HOST: HttpError = HttpError::fixed(400, "name the host, once: Host: NAME or Host: NAME:PORT");
const LENGTH: HttpError = HttpError::fixed(
    400,
    "Content-Length has to be one number, alone; leave it out",
);
const BODY: HttpError = HttpError::fixed(413, "a request must not have a body; leave it out");
const TARGET_TOO_LONG: HttpError =
    HttpError::fixed(414, "the URL is longer than 8 KiB; ask for fewer jobs");
const EXPECT: HttpError =
    HttpError::fixed(417, "only Expect: 100-continue is understood; leave it out");
const TOO_LARGE: HttpError =
    HttpError::fixed(431, "the request head is larger than 16 KiB; send less");
const TOO_MANY_HEADERS: HttpError = HttpError::fixed(431, "more than 100 headers; send fewer");
const VERSION: HttpError = HttpError::fixed(505, "only HTTP/1.0 and HTTP/1.1 are spoken");

/// The headers that the server reads; all others end here.
const FORWARDED: [&str; 5] = [
    "Accept",
    "Accept-Encoding",
    "Host",
    "User-Agent",
    "X-Prometheus-Scrape-Timeout-Seconds",
];

/// Paths that need no token and no client certificate: a kubelet has neither. The whole target has to be one of
/// these, byte for byte, so that no encoding of another path can pass for them.
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
    pub fn take(&mut self) -> Result<Option<Head>, HttpError> {
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

    fn take_head(&mut self) -> Result<Option<Head>, HttpError> {
        if self.bytes.starts_with(b"\r\n") && !self.passed_empty_line {
            self.remove(2);
            self.passed_empty_line = true;
        }
        if self.bytes.starts_with(b"\r\n") {
            return Err(REQUEST_LINE);
        }
        let line = self.bytes.iter().position(|&byte| byte == b'\n');
        if line.unwrap_or(self.bytes.len()) >= REQUEST_LINE_BYTES_MAX {
            return Err(TARGET_TOO_LONG);
        }
        let Some(length) = self.find_end()? else {
            return Ok(None);
        };
        let head = parse(&self.bytes[..length])?;
        self.remove(length);
        self.passed_empty_line = false;
        Ok(Some(head))
    }

    /// Takes out a chunked body of no bytes: the last chunk, its extensions and the trailers. Returns whether it was
    /// all there.
    fn take_empty_body(&mut self) -> Result<bool, HttpError> {
        if !starts_like_last_chunk(&self.bytes) {
            return Err(BODY);
        }
        let Some(length) = self.find_end()? else {
            return Ok(false);
        };
        let chunk = self.bytes.iter().position(|&byte| byte == b'\n');
        let trailers = &self.bytes[chunk.map_or(0, |at| at + 1)..length];
        httparse::parse_headers(trailers, &mut [httparse::EMPTY_HEADER; HEADERS_MAX])
            .map_err(|error| bad_head(error, trailers))?;
        self.remove(length);
        Ok(true)
    }

    /// Looks for the first empty line; returns the length of everything up to its end, if that can still come.
    fn find_end(&mut self) -> Result<Option<usize>, HttpError> {
        for at in self.seen..self.bytes.len().min(HEAD_BYTES_MAX) {
            let before = &self.bytes[..at];
            if before.ends_with(b"\r") != (self.bytes[at] == b'\n') {
                return Err(LINE_END);
            }
            match self.bytes[at] {
                b'\n' if before.ends_with(b"\r\n\r") => return Ok(Some(at + 1)),
                b'\n' | b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
                _ => return Err(ILLEGAL_BYTE),
            }
        }
        self.seen = self.bytes.len();
        if self.seen < HEAD_BYTES_MAX {
            return Ok(None);
        }
        Err(TOO_LARGE)
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

/// Reads a head, with its empty line.
fn parse(bytes: &[u8]) -> Result<Head, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes);
    parsed.map_err(|error| bad_head(error, bytes))?;
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(REQUEST_LINE);
    };
    if method.len() > METHOD_BYTES_MAX {
        return Err(REQUEST_LINE);
    }
    if !target.is_ascii() {
        return Err(ILLEGAL_BYTE);
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(TARGET_TOO_LONG);
    }
    let mut facts = Facts::default();
    let mut forwarded = Vec::new();
    for header in request.headers.iter() {
        let value = header.value.trim_ascii();
        facts.take(header.name, value)?;
        let known = FORWARDED
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(header.name));
        // Bytes over 127 are legal in values, but mean nothing in those that go on.
        if let (Some(name), Ok(value), true) = (known, str::from_utf8(value), value.is_ascii()) {
            forwarded.push((name, value.to_owned()));
        }
    }
    let is_http11 = minor == 1;
    if is_http11 && facts.hosts == 0 {
        return Err(HOST);
    }
    Ok(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: forwarded,
        keep_alive: is_http11 && !facts.close,
        is_chunked: facts.is_chunked(is_http11)?,
        authorization: facts.authorization,
    })
}

/// What `httparse` refuses in these bytes. Line ends and illegal bytes have been looked at before.
fn bad_head(error: httparse::Error, bytes: &[u8]) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => TOO_MANY_HEADERS,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HEADER_LINE,
        httparse::Error::Version if is_other_version(bytes) => VERSION,
        _ => REQUEST_LINE,
    }
}

/// Whether the first line ends in a version of HTTP.
fn is_other_version(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\r');
    let version = lines.next().and_then(|line| line.last_chunk::<9>());
    matches!(version, Some([b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

impl Head {
    /// Whether anyone may ask for the path.
    #[must_use]
    pub fn is_open(&self) -> bool {
        OPEN_TARGETS.contains(&self.target.as_str())
    }

    /// The request as tiny_http gets it, without the empty line: the caller may add headers of its own.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text
    }
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
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        if name.eq_ignore_ascii_case("Host") {
            self.hosts += 1;
            if self.hosts > 1 || !value.iter().copied().all(is_host_byte) {
                return Err(HOST);
            }
        } else if name.eq_ignore_ascii_case("Content-Length") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(LENGTH);
            }
            if value.iter().any(|&digit| digit != b'0') {
                return Err(BODY);
            }
            self.has_length = true;
        } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(BODY);
            }
            self.chunked += 1;
        } else if name.eq_ignore_ascii_case("Expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(EXPECT);
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
    fn is_chunked(&self, is_http11: bool) -> Result<bool, HttpError> {
        if self.chunked == 0 {
            return Ok(false);
        }
        let is_clear = self.chunked == 1 && !self.has_length && is_http11;
        if !is_clear {
            return Err(LENGTH);
        }
        if self.expects {
            return Err(BODY);
        }
        Ok(true)
    }
}

/// RFC 3986, section 3.2.2, and the port.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}
