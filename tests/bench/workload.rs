//! What can be measured, by name.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::body::{self, Series};
use crate::roles::{HANGING_JOB, JOB};
use kubernetes_metrics_aggregator::exposition::Format;

/// Most bodies that differ. The pods after them send the same again, in this order.
const VARIANTS_MAX: usize = 64;
/// The same where bodies differ in their series too.
const OWN_VARIANTS_MAX: usize = 500;

/// One job and the way it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Of all pods, but for those that hang in a job of their own.
    pub(crate) job: &'static str,
    pub(crate) pods: usize,
    series_per_pod: usize,
    series: Series,
    /// The exporter whose page the pods send instead, with other values each.
    page: Option<&'static str>,
    /// What pods send, and what is asked for.
    pub(crate) format: Format,
    /// Threads that scrape: of the server and of the relay alike.
    pub(crate) client_workers: usize,
    /// What a pod waits before it responds.
    pub(crate) latency: Duration,
    /// The first so many pods never respond. Fetch and relay leave them out.
    pub(crate) hanging: usize,
    /// They are a job of their own.
    pub(crate) hanging_job: bool,
    /// One more server is asked for a gzipped response.
    pub(crate) gzip_response: bool,
    /// Pods compress where the scraper asks for it. Fetch and relay do not ask.
    pub(crate) gzip_pods: bool,
    /// Whether it takes seconds only, and is therefore measured if nothing is named.
    quick: bool,
    /// It is a row of the table, or else a situation of its own.
    pub(crate) is_row: bool,
}

const PLAIN: Workload = Workload {
    name: "",
    job: JOB,
    pods: 100,
    series_per_pod: 1_000,
    series: Series::Same,
    page: None,
    format: Format::Text,
    client_workers: 32,
    latency: Duration::ZERO,
    hanging: 0,
    hanging_job: false,
    gzip_response: false,
    gzip_pods: false,
    quick: true,
    is_row: true,
};

/// With all the pages that `tests/bench/pages` fetches.
const REAL: Workload = Workload {
    quick: false,
    ..PLAIN
};

/// Measured in `situation.rs`.
const SITUATION: Workload = Workload {
    is_row: false,
    quick: false,
    ..PLAIN
};

const WORKLOADS: [Workload; 34] = [
    Workload {
        name: "10x100",
        pods: 10,
        series_per_pod: 100,
        ..PLAIN
    },
    Workload {
        name: "100x1000",
        ..PLAIN
    },
    Workload {
        name: "500x1000",
        pods: 500,
        ..PLAIN
    },
    Workload {
        name: "500x1000-openmetrics",
        pods: 500,
        format: Format::OpenMetrics,
        ..PLAIN
    },
    Workload {
        name: "500x1000-protobuf",
        pods: 500,
        format: Format::Protobuf,
        ..PLAIN
    },
    Workload {
        name: "500x1000-own",
        pods: 500,
        series: Series::Own,
        ..PLAIN
    },
    Workload {
        name: "500x1000-distinct",
        pods: 500,
        series: Series::Distinct,
        ..PLAIN
    },
    Workload {
        name: "1000x1000",
        pods: 1_000,
        ..PLAIN
    },
    Workload {
        name: "50x10000",
        pods: 50,
        series_per_pod: 10_000,
        ..PLAIN
    },
    Workload {
        name: "100x1000-stamped",
        series: Series::Stamped,
        ..PLAIN
    },
    Workload {
        name: "500x1000-stamped",
        pods: 500,
        series: Series::Stamped,
        ..PLAIN
    },
    Workload {
        name: "1000x1000-stamped",
        pods: 1_000,
        series: Series::Stamped,
        quick: false,
        ..PLAIN
    },
    Workload {
        name: "50x10000-stamped",
        pods: 50,
        series_per_pod: 10_000,
        series: Series::Stamped,
        ..PLAIN
    },
    Workload {
        name: "100x1000-cadvisor",
        series: Series::CAdvisor,
        ..PLAIN
    },
    Workload {
        name: "500x1000-cadvisor",
        pods: 500,
        series: Series::CAdvisor,
        ..PLAIN
    },
    Workload {
        name: "1000x1000-cadvisor",
        pods: 1_000,
        series: Series::CAdvisor,
        quick: false,
        ..PLAIN
    },
    Workload {
        name: "50x10000-cadvisor",
        pods: 50,
        series_per_pod: 10_000,
        series: Series::CAdvisor,
        ..PLAIN
    },
    Workload {
        name: "500x1000-rollout",
        pods: 500,
        series: Series::Rollout,
        ..PLAIN
    },
    Workload {
        name: "100x1000-latency20ms",
        latency: Duration::from_millis(20),
        ..PLAIN
    },
    Workload {
        name: "100x1000-gzip",
        gzip_response: true,
        ..PLAIN
    },
    Workload {
        name: "500x1000-gzip",
        pods: 500,
        gzip_response: true,
        ..PLAIN
    },
    Workload {
        name: "100x1000-gzippods",
        gzip_pods: true,
        ..PLAIN
    },
    Workload {
        name: "500x1000-hang25",
        pods: 500,
        hanging: 25,
        client_workers: 8,
        quick: false,
        ..PLAIN
    },
    Workload {
        name: "real-node",
        page: Some("node"),
        ..REAL
    },
    Workload {
        name: "real-redis",
        page: Some("redis"),
        ..REAL
    },
    Workload {
        name: "real-pushgateway",
        page: Some("pushgateway"),
        ..REAL
    },
    Workload {
        name: "real-prometheus",
        page: Some("prometheus"),
        ..REAL
    },
    Workload {
        name: "real-etcd",
        page: Some("etcd"),
        ..REAL
    },
    Workload {
        name: "two-jobs",
        pods: 300,
        hanging: 200,
        hanging_job: true,
        ..SITUATION
    },
    Workload {
        name: "two-jobs-latency20ms",
        pods: 300,
        hanging: 200,
        hanging_job: true,
        latency: Duration::from_millis(20),
        ..SITUATION
    },
    Workload {
        name: "start",
        pods: 1_000,
        series_per_pod: 100,
        ..SITUATION
    },
    Workload {
        name: "memory",
        pods: 200,
        series_per_pod: 5_000,
        ..SITUATION
    },
    Workload {
        name: "memory-distinct",
        pods: 200,
        series_per_pod: 5_000,
        series: Series::Distinct,
        ..SITUATION
    },
    Workload {
        name: "rounds",
        pods: 650,
        ..SITUATION
    },
];

impl Workload {
    /// The job of a pod.
    pub(crate) fn job(&self, index: usize) -> &'static str {
        if self.hanging_job && index < self.hanging {
            HANGING_JOB
        } else {
            self.job
        }
    }

    /// Those of these names; without names the quick ones.
    pub(crate) fn named(names: &[String]) -> io::Result<Vec<Workload>> {
        if names.is_empty() {
            return Ok(WORKLOADS.into_iter().filter(|known| known.quick).collect());
        }
        let find = |name: &String| {
            let found = WORKLOADS.into_iter().find(|known| known.name == name);
            found.ok_or_else(|| {
                let known = WORKLOADS.map(|known| known.name).join(" ");
                io::Error::other(format!("unknown workload {name:?}; there are: {known}"))
            })
        };
        names.iter().map(find).collect()
    }

    /// Bodies that differ from each other.
    pub(crate) fn variants(&self) -> usize {
        let most = match self.series {
            Series::Own | Series::Distinct => OWN_VARIANTS_MAX,
            _ => VARIANTS_MAX,
        };
        self.pods.min(most)
    }

    /// The bodies of the pods, by variant.
    pub(crate) fn bodies(&self) -> io::Result<Vec<Vec<u8>>> {
        let page = self.page.map(page).transpose()?;
        let text = |variant| match &page {
            Some(page) => body::vary(page, variant),
            None => body::render(self.series_per_pod, variant, self.series),
        };
        Ok((0..self.variants())
            .map(|variant| body::in_format(text(variant), self.format))
            .collect())
    }

    /// The series that each pod sends.
    pub(crate) fn series_per_pod(&self) -> io::Result<usize> {
        let Some(exporter) = self.page else {
            return Ok(self.series_per_pod);
        };
        let page = page(exporter)?;
        let samples = page
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(samples.count())
    }

    /// Processes that each keep a connection to every pod.
    fn subjects(&self) -> usize {
        if self.gzip_response { 4 } else { 3 }
    }

    /// What `ulimit -n` has to be: for the farm, which holds all connections, and for the server, which keeps no more
    /// connections than a quarter of it.
    pub(crate) fn descriptors(&self) -> usize {
        (self.subjects() * self.pods + 64).max(4 * self.pods)
    }
}

/// What pods that send this format say of it.
pub(crate) fn content_type(format: Format) -> &'static str {
    match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Format::Protobuf => {
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        }
    }
}

/// The page of a real exporter, where `tests/bench/pages` has put it.
fn page(exporter: &str) -> io::Result<String> {
    let path = format!("{}/target/pages/{exporter}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path)
        .map_err(|error| io::Error::other(format!("{path}: {error}; run tests/bench/pages first")))
}

/// Pods on one /24 of [`pod_ip`].
const PODS_PER_NET: usize = 250;

/// The loopback address of a pod: 127.2.0.1 and up.
pub(crate) fn pod_ip(index: usize) -> Ipv4Addr {
    let octet = |n: usize| u8::try_from(n).expect("fewer than 60,000 pods");
    Ipv4Addr::new(
        127,
        2,
        octet(index / PODS_PER_NET),
        octet(index % PODS_PER_NET + 1),
    )
}

/// The pod that has this address.
pub(crate) fn pod_index(ip: IpAddr) -> Option<usize> {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [127, 2, net, host] => Some(usize::from(net) * PODS_PER_NET + usize::from(host) - 1),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}
