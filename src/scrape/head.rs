//! Inspects the head of a response before ureq reads it.
//!
//! ureq accepts some heads that Go's client refuses: transfer codings other than `chunked`, and lists of lengths. With
//! them a pod would have another body here than in Prometheus. Other heads ureq refuses with an error that does not
//! help. Both are found here (RFC 9112; for Go see `readTransfer` in its `net/http/transfer.go`).

use std::fmt;

use httparse::{EMPTY_HEADER, Header, Response, Status};

/// The most headers that ureq reads.
const HEADERS_MAX: usize = 128;
/// How many characters of a header's value an error shows.
const SHOWN_CHARS_MAX: usize = 40;

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// By its last chunk.
    LastChunk,
    /// By its length, or by the end of the connection.
    LengthOrClose,
}

/// Why a head is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// It is a frame of HTTP/2.
    Http2,
    /// It is a record of TLS.
    Tls,
    /// It has too many headers.
    TooManyHeaders,
    /// A header continues on the next line.
    Folded,
    /// It has a transfer coding other than `chunked`, or more than one.
    TransferEncoding(String),
    /// It has several lengths that differ.
    Lengths,
    /// It has a length that is not a number.
    Length(String),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::Http2 => f.write_str(
                "expected HTTP/1.1, found a frame of HTTP/2, which is not spoken here; \
                 have the pod serve its metrics over HTTP/1.1",
            ),
            HeadError::Tls => {
                f.write_str("expected HTTP, found TLS; set the option tls-enabled to true")
            }
            HeadError::TooManyHeaders => write!(
                f,
                "expected {HEADERS_MAX} headers at most, found more; have the pod send fewer"
            ),
            HeadError::Folded => f.write_str(
                "expected each header in one line, found one that goes on in the next (folded); \
                 have the pod send it in one",
            ),
            HeadError::TransferEncoding(found) => {
                write!(
                    f,
                    "expected the Transfer-Encoding chunked or none, found {found}"
                )
            }
            HeadError::Lengths => {
                f.write_str("expected one Content-Length, found several that differ")
            }
            HeadError::Length(found) => {
                write!(f, "expected a number as Content-Length, found {found}")
            }
        }
    }
}

/// How the body ends, by the head at the start of these bytes; `None` if the head is not complete. Skips heads with
/// status 1xx before it, and heads for which ureq has good errors itself.
///
/// # Errors
/// A head that ureq does not read, or reads differently than Go.
pub(super) fn end_of_body(mut input: &[u8]) -> Result<Option<BodyEnd>, HeadError> {
    loop {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        match response.parse(input) {
            Ok(Status::Partial) => return Ok(None),
            // After 101 comes another protocol.
            Ok(Status::Complete(length)) if matches!(response.code, Some(100 | 102..=199)) => {
                input = &input[length..];
            }
            Ok(Status::Complete(_)) => return framing(&response).map(Some),
            Err(error) => return unreadable(error, input).map_or(Ok(None), Err),
        }
    }
}

fn framing(response: &Response<'_, '_>) -> Result<BodyEnd, HeadError> {
    // HTTP/1.0 has no transfer codings, so Go ignores them there.
    let is_1_0 = response.version == Some(0);
    let codings = values(response.headers, "transfer-encoding");
    if let [first, rest @ ..] = &codings[..]
        && !is_1_0
    {
        if !rest.is_empty() || !first.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadError::TransferEncoding(shown(&codings)));
        }
        return Ok(BodyEnd::LastChunk);
    }
    let lengths = values(response.headers, "content-length");
    if let [first, rest @ ..] = &lengths[..] {
        if rest.iter().any(|length| length != first) {
            return Err(HeadError::Lengths);
        }
        let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(first)
            .ok()
            .and_then(|digits| digits.parse::<i64>().ok());
        if !is_number || number.is_none() {
            return Err(HeadError::Length(shown(&lengths[..1])));
        }
    }
    Ok(BodyEnd::LengthOrClose)
}

/// The values of the headers with this name.
fn values<'a>(headers: &[Header<'a>], name: &str) -> Vec<&'a [u8]> {
    let named = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value.trim_ascii()).collect()
}

fn shown(values: &[&[u8]]) -> String {
    if values.iter().all(|value| value.is_empty()) {
        return "nothing".to_owned();
    }
    let text = String::from_utf8_lossy(&values.join(&b", "[..])).into_owned();
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// What these bytes are, if that helps the reader of an error.
fn unreadable(error: httparse::Error, input: &[u8]) -> Option<HeadError> {
    let is_folded = |pair: &[u8]| pair[0] == b'\n' && b" \t".contains(&pair[1]);
    match (error, input) {
        (httparse::Error::TooManyHeaders, _) => Some(HeadError::TooManyHeaders),
        // A length of three bytes and a type, SETTINGS or GOAWAY (RFC 9113, sections 4.1 and 6).
        (_, [0, _, _, 4 | 7, ..]) => Some(HeadError::Http2),
        // An alert or a handshake of any version (RFC 8446, section 5.1).
        (_, [0x15 | 0x16, 3, ..]) => Some(HeadError::Tls),
        (httparse::Error::HeaderName, _) if input.windows(2).any(is_folded) => {
            Some(HeadError::Folded)
        }
        _ => None,
    }
}
