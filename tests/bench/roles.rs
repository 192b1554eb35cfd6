//! What a workload is measured with: the roles of this benchmark, the server, and the pods it is told of.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{self, Command};

use serde_json::{Value, json};

use crate::process::Process;
use crate::workload::{Workload, pod_ip};

/// The job of all pods, where a workload has one only.
pub(crate) const JOB: &str = "bench";
/// The job of pods that hang, where that is another one.
pub(crate) const HANGING_JOB: &str = "hanging";

/// This benchmark once more, in another role. It ends by itself if this process is gone without a word.
pub(crate) fn role(arguments: &[&str]) -> io::Result<Process> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments);
    Process::start(command)
}

/// The server with the pods of the file.
pub(crate) fn server(workload: &Workload, pod_list: &PodListFile) -> io::Result<Process> {
    let workers = workload.client_workers.to_string();
    Process::server(&[
        ("POD_LIST_FILE", &pod_list.0.to_string_lossy()),
        ("CLIENT_WORKERS", &workers),
        // Reading the list again is no part of a request.
        ("CACHE_UPDATE_INTERVAL", "3600"),
    ])
}

/// The pod list of a workload. Deleted when dropped.
#[derive(Debug)]
pub(crate) struct PodListFile(PathBuf);

impl PodListFile {
    pub(crate) fn new(workload: &Workload, farm_port: u16) -> io::Result<PodListFile> {
        PodListFile::of(&[(*workload, farm_port)])
    }

    /// The pods of several workloads, each with the port of its farm.
    pub(crate) fn of(farms: &[(Workload, u16)]) -> io::Result<PodListFile> {
        let pods = farms.iter().flat_map(|(workload, port)| {
            (0..workload.pods).map(|index| pod(workload, *port, index))
        });
        let pods: Vec<_> = pods.collect();
        let list = json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": pods,
        });
        let path = env::temp_dir().join(format!("aggregator-bench-{}.json", process::id()));
        fs::write(&path, list.to_string())?;
        Ok(PodListFile(path))
    }
}

fn pod(workload: &Workload, farm_port: u16, index: usize) -> Value {
    json!({
        "metadata": {
            "namespace": workload.job,
            "name": format!("worker-7d9f8b6c5d-{index:05}"),
            "uid": format!("00000000-{farm_port:04x}-4000-8000-{index:012}"),
            "labels": {
                "metrics-aggregator.apawel.me/job-name": workload.job(index),
                "metrics-aggregator.apawel.me/port": farm_port.to_string(),
            },
        },
        "status": {"phase": "Running", "podIP": pod_ip(index).to_string()},
    })
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
