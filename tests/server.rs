//! The built program seen by a scraper: responses, status codes, headers, deadline, shutdown.

mod gzip;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use flate2::read::GzDecoder;

use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{PATIENCE, Program, TempFile, pod, pod_at};

/// A file with one healthy pod of the job `web`, and that pod.
fn one_pod() -> (FakePod, TempFile) {
    let fake = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    (fake, file)
}

#[test]
fn two_pods_become_one_text_in_the_order_of_the_contract() {
    let a = FakePod::start(Behaviour::Body(
        "# HELP b_total B.\n# TYPE b_total counter\nb_total 1.50\na 1e-3\n".into(),
    ));
    let b = FakePod::start(Behaviour::Body("a{job=\"own\"} NaN 1700000000000\n".into()));
    let file = TempFile::pods(&[
        pod_at("shop", "b", "web", b.address),
        pod_at("accounts", "a", "web", a.address),
    ]);
    let program = Program::with_pods(&file, &[]);
    let response = program.get("/metrics?job=web");
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(
        response.header("content-length"),
        Some(response.body.len().to_string().as_str())
    );

    let labels_a = format!(
        "instance=\"a\",job=\"web\",pod_namespace=\"accounts\",pod_ip=\"{}\"",
        a.address.ip()
    );
    let labels_b = format!(
        "instance=\"b\",job=\"web\",pod_namespace=\"shop\",pod_ip=\"{}\"",
        b.address.ip()
    );
    let expected = format!(
        "# TYPE a untyped\na{{{labels_a}}} 1e-3\na{{exported_job=\"own\",{labels_b}}} NaN 1700000000000\n\
         # HELP b_total B.\n# TYPE b_total counter\nb_total{{{labels_a}}} 1.50\n"
    );
    assert!(
        response.text().starts_with(&expected),
        "{}",
        response.text()
    );
    assert_eq!(response.sample(&format!("up{{{labels_a}}}")), Some("1"));
    assert_eq!(response.sample(&format!("up{{{labels_b}}}")), Some("1"));
    assert_eq!(
        response.sample(&format!("scrape_samples_scraped{{{labels_a}}}")),
        Some("2")
    );
}

#[test]
fn the_seeds_metrics_path_works_as_prometheus_sends_it() {
    let (fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    let response = program.get("/metrics%3Fjob=web");
    assert_eq!((response.status, response.up("web-0")), (200, Some(true)));
    assert_eq!(fake.requests.try_iter().count(), 1);
}

#[test]
fn several_jobs_in_one_request() {
    let (a, b) = (
        FakePod::start(Behaviour::Body(SMALL_BODY.into())),
        FakePod::start(Behaviour::Status(500)),
    );
    let file = TempFile::pods(&[
        pod_at("n", "a", "web", a.address),
        pod_at("n", "b", "queue", b.address),
    ]);
    let program = Program::with_pods(&file, &[]);
    let response = program.get("/metrics?job=queue&job=web&job=gone");
    assert_eq!(
        (response.status, response.up("a"), response.up("b")),
        (200, Some(true), Some(false))
    );
}

/// A job that is scaled to zero or runs now and then: direct, Prometheus has no target, and nothing is down.
#[test]
fn a_job_that_may_have_no_pods_is_an_empty_text() {
    let (fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    for url in [
        "/metrics?job=gone&absent=ok",
        "/metrics%3Fjob=gone&absent=ok",
        "/metrics?job=gone&job=lost&absent=ok",
        "/metrics?job=gone&shard=2/3&absent=ok",
    ] {
        for method in ["GET", "HEAD"] {
            let response = program.request(method, url, &[]);
            assert_eq!(
                (response.status, response.text()),
                (200, ""),
                "{method} {url}"
            );
            assert_eq!(
                response.header("content-type"),
                Some("text/plain; version=0.0.4; charset=utf-8"),
                "{method} {url}"
            );
            assert_eq!(
                response.header("content-length"),
                Some("0"),
                "{method} {url}"
            );
        }
    }
    assert!(fake.requests.is_empty());
    let refused = program.get("/metrics?job=gone");
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("&absent=ok"), "{}", refused.text());
    // Those that have pods are there as ever.
    for url in [
        "/metrics?job=gone&job=web&absent=ok",
        "/metrics?job=web&absent=ok&shard=1/1",
    ] {
        assert_eq!(program.get(url).up("web-0"), Some(true), "{url}");
    }
    // Whether it has pods is not known before the first list.
    let early = Program::start(&[("POD_LIST_FILE", "/no/such/file")]);
    assert_eq!(early.get("/metrics?job=gone&absent=ok").status, 503);
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    let (_fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    let rows = [
        ("GET", "/metrics", 400, "name the job"),
        ("GET", "/metrics?job=", 400, "name the job"),
        ("GET", "/metrics?job=%ff", 400, "percent-encoded"),
        (
            "GET",
            "/metrics?job=gone",
            404,
            "metrics-aggregator.apawel.me/job-name with the value \"gone\"",
        ),
        ("GET", "/nowhere", 404, "/ lists what there is"),
        ("POST", "/metrics?job=web", 405, "only GET and HEAD"),
        ("DELETE", "/", 405, "only GET and HEAD"),
    ];
    for (method, url, status, text) in rows {
        let response = program.request(method, url, &[]);
        assert_eq!(response.status, status, "{method} {url}");
        assert!(
            response.text().contains(text),
            "{method} {url}: {}",
            response.text()
        );
        assert_eq!(
            response.text().matches('\n').count(),
            1,
            "{method} {url}: {}",
            response.text()
        );
        assert_eq!(
            response.header("content-type"),
            Some("text/plain; charset=utf-8"),
            "{method} {url}"
        );
        assert_eq!(
            response.header("allow"),
            (status == 405).then_some("GET, HEAD"),
            "{method} {url}"
        );
    }
    let response = program.get_with(
        "/metrics?job=web",
        &[("X-Prometheus-Scrape-Timeout-Seconds", "soon")],
    );
    assert_eq!(
        (response.status, response.text().contains("found \"soon\"")),
        (400, true)
    );
}

#[test]
fn a_request_body_is_refused() {
    let (fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    for (header, body) in [
        ("Content-Length: 5", "01234"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n0\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(program.address).unwrap();
        let request = format!(
            "GET /metrics?job=web HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = [0; 12];
        stream.read_exact(&mut response).unwrap();
        assert_eq!(&response, b"HTTP/1.1 413", "{header}");
    }
    assert!(fake.requests.is_empty());
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (_fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    let head = program.request("HEAD", "/metrics?job=web", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(
        head.header("content-length")
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 0
    );
    let (get, head) = (
        program.get("/-/healthy"),
        program.request("HEAD", "/-/healthy", &[]),
    );
    assert_eq!(get.header("content-length"), head.header("content-length"));
}

#[test]
fn a_scraper_that_accepts_gzip_gets_gzip() {
    let fake = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    let response = program.get_with("/metrics?job=web", &[("Accept-Encoding", "gzip")]);
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(
        response.header("content-length"),
        Some(response.body.len().to_string().as_str())
    );
    let mut text = String::new();
    GzDecoder::new(&response.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(
        text.contains("pages_total{kind=\"a\",instance=\"web-0\""),
        "{text}"
    );

    let never = Program::with_pods(&file, &[("GZIP_LEVEL", "0")]);
    let response = never.get_with("/metrics?job=web", &[("Accept-Encoding", "gzip")]);
    assert_eq!(
        (response.header("content-encoding"), response.up("web-0")),
        (None, Some(true))
    );
}

#[test]
fn not_ready_before_the_first_pod_list_but_healthy() {
    let program = Program::start(&[("POD_LIST_FILE", "/no/such/file")]);
    assert_eq!(program.get("/-/healthy").status, 200);
    for url in ["/-/ready", "/metrics?job=web"] {
        let response = program.get(url);
        assert_eq!(
            (response.status, response.header("retry-after")),
            (503, Some("1")),
            "{url}"
        );
    }
    assert_eq!(program.get("/").status, 200);
}

#[test]
fn health_does_not_wait_behind_scrapes_and_surplus_requests_are_refused() {
    let (go, wait) = unbounded();
    let fake = FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(
        &file,
        &[
            ("SERVER_WORKERS", "1"),
            ("MAX_WAITING_REQUESTS", "1"),
            ("CLIENT_WORKERS", "4"),
        ],
    );
    let (sender, responses) = unbounded();
    thread::scope(|scope| {
        let ask = || {
            let (program, sender) = (&program, sender.clone());
            scope.spawn(move || sender.send(program.get("/metrics?job=web")).unwrap());
        };
        ask();
        fake.requests.recv_timeout(PATIENCE).unwrap();
        // The one worker is busy: of two more requests one waits, so the first response is the refusal of the other.
        ask();
        ask();
        let refused = responses.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("1"))
        );
        assert!(
            refused.text().contains("MAX_WAITING_REQUESTS"),
            "{}",
            refused.text()
        );
        assert_eq!(program.get("/-/healthy").status, 200);
        assert_eq!(program.get("/-/ready").status, 200);
        for _ in 0..2 {
            go.send(()).unwrap();
            assert_eq!(
                responses.recv_timeout(PATIENCE).unwrap().up("web-0"),
                Some(true)
            );
        }
    });
}

#[test]
fn the_response_leaves_before_the_scrapers_timeout() {
    let (healthy, hanging) = (
        FakePod::start(Behaviour::Body(SMALL_BODY.into())),
        FakePod::start(Behaviour::Hang),
    );
    let file = TempFile::pods(&[
        pod_at("n", "a", "web", hanging.address),
        pod_at("n", "b", "web", healthy.address),
    ]);
    // Of two workers one would not scrape what was never scraped.
    let program = Program::with_pods(&file, &[("CLIENT_WORKERS", "3")]);
    let start = Instant::now();
    let response = program.get_with(
        "/metrics?job=web",
        &[("X-Prometheus-Scrape-Timeout-Seconds", "1.5")],
    );
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (response.up("a"), response.up("b")),
        (Some(false), Some(true))
    );
    // The pod is told how long it has: what is left of the scraper's timeout, less the offset.
    let head = hanging
        .requests
        .recv_timeout(PATIENCE)
        .unwrap()
        .to_ascii_lowercase();
    let left = head
        .lines()
        .find_map(|line| line.strip_prefix("x-prometheus-scrape-timeout-seconds: "))
        .unwrap();
    let left: f64 = left.parse().unwrap();
    assert!(0.5 < left && left <= 1.0, "{left}");
}

/// What comes after the scrapes has its time too.
#[test]
fn the_last_byte_of_a_large_response_leaves_before_the_deadline() {
    let body: String = (0..100_000)
        .map(|n| format!("some_counter_with_a_long_name_total{{number=\"{n}\"}} {n}\n"))
        .collect();
    let (large, hanging) = (
        FakePod::start(Behaviour::Body(body)),
        FakePod::start(Behaviour::Hang),
    );
    let file = TempFile::pods(&[
        pod_at("n", "a", "web", hanging.address),
        pod_at("n", "b", "web", large.address),
    ]);
    let program = Program::with_pods(&file, &[("CLIENT_WORKERS", "3")]);
    let start = Instant::now();
    let timeout = [
        ("X-Prometheus-Scrape-Timeout-Seconds", "4"),
        ("Accept-Encoding", "gzip"),
    ];
    let response = program.get_with("/metrics?job=web", &timeout);
    assert_eq!(response.status, 200);
    assert!(response.body.len() > 100_000, "not all samples are there");
    // The scraper's timeout; half a second of it is for the network and a slow machine.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_fresh_scrape_for_every_request() {
    let (fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    assert!(fake.requests.is_empty(), "no scrape without a request");
    for _ in 0..3 {
        assert_eq!(program.get("/metrics?job=web").up("web-0"), Some(true));
    }
    assert_eq!(fake.requests.try_iter().count(), 3);
    assert_eq!(fake.connections(), 1, "the connection to the pod is kept");
}

#[test]
fn labels_in_the_seeds_hyphen_style() {
    let (fake, file) = one_pod();
    let program = Program::with_pods(&file, &[("POD_LABEL_STYLE", "hyphen")]);
    let response = program.get("/metrics?job=web");
    let series = format!(
        "pages_total{{kind=\"a\",instance=\"web-0\",job=\"web\",\"pod-namespace\"=\"shop\",\"pod-ip\"=\"{}\"}}",
        fake.address.ip()
    );
    assert_eq!(response.sample(&series), Some("1"), "{}", response.text());
}

#[test]
fn the_status_page_names_jobs_targets_and_reasons() {
    let (fake, _) = one_pod();
    let bad = pod(
        "shop",
        "bad",
        fake.address.ip(),
        &[("job-name", "web"), ("port", "http")],
    );
    let file = TempFile::pods(&[pod_at("shop", "good", "web", fake.address), bad]);
    let program = Program::with_pods(&file, &[]);
    assert_eq!(program.get("/metrics?job=web").up("bad"), Some(false));
    let page = program.get("/");
    for text in [
        "job web: 2 targets",
        "shop/good:",
        "up    1 samples",
        "metrics-aggregator.apawel.me/port",
        "\"http\"",
    ] {
        assert!(
            page.text().contains(text),
            "no {text:?} in:\n{}",
            page.text()
        );
    }
}

#[test]
fn a_request_whose_client_has_left_stops_costing() {
    let (go, wait) = unbounded();
    let slow = FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()));
    let pods: Vec<_> = (0..20)
        .map(|number| pod_at("n", &format!("p{number}"), "slow", slow.address))
        .collect();
    let program = Program::with_pods(&TempFile::pods(&pods), &[("CLIENT_WORKERS", "1")]);
    let mut client = TcpStream::connect(program.address).unwrap();
    client
        .write_all(b"GET /metrics?job=slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    slow.requests.recv_timeout(PATIENCE).unwrap();
    // The response to half a farewell says that the rest was not scraped, so it comes before any pod has responded.
    client.shutdown(Shutdown::Write).unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 503 ") && response.contains("keep the connection"),
        "{response}"
    );
    go.send(()).unwrap();
    // One scrape was under way; the next one is that of the next request.
    thread::scope(|scope| {
        let next = scope.spawn(|| program.get("/metrics?job=slow"));
        for _ in 0..20 {
            slow.requests.recv_timeout(PATIENCE).unwrap();
            go.send(()).unwrap();
        }
        assert_eq!(next.join().unwrap().text().matches("} 1\n").count(), 3 * 20);
    });
    assert_eq!(slow.requests.try_iter().count(), 0);
}

#[track_caller]
fn check_shutdown(signal: &str) {
    let (go, wait) = unbounded();
    let fake = FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let mut program = Program::with_pods(&file, &[]);
    let address = program.address;
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics?job=web HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    fake.requests.recv_timeout(PATIENCE).unwrap();
    let kill = Command::new("kill")
        .args([signal, &program.pid().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    program.wait_for_log("stopping");
    go.send(()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 200 ") && response.contains("up{instance=\"web-0\""),
        "{response}"
    );
    assert_eq!(program.wait().code(), Some(0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn sigterm_lets_a_running_request_finish_and_ends_with_0() {
    check_shutdown("-TERM");
}

#[test]
fn sigint_does_the_same() {
    check_shutdown("-INT");
}

#[test]
fn an_address_in_use_is_an_error_with_the_setting_to_change() {
    let (_fake, file) = one_pod();
    let program = Program::with_pods(&file, &[]);
    let address = program.address.to_string();
    let output = Program::command(&[
        ("LISTEN_ADDRESS", &address),
        ("POD_LIST_FILE", file.0.to_str().unwrap()),
    ])
    .output()
    .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&address) && stderr.contains("LISTEN_ADDRESS"),
        "{stderr}"
    );
}
