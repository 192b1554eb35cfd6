//! The answers that the listener gives by itself: a status and one line that says what to do. Pure.

use std::fmt;

use super::head::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// Why a request does not get further than the listener. `Display` is the answer's one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: the client closed its side in the middle of a request head.
    Truncated,
    /// 400: a line that does not end in CR LF, or a CR inside a line.
    LineEnd,
    /// 400: a byte that no request head may hold.
    ControlByte,
    /// 400: not METHOD, one blank, target, one blank, version.
    RequestLine,
    /// 400: a header line that is not NAME, colon, value; folded lines are such.
    HeaderLine,
    /// 400: HTTP/1.1 without `Host`, or `Host` twice or malformed.
    Host,
    /// 400: a `Content-Length` that is no number, or a body whose end could be read in two ways.
    ContentLength,
    /// 400: plain HTTP where TLS is spoken.
    PlainHttp,
    /// 401: a token is needed and there is none, or a wrong one.
    Token,
    /// 403: a client certificate is needed and there is none.
    Certificate,
    /// 408: the request head did not come in time.
    TooSlow,
    /// 413: a request with a body.
    Body,
    /// 414: a target over [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// 417: an `Expect` other than `100-continue`.
    Expect,
    /// 431: a head over [`HEAD_BYTES_MAX`].
    HeadTooLarge,
    /// 431: more than [`HEADERS_MAX`] header lines.
    TooManyHeaders,
    /// 500: the request was taken and nobody answered it: an error in this program.
    NoAnswer,
    /// 503: all connections are being answered.
    Full,
    /// 503: clients that do not read their answers hold all the room there is for answers.
    NoRoom,
    /// 503: the server is about to end.
    Stopping,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    Version,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Refusal::Truncated
            | Refusal::LineEnd
            | Refusal::ControlByte
            | Refusal::RequestLine
            | Refusal::HeaderLine
            | Refusal::Host
            | Refusal::ContentLength
            | Refusal::PlainHttp => 400,
            Refusal::Token => 401,
            Refusal::Certificate => 403,
            Refusal::TooSlow => 408,
            Refusal::Body => 413,
            Refusal::TargetTooLong => 414,
            Refusal::Expect => 417,
            Refusal::HeadTooLarge | Refusal::TooManyHeaders => 431,
            Refusal::NoAnswer => 500,
            Refusal::Full | Refusal::NoRoom | Refusal::Stopping => 503,
            Refusal::Version => 505,
        }
    }

    /// The header that belongs to the status, if any.
    pub(super) fn header(self) -> Option<(&'static str, &'static str)> {
        match self.status() {
            401 => Some(("WWW-Authenticate", "Bearer")),
            503 => Some(("Retry-After", "1")),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice())
    }
}

// The limits as the texts below name them.
const _: () = assert!(TARGET_BYTES_MAX == 8 * 1024 && HEAD_BYTES_MAX == 16 * 1024);
const _: () = assert!(HEADERS_MAX == 100);

impl Refusal {
    fn advice(self) -> &'static str {
        match self {
            Refusal::Truncated => "the request ends before its empty line; send the whole head",
            Refusal::LineEnd => "every line of a request head has to end in CR LF",
            Refusal::ControlByte => "control or non-ASCII byte in the head; percent-encode the URL",
            Refusal::RequestLine => "expected a first line such as GET /metrics?job=NAME HTTP/1.1",
            Refusal::HeaderLine => "expected header lines such as Accept: text/plain, not folded",
            Refusal::Host => "name the host, once: Host: NAME or Host: NAME:PORT",
            Refusal::ContentLength => "Content-Length has to be one number, alone; leave it out",
            Refusal::PlainHttp => "this port speaks TLS: use https://",
            Refusal::Token => "send the right token: Authorization: Bearer TOKEN",
            Refusal::Certificate => "present a client certificate (TLS_CLIENT_CA_FILE)",
            Refusal::TooSlow => "the request head did not arrive in time; send it at once",
            Refusal::Body => "a request must not have a body; leave it out",
            Refusal::Expect => "only Expect: 100-continue is understood; leave it out",
            Refusal::NoAnswer => "internal error, please report it; the log has more",
            Refusal::Full => "all connections are busy; try again, or raise MAX_CONNECTIONS",
            Refusal::NoRoom => "other clients do not read their answers; try again",
            Refusal::Stopping => "the server is shutting down; try again",
            Refusal::Version => "only HTTP/1.0 and HTTP/1.1 are spoken",
            Refusal::TargetTooLong => "the URL is longer than 8 KiB; ask for fewer jobs",
            Refusal::HeadTooLarge => "the request head is larger than 16 KiB; send less",
            Refusal::TooManyHeaders => "more than 100 headers; send fewer",
        }
    }
}

impl std::error::Error for Refusal {}
