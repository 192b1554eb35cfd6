//! The processes that are measured: started, looked at through `/proc`, and ended when dropped.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Bound of every wait for a process.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);
/// What `/proc/PID/stat` counts in: USER_HZ, the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;
/// Says on stderr that a process is ready, with its address behind it.
pub(crate) const LISTENING: &str = "listening on ";

/// How a bench ends: what went wrong is said on stderr.
pub(crate) fn exit_code(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when stderr is gone.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// A process that listens. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Process {
    /// The server of the release build with these settings, on a free port, in the environment of the image.
    pub(crate) fn server(settings: &[(&str, &str)]) -> io::Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubernetes-metrics-aggregator"));
        command
            .env_clear()
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .envs(image_environment())
            .envs(settings.iter().copied());
        Process::start(command)
    }

    /// Starts it and waits until it says that it listens.
    pub(crate) fn start(mut command: Command) -> io::Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take();
        let mut process = Process {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            child,
        };
        let (sender, address) = bounded(1);
        let stderr = stderr.ok_or_else(|| io::Error::other("stderr is not piped"))?;
        thread::Builder::new().spawn(move || follow(stderr, &sender))?;
        process.address = wait_for(&address)?;
        Ok(process)
    }

    /// User and system time so far, in steps of 10 ms.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold blanks; utime and stime are fields 14 and 15, the 12th and 13th behind it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// A size in `/proc/PID/status`, in KiB: `VmRSS` is what is resident, `VmHWM` the most that was at once.
    pub(crate) fn memory_kib(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no {name} in /proc/PID/status")))
    }
}

/// What the image sets: of its allocator.
fn image_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../../Containerfile").lines();
    lines.filter_map(|line| line.strip_prefix("ENV ")?.split_once('='))
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads stderr to its end, so that the process never waits for a reader. Passes on the address, or all there was
/// if the process ends without one.
fn follow(stderr: ChildStderr, address: &Sender<Result<SocketAddr, String>>) {
    let mut before = String::new();
    let mut waiting = true;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if !waiting {
            continue;
        }
        let found = line.split_once(LISTENING);
        if let Some(found) = found.and_then(|(_, address)| address.parse().ok()) {
            waiting = false;
            // Nobody waits any more: then this process is about to end.
            let _ = address.send(Ok(found));
        } else {
            before.push_str(&line);
            before.push('\n');
        }
    }
    if waiting {
        let _ = address.send(Err(before));
    }
}

fn wait_for(address: &Receiver<Result<SocketAddr, String>>) -> io::Result<SocketAddr> {
    let listening = address
        .recv_timeout(TEST_TIMEOUT)
        .map_err(|_| io::Error::other("a process does not say that it listens"))?;
    listening.map_err(|output| io::Error::other(format!("a process ended at its start:\n{output}")))
}
