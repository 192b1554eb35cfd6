//! The scraper of the benchmark.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;

use crate::client_model::{MetricFamily, decode};
use crate::http::{BUFFER_BYTES, Response, read_response};
use crate::process::{Process, TEST_TIMEOUT};
use crate::workload::{Workload, content_type};
use kubernetes_metrics_aggregator::exposition::Format;

/// What Prometheus allows by default.
const SCRAPE_TIMEOUT_SECONDS: u32 = 10;
/// `up`, `scrape_duration_seconds` and `scrape_samples_scraped`, which every pod has in a response.
const REPORTED_SERIES: usize = 3;

/// For this format, by who would take text too.
pub(crate) fn metrics_request(job: &str, encoding: &str, format: Format) -> String {
    let accept = match format {
        Format::Text => String::new(),
        format => format!("{},", content_type(format)),
    };
    format!(
        "GET /metrics?job={job} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: {encoding}\r\n\
         Accept: {accept}text/plain;q=0.5\r\nConnection: close\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: {SCRAPE_TIMEOUT_SECONDS}\r\n\r\n"
    )
}

/// The scraper: a connection a request, each response read to its end.
pub(crate) struct Client {
    buffer: Vec<u8>,
    /// The last body that was to be kept.
    body: Vec<u8>,
    /// Then it asks no more.
    stopped: Arc<AtomicBool>,
}

impl Client {
    pub(crate) fn new(stopped: Arc<AtomicBool>) -> Client {
        Client {
            buffer: vec![0; BUFFER_BYTES],
            body: Vec::new(),
            stopped,
        }
    }

    pub(crate) fn ask(
        &mut self,
        process: &Process,
        request: &str,
        keep: bool,
    ) -> io::Result<Response> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped by a signal"));
        }
        let mut stream = TcpStream::connect(process.address)?;
        stream.set_read_timeout(Some(TEST_TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let Client { buffer, body, .. } = self;
        body.clear();
        read_response(&stream, buffer, |piece| {
            if keep {
                body.extend_from_slice(piece);
            }
        })
    }

    /// The text at a path.
    pub(crate) fn page(&mut self, process: &Process, path: &str) -> io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        self.ask(process, &request, true)?;
        Ok(String::from_utf8_lossy(&self.body).into_owned())
    }

    /// The numbers of a fetch: bytes and time.
    pub(crate) fn fetched(&self) -> io::Result<(usize, Duration)> {
        let numbers = String::from_utf8_lossy(&self.body);
        numbers
            .split_once(' ')
            .and_then(|(bytes, nanoseconds)| {
                let time = Duration::from_nanos(nanoseconds.parse().ok()?);
                Some((bytes.parse().ok()?, time))
            })
            .ok_or_else(|| io::Error::other(format!("no numbers of a fetch: {numbers:?}")))
    }

    /// A fast wrong response is no figure: every pod that responds has to be up in it, with all its series.
    pub(crate) fn check(&self, response: &Response, workload: &Workload) -> io::Result<()> {
        let found = self.pods_up_and_samples(response)?;
        let healthy = workload.pods - workload.hanging;
        let reported = workload.pods * REPORTED_SERIES;
        let expected = (healthy, healthy * workload.series_per_pod()? + reported);
        if found == expected {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "pods up and samples in the response: {found:?}, expected {expected:?}"
        )))
    }

    /// What the response has, of which the body was kept.
    pub(crate) fn pods_up_and_samples(&self, response: &Response) -> io::Result<(usize, usize)> {
        let mut text = Vec::new();
        if response.gzipped {
            GzDecoder::new(&self.body[..]).read_to_end(&mut text)?;
        } else {
            text.extend_from_slice(&self.body);
        }
        if response.is_protobuf {
            return Ok(in_protobuf(&text));
        }
        let samples = || {
            let lines = text.split(|byte| *byte == b'\n');
            lines.filter(|line| !line.is_empty() && line[0] != b'#')
        };
        let up = samples().filter(|line| line.starts_with(b"up{") && line.ends_with(b" 1"));
        Ok((up.count(), samples().count()))
    }

    pub(crate) fn wait_until_ready(&mut self, process: &Process) -> io::Result<()> {
        let deadline = Instant::now() + TEST_TIMEOUT;
        let request = "GET /-/ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        while self.ask(process, request, false)?.status != 200 {
            if Instant::now() > deadline {
                return Err(io::Error::other("the server does not become ready"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// As [`Client::pods_up_and_samples`]: the samples are those that the server has counted.
fn in_protobuf(body: &[u8]) -> (usize, usize) {
    let families = decode(body);
    let values = |name: &str| -> Vec<f64> {
        let is_named = |family: &&MetricFamily| family.name.as_deref() == Some(name);
        let metrics = families
            .iter()
            .filter(is_named)
            .flat_map(|family| &family.metric);
        let values = metrics.filter_map(|metric| metric.untyped.as_ref()?.value);
        values.collect()
    };
    let up = values("up");
    let of_pods: f64 = values("scrape_samples_scraped").iter().sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of samples"
    )]
    let samples = of_pods as usize + REPORTED_SERIES * up.len();
    (up.into_iter().filter(|up| *up == 1.0).count(), samples)
}
