//! The processes that are measured: started, looked at through `/proc`, and ended when dropped.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::json;

use crate::workload::{Workload, pod_ip};

/// Bound of every wait for a process.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What `/proc/PID/stat` counts in: USER_HZ, the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;
/// The one job of all pods.
pub(crate) const JOB: &str = "bench";
/// Says on stderr that a process is ready, with its address behind it.
pub(crate) const LISTENING: &str = "listening on ";

/// A process that listens. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Process {
    /// This benchmark once more, in another role. It ends by itself if this process is gone without a word.
    pub(crate) fn role(arguments: &[&str]) -> io::Result<Process> {
        let mut command = Command::new(env::current_exe()?);
        command.args(arguments);
        Process::start(command)
    }

    /// The server of the release build, with the pods of the file.
    pub(crate) fn server(workload: &Workload, pod_list: &Path) -> io::Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubernetes-metrics-aggregator"));
        command
            .env_clear()
            .env("POD_LIST_FILE", pod_list)
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .env("CLIENT_WORKERS", workload.client_workers.to_string())
            // Reading the list again is no part of a request.
            .env("CACHE_UPDATE_INTERVAL", "3600");
        Process::start(command)
    }

    fn start(mut command: Command) -> io::Result<Process> {
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

    /// The most memory that was resident at once, in KiB.
    pub(crate) fn peak_rss_kib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or_else(|| io::Error::other("no VmHWM in /proc/PID/status"))
    }
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
        .recv_timeout(PATIENCE)
        .map_err(|_| io::Error::other("a process does not say that it listens"))?;
    listening.map_err(|output| io::Error::other(format!("a process ended at its start:\n{output}")))
}

/// The pod list of a workload. Deleted when dropped.
#[derive(Debug)]
pub(crate) struct PodListFile(pub(crate) PathBuf);

impl PodListFile {
    pub(crate) fn new(workload: &Workload, farm_port: u16) -> io::Result<PodListFile> {
        let pod = |index: usize| {
            json!({
                "metadata": {
                    "namespace": "bench",
                    "name": format!("worker-7d9f8b6c5d-{index:05}"),
                    "uid": format!("00000000-0000-4000-8000-{index:012}"),
                    "labels": {
                        "metrics-aggregator.apawel.me/job-name": JOB,
                        "metrics-aggregator.apawel.me/port": farm_port.to_string(),
                    },
                },
                "status": {"phase": "Running", "podIP": pod_ip(index).to_string()},
            })
        };
        let pods: Vec<_> = (0..workload.pods).map(pod).collect();
        let list = json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": pods,
        });
        let path = env::temp_dir().join(format!("aggregator-bench-{}.json", process::id()));
        fs::write(&path, list.to_string())?;
        Ok(PodListFile(path))
    }
}

impl Drop for PodListFile {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.0);
    }
}

/// Ends with an error unless this many descriptors may be open. Nothing is raised: the server would inherit it.
pub(crate) fn check_descriptors(needed: usize) -> io::Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let soft = limits.lines().find_map(|line| {
        let numbers = line.strip_prefix("Max open files")?;
        numbers.split_whitespace().next()?.parse::<usize>().ok()
    });
    match soft {
        Some(soft) if soft < needed => Err(io::Error::other(format!(
            "this needs {needed} open files in one process, and the limit is {soft}: run `ulimit -n {needed}` first, \
             or name smaller workloads"
        ))),
        _ => Ok(()),
    }
}
