//! Request heads: finds the end of one in a buffer, checks it, and writes it again for tiny_http. Pure.
//!
//! Some proxies add an empty chunked body to a GET. It is treated as a part of the head, within the same limits, and
//! dropped. Any other body is refused.
//!
//! `httparse` parses the head. The rules here are stricter than RFC 9112: a head that two parsers could understand in
//! two ways is refused, so tiny_http never understands it differently. Only the headers in [`FORWARDED`] are passed on;
//! `Authorization` is not.

use super::auth::Authorization;
use crate::server::http_error::HttpError;

/// The largest request head: request line, headers and the empty line. A scraper's head has about 500 bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest URL: enough for some hundred jobs.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// The most headers.
pub const HEADERS_MAX: usize = 100;
/// The longest method. The longest registered one has 17 bytes.
const METHOD_BYTES_MAX: usize = 20;
/// The longest first line: method, blank, URL, blank, version, CR LF.
const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + METHOD_BYTES_MAX + 12;

// The errors. Their texts contain the limits.
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
    HttpError::fixed(417, "only Expect: 100-continue is supported; leave it out");
const TOO_LARGE: HttpError =
    HttpError::fixed(431, "the request head is larger than 16 KiB; send less");
const TOO_MANY_HEADERS: HttpError = HttpError::fixed(431, "more than 100 headers; send fewer");
const VERSION: HttpError = HttpError::fixed(505, "only HTTP/1.0 and HTTP/1.1 are supported");

/// The headers that are passed on to the server. All others are dropped.
const FORWARDED: [&str; 5] = [
    "Accept",
    "Accept-Encoding",
    "Host",
    "User-Agent",
    "X-Prometheus-Scrape-Timeout-Seconds",
];

/// The paths that need no token and no client certificate, because the kubelet has neither. The URL has to be one of
/// them byte for byte, so that no encoding of another path can be taken for them.
const OPEN_TARGETS: [&str; 2] = ["/-/healthy", "/-/ready"];

/// One complete, well-formed request without a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The method as sent: a token.
    pub method: String,
    /// The URL as sent: visible ASCII, nothing is decoded.
    pub target: String,
    /// The headers to pass on, in the order of the request.
    pub headers: Vec<(&'static str, String)>,
    /// The `Authorization` headers.
    pub(super) authorization: Authorization,
    /// Whether the client may send another request on the connection.
    pub keep_alive: bool,
    is_chunked: bool,
}

/// The bytes from a client that are not yet taken out as a request.
#[derive(Debug, Default)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    /// How many bytes are checked already. They do not contain the end of a head.
    seen: usize,
    /// Only one empty line before a request is skipped (RFC 9112, section 2.2).
    skipped_empty_line: bool,
    /// A head whose chunked body is not complete yet.
    awaits_body: Option<Head>,
}

impl HeadBuffer {
    /// Adds bytes from the client.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether no byte of the next request has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.awaits_body.is_none()
    }

    /// Takes the next request out; `None` while it is incomplete.
    ///
    /// # Errors
    /// The first rule that is broken, as early as possible. Nothing more can be taken out then.
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
        if self.bytes.starts_with(b"\r\n") && !self.skipped_empty_line {
            self.remove(2);
            self.skipped_empty_line = true;
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
        self.skipped_empty_line = false;
        Ok(Some(head))
    }

    /// Takes out an empty chunked body: the last chunk, its extensions, the trailers. Returns whether it was complete.
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

    /// The length of everything up to the end of the first empty line; `None` while there is none.
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

/// Whether these bytes can be the start of a last chunk (RFC 9112, section 7.1): zeros, then blanks, then the end of
/// the line or an extension.
fn starts_like_last_chunk(bytes: &[u8]) -> bool {
    let after_zeros = bytes.iter().skip_while(|byte| **byte == b'0');
    let mut rest = after_zeros.skip_while(|byte| matches!(byte, b' ' | b'\t'));
    let is_zero = matches!(rest.next(), None | Some(b'\r' | b'\n' | b';'));
    is_zero && matches!(bytes.first(), None | Some(b'0'))
}

/// Parses a head, with its empty line.
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
    let mut own = OwnHeaders::default();
    let mut forwarded = Vec::new();
    for header in request.headers.iter() {
        let value = header.value.trim_ascii();
        own.take(header.name, value)?;
        let known = FORWARDED
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(header.name));
        // Bytes over 127 are legal in values, but meaningless in the headers that are passed on.
        if let (Some(name), Ok(value), true) = (known, str::from_utf8(value), value.is_ascii()) {
            forwarded.push((name, value.to_owned()));
        }
    }
    let is_http11 = minor == 1;
    if is_http11 && own.hosts == 0 {
        return Err(HOST);
    }
    Ok(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: forwarded,
        keep_alive: is_http11 && !own.close,
        is_chunked: own.is_chunked(is_http11)?,
        authorization: own.authorization,
    })
}

/// The error for a head that `httparse` refuses. Line ends and illegal bytes are already checked.
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
    /// Whether everybody may request the path.
    #[must_use]
    pub fn is_open(&self) -> bool {
        OPEN_TARGETS.contains(&self.target.as_str())
    }

    /// The head for tiny_http, without the empty line, so that the caller can add headers.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text
    }
}

/// The content of the headers that the listener itself uses.
#[derive(Default)]
struct OwnHeaders {
    hosts: usize,
    close: bool,
    has_length: bool,
    expects: bool,
    chunked: usize,
    authorization: Authorization,
}

impl OwnHeaders {
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

    /// Whether a chunked body follows. It is refused if two parsers could disagree about its end, or if the client
    /// waits for permission to send it.
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
