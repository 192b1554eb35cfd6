//! Inspects the head of a response before ureq reads it.
//!
//! ureq accepts some heads that Go's client refuses: transfer codings other than `chunked`, and lists of lengths. With
//! them a pod would have another body here than in Prometheus. Other heads ureq refuses with an error that does not
//! help. Both are found here (RFC 9112; for Go see `readTransfer` in its `net/http/transfer.go`).

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Header, Response, Status};

/// The most headers that ureq reads.
const HEADERS_MAX: usize = 128;
const _: () = assert!(HEADERS_MAX == 128, "the error names it");
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

/// Why a head is refused, for people. Text of the pod in it is cut, but not escaped.
type HeadError = Cow<'static, str>;

const HTTP2: &str = "expected HTTP/1.1, found a frame of HTTP/2, which is not spoken here; \
                     have the pod serve its metrics over HTTP/1.1";
const TLS: &str = "expected HTTP, found TLS; set the option tls-enabled to true";
const TOO_MANY_HEADERS: &str = "expected 128 headers at most, found more; have the pod send fewer";
const FOLDED: &str = "expected each header in one line, found one that goes on in the next (folded); \
                      have the pod send it in one";

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
            Err(error) => return unreadable(error, input).map_or(Ok(None), |why| Err(why.into())),
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
            let found = shown(&codings);
            return Err(
                format!("expected the Transfer-Encoding chunked or none, found {found}").into(),
            );
        }
        return Ok(BodyEnd::LastChunk);
    }
    let lengths = values(response.headers, "content-length");
    if let [first, rest @ ..] = &lengths[..] {
        if rest.iter().any(|length| length != first) {
            return Err("expected one Content-Length, found several that differ".into());
        }
        let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(first)
            .ok()
            .and_then(|digits| digits.parse::<i64>().ok());
        if !is_number || number.is_none() {
            let found = shown(&lengths[..1]);
            return Err(format!("expected a number as Content-Length, found {found}").into());
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
fn unreadable(error: httparse::Error, input: &[u8]) -> Option<&'static str> {
    let is_folded = |pair: &[u8]| pair[0] == b'\n' && b" \t".contains(&pair[1]);
    match (error, input) {
        (httparse::Error::TooManyHeaders, _) => Some(TOO_MANY_HEADERS),
        // A length of three bytes and a type, SETTINGS or GOAWAY (RFC 9113, sections 4.1 and 6).
        (_, [0, _, _, 4 | 7, ..]) => Some(HTTP2),
        // An alert or a handshake of any version (RFC 8446, section 5.1).
        (_, [0x15 | 0x16, 3, ..]) => Some(TLS),
        (httparse::Error::HeaderName, _) if input.windows(2).any(is_folded) => Some(FOLDED),
        _ => None,
    }
}
