//! `/-/metrics`: every family is documented, and changes when what it counts happens. k8s/prometheus/README.md: "Own
//! metrics".

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::telemetry::{COUNTED_JOBS_MAX, FAMILIES, Gauges, Telemetry};

use crate::support::check_contains;
use crate::support::eventually;
use crate::support::fake_pod::{Behaviour, FakePod};
use crate::support::program::{Program, TEST_TIMEOUT, TempFile, pod_at, pod_list, read_to_end};

/// What a test cannot cause from outside, and the test that counts it instead.
const NOT_DRIVEN: [(&str, &str); 2] = [
    (
        "metrics_aggregator_panics_total",
        "a_panic_is_an_error_of_its_scrape_and_counted",
    ),
    (
        "metrics_aggregator_accept_errors_total",
        "failed_accepts_are_counted_and_tried_again",
    ),
];

/// Families that nothing in the test changes. The two queues are empty whenever the program has time to respond.
const STILL: [&str; 7] = [
    "metrics_aggregator_build_info",
    "metrics_aggregator_requests_waiting",
    "metrics_aggregator_scrapes_waiting",
    "metrics_aggregator_workers",
    "process_max_fds",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
];

fn read(program: &Program) -> BTreeMap<String, f64> {
    let response = program.get("/-/metrics");
    let lines = response
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn sum(samples: &BTreeMap<String, f64>, family: &str) -> f64 {
    let own = |series: &str| {
        let name = series.split('{').next().unwrap();
        name.strip_prefix(family)
            .is_some_and(|rest| ["", "_sum", "_count"].contains(&rest))
    };
    samples
        .iter()
        .filter(|(series, _)| own(series))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn every_family_is_in_the_document_and_in_the_response() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/prometheus/README.md");
    let document = fs::read_to_string(document).unwrap();
    let program = Program::scraping(&[], &[]);
    let response = program.get("/-/metrics");
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let said = |keyword: &str| -> Vec<(String, String)> {
        let lines = response.text().lines();
        let rests = lines.filter_map(|line| line.strip_prefix(keyword)?.split_once(' '));
        rests
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    };
    let (types, helps) = (said("# TYPE "), said("# HELP "));
    let written: Vec<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
    let rows: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(written, rows);
    for ((name, kind), (_, help)) in types.iter().zip(&helps) {
        let row = format!("\n| `{name}` | {kind} | {help} |\n");
        assert!(
            document.contains(&row),
            "k8s/prometheus/README.md, \"Own metrics\": no row {row}"
        );
    }
    let names: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(names.len(), rows.len(), "each once");
}

/// Causes everything that is counted, except time that passes.
fn drive(program: &Program) {
    for url in [
        "/metrics?job=web",
        "/metrics?job=web&shard=1/2",
        "/metrics?job=gone",
        "/metrics",
        "/nowhere",
        "/sd/jobs",
        "/sd/pods",
        "/",
        "/-/healthy",
        "/probe?target=n/none:1",
    ] {
        program.get(url);
    }
    // Refused by the listener: a request with a body.
    let request = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    let response = program.send(request);
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
}

#[test]
fn every_family_moves() {
    // The same series twice, and a TYPE and a HELP that differ from the other pod's.
    let a = FakePod::serving("# HELP m A.\n# TYPE m gauge\nm 1\nm 1\n");
    let b = FakePod::serving("# HELP m B.\n# TYPE m counter\nm 1\n");
    let down = FakePod::start(Behaviour::Status(500));
    let pods = pod_list(&[
        pod_at("n", "a", "web", a.address),
        pod_at("n", "b", "web", b.address),
        pod_at("n", "down", "web", down.address),
        pod_at("n", "without-job", "", a.address),
    ]);
    let file = TempFile::new(b"not there yet");
    // With few connection slots, silent connections are closed for new ones.
    let program = Program::start(&[
        ("POD_LIST_FILE", file.path()),
        ("CACHE_UPDATE_INTERVAL", "100ms"),
        ("MAX_CONNECTIONS", "4"),
    ]);
    let before = read(&program);
    fs::write(&file.0, pods).unwrap();
    eventually("a pod list", || program.get("/-/ready").status == 200);
    let idle: Vec<TcpStream> = (0..8)
        .map(|_| TcpStream::connect(program.address).unwrap())
        .collect();
    drive(&program);
    let hanging = busy_program();
    assert!(sum(&read(&hanging.1), "metrics_aggregator_workers_busy") >= 2.0);
    let mut moved = BTreeSet::from(["metrics_aggregator_workers_busy"]);
    let deadline = Instant::now() + TEST_TIMEOUT;
    // The CPU's clock ticks in hundredths of a second.
    while !missing(&moved).is_empty() {
        assert!(
            Instant::now() < deadline,
            "{:?} did not change: cause it in `drive`, or name the test that does in NOT_DRIVEN",
            missing(&moved)
        );
        drive(&program);
        let now = read(&program);
        let names = FAMILIES.iter().map(|family| family.name);
        moved.extend(names.filter(|name| sum(&now, name) != sum(&before, name)));
    }
    drop(idle);
    check_values(&read(&program));
}

/// Path and status that a refused request counts under, its request line, and a header beside those that all have.
const REFUSED: [(&str, u16, &str, &str); 10] = [
    ("/metrics", 405, "POST /metrics?job=a HTTP/1.1", ""),
    ("/metrics", 400, "GET /metrics?job=a HTTP/1.1", BAD_TIMEOUT),
    ("/probe", 400, "GET /probe?target=%zz HTTP/1.1", ""),
    ("/sd/jobs", 400, "GET /sd/jobs?shards=0 HTTP/1.1", ""),
    ("/sd/pods", 401, "GET /sd/pods HTTP/1.1", ""),
    ("/", 405, "DELETE / HTTP/1.1", ""),
    ("other", 404, "GET /nowhere HTTP/1.1", ""),
    ("other", 400, "GET /metrics?job=a", ""),
    (
        "other",
        413,
        "GET /metrics HTTP/1.1",
        "Content-Length: 1\r\n",
    ),
    ("other", 505, "GET /metrics HTTP/3.0", ""),
];
const BAD_TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds: soon\r\n";

/// A request counts under its path whichever part of the program refuses it, and for whatever reason.
#[test]
fn refused_requests_count_under_their_path_and_status() {
    let token = TempFile::new(b"right");
    let settings = [("AUTH_TOKEN_FILE", token.path())];
    let program = Program::scraping(&[], &settings);
    let ask = |line: &str, headers: &str| {
        program.send(&format!(
            "{line}\r\nHost: h\r\nConnection: close\r\n{headers}\r\n"
        ))
    };
    let right = "Authorization: Bearer right\r\n";
    for (_, status, line, header) in REFUSED {
        let token = if status == 401 { "" } else { right };
        let response = ask(line, &format!("{token}{header}"));
        let expected = format!("HTTP/1.1 {status} ");
        assert!(response.starts_with(&expected), "{line}: {response}");
    }
    let own = ask("GET /-/metrics HTTP/1.1", right);
    for (path, status, line, _) in REFUSED {
        let sample =
            format!("metrics_aggregator_requests_total{{path=\"{path}\",code=\"{status}\"}} 1\n");
        assert!(own.contains(&sample), "{line}: {sample}{own}");
    }
}

#[test]
fn families_that_do_not_move_there_have_a_test_elsewhere() {
    let tests = [
        include_str!("own_metrics.rs"),
        include_str!("../src/scrape/pool.rs"),
    ]
    .concat();
    for (_, test) in NOT_DRIVEN {
        assert!(
            tests.contains(&format!("fn {test}()")),
            "NOT_DRIVEN names the test {test}, which is neither in this file nor in src/scrape/pool.rs"
        );
    }
}

/// Without descriptors no connection can be accepted. It is served once there are some.
#[test]
fn failed_accepts_are_counted_and_tried_again() {
    let mut program = Program::scraping(&[], &[]);
    program.limit_open_files(3);
    // One descriptor may have been reserved for the next connection before the limit.
    let waiting = ["/-/healthy", "/-/metrics"].map(|url| program.begin(url));
    program.wait_for_log("a connection cannot be accepted");
    program.limit_open_files(256);
    let [_, metrics] = waiting.map(read_to_end);
    let lines = metrics.lines();
    let mut counted =
        lines.filter_map(|line| line.strip_prefix("metrics_aggregator_accept_errors_total "));
    let count: u64 = counted.next().unwrap().parse().unwrap();
    assert!(count >= 1, "{metrics}");
}

/// The families that have to move and have not yet.
fn missing(moved: &BTreeSet<&str>) -> Vec<&'static str> {
    let is_still = |family: &str| {
        STILL.contains(&family) || NOT_DRIVEN.iter().any(|(name, _)| *name == family)
    };
    let names = FAMILIES.iter().map(|family| family.name);
    names
        .filter(|name| !is_still(name) && !moved.contains(name))
        .collect()
}

/// A program whose one target hangs, during a request for it.
fn busy_program() -> (FakePod, Program, TcpStream) {
    let fake = FakePod::start(Behaviour::Hang);
    let program = Program::scraping(&[pod_at("n", "a", "web", fake.address)], &[]);
    let stream = program.begin("/metrics?job=web");
    let asked = fake.requests.recv_timeout(TEST_TIMEOUT);
    asked.expect("the pod is asked");
    (fake, program, stream)
}

fn check_values(samples: &BTreeMap<String, f64>) {
    let value = |series: &str| {
        samples
            .get(&format!("metrics_aggregator_{series}"))
            .copied()
    };
    assert_eq!(value("targets{job=\"web\"}"), Some(3.0));
    assert_eq!(value("invalid_targets"), Some(1.0));
    assert_eq!(value("workers{kind=\"client\"}"), Some(2.0));
    assert!(value("scrape_failures_total{phase=\"wait\"}") >= Some(1.0));
    assert!(value("requests_total{path=\"/metrics\",code=\"404\"}") >= Some(1.0));
    assert!(value("requests_total{path=\"/probe\",code=\"404\"}") >= Some(1.0));
    assert!(value("requests_total{path=\"other\",code=\"404\"}") >= Some(1.0));
    assert!(value("front_refusals_total{code=\"413\"}") >= Some(1.0));
    assert_eq!(value("scraped_max_bytes{job=\"web\"}"), Some(35.0));
    assert!(value("cache_refreshes_total{result=\"ok\"}") >= Some(1.0));
}

#[track_caller]
fn check_has(text: &str, samples: &[&str]) {
    for sample in samples {
        let line = format!("\nmetrics_aggregator_{sample}\n");
        check_contains(text, &line);
    }
}

#[test]
fn a_duration_counts_in_its_bucket_and_all_above() {
    let telemetry = Telemetry::default();
    for milliseconds in [5, 6, 400_000] {
        telemetry
            .request_wait
            .count(Duration::from_millis(milliseconds));
    }
    check_has(
        &telemetry.text(&Gauges::default()),
        &[
            "request_wait_seconds_bucket{le=\"0.001\"} 0",
            "request_wait_seconds_bucket{le=\"0.005\"} 1",
            "request_wait_seconds_bucket{le=\"0.01\"} 2",
            "request_wait_seconds_bucket{le=\"300\"} 2",
            "request_wait_seconds_bucket{le=\"+Inf\"} 3",
            "request_wait_seconds_sum 400.011",
            "request_wait_seconds_count 3",
        ],
    );
}

/// Anyone who may label pods can name jobs.
#[test]
fn surplus_jobs_share_one_count() {
    let telemetry = Telemetry::default();
    for number in 0..COUNTED_JOBS_MAX + 50 {
        telemetry.count_scrape(&format!("job-{number:04}"), Duration::ZERO, 10);
    }
    let text = telemetry.text(&Gauges {
        targets: vec![("job-0000", 3), ("job-0249", 4)],
        ..Gauges::default()
    });
    check_has(
        &text,
        &[
            "targets{job=\"job-0000\"} 3",
            "targets{job=\"other\"} 4",
            "scraped_bytes_total{job=\"job-0000\"} 10",
            "scraped_bytes_total{job=\"other\"} 500",
            "scraped_max_bytes{job=\"other\"} 10",
        ],
    );
    let jobs = text.matches("metrics_aggregator_targets{").count();
    assert_eq!(jobs, COUNTED_JOBS_MAX + 1);
}
