//! What is no row of the table: two jobs at once, the memory of one request, the time until the first response.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{Api, Pod, median, pod_list};
use crate::client::{Client, metrics_request};
use crate::measure::count;
use crate::process::{Process, TEST_TIMEOUT};
use crate::roles::{HANGING_JOB, JOB, PodListFile, role, server};
use crate::table::{mebibytes, milliseconds, ratio};
use crate::workload::{Workload, pod_ip};

/// Measurements of each figure; their median is shown.
const ROUNDS: usize = 21;
/// Starts of a server, each with a list of its own.
const STARTS: usize = 5;
/// What a request may take of memory beside its merged text, and how often the text itself.
const MEMORY_GOAL: (f64, f64) = (1.3, 16.0);

/// Measures what has this name and says it in a paragraph.
pub(crate) fn measure(workload: Workload, stopped: &Arc<AtomicBool>) -> io::Result<String> {
    let farm = role(&["farm", workload.name])?;
    let situation = Situation {
        workload,
        farm_port: farm.address.port(),
        stopped: Arc::clone(stopped),
    };
    let text = match workload.name {
        "memory" | "memory-distinct" => situation.memory(),
        "start" => situation.start(),
        _ => situation.two_jobs(),
    };
    Ok(format!("{}: {}", workload.name, text?))
}

struct Situation {
    workload: Workload,
    farm_port: u16,
    stopped: Arc<AtomicBool>,
}

impl Situation {
    fn client(&self) -> Client {
        Client::new(Arc::clone(&self.stopped))
    }

    fn ready_server(&self, pod_list: &PodListFile) -> io::Result<Process> {
        let server = server(&self.workload, pod_list)?;
        self.client().wait_until_ready(&server)?;
        Ok(server)
    }

    /// The median time of a response for the job.
    fn wall(&self, server: &Process, job: &str, pods: usize) -> io::Result<Duration> {
        let mut client = self.client();
        let request = metrics_request(job, "identity", self.workload.format);
        let mut walls = Vec::new();
        for round in 0..ROUNDS {
            let start = Instant::now();
            let response = client.ask(server, &request, round == 0)?;
            walls.push(start.elapsed());
            if round == 0 && client.pods_up_and_samples(&response)?.0 != pods {
                return Err(io::Error::other("not all pods are up"));
            }
        }
        Ok(median(walls))
    }

    /// One job's responses alone, and while those of another job hang: at first nobody knows that they do, then it is
    /// known of all.
    fn two_jobs(&self) -> io::Result<String> {
        let pod_list = PodListFile::new(&self.workload, self.farm_port)?;
        let server = self.ready_server(&pod_list)?;
        let pods = self.workload.pods - self.workload.hanging;
        // The first opens the connections.
        self.wall(&server, JOB, pods)?;
        let alone = self.wall(&server, JOB, pods)?;
        let mut text = format!("alone {} ms", milliseconds(alone));
        for known in ["that nobody knows to hang", "that are known to hang"] {
            let together = self.while_others_hang(&server, pods)?;
            text += &format!(
                ", beside {} pods {known} {} ms ({})",
                self.workload.hanging,
                milliseconds(together),
                ratio(together, alone)
            );
        }
        Ok(text)
    }

    fn while_others_hang(&self, server: &Process, pods: usize) -> io::Result<Duration> {
        let request = metrics_request(HANGING_JOB, "identity", self.workload.format);
        thread::scope(|scope| {
            let hanging = scope.spawn(|| self.client().ask(server, &request, false));
            self.wait_until_workers_hang(server)?;
            let together = self.wall(server, JOB, pods)?;
            if hanging.is_finished() {
                return Err(io::Error::other("the other job got a response meanwhile"));
            }
            hanging.join().map_err(|_| io::Error::other("panic"))??;
            Ok(together)
        })
    }

    /// Until all workers hang but the quarter that is reserved for pods that responded.
    fn wait_until_workers_hang(&self, server: &Process) -> io::Result<()> {
        let workers = self.workload.client_workers;
        let least = workers - workers.div_ceil(4);
        let deadline = Instant::now() + TEST_TIMEOUT;
        let series = "metrics_aggregator_workers_busy{kind=\"client\"} ";
        while Instant::now() < deadline && !self.stopped.load(Ordering::Relaxed) {
            let page = self.client().page(server, "/-/metrics")?;
            let busy = page.lines().find_map(|line| line.strip_prefix(series));
            if busy.and_then(|busy| busy.parse().ok()) >= Some(least) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::other("the workers do not hang"))
    }

    /// The most memory that a fresh server has for its first request.
    fn memory(&self) -> io::Result<String> {
        let pod_list = PodListFile::new(&self.workload, self.farm_port)?;
        let mut parts = Vec::new();
        let mut text_mib = 0.0;
        for encoding in ["identity", "gzip"] {
            let server = self.ready_server(&pod_list)?;
            let before = server.memory_kib("VmRSS")?;
            let request = metrics_request(JOB, encoding, self.workload.format);
            let response = self.client().ask(&server, &request, false)?;
            if !response.gzipped {
                text_mib = count(response.body_bytes) / 1_048_576.0;
            }
            parts.push(format!(
                "{encoding} {} MiB ({} before)",
                mebibytes(server.memory_kib("VmHWM")?),
                mebibytes(before)
            ));
        }
        let (times, more) = MEMORY_GOAL;
        Ok(format!(
            "a merged text of {text_mib:.1} MiB, peak RSS with {}; {times} times the text and {more} MiB are {:.1} MiB",
            parts.join(", with "),
            times * text_mib + more
        ))
    }

    /// From the start of the process to the last byte of the response for all pods, beside what reading the pod list
    /// and then scraping the pods takes.
    fn start(&self) -> io::Result<String> {
        let pods = (0..self.workload.pods).map(|number| Pod {
            number,
            version: 1,
            job: JOB.to_owned(),
            ip: pod_ip(number),
            port: self.farm_port,
        });
        let api = Api::start(&pod_list(pods), false)?;
        let list = api.floor(false)?;
        let url = format!("http://{}", api.address);
        let workers = self.workload.client_workers.to_string();
        let (mut ready, mut first, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let start = Instant::now();
            let server =
                Process::server(&[("KUBERNETES_API_URL", &url), ("CLIENT_WORKERS", &workers)])?;
            self.client().wait_until_ready(&server)?;
            ready.push(start.elapsed());
            let request = metrics_request(JOB, "identity", self.workload.format);
            self.client().ask(&server, &request, false)?;
            first.push(start.elapsed());
            let asked = Instant::now();
            self.client().ask(&server, &request, false)?;
            later.push(asked.elapsed());
        }
        let [ready, first, later] = [ready, first, later].map(median);
        Ok(format!(
            "the pod list of {} pods takes {} ms; ready {} ms after the start, the first response for all pods after \
             {} ms ({} ms more than the list), a later one takes {} ms",
            self.workload.pods,
            milliseconds(list),
            milliseconds(ready),
            milliseconds(first),
            milliseconds(first.saturating_sub(list)),
            milliseconds(later)
        ))
    }
}
