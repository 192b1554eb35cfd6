//! One workload: its processes asked in turns, by the same client, and the figures of each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::client::{Client, metrics_request};
use crate::http::Response;
use crate::process::Process;
use crate::roles::{JOB, PodListFile, role, server};
use crate::workload::Workload;

const WARM_UP_ROUNDS: usize = 2;
/// Rounds go on until there are so many…
const ROUNDS_MIN: usize = 11;
/// …and they have taken this long, so that the steps of 10 ms in which CPU time is counted do not show…
const ROUNDS_TIME: Duration = Duration::from_secs(4);
/// …or until there are so many.
const ROUNDS_MAX: usize = 501;
/// Responses of which at least the last has all pods that do not hang.
const LEARNING_RESPONSES_MAX: usize = 5;
/// Rounds with pods that hang: each takes as long as the scraper allows.
const HANGING_ROUNDS: usize = 20;

/// What was measured of one workload.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) workload: Workload,
    pub(crate) rounds: usize,
    pub(crate) fetched_bytes: usize,
    /// Pods that are up in the very first responses, until it is known which hang: then all others are.
    pub(crate) first_up: Vec<usize>,
    /// Fetch, relay, server; where the response is gzipped, a server that gzips it comes last.
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
    /// Of the last response.
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
    let farm = role(&["farm", workload.name])?;
    let farm_port = farm.address.port();
    let pod_list = PodListFile::new(&workload, farm_port)?;
    let mut client = Client::new(Arc::clone(stopped));
    let (mut subjects, first_up) = Subject::all(&workload, farm_port, &pod_list, &mut client)?;
    let mut fetched_bytes = 0;
    // With pods that hang the first response of all counts too: nobody knows yet which they are.
    let is_warmed_up = |subject: &Subject| subject.role != Role::Server || workload.hanging == 0;
    for _ in 0..WARM_UP_ROUNDS {
        for subject in subjects.iter_mut().filter(|subject| is_warmed_up(subject)) {
            let response = subject.ask(&mut client, true)?;
            match subject.role {
                Role::Fetch => fetched_bytes = client.fetched()?.0,
                Role::Server => client.check(&response, &workload)?,
                Role::Relay => {}
            }
        }
    }
    for subject in subjects.iter_mut().filter(|subject| is_warmed_up(subject)) {
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
            let response = subject.ask(client, check)?;
            if check {
                client.check(&response, workload)?;
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
    /// Fetch, relay, and one or two servers, each started and ready; and how many pods are up in the first responses.
    fn all(
        workload: &Workload,
        farm_port: u16,
        pod_list: &PodListFile,
        client: &mut Client,
    ) -> io::Result<(Vec<Subject>, Vec<usize>)> {
        let port = farm_port.to_string();
        let mut servers = Vec::new();
        for gzip in [false, true] {
            if !gzip || workload.gzip_response {
                let process = server(workload, pod_list)?;
                client.wait_until_ready(&process)?;
                let encoding = if gzip { "gzip" } else { "identity" };
                servers.push(Subject::new(
                    process,
                    Role::Server,
                    &metrics_request(JOB, encoding, workload.format),
                ));
            }
        }
        let first = servers[0].ask(client, true)?;
        let mut first_up = vec![client.pods_up_and_samples(&first)?.0];
        while first_up.len() < LEARNING_RESPONSES_MAX
            && first_up.last() < Some(&(workload.pods - workload.hanging))
        {
            let next = servers[0].ask(client, true)?;
            first_up.push(client.pods_up_and_samples(&next)?.0);
        }
        let relay = || role(&["relay", workload.name, &port]);
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

    /// Asks once and notes how long the response took to its last byte. The client has the body if it is to keep it.
    fn ask(&mut self, client: &mut Client, keep: bool) -> io::Result<Response> {
        let keep = keep || self.role == Role::Fetch;
        let start = Instant::now();
        let response = client.ask(&self.process, &self.request, keep)?;
        let mut wall = start.elapsed();
        if response.status != 200 {
            return Err(io::Error::other(format!(
                "{:?} responds {response:?}",
                self.role
            )));
        }
        if self.role == Role::Fetch {
            wall = client.fetched()?.1;
        }
        self.walls.push(wall);
        self.bytes = response.body_bytes;
        Ok(response)
    }

    fn figures(mut self, rounds: usize) -> io::Result<SubjectFigures> {
        let cpu = self.process.cpu()?.saturating_sub(self.cpu_before);
        self.walls.sort_unstable();
        Ok(SubjectFigures {
            walls: self.walls,
            cpu: cpu.div_f64(count(rounds)),
            peak_rss_kib: self.process.memory_kib("VmHWM")?,
            bytes: self.bytes,
        })
    }
}

fn relay_request(bytes: usize) -> String {
    format!("GET /{bytes} HTTP/1.1\r\nHost: bench\r\n\r\n")
}

/// A number of rounds or pods.
pub(crate) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
