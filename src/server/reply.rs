//! The responses that handlers send: merged bodies, bodies of pods, and pages; gzipped for clients that accept it.

use std::io::{self, BufRead, Cursor};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::response::Response;
use crate::aggregate::{MergedResponse, PodResponse};
use crate::exposition::{Format, Merged};
use crate::gzip::LineGzip;

/// A smaller page fits into one packet and is not compressed.
const GZIP_BYTES_MIN: usize = 1400;
/// The level at which speed matters most.
const FASTEST_LEVEL: u32 = 1;

/// 200 with a merged body of this type, compressed at this level; not at all if it is 0.
pub(super) fn metrics(merged: MergedResponse, content_type: String, gzip_level: u32) -> Response {
    let (merged, format) = (merged.body, merged.format);
    let mut headers = vec![
        ("Content-Type", content_type),
        ("Vary", "Accept, Accept-Encoding".to_owned()),
    ];
    if gzip_level == 0 {
        return Response {
            length: merged.len(),
            body: body(merged),
            ..Response::bytes(headers, Vec::new())
        };
    }
    headers.push(("Content-Encoding", "gzip".to_owned()));
    Response::bytes(headers, gzipped(&merged, format, gzip_level))
}

/// The body as gzip. [`LineGzip`] is the fastest for text, but it does not know protobuf and has no other levels.
fn gzipped(merged: &Merged, format: Format, level: u32) -> Vec<u8> {
    if level != FASTEST_LEVEL || format == Format::Protobuf {
        return zlib(level, |encoder| merged.write_to(encoder));
    }
    let mut gzip = LineGzip::default();
    merged.write_to(&mut gzip).expect("from memory into memory");
    gzip.finish()
}

/// What `write` writes, as gzip by zlib-rs at this level.
fn zlib(level: u32, write: impl FnOnce(&mut GzEncoder<Vec<u8>>) -> io::Result<()>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    let written = write(&mut encoder).and_then(|()| encoder.finish());
    let mut gzip = written.expect("from memory into memory");
    // The memory that slow clients may hold is counted by the length of responses.
    gzip.shrink_to_fit();
    gzip
}

/// 200 with the body of a pod, byte for byte. Browsers are told not to run it, because it is not this server's.
pub(super) fn probe(pod: PodResponse) -> Response {
    let policy = "default-src 'none'; sandbox".to_owned();
    let mut headers = vec![
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Content-Security-Policy", policy),
    ];
    headers.extend(pod.content_type.map(|value| ("Content-Type", value)));
    let encoding = pod.content_encoding;
    headers.extend(encoding.map(|value| ("Content-Encoding", value)));
    Response::bytes(headers, pod.body)
}

/// The response, gzipped at this level if it is large enough. Level 0 does not compress.
pub(super) fn compressed(mut response: Response, level: u32) -> Response {
    if level == 0 || response.length < GZIP_BYTES_MIN {
        return response;
    }
    let body = zlib(level, |encoder| {
        io::copy(&mut response.body, encoder).map(drop)
    });
    response
        .headers
        .push(("Content-Encoding", "gzip".to_owned()));
    Response::bytes(response.headers, body)
}

/// A reader of the merged body. The body is copied if it is much smaller than the bodies that it is made from, for
/// example if these are mostly comments, because the send budget counts only the length of the response.
fn body(merged: Merged) -> Box<dyn BufRead + Send> {
    if merged.held_bytes() / 2 <= merged.len() {
        return Box::new(merged.into_reader());
    }
    let mut whole = Vec::with_capacity(merged.len());
    merged
        .write_to(&mut whole)
        .expect("writing into memory does not fail");
    Box::new(Cursor::new(whole))
}
