//! The scraper's timeout: the response leaves before it, and a client that leaves early costs nothing more.
//! README: "What is stored", "When something fails"; k8s/prometheus/README.md: "Timeouts".

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use kubernetes_metrics_aggregator::scrape::deadline::ScrapeDeadline;

use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, header};
use crate::support::program::{Program, TEST_TIMEOUT, pod_at, read_to_end};

#[test]
fn the_response_leaves_before_the_scrapers_timeout() {
    let (healthy, hanging) = (FakePod::healthy(), FakePod::start(Behaviour::Hang));
    // Of two workers one would not scrape what was never scraped.
    let pods = [
        pod_at("n", "a", "web", hanging.address),
        pod_at("n", "b", "web", healthy.address),
    ];
    let program = Program::scraping(&pods, &[("CLIENT_WORKERS", "3")]);
    let start = Instant::now();
    let response = program.get_with(
        "/metrics?job=web",
        &[("X-Prometheus-Scrape-Timeout-Seconds", "1.5")],
    );
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert_eq!(
        (response.up("a"), response.up("b")),
        (Some(false), Some(true))
    );
    // The pod is told how long it has: what is left of the scraper's timeout, less the offset.
    let head = hanging.requests.recv_timeout(TEST_TIMEOUT).unwrap();
    let left = header(&head, "x-prometheus-scrape-timeout-seconds").unwrap();
    let left: f64 = left.parse().unwrap();
    assert!(0.5 < left && left <= 1.0, "{left}");
}

/// Merging, compressing and sending take time too.
#[test]
fn the_last_byte_of_a_large_response_leaves_before_the_deadline() {
    let body: String = (0..100_000)
        .map(|n| format!("some_counter_with_a_long_name_total{{number=\"{n}\"}} {n}\n"))
        .collect();
    let (large, hanging) = (FakePod::serving(body), FakePod::start(Behaviour::Hang));
    let pods = [
        pod_at("n", "a", "web", hanging.address),
        pod_at("n", "b", "web", large.address),
    ];
    // The hanging pod is awaited for nearly 4 s. A test machine that is busy has the other 3 for the response, which a
    // debug build takes far longer to make than the program allows for.
    let set = [
        ("CLIENT_WORKERS", "3"),
        ("SCRAPE_TIMEOUT_OFFSET_SECONDS", "3"),
    ];
    let program = Program::scraping(&pods, &set);
    let start = Instant::now();
    let timeout = [
        ("X-Prometheus-Scrape-Timeout-Seconds", "7"),
        ("Accept-Encoding", "gzip"),
    ];
    let response = program.get_with("/metrics?job=web", &timeout);
    let took = start.elapsed();
    assert_eq!(response.status, 200);
    assert!(response.body.len() > 100_000, "not all samples are there");
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[test]
fn pods_are_not_scraped_for_a_client_that_has_left() {
    let (go, wait) = unbounded();
    let slow = FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()));
    let pods: Vec<_> = (0..20)
        .map(|number| pod_at("n", &format!("p{number}"), "slow", slow.address))
        .collect();
    let program = Program::scraping(&pods, &[("CLIENT_WORKERS", "1")]);
    let client = program.begin("/metrics?job=slow");
    slow.requests.recv_timeout(TEST_TIMEOUT).unwrap();
    // The client has closed its side: the response says that the rest was not scraped, before any pod has responded.
    client.shutdown(Shutdown::Write).unwrap();
    let response = read_to_end(client);
    assert!(
        response.starts_with("HTTP/1.1 503 ") && response.contains("keep the connection"),
        "{response}"
    );
    go.send(()).unwrap();
    // One scrape was under way; the next one is that of the next request.
    thread::scope(|scope| {
        let next = scope.spawn(|| program.get("/metrics?job=slow"));
        for _ in 0..20 {
            slow.requests.recv_timeout(TEST_TIMEOUT).unwrap();
            go.send(()).unwrap();
        }
        assert_eq!(next.join().unwrap().text().matches("} 1\n").count(), 3 * 20);
    });
    assert_eq!(slow.requests.try_iter().count(), 0);
}

#[test]
fn larger_responses_end_earlier_but_never_by_more_than_a_quarter() {
    let due = Instant::now() + Duration::from_secs(8);
    let [plain, gzip, smallest] = [0, 1, 6].map(|level| ScrapeDeadline::new(due, level));
    let spared = |deadline: &ScrapeDeadline, bytes| (due - deadline.of_results(bytes)).as_millis();
    // 80 ms is a hundredth; `new` looks at the clock. A byte takes 8 ns, and 6 more for each level.
    for (bytes, least, most) in [
        (0, 78, 80),
        (50 << 20, 497, 500),
        (1 << 40, 1950, 2000),
        (usize::MAX, 1950, 2000),
    ] {
        let spared = spared(&plain, bytes);
        assert!((least..=most).contains(&spared), "{bytes}: {spared}");
    }
    for (deadline, ends) in [(&gzip, 517..=520), (&smallest, 1461..=1464)] {
        let spared = spared(deadline, 30 << 20);
        assert!(ends.contains(&spared), "{spared}");
    }
    assert!(plain.of_scrapes(0) < plain.of_results(0));
}
