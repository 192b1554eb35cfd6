//! Memory over many requests: the most that three jobs in turn take, and what is left when they have been quiet for a
//! minute.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, metrics_request};
use crate::measure::count;
use crate::process::Process;
use crate::roles::{PodListFile, role, server};
use crate::table::{mebibytes, milliseconds};
use crate::workload::Workload;

const JOBS: [&str; 3] = ["100x1000", "500x1000", "50x10000"];
/// Every other round asks for gzip.
const ROUNDS: usize = 60;
/// From the last response until the memory at rest is read.
const REST: Duration = Duration::from_secs(60);
/// What the requests may take of memory beside the largest merged text, and how often the text itself.
const PEAK_GOAL: (f64, f64) = (1.3, 16.0);
/// At rest.
const REST_GOAL_MIB: f64 = 40.0;

/// Measures it and says it in a paragraph.
pub(crate) fn measure(stopped: &Arc<AtomicBool>) -> io::Result<String> {
    let mut jobs = Workload::named(&JOBS.map(str::to_owned))?;
    let mut farms = Vec::new();
    for workload in &mut jobs {
        workload.job = workload.name;
        farms.push(role(&["farm", workload.name])?);
    }
    let ports = farms.iter().map(|farm| farm.address.port());
    let pod_list = PodListFile::of(&jobs.iter().copied().zip(ports).collect::<Vec<_>>())?;
    let server = server(&jobs[0], &pod_list)?;
    let mut client = Client::new(Arc::clone(stopped));
    client.wait_until_ready(&server)?;
    let start = Instant::now();
    let mut text_bytes = 0;
    for round in 0..ROUNDS {
        let encoding = if round % 2 == 0 { "identity" } else { "gzip" };
        for workload in &jobs {
            // The first two rounds are looked into.
            let response = client.ask(
                &server,
                &metrics_request(workload.job, encoding, workload.format),
                round < 2,
            )?;
            if round < 2 {
                client.check(&response, workload)?;
            }
            if !response.gzipped {
                text_bytes = text_bytes.max(response.body_bytes);
            }
        }
    }
    let wall = start.elapsed() / u32::try_from(ROUNDS).unwrap_or(1);
    let cpu = server.cpu()?.div_f64(count(ROUNDS));
    let [at_once, at_rest] = [server.memory_kib("VmRSS")?, rss_after_rest(&server)?];
    let (times, more) = PEAK_GOAL;
    let text_mib = count(text_bytes) / 1_048_576.0;
    Ok(format!(
        "peak RSS {} MiB, of which {:.1} are allowed: {times} times the largest text of {text_mib:.1} MiB and {more} \
         MiB; {} MiB after the last response, {} a minute later, of which {REST_GOAL_MIB} are allowed; a round takes \
         {} ms and {} ms of the processors",
        mebibytes(server.memory_kib("VmHWM")?),
        times * text_mib + more,
        mebibytes(at_once),
        mebibytes(at_rest),
        milliseconds(wall),
        milliseconds(cpu),
    ))
}

/// What is resident at the end of the rest.
fn rss_after_rest(server: &Process) -> io::Result<u64> {
    let end = Instant::now() + REST;
    loop {
        let resident = server.memory_kib("VmRSS")?;
        if Instant::now() >= end {
            return Ok(resident);
        }
        thread::sleep(Duration::from_secs(1));
    }
}
