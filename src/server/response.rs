//! A response, and its head as bytes, which tiny_http writes. Pure.

use std::fmt;
use std::io::{self, BufRead, Cursor, ErrorKind};

use tiny_http::{HTTPVersion, Header, StatusCode};

use super::http_error::HttpError;

/// The response to one request.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers but `Content-Length`, `Connection`, `Date` and `Server`. Characters that a header cannot hold are
    /// sent as blanks.
    pub headers: Vec<(&'static str, String)>,
    /// Length of the body in bytes.
    pub length: usize,
    /// The body. It goes to the client in the pieces that `fill_buf` returns, which should be large. If it ends before
    /// `length`, the connection is closed, so that the client notices.
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
    /// 200 with these bytes.
    #[must_use]
    pub fn bytes(headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Response {
        Response {
            status: 200,
            headers,
            length: body.len(),
            body: Box::new(Cursor::new(body)),
        }
    }

    /// 200 with this body and this Content-Type.
    #[must_use]
    pub(super) fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Response::bytes(headers, body.into())
    }

    /// A response with one or more lines of text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Response {
        Response {
            status,
            ..Response::typed("text/plain; charset=utf-8", text.into())
        }
    }

    /// Passes the first `left` bytes of the body to `pass`, piece by piece.
    ///
    /// # Errors
    /// Any error of `pass` or of the body, or the body is too short.
    pub(super) fn pass_body(
        &mut self,
        mut left: usize,
        mut pass: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while left > 0 {
            let piece = match self.body.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                piece => piece?,
            };
            if piece.is_empty() {
                let message = "the response ended before its length";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
            }
            let length = piece.len().min(left);
            pass(&piece[..length])?;
            self.body.consume(length);
            left -= length;
        }
        Ok(())
    }

    /// Status line, headers and the empty line.
    pub(super) fn head(&self, keep_alive: bool) -> Vec<u8> {
        let headers = self.headers.iter();
        let mut headers: Vec<Header> = headers.map(|(name, value)| header(name, value)).collect();
        headers.push(header("Server", env!("CARGO_PKG_NAME")));
        let status = StatusCode(self.status);
        let response =
            tiny_http::Response::new(status, headers, io::empty(), Some(self.length), None)
                .with_chunked_threshold(usize::MAX);
        let mut head = Vec::with_capacity(512);
        response
            .raw_print(&mut head, HTTPVersion(1, 1), &[], true, None)
            .expect("writing into memory does not fail");
        if !keep_alive {
            // tiny_http adds no such header: it does not know that this connection is about to be closed.
            head.truncate(head.len() - 2);
            head.extend_from_slice(b"Connection: close\r\n\r\n");
        }
        head
    }
}

impl From<&HttpError> for Response {
    fn from(error: &HttpError) -> Response {
        let mut response = Response::text(error.status, format!("{error}\n"));
        let header = error.header();
        response
            .headers
            .extend(header.map(|(name, value)| (name, value.to_owned())));
        response
    }
}

fn header(name: &'static str, value: &str) -> Header {
    let is_legal = |c: char| matches!(c, '\t' | ' '..='~');
    let legal = value.replace(|c| !is_legal(c), " ");
    Header::from_bytes(name, legal).expect("names are constants, and the value is ASCII now")
}
