//! The farm: a process that is every pod of a workload, with bodies rendered before the first request.
//!
//! One listener on all addresses is enough, as all of 127.0.0.0/8 is local: a connection's own address says which
//! pod it is. One thread with a small stack for each connection, one write for each response.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use memchr::memmem;

use crate::http::read_head;
use crate::workload::{Workload, content_type, pod_index};
use kubernetes_metrics_aggregator::exposition::Format;

const STACK_BYTES: usize = 64 * 1024;
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Whole responses, head included, and what comes before them.
#[derive(Debug)]
struct Farm {
    workload: Workload,
    /// By variant.
    plain: Vec<Vec<u8>>,
    /// The same gzipped; empty if these pods do not compress.
    gzipped: Vec<Vec<u8>>,
}

/// Starts the farm on a free port, and says which.
pub(crate) fn start(workload: Workload) -> io::Result<SocketAddr> {
    let bodies = workload.bodies()?;
    let gzipped = bodies.iter().filter(|_| workload.gzip_pods);
    let farm = Arc::new(Farm {
        workload,
        plain: bodies
            .iter()
            .map(|body| response(workload.format, "", body))
            .collect(),
        gzipped: gzipped
            .map(|body| {
                Ok(response(
                    workload.format,
                    "Content-Encoding: gzip\r\n",
                    &gzip(body)?,
                ))
            })
            .collect::<io::Result<_>>()?,
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new()
        .name("accept".to_owned())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                let farm = Arc::clone(&farm);
                let connection = thread::Builder::new().stack_size(STACK_BYTES);
                // Where no thread is to be had the connection is closed, which the scraper reports. An error of a
                // connection is the scraper going away.
                let _ = connection.spawn(move || farm.respond_to_all(&stream));
            }
        })?;
    Ok(address)
}

fn response(format: Format, header: &str, body: &[u8]) -> Vec<u8> {
    let (content_type, length) = (content_type(format), body.len());
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{header}Content-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    response.extend_from_slice(body);
    response
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    // The level of Go's promhttp handler.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

impl Farm {
    fn respond_to_all(&self, mut stream: &TcpStream) -> io::Result<()> {
        let pod = pod_index(stream.local_addr()?.ip())
            .ok_or_else(|| io::Error::other("the connection is to no pod's address"))?;
        let variant = pod % self.plain.len();
        let mut request = [0; REQUEST_BYTES_MAX];
        loop {
            let (head_end, _) = read_head(stream, &mut request)?;
            if pod < self.workload.hanging {
                // Until the scraper gives up and closes.
                continue;
            }
            if self.workload.latency > Duration::ZERO {
                thread::sleep(self.workload.latency);
            }
            let responses = if !self.gzipped.is_empty() && accepts_gzip(&request[..head_end]) {
                &self.gzipped
            } else {
                &self.plain
            };
            stream.write_all(&responses[variant])?;
        }
    }
}

fn accepts_gzip(head: &[u8]) -> bool {
    let head = head.to_ascii_lowercase();
    memmem::find(&head, b"accept-encoding: gzip").is_some()
}
