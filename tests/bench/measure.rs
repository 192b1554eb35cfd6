//! One workload: its processes asked in turns, by the same client, and the figures of each.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;

use crate::http::{Answer, BUFFER_BYTES, read_answer};
use crate::process::{JOB, PATIENCE, PodListFile, Process};
use crate::workload::Workload;

const WARM_UP_ROUNDS: usize = 2;
/// Rounds go on until there are so many…
const ROUNDS_MIN: usize = 11;
/// …and they have taken this long, so that the steps of 10 ms in which CPU time is counted do not show…
const ROUNDS_TIME: Duration = Duration::from_secs(4);
/// …or until there are so many.
const ROUNDS_MAX: usize = 501;
/// Rounds with pods that hang: each takes as long as the scraper allows.
const HANGING_ROUNDS: usize = 20;
/// What Prometheus allows by default.
const SCRAPE_TIMEOUT_SECONDS: u32 = 10;

/// `up`, `scrape_duration_seconds` and `scrape_samples_scraped`, which every pod has in an answer.
const REPORTED_SERIES: usize = 3;

/// What was measured of one workload.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) workload: Workload,
    pub(crate) rounds: usize,
    pub(crate) fetched_bytes: usize,
    /// Pods that are up in the first answer of all, for which the server knew of none that it hangs.
    pub(crate) first_up: usize,
    /// Fetch, relay, server; where the answer is gzipped, a server that gzips it comes last.
    pub(crate) subjects: Vec<SubjectFigures>,
}

/// What was measured of one process.
#[derive(Debug)]
pub(crate) struct SubjectFigures {
    /// In order of length.
    pub(crate) walls: Vec<Duration>,
    /// User and system time of one request, on average.
    pub(crate) cpu: Duration,
    pub(crate) peak_rss_kib: u64,
    /// Of the last answer.
    pub(crate) bytes: usize,
}

impl SubjectFigures {
    pub(crate) fn median(&self) -> Duration {
        self.walls[self.walls.len() / 2]
    }
}

/// A process and the request it is asked with.
struct Subject {
    process: Process,
    request: String,
    role: Role,
    walls: Vec<Duration>,
    cpu_before: Duration,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It says itself how long it took.
    Fetch,
    Relay,
    Server,
}

/// Measures the workload. Ends early, with an error, once `stopped` is set.
pub(crate) fn measure(workload: Workload, stopped: &Arc<AtomicBool>) -> io::Result<Figures> {
    let farm = Process::role(&["farm", workload.name])?;
    let farm_port = farm.address.port();
    let pod_list = PodListFile::new(&workload, farm_port)?;
    let mut client = Client::new(Arc::clone(stopped));
    let (mut subjects, first_up) = Subject::all(&workload, farm_port, &pod_list.0, &mut client)?;
    let mut fetched_bytes = 0;
    for _ in 0..WARM_UP_ROUNDS {
        for subject in &mut subjects {
            let answer = subject.ask(&mut client, true)?;
            match subject.role {
                Role::Fetch => fetched_bytes = client.fetched()?.0,
                // Which pods hang is what the server learns from these rounds.
                Role::Server if workload.hanging == 0 => client.check(&answer, &workload)?,
                Role::Server | Role::Relay => {}
            }
        }
    }
    if let [_, relay, server, ..] = &mut subjects[..] {
        // By now the server has all pods that answer.
        relay.request = relay_request(server.bytes);
    }
    for subject in &mut subjects {
        subject.walls.clear();
        subject.cpu_before = subject.process.cpu()?;
    }
    let rounds = run_rounds(&workload, &mut subjects, &mut client)?;
    let figures = subjects.into_iter().map(|subject| subject.figures(rounds));
    Ok(Figures {
        workload,
        rounds,
        fetched_bytes,
        first_up,
        subjects: figures.collect::<io::Result<_>>()?,
    })
}

/// One request to each process a round, in turns.
fn run_rounds(
    workload: &Workload,
    subjects: &mut [Subject],
    client: &mut Client,
) -> io::Result<usize> {
    let start = Instant::now();
    let hangs = workload.hanging > 0;
    let mut rounds = 0;
    loop {
        for subject in &mut *subjects {
            let check = hangs && subject.role == Role::Server;
            let answer = subject.ask(client, check)?;
            if check {
                client.check(&answer, workload)?;
            }
        }
        rounds += 1;
        let is_enough = if hangs {
            rounds >= HANGING_ROUNDS
        } else {
            rounds >= ROUNDS_MIN && start.elapsed() >= ROUNDS_TIME
        };
        if is_enough || rounds >= ROUNDS_MAX {
            return Ok(rounds);
        }
    }
}

impl Subject {
    /// Fetch, relay, and one or two servers, each started and ready; and how many pods are up in the first answer.
    fn all(
        workload: &Workload,
        farm_port: u16,
        pod_list: &Path,
        client: &mut Client,
    ) -> io::Result<(Vec<Subject>, usize)> {
        let port = farm_port.to_string();
        let mut servers = Vec::new();
        for gzip in [false, true] {
            if !gzip || workload.gzip_answer {
                let process = Process::server(workload, pod_list)?;
                client.wait_until_ready(&process)?;
                let encoding = if gzip { "gzip" } else { "identity" };
                servers.push(Subject::new(
                    process,
                    Role::Server,
                    &metrics_request(encoding),
                ));
            }
        }
        let first = servers[0].ask(client, true)?;
        let first_up = client.pods_up_and_samples(&first)?.0;
        let relay = || Process::role(&["relay", workload.name, &port]);
        let fetch_request = "GET /fetch HTTP/1.1\r\nHost: bench\r\n\r\n";
        let mut subjects = vec![
            Subject::new(relay()?, Role::Fetch, fetch_request),
            Subject::new(relay()?, Role::Relay, &relay_request(first.body_bytes)),
        ];
        subjects.append(&mut servers);
        Ok((subjects, first_up))
    }

    fn new(process: Process, role: Role, request: &str) -> Subject {
        Subject {
            process,
            request: request.to_owned(),
            role,
            walls: Vec::new(),
            cpu_before: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Asks once and notes how long the answer took to its last byte. The client has the body if it is to keep it.
    fn ask(&mut self, client: &mut Client, keep: bool) -> io::Result<Answer> {
        let keep = keep || self.role == Role::Fetch;
        let start = Instant::now();
        let answer = client.ask(&self.process, &self.request, keep)?;
        let mut wall = start.elapsed();
        if answer.status != 200 {
            return Err(io::Error::other(format!(
                "{:?} answers {answer:?}",
                self.role
            )));
        }
        if self.role == Role::Fetch {
            wall = client.fetched()?.1;
        }
        self.walls.push(wall);
        self.bytes = answer.body_bytes;
        Ok(answer)
    }

    fn figures(mut self, rounds: usize) -> io::Result<SubjectFigures> {
        let cpu = self.process.cpu()?.saturating_sub(self.cpu_before);
        self.walls.sort_unstable();
        Ok(SubjectFigures {
            walls: self.walls,
            cpu: cpu.div_f64(count(rounds)),
            peak_rss_kib: self.process.peak_rss_kib()?,
            bytes: self.bytes,
        })
    }
}

fn relay_request(bytes: usize) -> String {
    format!("GET /{bytes} HTTP/1.1\r\nHost: bench\r\n\r\n")
}

fn metrics_request(encoding: &str) -> String {
    format!(
        "GET /metrics?job={JOB} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: {encoding}\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: {SCRAPE_TIMEOUT_SECONDS}\r\nConnection: close\r\n\r\n"
    )
}

/// A number of rounds or pods.
pub(crate) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// The scraper: a connection a request, each answer read to its end.
struct Client {
    buffer: Vec<u8>,
    /// The last body that was to be kept.
    body: Vec<u8>,
    /// Then it asks no more.
    stopped: Arc<AtomicBool>,
}

impl Client {
    fn new(stopped: Arc<AtomicBool>) -> Client {
        Client {
            buffer: vec![0; BUFFER_BYTES],
            body: Vec::new(),
            stopped,
        }
    }

    fn ask(&mut self, process: &Process, request: &str, keep: bool) -> io::Result<Answer> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped by a signal"));
        }
        let mut stream = TcpStream::connect(process.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let Client { buffer, body, .. } = self;
        body.clear();
        read_answer(&stream, buffer, |piece| {
            if keep {
                body.extend_from_slice(piece);
            }
        })
    }

    /// The numbers of a fetch: bytes and time.
    fn fetched(&self) -> io::Result<(usize, Duration)> {
        let numbers = String::from_utf8_lossy(&self.body);
        numbers
            .split_once(' ')
            .and_then(|(bytes, nanoseconds)| {
                let time = Duration::from_nanos(nanoseconds.parse().ok()?);
                Some((bytes.parse().ok()?, time))
            })
            .ok_or_else(|| io::Error::other(format!("no numbers of a fetch: {numbers:?}")))
    }

    /// A fast wrong answer is no figure: every pod that answers has to be up in it, with all its series.
    fn check(&self, answer: &Answer, workload: &Workload) -> io::Result<()> {
        let found = self.pods_up_and_samples(answer)?;
        let healthy = workload.pods - workload.hanging;
        let reported = workload.pods * REPORTED_SERIES;
        let expected = (healthy, healthy * workload.series_per_pod + reported);
        if found == expected {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "pods up and samples in the answer: {found:?}, expected {expected:?}"
        )))
    }

    /// What the answer has, of which the body was kept.
    fn pods_up_and_samples(&self, answer: &Answer) -> io::Result<(usize, usize)> {
        let mut text = Vec::new();
        if answer.gzipped {
            GzDecoder::new(&self.body[..]).read_to_end(&mut text)?;
        } else {
            text.extend_from_slice(&self.body);
        }
        let samples = || {
            let lines = text.split(|byte| *byte == b'\n');
            lines.filter(|line| !line.is_empty() && line[0] != b'#')
        };
        let up = samples().filter(|line| line.starts_with(b"up{") && line.ends_with(b" 1"));
        Ok((up.count(), samples().count()))
    }

    fn wait_until_ready(&mut self, process: &Process) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
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
