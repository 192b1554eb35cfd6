//! An answer, and its head as bytes: tiny_http prints it, the listener adds what it alone can know. Pure.

use std::fmt;
use std::io::{self, BufRead, Cursor};

use tiny_http::{HTTPVersion, Header, StatusCode};

use super::refusal::Refusal;

/// What is sent for one request.
pub struct Response {
    /// The status.
    pub status: u16,
    /// All headers but `Content-Length`, `Connection`, `Date` and `Server`. Bytes that no value may hold are sent
    /// as blanks.
    pub headers: Vec<(&'static str, String)>,
    /// Length of the body in bytes.
    pub length: usize,
    /// The body. What `fill_buf` shows goes to the client as it is, without a copy in between, so large pieces are
    /// best. If it ends before `length`, the connection is cut, so that nobody takes it for whole.
    pub body: Box<dyn BufRead + Send>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// An answer with one line or more of text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Response {
        let text = text.into();
        Response {
            status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
            length: text.len(),
            body: Box::new(Cursor::new(text.into_bytes())),
        }
    }

    /// Status line, headers and the empty line.
    pub(super) fn head(&self, keep_alive: bool) -> Vec<u8> {
        let mut headers: Vec<Header> = self
            .headers
            .iter()
            .map(|(name, value)| header(name, value))
            .collect();
        headers.push(header("Server", env!("CARGO_PKG_NAME")));
        let response = tiny_http::Response::new(
            StatusCode(self.status),
            headers,
            io::empty(),
            Some(self.length),
            None,
        )
        .with_chunked_threshold(usize::MAX);
        let mut head = Vec::with_capacity(512);
        response
            .raw_print(&mut head, HTTPVersion(1, 1), &[], true, None)
            .expect("writing into memory does not fail");
        if !keep_alive {
            // tiny_http decides by itself about `Connection`, but has no say about this connection.
            head.truncate(head.len() - 2);
            head.extend_from_slice(b"Connection: close\r\n\r\n");
        }
        head
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        let mut answer = Response::text(refusal.status(), format!("{refusal}\n"));
        answer.headers.extend(
            refusal
                .header()
                .map(|(name, value)| (name, value.to_owned())),
        );
        answer
    }
}

fn header(name: &'static str, value: &str) -> Header {
    let legal: String = value
        .chars()
        .map(|c| {
            if c == '\t' || matches!(c, ' '..='~') {
                c
            } else {
                ' '
            }
        })
        .collect();
    Header::from_bytes(name, legal).expect("names are constants, and the value is ASCII now")
}
