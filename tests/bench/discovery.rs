//! What it costs to know the pods: `cargo bench --bench discovery`, with a number of pods behind `--` to choose another
//! one than 10,000, or with `idle` for what a server costs that nobody asks, with 1,000 pods and all defaults.
//!
//! The release build follows a fake API server in this process: it polls a list of pods of 8 to 20 kB of JSON each, or
//! watches it while a hundred pods change at a time. Beside it the floor: a client that reads the same bytes and drops
//! them. Plain HTTP on loopback, so no TLS in any of the figures; gzip, as a real API server sends lists, in some.
//! Then what all that means for a request meanwhile (`during_refresh.rs`).

mod api;
mod body;
mod during_refresh;
mod farm;
#[expect(dead_code, reason = "the benchmark of requests uses all of it")]
mod http;
mod process;
#[expect(dead_code, reason = "the benchmark of requests uses all of it")]
mod roles;
#[expect(dead_code, reason = "the benchmark of requests uses all of it")]
mod workload;

use std::env;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use api::{Api, LISTS, Pod, json, median, pod_list};
use process::{Process, TEST_TIMEOUT, exit_code};

/// The shortest that can be set; it is no part of a refresh.
const INTERVAL: Duration = Duration::from_millis(100);
/// Intervals of ten seconds over which an idle server is watched.
const IDLE_INTERVALS: u32 = 6;

fn main() -> ExitCode {
    exit_code(run())
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = io::stdout();
    let pods = match arguments[..] {
        // `cargo bench` passes this, `cargo test --benches` does not.
        ["--bench"] => 10_000,
        ["idle", "--bench"] => return writeln!(out, "{}", idle()?),
        [during_refresh::READER, address] => {
            return during_refresh::read_lists(address.parse().map_err(io::Error::other)?);
        }
        [pods, "--bench"] => pods.parse().map_err(io::Error::other)?,
        _ => return writeln!(out, "cargo bench --bench discovery [-- PODS | idle]"),
    };
    let list = pod_list((0..pods).map(|number| pod(number, 1)));
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
            api.floor(is_gzip)?.as_millis()
        )?;
        let [first, refresh] = poll(&api)?;
        writeln!(
            out,
            "| from the start to the first set, {coding} | {first} |"
        )?;
        writeln!(
            out,
            "| refresh by polling, nothing changed, {coding} | {refresh} |"
        )?;
        if is_gzip {
            writeln!(out, "| 100 changes by watch | {} |", watch(&api)?)?;
        }
    }
    drop(list);
    writeln!(out, "\n{}", during_refresh::table(pods)?)
}

/// One of many pods, in one of 50 jobs.
fn pod(number: usize, version: usize) -> Pod {
    let octet = |n: usize| u8::try_from(n & 255).unwrap_or_default();
    Pod {
        number,
        version,
        job: format!("job-{}", number % 50),
        ip: Ipv4Addr::new(10, octet(number >> 16), octet(number >> 8), octet(number)),
        // Pages show it, so that a change can be seen there.
        port: 9000 + u16::try_from(version % 1000).unwrap_or_default(),
    }
}

/// The release build with the pods of the API server.
fn program(api: &Api, name: &str, value: &str) -> io::Result<Process> {
    let url = format!("http://{}", api.address);
    Process::server(&[("KUBERNETES_API_URL", &url), (name, value)])
}

fn wait_for(program: &Process, path: &str, text: &str) -> io::Result<()> {
    let begin = Instant::now();
    while !page(program, path)?.contains(text) {
        if begin.elapsed() > TEST_TIMEOUT {
            return Err(io::Error::other(format!("{path} never says {text:?}")));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn page(program: &Process, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(program.address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"
    )?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

fn mebibytes(program: &Process, name: &str) -> io::Result<String> {
    let kib = u32::try_from(program.memory_kib(name)?).map_err(io::Error::other)?;
    Ok(format!("{:.1}", f64::from(kib) / 1024.0))
}

/// Wall time, CPU and peak memory: until the first list is published, and of a refresh.
fn poll(api: &Api) -> io::Result<[String; 2]> {
    let begin = Instant::now();
    let program = program(api, "CACHE_UPDATE_INTERVAL", "100ms")?;
    // The first list fills the cache; from the second on nothing changes.
    api.next_list()?;
    wait_for(&program, "/-/ready", " 200 ")?;
    let wall = begin.elapsed().as_millis();
    let (cpu, peak) = (program.cpu()?.as_millis(), mebibytes(&program, "VmHWM")?);
    let first = format!("{wall} | {cpu} | {peak}");
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
    let refresh = format!(
        "{wall} | {} | {}",
        cpu.as_millis(),
        mebibytes(&program, "VmHWM")?
    );
    Ok([first, refresh])
}

/// A hundred events and what follows from them: the time until the last can be seen, CPU, and peak memory.
fn watch(api: &Api) -> io::Result<String> {
    let program = program(api, "CACHE_UPDATE_MODE", "watch")?;
    let events = api
        .watches
        .recv_timeout(TEST_TIMEOUT)
        .map_err(io::Error::other)?;
    wait_for(&program, "/-/ready", " 200 ")?;
    let rounds = 2..2 + LISTS as usize;
    let mut cpu = Duration::ZERO;
    for round in rounds.clone() {
        let before = program.cpu()?;
        send_changes(&events, round)?;
        // Asking costs CPU too: once, after the time in which a change has to be seen.
        thread::sleep(Duration::from_millis(500));
        cpu += program.cpu()? - before;
        wait_for(&program, CHANGED_JOB, &changed(round))?;
    }
    let mut times = Vec::new();
    for round in rounds.map(|round| round + LISTS as usize) {
        let begin = Instant::now();
        send_changes(&events, round)?;
        wait_for(&program, CHANGED_JOB, &changed(round))?;
        times.push(begin.elapsed());
    }
    Ok(format!(
        "{} | {} | {}",
        median(times).as_millis(),
        (cpu / LISTS).as_millis(),
        mebibytes(&program, "VmHWM")?
    ))
}

/// The page with the last pod that changes.
const CHANGED_JOB: &str = "/?job=job-49";

/// What stands there of it after a round.
fn changed(round: usize) -> String {
    format!("ns-19/worker-00099:9{round:03} ")
}

/// The first hundred pods get another port.
fn send_changes(events: &Sender<Vec<u8>>, round: usize) -> io::Result<()> {
    for number in 0..100 {
        let pod = json(&pod(number, round));
        let line = format!("{{\"type\":\"MODIFIED\",\"object\":{pod}}}\n");
        events.send(line.into_bytes()).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Memory and processor of a server that nobody asks and that polls every ten seconds, gzipped as real servers send it.
fn idle() -> io::Result<String> {
    let api = Api::start(&pod_list((0..1_000).map(|number| pod(number, 1))), true)?;
    let program = program(&api, "CACHE_UPDATE_INTERVAL", "10")?;
    // The first fills the cache; from the second on nothing changes.
    api.next_list()?;
    let mut asked = api.next_list()?;
    let (begin, before) = (asked, program.cpu()?);
    for _ in 0..IDLE_INTERVALS {
        asked = api.next_list()?;
    }
    let share = (program.cpu()? - before).as_secs_f64() / (asked - begin).as_secs_f64();
    Ok(format!(
        "idle, 1,000 targets, polled each 10 s: RSS {} MiB (at most {}), {:.2} % of a core",
        mebibytes(&program, "VmRSS")?,
        mebibytes(&program, "VmHWM")?,
        share * 100.0
    ))
}
