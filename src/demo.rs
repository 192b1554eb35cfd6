//! `--demo`: pods with their exporters on loopback, and the API server that lists them.
//!
//! Only the cluster is simulated. The aggregator works as in a real cluster: it lists pods by HTTP, selects them by
//! label, and scrapes them by IP and port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

use Exporter::{Cache, Down, Queue, SlowWeb, Web};

/// Where the aggregator listens by default.
const LISTEN_ADDRESS: &str = "127.0.0.1:8080";
/// How long the slow exporter takes.
const SLOW: Duration = Duration::from_millis(1500);

/// What a pod of the demo serves.
#[derive(Debug, Clone, Copy)]
enum Exporter {
    Web,
    SlowWeb,
    Cache,
    Queue,
    /// Nothing listens on the port.
    Down,
}

/// Namespace, job and name of each pod, and what it serves.
const PODS: [(&str, &str, &str, Exporter); 12] = [
    ("shop", "web", "web-6d4b75cb6d-2xkvq", Web),
    ("shop", "web", "web-6d4b75cb6d-7hzpn", Web),
    ("shop", "web", "web-6d4b75cb6d-k9wtm", Web),
    ("shop", "web", "web-6d4b75cb6d-r5fcd", Web),
    ("shop", "web", "web-6d4b75cb6d-zs8lg", SlowWeb),
    ("shop", "memcached", "memcached-db-0", Cache),
    ("shop", "memcached", "memcached-db-1", Cache),
    ("accounts", "memcached", "memcached-session-0", Cache),
    ("accounts", "memcached", "memcached-session-1", Cache),
    ("accounts", "queue", "queue-worker-0", Queue),
    ("accounts", "queue", "queue-worker-1", Queue),
    ("accounts", "queue", "queue-worker-2", Down),
];

/// The running demo. Its threads run until the process ends.
#[derive(Debug)]
pub struct Demo {
    api: SocketAddr,
    listen_address: String,
}

impl Demo {
    /// Starts the exporters and the API server, each on a free port of a loopback address.
    ///
    /// # Errors
    /// No port on loopback is free, or a thread cannot be started.
    pub fn start() -> io::Result<Demo> {
        let start = Instant::now();
        let mut pods = Vec::new();
        for (number, pod) in (1..).zip(PODS) {
            let listener = loopback(number)?;
            let address = listener.local_addr()?;
            pods.push(pod_object(number, pod, address));
            let (_, _, name, exporter) = pod;
            match exporter {
                Down => drop(listener),
                _ => serve(name, listener, move |_| {
                    exporter.page(number, start.elapsed())
                })?,
            }
        }
        let metadata = json!({"resourceVersion": "1"});
        let list =
            json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": pods});
        let list = list.to_string();
        let listener = loopback(0)?;
        let api = listener.local_addr()?;
        serve("demo API server", listener, move |_| list.clone())?;
        Ok(Demo {
            api,
            listen_address: free_listen_address(),
        })
    }

    /// The value of a setting for the demo. The settings with which the aggregator finds the demo are fixed, all others
    /// are the user's, `set`.
    #[must_use]
    pub fn setting(&self, name: &str, set: Option<String>) -> Option<String> {
        let set_or = |default: &str| {
            set.clone()
                .filter(|set| !set.is_empty())
                .or_else(|| Some(default.to_owned()))
        };
        match name {
            "KUBERNETES_API_URL" => Some(format!("http://{}", self.api)),
            "POD_LIST_FILE" | "NAMESPACES" | "KUBERNETES_SERVICE_HOST" => None,
            "LISTEN_ADDRESS" => set_or(&self.listen_address),
            "CLIENT_WORKERS" => set_or("8"),
            _ => set,
        }
    }

    /// Text for the user: what to try, what to paste into a Prometheus configuration, and how to stop.
    #[must_use]
    pub fn introduction(&self, address: SocketAddr) -> String {
        format!(
            "
Three jobs on {count} pods: one pod of web is slow, one pod of queue is down. Try

  curl '{url}/metrics?job=memcached'
  curl '{url}/metrics?job=web&job=queue'
  curl '{url}/'

For Prometheus:

scrape_configs:
  - job_name: k8s-metrics-aggregator-memcached
    honor_labels: true
    metrics_path: /metrics
    params:
      job: [memcached]
    static_configs:
      - targets: ['{address}']

Ctrl-C stops it.

",
            count = PODS.len(),
            url = format_args!("http://{address}"),
        )
    }
}

/// Listens on a separate loopback address for each pod if the system has them, as Linux does, else on 127.0.0.1.
fn loopback(number: u8) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::new(127, 0, 10, number), 0))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

fn free_listen_address() -> String {
    match TcpListener::bind(LISTEN_ADDRESS) {
        Ok(_) => LISTEN_ADDRESS.to_owned(),
        Err(_) => "127.0.0.1:0".to_owned(),
    }
}

fn pod_object(
    number: u8,
    (namespace, job, name, _): (&str, &str, &str, Exporter),
    address: SocketAddr,
) -> Value {
    let ip: IpAddr = address.ip();
    json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "labels": {
                "metrics-aggregator.apawel.me/job-name": job,
                "metrics-aggregator.apawel.me/endpoint": "metrics",
                "metrics-aggregator.apawel.me/port": address.port().to_string(),
            },
        },
        "spec": {"containers": [], "nodeName": "demo-node"},
        "status": {"phase": "Running", "podIP": ip.to_string()},
    })
}

/// Starts a thread that responds to one request after the other.
fn serve(
    name: &str,
    listener: TcpListener,
    body: impl Fn(&Request) -> String + Send + 'static,
) -> io::Result<()> {
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            for request in server.incoming_requests() {
                let content_type = match request.url().split_once('?') {
                    Some(("/api/v1/pods", _)) => "application/json",
                    _ => "text/plain; version=0.0.4; charset=utf-8",
                };
                let header =
                    Header::from_bytes("Content-Type", content_type).expect("an ASCII constant");
                let response = Response::from_string(body(&request)).with_header(header);
                // An error means that the scraper has left.
                let _ = request.respond(response);
            }
        })?;
    Ok(())
}

impl Exporter {
    /// An exposition whose values change with the time since the start.
    fn page(self, number: u8, up: Duration) -> String {
        let seconds = up.as_secs();
        let rate = u64::from(number) + 3;
        let page = match self {
            Web => web_page(seconds * rate, rate),
            SlowWeb => {
                thread::sleep(SLOW);
                web_page(seconds, 40)
            }
            Cache => cache_page(seconds * rate * 7, number),
            Queue => queue_page(seconds * rate, seconds % 17),
            Down => String::new(),
        };
        format!(
            "{page}# HELP process_uptime_seconds Time since the start.\n\
             # TYPE process_uptime_seconds gauge\nprocess_uptime_seconds {:.3}\n",
            up.as_secs_f64()
        )
    }
}

fn web_page(requests: u64, slowness: u64) -> String {
    let percent = |share| requests * share / 100;
    format!(
        r#"# HELP http_request_duration_seconds Time to respond to a request.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{{handler="/cart",le="0.05"}} {}
http_request_duration_seconds_bucket{{handler="/cart",le="0.25"}} {}
http_request_duration_seconds_bucket{{handler="/cart",le="1"}} {}
http_request_duration_seconds_bucket{{handler="/cart",le="+Inf"}} {requests}
http_request_duration_seconds_sum{{handler="/cart"}} {}.5
http_request_duration_seconds_count{{handler="/cart"}} {requests}
# HELP http_requests_total Requests with a response.
# TYPE http_requests_total counter
http_requests_total{{code="200"}} {}
http_requests_total{{code="404"}} {}
http_requests_total{{code="500"}} {}
"#,
        percent(60),
        percent(90),
        percent(99),
        percent(slowness),
        percent(98),
        percent(1),
        percent(1),
    )
}

fn cache_page(commands: u64, number: u8) -> String {
    format!(
        r#"# HELP memcached_commands_total Commands by name and result.
# TYPE memcached_commands_total counter
memcached_commands_total{{command="get",status="hit"}} {}
memcached_commands_total{{command="get",status="miss"}} {}
memcached_commands_total{{command="set",status="hit"}} {}
# HELP memcached_current_bytes Bytes in use.
# TYPE memcached_current_bytes gauge
memcached_current_bytes {}
"#,
        commands * 9 / 10,
        commands / 10,
        commands / 3,
        1_048_576 * (u64::from(number) + commands % 50),
    )
}

fn queue_page(jobs: u64, waiting: u64) -> String {
    format!(
        r#"# HELP queue_jobs_total Jobs done, by the queue they came from.
# TYPE queue_jobs_total counter
queue_jobs_total{{job="mail"}} {jobs}
queue_jobs_total{{job="invoice"}} {}
# HELP queue_waiting Jobs that wait.
# TYPE queue_waiting gauge
queue_waiting {waiting}
"#,
        jobs / 4,
    )
}
