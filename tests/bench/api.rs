//! A fake API server: lists of pods as large as real ones, and watches.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::process::TEST_TIMEOUT;

/// Lists of each figure.
pub(crate) const LISTS: u32 = 5;
const JOB_NAME_KEY: &str = "metrics-aggregator.apawel.me/job-name";

/// What changes from pod to pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) number: usize,
    pub(crate) version: usize,
    pub(crate) job: String,
    pub(crate) ip: Ipv4Addr,
    pub(crate) port: u16,
}

/// The pod in JSON, with as much more as `kubectl get -o json` shows of a pod on a real cluster.
pub(crate) fn json(pod: &Pod) -> String {
    let Pod {
        number,
        version,
        job,
        ip,
        port,
    } = pod;
    let mut text = format!(
        "{{\"metadata\":{{\"name\":\"worker-{number:05}\",\"namespace\":\"ns-{}\",\"uid\":\"uid-{number:05}\",\
         \"resourceVersion\":\"{version}\",\
         \"labels\":{{\"{JOB_NAME_KEY}\":\"{job}\",\"pod-template-hash\":\"7d9f8b6c5d\"}},\
         \"annotations\":{{\"note\":\"{version}\",\"metrics-aggregator.apawel.me/port\":\"{port}\"}},\
         \"managedFields\":[",
        number % 20,
    );
    // 8 to 20 kB, the most of it in managed fields, environment and conditions.
    for field in 0..(40 + number % 60) {
        let comma = if field == 0 { "" } else { "," };
        // Writing into a String does not fail, here and below.
        let _ = write!(
            text,
            "{comma}{{\"manager\":\"kubelet\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\
             \"time\":\"2026-01-01T00:00:{:02}Z\",\
             \"fieldsType\":\"FieldsV1\",\"fieldsV1\":{{\"f:status\":{{\"f:conditions\":{{\"k:{field}\":{{}}}}}}}}}}",
            field % 60
        );
    }
    text.push_str("]},\"spec\":{\"nodeName\":\"node\",\"containers\":[{\"name\":\"c\",\"image\":\"i\",\
         \"ports\":[{\"name\":\"http-metrics\",\"containerPort\":9100,\"protocol\":\"TCP\"}],\"env\":[");
    for variable in 0..20 {
        let comma = if variable == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"name\":\"V{variable}\",\"value\":\"some text with \\\"quotes\\\" of pod {number}\"}}"
        );
    }
    let _ = write!(
        text,
        "]}}]}},\"status\":{{\"phase\":\"Running\",\"podIP\":\"{ip}\",\
         \"conditions\":[{{\"type\":\"Ready\",\"status\":\"True\"}}]}}}}",
    );
    text
}

/// A list of the pods in JSON.
pub(crate) fn pod_list(pods: impl Iterator<Item = Pod>) -> Arc<[u8]> {
    let pods: Vec<String> = pods.map(|pod| json(&pod)).collect();
    let head = "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[";
    format!("{head}{}]}}", pods.join(",")).into_bytes().into()
}

/// A fake API server, and what it has seen.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    /// When each list was asked for.
    lists: Receiver<Instant>,
    /// One for each watch that begins: takes what it is to be sent.
    pub(crate) watches: Receiver<Sender<Vec<u8>>>,
    /// `None`: lists are sent at once.
    permits: Option<Sender<()>>,
}

impl Api {
    /// Sends every list at once.
    pub(crate) fn start(list: &Arc<[u8]>, is_gzip: bool) -> io::Result<Api> {
        Api::with_gate(list, is_gzip, None)
    }

    /// Sends a list, gzipped, when [`Api::permit`] is called, and not before.
    pub(crate) fn gated(list: &Arc<[u8]>) -> io::Result<Api> {
        Api::with_gate(list, true, Some(unbounded()))
    }

    fn with_gate(
        list: &Arc<[u8]>,
        is_gzip: bool,
        gate: Option<(Sender<()>, Receiver<()>)>,
    ) -> io::Result<Api> {
        let mut head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n".to_owned();
        let body: Arc<[u8]> = if is_gzip {
            head.push_str("Content-Encoding: gzip\r\n");
            // The level of the real one.
            let mut gzip = GzEncoder::new(Vec::new(), Compression::new(4));
            gzip.write_all(list)?;
            gzip.finish()?.into()
        } else {
            Arc::clone(list)
        };
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (lists_sender, lists) = unbounded();
        let (watches_sender, watches) = unbounded();
        let (permits, gate) = gate.unzip();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (head, body) = (head.clone(), Arc::clone(&body));
                let (lists, watches) = (lists_sender.clone(), watches_sender.clone());
                let gate = gate.clone();
                // An error says that the client has gone.
                thread::spawn(move || serve(stream, &head, &body, &lists, gate.as_ref(), &watches));
            }
        });
        Ok(Api {
            address,
            lists,
            watches,
            permits,
        })
    }

    /// The time to read, decompress and drop one list, the median of some.
    pub(crate) fn floor(&self, is_gzip: bool) -> io::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..LISTS {
            let begin = Instant::now();
            read_and_drop(self.address, is_gzip)?;
            times.push(begin.elapsed());
            self.next_list()?;
        }
        Ok(median(times))
    }

    /// Waits until a list is asked for.
    pub(crate) fn next_list(&self) -> io::Result<Instant> {
        self.lists
            .recv_timeout(TEST_TIMEOUT)
            .map_err(io::Error::other)
    }

    /// When the next list was asked for, if it was.
    pub(crate) fn asked(&self) -> Option<Instant> {
        self.lists.try_recv().ok()
    }

    /// Lets one list of a gated server go.
    pub(crate) fn permit(&self) {
        if let Some(permits) = &self.permits {
            // Nobody is there who would take it: then the next list is not asked for, and that is an error.
            let _ = permits.send(());
        }
    }
}

/// Reads one list as a client that has no use for it: decompresses and drops it.
pub(crate) fn read_and_drop(address: SocketAddr, is_gzip: bool) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(64 * 1024, TcpStream::connect(address)?);
    stream
        .get_mut()
        .write_all(b"GET /api/v1/pods?close HTTP/1.1\r\n\r\n")?;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    if is_gzip {
        io::copy(&mut GzDecoder::new(stream), &mut io::sink())?;
    } else {
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(())
}

fn serve(
    stream: TcpStream,
    head: &str,
    body: &[u8],
    lists: &Sender<Instant>,
    gate: Option<&Receiver<()>>,
    watches: &Sender<Sender<Vec<u8>>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let begin = Instant::now();
        let mut line = String::new();
        while stream.read_line(&mut line)? > 2 {
            line.clear();
        }
        if request.contains("watch=1") {
            return serve_watch(stream.get_mut(), watches);
        }
        // The figure's reader may have ended.
        let _ = lists.send(begin);
        if let Some(gate) = gate {
            gate.recv_timeout(TEST_TIMEOUT).map_err(io::Error::other)?;
        }
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        if request.contains("close") {
            return Ok(());
        }
    }
}

fn serve_watch(stream: &mut TcpStream, watches: &Sender<Sender<Vec<u8>>>) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let (sender, lines) = bounded::<Vec<u8>>(0);
    // The figure's reader may have ended.
    let _ = watches.send(sender);
    for line in lines {
        write!(stream, "{:x}\r\n", line.len())?;
        stream.write_all(&line)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}

/// The middle one.
pub(crate) fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}
