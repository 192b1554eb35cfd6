//! What is sent: merged texts and errors as answers of the listener.

use std::io::{self, BufRead, Cursor};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::gzip::Gzip;
use super::listener::Response;
use super::route::RequestError;
use crate::aggregate::PodAnswer;
use crate::exposition::MergedText;

/// What Prometheus reads as the text format.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// A page that fits into one packet is not made smaller.
const GZIP_BYTES_MIN: usize = 1400;

/// 200 with a merged text, gzipped at this level if it is not 0. The merged text is not copied as a whole, unless that
/// spares memory.
pub(super) fn metrics(text: MergedText, gzip_level: u32, gzip: &Gzip) -> Response {
    let mut headers = vec![
        ("Content-Type", EXPOSITION_TYPE.to_owned()),
        ("Vary", "Accept-Encoding".to_owned()),
    ];
    if gzip_level == 0 {
        return Response {
            status: 200,
            headers,
            length: text.len(),
            body: body(text),
        };
    }
    let gzipped = gzip.compress(&text, gzip_level);
    headers.push(("Content-Encoding", "gzip".to_owned()));
    Response {
        status: 200,
        headers,
        length: gzipped.len(),
        body: Box::new(Cursor::new(gzipped)),
    }
}

/// 200 with what a pod sent, byte for byte. It is a stranger's: no browser may run it in this server's name.
pub(super) fn probe(pod: PodAnswer) -> Response {
    let mut headers = vec![
        ("X-Content-Type-Options", "nosniff".to_owned()),
        (
            "Content-Security-Policy",
            "default-src 'none'; sandbox".to_owned(),
        ),
    ];
    headers.extend(pod.content_type.map(|value| ("Content-Type", value)));
    headers.extend(
        pod.content_encoding
            .map(|value| ("Content-Encoding", value)),
    );
    bytes(headers, pod.body)
}

/// 200 with the aggregator's own metrics.
pub(super) fn own_metrics(text: String) -> Response {
    let headers = vec![("Content-Type", EXPOSITION_TYPE.to_owned())];
    bytes(headers, text.into_bytes())
}

/// 200 with JSON. Prometheus insists on exactly this content type.
pub(super) fn json(text: String) -> Response {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    bytes(headers, text.into_bytes())
}

/// 200 with these bytes.
pub(super) fn bytes(headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Response {
    Response {
        status: 200,
        headers,
        length: body.len(),
        body: Box::new(Cursor::new(body)),
    }
}

/// The answer gzipped at this level, if it is not 0 and the answer not small.
pub(super) fn compressed(mut answer: Response, level: u32) -> Response {
    if level == 0 || answer.length < GZIP_BYTES_MIN {
        return answer;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    let body = io::copy(&mut answer.body, &mut encoder)
        .and_then(|_| encoder.finish())
        .expect("from memory into memory");
    answer.headers.push(("Content-Encoding", "gzip".to_owned()));
    bytes(answer.headers, body)
}

impl From<&RequestError> for Response {
    fn from(error: &RequestError) -> Response {
        let mut answer = Response::text(error.status(), format!("{error}\n"));
        if error.may_retry() {
            answer.headers.push(("Retry-After", "1".to_owned()));
        }
        if *error == RequestError::Method {
            answer.headers.push(("Allow", "GET, HEAD".to_owned()));
        }
        answer
    }
}

/// What slow clients may hold of memory is counted by the length of answers. So a text that is much smaller than the
/// bodies it comes from, as when they are comments for the most part, does not keep them.
fn body(text: MergedText) -> Box<dyn BufRead + Send> {
    if text.held_bytes() / 2 <= text.len() {
        return Box::new(text.into_reader());
    }
    let mut whole = Vec::with_capacity(text.len());
    text.write_to(&mut whole)
        .expect("writing into memory does not fail");
    Box::new(Cursor::new(whole))
}
