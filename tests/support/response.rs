//! A response of the program, as a client reads it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use flate2::bufread::GzDecoder;
use serde_json::Value;

use super::program::TEST_TIMEOUT;

/// The text that comes until the program closes the connection.
pub(crate) fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it closes");
    text
}

/// Sends one request on a connection of its own and reads the whole response.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
) -> HttpResponse {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(TEST_TIMEOUT))
        .expect("not zero");
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request =
        format!("{method} {url} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = Vec::new();
    stream
        .read_to_end(&mut response)
        .expect("it responds and closes");
    HttpResponse::parse(&response)
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    fn parse(bytes: &[u8]) -> HttpResponse {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("a status line");
        let headers = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        HttpResponse {
            status: status.parse().expect("a number"),
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The same with the body decompressed, which has to be one member of gzip.
    pub(crate) fn gunzip(mut self) -> HttpResponse {
        assert_eq!(self.header("content-encoding"), Some("gzip"));
        let mut body = Vec::new();
        let mut decoder = GzDecoder::new(&self.body[..]);
        decoder.read_to_end(&mut body).expect("valid gzip");
        assert!(decoder.into_inner().is_empty(), "bytes after the member");
        self.body = body;
        self
    }

    /// The body in JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("valid JSON")
    }

    /// The lines that begin so.
    pub(crate) fn lines(&self, start: &str) -> Vec<&str> {
        let lines = self.text().lines();
        lines.filter(|line| line.starts_with(start)).collect()
    }

    /// The value of the sample whose line begins so.
    pub(crate) fn sample(&self, series: &str) -> Option<&str> {
        self.text()
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
    }

    /// Whether the target of the pod is up, by its `up`.
    pub(crate) fn up(&self, pod: &str) -> Option<bool> {
        let start = format!("up{{instance=\"{pod}\",");
        let line = self.text().lines().find(|line| line.starts_with(&start))?;
        Some(line.ends_with(" 1"))
    }
}
