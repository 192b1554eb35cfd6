//! An answer, and how it is sent by tiny_http: known length, never chunked.

use std::io::{self, Cursor, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tiny_http::{Header, Request, Response, StatusCode};

use super::route::RequestError;
use crate::exposition::MergedText;

/// What Prometheus reads as the text format.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// One answer.
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Box<dyn Read + Send>,
    length: usize,
}

impl Reply {
    /// 200 with a text for people.
    pub(super) fn text(text: impl Into<String>) -> Reply {
        let text = text.into();
        Reply {
            status: 200,
            content_type: TEXT_TYPE,
            headers: Vec::new(),
            length: text.len(),
            body: Box::new(Cursor::new(text.into_bytes())),
        }
    }

    /// 200 with a merged text, gzipped at this level if it is not 0. The merged text itself is never copied as a
    /// whole.
    pub(super) fn metrics(text: MergedText, gzip_level: u32) -> Reply {
        let headers = vec![("Vary", "Accept-Encoding")];
        let mut reply = Reply {
            status: 200,
            content_type: EXPOSITION_TYPE,
            headers,
            length: 0,
            body: Box::new(io::empty()),
        };
        if gzip_level == 0 {
            reply.length = text.len();
            reply.body = Box::new(text.into_reader());
            return reply;
        }
        let gzipped = gzip(&text, gzip_level);
        reply.headers.push(("Content-Encoding", "gzip"));
        reply.length = gzipped.len();
        reply.body = Box::new(Cursor::new(gzipped));
        reply
    }
}

impl From<&RequestError> for Reply {
    fn from(error: &RequestError) -> Reply {
        let mut reply = Reply::text(format!("{error}\n"));
        reply.status = error.status();
        if error.may_retry() {
            reply.headers.push(("Retry-After", "1"));
        }
        if *error == RequestError::Method {
            reply.headers.push(("Allow", "GET, HEAD"));
        }
        reply
    }
}

fn gzip(text: &MergedText, level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    for chunk in text.chunks() {
        encoder
            .write_all(chunk)
            .expect("writing into memory does not fail");
    }
    encoder.finish().expect("writing into memory does not fail")
}

/// Sends the answer; a client that went away is none of our trouble.
pub(super) fn send(request: Request, reply: Reply) {
    let fixed = [
        ("Content-Type", reply.content_type),
        ("Server", "kubernetes-metrics-aggregator"),
    ];
    let headers = fixed
        .into_iter()
        .chain(reply.headers)
        .map(|(name, value)| {
            Header::from_bytes(name, value).expect("header names and values are ASCII constants")
        })
        .collect();
    let response = Response::new(
        StatusCode(reply.status),
        headers,
        reply.body,
        Some(reply.length),
        None,
    )
    .with_chunked_threshold(usize::MAX);
    if let Err(error) = request.respond(response) {
        log::debug!("the client went away before its answer was sent: {error}");
    }
}
