//! What it costs to know the pods: `cargo bench --bench discovery`, with a number of pods behind `--` to choose another
//! one than 10,000.
//!
//! The release build follows a fake API server in this process: it polls a list of pods of 8 to 20 kB of JSON each, or
//! watches it while a hundred pods change at a time. Beside it the floor: a client that reads the same bytes and drops
//! them. Plain HTTP on loopback, so no TLS in any of the figures; gzip, as a real API server sends lists, in some.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Lists of each figure.
const LISTS: u32 = 5;
/// The shortest that can be set; it is no part of a refresh.
const INTERVAL: Duration = Duration::from_millis(100);
/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(120);
const JOB_NAME_KEY: &str = "metrics-aggregator.apawel.me/job-name";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when stderr is gone.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = io::stdout();
    let pods = match arguments[..] {
        // `cargo bench` passes this, `cargo test --benches` does not.
        ["--bench"] => 10_000,
        [pods, "--bench"] => pods.parse().map_err(io::Error::other)?,
        _ => return writeln!(out, "cargo bench --bench discovery [-- PODS]"),
    };
    let list = pod_list(pods);
    let megabytes = list.len() / 1_000_000;
    writeln!(out, "{pods} pods, {megabytes} MB of JSON a list.\n")?;
    writeln!(
        out,
        "| | wall, ms | CPU, ms | peak RSS, MiB |\n|---|---|---|---|"
    )?;
    for is_gzip in [false, true] {
        let api = Api::start(&list, is_gzip)?;
        let coding = if is_gzip { "gzip" } else { "identity" };
        writeln!(
            out,
            "| read and drop the bytes, {coding} | {} | | |",
            api.floor(is_gzip)?
        )?;
        writeln!(
            out,
            "| refresh by polling, nothing changed, {coding} | {} |",
            poll(&api)?
        )?;
        if is_gzip {
            writeln!(out, "| 100 changes by watch | {} |", watch(&api)?)?;
        }
    }
    Ok(())
}

/// What changes from pod to pod, and as much more as `kubectl get -o json` shows of a pod on a real cluster.
fn pod(number: usize, version: usize) -> String {
    let mut pod = format!(
        "{{\"metadata\":{{\"name\":\"worker-{number:05}\",\"namespace\":\"ns-{}\",\"uid\":\"uid-{number:05}\",\
         \"resourceVersion\":\"{version}\",\"labels\":{{\"{JOB_NAME_KEY}\":\"job-{}\",\"pod-template-hash\":\"7d9f8b6c5d\"}},\
         \"annotations\":{{\"note\":\"{version}\",\"metrics-aggregator.apawel.me/port\":\"9{:03}\"}},\"managedFields\":[",
        number % 20,
        number % 50,
        version % 1000,
    );
    // 8 to 20 kB, the most of it in managed fields, environment and conditions.
    for field in 0..(40 + number % 60) {
        let comma = if field == 0 { "" } else { "," };
        // Writing into a String does not fail, here and below.
        let _ = write!(
            pod,
            "{comma}{{\"manager\":\"kubelet\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\"time\":\"2026-01-01T00:00:{:02}Z\",\
             \"fieldsType\":\"FieldsV1\",\"fieldsV1\":{{\"f:status\":{{\"f:conditions\":{{\"k:{field}\":{{}}}}}}}}}}",
            field % 60
        );
    }
    pod.push_str("]},\"spec\":{\"nodeName\":\"node\",\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"env\":[");
    for variable in 0..20 {
        let comma = if variable == 0 { "" } else { "," };
        let _ = write!(
            pod,
            "{comma}{{\"name\":\"V{variable}\",\"value\":\"some text with \\\"quotes\\\" of pod {number}\"}}"
        );
    }
    let _ = write!(
        pod,
        "]}}]}},\"status\":{{\"phase\":\"Running\",\"podIP\":\"10.{}.{}.{}\",\"conditions\":[{{\"type\":\"Ready\",\"status\":\"True\"}}]}}}}",
        number >> 16,
        (number >> 8) & 255,
        number & 255
    );
    pod
}

fn pod_list(pods: usize) -> Arc<[u8]> {
    let mut list =
        "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[".to_owned();
    for number in 0..pods {
        if number > 0 {
            list.push(',');
        }
        list.push_str(&pod(number, 1));
    }
    list.push_str("]}");
    list.into_bytes().into()
}

/// A fake API server, and what it has seen.
struct Api {
    address: SocketAddr,
    /// When each list was asked for.
    lists: Receiver<Instant>,
    /// One for each watch that begins: takes what it is to be sent.
    watches: Receiver<Sender<Vec<u8>>>,
}

impl Api {
    fn start(list: &Arc<[u8]>, is_gzip: bool) -> io::Result<Api> {
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
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (head, body) = (head.clone(), Arc::clone(&body));
                let (lists, watches) = (lists_sender.clone(), watches_sender.clone());
                // An error says that the client has gone.
                thread::spawn(move || serve(stream, &head, &body, &lists, &watches));
            }
        });
        Ok(Api {
            address,
            lists,
            watches,
        })
    }

    /// Milliseconds to read, decompress and drop one list, the median of some.
    fn floor(&self, is_gzip: bool) -> io::Result<u128> {
        let mut times = Vec::new();
        for _ in 0..LISTS {
            let begin = Instant::now();
            let mut stream = BufReader::with_capacity(64 * 1024, TcpStream::connect(self.address)?);
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
            times.push(begin.elapsed());
            self.next_list()?;
        }
        Ok(median(times).as_millis())
    }

    fn next_list(&self) -> io::Result<Instant> {
        self.lists.recv_timeout(PATIENCE).map_err(io::Error::other)
    }
}

fn serve(
    stream: TcpStream,
    head: &str,
    body: &[u8],
    lists: &Sender<Instant>,
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
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        // The figure's reader may have ended.
        let _ = lists.send(begin);
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

/// The release build. Killed when dropped.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(api: &Api, settings: &[(&str, &str)]) -> io::Result<Program> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kubernetes-metrics-aggregator"))
            .env_clear()
            .env("KUBERNETES_API_URL", format!("http://{}", api.address))
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| io::Error::other("no stderr"))?;
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| line.rsplit_once("listening on ")?.1.parse().ok())
            .ok_or_else(|| io::Error::other("the program does not listen"))?;
        // It never waits for a reader.
        thread::spawn(move || lines.for_each(drop));
        Ok(Program { child, address })
    }

    fn cpu(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2);
        // 100 a second on every Linux.
        Ok(Duration::from_millis(
            ticks
                .filter_map(|field| field.parse::<u64>().ok())
                .sum::<u64>()
                * 10,
        ))
    }

    fn peak_rss_mib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok())
            .map(|kib| kib / 1024.0)
            .ok_or_else(|| io::Error::other("no VmHWM"))
    }

    fn page(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"
        )?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    fn wait_for(&self, path: &str, text: &str) -> io::Result<()> {
        let begin = Instant::now();
        while !self.page(path)?.contains(text) {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{path} never says {text:?}")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

/// Wall time, CPU and peak memory of a refresh.
fn poll(api: &Api) -> io::Result<String> {
    let program = Program::start(api, &[("CACHE_UPDATE_INTERVAL", "100ms")])?;
    // The first list fills the cache; from the second on nothing changes.
    api.next_list()?;
    program.wait_for("/-/ready", " 200 ")?;
    let mut asked = api.next_list()?;
    let before = program.cpu()?;
    let mut times = Vec::new();
    for _ in 0..LISTS {
        let next = api.next_list()?;
        times.push((next - asked).saturating_sub(INTERVAL));
        asked = next;
    }
    let cpu = (program.cpu()? - before) / LISTS;
    let wall = median(times).as_millis();
    Ok(format!(
        "{wall} | {} | {:.1}",
        cpu.as_millis(),
        program.peak_rss_mib()?
    ))
}

/// CPU and peak memory of a hundred events and what follows from them.
fn watch(api: &Api) -> io::Result<String> {
    let program = Program::start(api, &[("CACHE_UPDATE_MODE", "watch")])?;
    let events = api
        .watches
        .recv_timeout(PATIENCE)
        .map_err(io::Error::other)?;
    program.wait_for("/-/ready", " 200 ")?;
    let mut cpu = Duration::ZERO;
    for round in 2..2 + LISTS as usize {
        let before = program.cpu()?;
        for number in 0..100 {
            let pod = pod(number, round);
            let line = format!("{{\"type\":\"MODIFIED\",\"object\":{pod}}}\n");
            events.send(line.into_bytes()).map_err(io::Error::other)?;
        }
        // The page of 10,000 lines is dear: asked for once, after the time in which a change has to be seen.
        thread::sleep(Duration::from_millis(500));
        cpu += program.cpu()? - before;
        program.wait_for("/", &format!("ns-19/worker-00099:9{round:03} "))?;
    }
    Ok(format!(
        " | {} | {:.1}",
        (cpu / LISTS).as_millis(),
        program.peak_rss_mib()?
    ))
}
