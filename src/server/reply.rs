//! What is sent: merged texts and errors as answers of the front.

use std::io::{BufReader, Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::front::Answer;
use super::route::RequestError;
use crate::exposition::MergedText;

/// What Prometheus reads as the text format.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The pieces of a merged text are a line or some; the client's socket gets this much at once.
const WRITE_BYTES: usize = 256 * 1024;

/// 200 with a merged text, gzipped at this level if it is not 0. The merged text is never copied as a whole.
pub(super) fn metrics(text: MergedText, gzip_level: u32) -> Answer {
    let mut headers = vec![
        ("Content-Type", EXPOSITION_TYPE.to_owned()),
        ("Vary", "Accept-Encoding".to_owned()),
    ];
    if gzip_level == 0 {
        let length = text.len();
        let body = BufReader::with_capacity(WRITE_BYTES.min(length), text.into_reader());
        return Answer {
            status: 200,
            headers,
            length,
            body: Box::new(body),
        };
    }
    let gzipped = gzip(&text, gzip_level);
    headers.push(("Content-Encoding", "gzip".to_owned()));
    Answer {
        status: 200,
        headers,
        length: gzipped.len(),
        body: Box::new(Cursor::new(gzipped)),
    }
}

impl From<&RequestError> for Answer {
    fn from(error: &RequestError) -> Answer {
        let mut answer = Answer::text(error.status(), format!("{error}\n"));
        if error.may_retry() {
            answer.headers.push(("Retry-After", "1".to_owned()));
        }
        if *error == RequestError::Method {
            answer.headers.push(("Allow", "GET, HEAD".to_owned()));
        }
        answer
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
