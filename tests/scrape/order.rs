//! Who is scraped when: pods that hang cost neither the other pods of their job nor those of other jobs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{TryRecvError, bounded, unbounded};
use kubernetes_metrics_aggregator::scrape::deadline::ScrapeDeadline;

use crate::support::attack::alone;
use crate::support::eventually;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{HttpResponse, PATIENCE, Program, TempFile, pod, pod_at};

const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

fn hanging(number: usize) -> Vec<FakePod> {
    let start = |_| FakePod::start(Behaviour::Hang);
    (0..number).map(start).collect()
}

fn healthy(number: usize) -> Vec<FakePod> {
    let start = |_| FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    (0..number).map(start).collect()
}

/// A program with these jobs, whose pods are named by their position in them.
fn program(jobs: &[(&str, &[FakePod])], client_workers: &str) -> Program {
    let mut pods = Vec::new();
    for (job, fakes) in jobs {
        for (n, fake) in fakes.iter().enumerate() {
            pods.push(pod_at(job, &format!("{n:02}"), job, fake.address));
        }
    }
    let settings = [("CLIENT_WORKERS", client_workers)];
    Program::with_pods(&TempFile::pods(&pods), &settings)
}

fn pods_up(response: &HttpResponse) -> usize {
    let up = |line: &&str| line.starts_with("up{") && line.ends_with(" 1");
    response.text().lines().filter(up).count()
}

/// During the first responses it is not yet known which pods hang: each of them takes a worker once.
#[track_caller]
fn check_all_healthy_are_up(client_workers: &str, hangs: usize, until_known: usize) {
    let mut job = hanging(hangs);
    job.extend(healthy(20));
    let program = program(&[("web", &job)], client_workers);
    let ask = || program.get_with("/metrics?job=web", &[(TIMEOUT, "3")]);
    for _ in 0..until_known {
        assert_eq!(ask().text().matches("\nup{").count(), hangs + 20);
    }
    for _ in 0..2 {
        assert_eq!(pods_up(&ask()), 20);
    }
}

/// Three of the four workers may try new pods, so three pods that hang are known after one response. One worker is left
/// from the other two.
#[test]
fn pods_that_hang_take_no_time_of_those_behind_them() {
    check_all_healthy_are_up("4", 5, 1);
}

#[test]
fn pods_that_hang_take_no_time_of_those_behind_them_with_a_single_worker() {
    check_all_healthy_are_up("1", 2, 2);
}

#[test]
fn a_large_job_does_not_stand_before_a_small_one() {
    let (go, wait) = unbounded();
    let start = |_| FakePod::start(Behaviour::Wait(wait.clone(), SMALL_BODY.to_owned()));
    let [large, small]: [Vec<FakePod>; 2] = [20, 2].map(|pods| (0..pods).map(start).collect());
    let program = program(&[("large", &large), ("small", &small)], "1");
    let asked = |pods: &[FakePod]| pods.iter().map(|pod| pod.requests.len()).sum::<usize>();
    let waiting = "metrics_aggregator_scrapes_waiting";
    thread::scope(|scope| {
        let of_large = scope.spawn(|| program.get("/metrics?job=large"));
        eventually("the worker is at the large job", || asked(&large) == 1);
        let of_small = scope.spawn(|| program.get("/metrics?job=small"));
        eventually("both jobs wait for the worker", || {
            program.get("/-/metrics").sample(waiting) == Some("2")
        });
        // From here on they are scraped in turn, the large one first.
        for _ in 0..5 {
            go.send(()).unwrap();
        }
        assert_eq!(pods_up(&of_small.join().unwrap()), 2);
        assert!(asked(&large) <= 4, "{}", asked(&large));
        for _ in 0..17 {
            go.send(()).unwrap();
        }
        assert_eq!(pods_up(&of_large.join().unwrap()), 20);
    });
}

/// A job gets its response while the pods of another hang and have all workers that they may have.
#[track_caller]
fn check_the_other_job_does_not_wait(client_workers: &str, busy: usize) {
    let (slow, quick) = (hanging(20), healthy(20));
    let program = program(&[("slow", &slow), ("quick", &quick)], client_workers);
    let timeout = [(TIMEOUT, "4")];
    assert_eq!(pods_up(&program.get("/metrics?job=quick")), 20);
    // The first time nobody knows that they hang.
    for _ in 0..2 {
        let requests = || slow.iter().flat_map(|pod| pod.requests.try_iter()).count();
        requests();
        let (sender, responses) = bounded(1);
        thread::scope(|scope| {
            scope.spawn(|| sender.send(program.get_with("/metrics?job=slow", &timeout)));
            let mut taken = 0;
            eventually("as many workers as may be are taken", || {
                taken += requests();
                taken >= busy
            });
            assert_eq!(pods_up(&program.get("/metrics?job=quick")), 20);
            assert!(matches!(responses.try_recv(), Err(TryRecvError::Empty)));
            assert_eq!(pods_up(&responses.recv_timeout(PATIENCE).unwrap()), 0);
        });
    }
}

#[test]
fn pods_that_hang_leave_a_quarter_of_the_workers_to_other_jobs() {
    check_the_other_job_does_not_wait("8", 6);
}

#[test]
fn pods_that_hang_leave_one_of_two_workers_to_other_jobs() {
    check_the_other_job_does_not_wait("2", 1);
}

/// Three of the four workers scrape pods that hang, one second each: 34 s for a hundred of them. The bounds are those
/// of an operator, and far enough away for a slow machine.
#[test]
#[ignore = "takes over half a minute"]
fn a_hundred_pods_that_hang_have_every_worker_but_the_reserved_ones() {
    let _alone = alone();
    let (slow, quick) = (hanging(100), healthy(8));
    let program = {
        let one_second = |(n, fake): (usize, &FakePod)| {
            let port = fake.address.port().to_string();
            let labels = [
                ("job-name", "slow"),
                ("port", &port),
                ("scrape-timeout-seconds", "1"),
            ];
            pod("slow", &format!("{n:03}"), fake.address.ip(), &labels)
        };
        let mut pods: Vec<_> = slow.iter().enumerate().map(one_second).collect();
        let at = |fake: &FakePod| {
            pod_at(
                "quick",
                &fake.address.port().to_string(),
                "quick",
                fake.address,
            )
        };
        pods.extend(quick.iter().map(at));
        Program::with_pods(&TempFile::pods(&pods), &[("CLIENT_WORKERS", "4")])
    };
    assert_eq!(pods_up(&program.get("/metrics?job=quick")), 8);
    let start = Instant::now();
    thread::scope(|scope| {
        let hanging = scope.spawn(|| ask_for(&program, "/metrics?job=slow", 2 * ALL_HANGING));
        while !hanging.is_finished() {
            let asked = Instant::now();
            assert_eq!(pods_up(&program.get("/metrics?job=quick")), 8);
            let took = asked.elapsed();
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
        let response = hanging.join().unwrap();
        assert_eq!(response.matches("\nup{").count(), 100);
    });
    let took = start.elapsed();
    assert!(took < ALL_HANGING, "{took:?}");
}

/// In which a hundred pods that hang for a second each are scraped by three workers.
const ALL_HANGING: Duration = Duration::from_secs(42);

/// The response, which may take so long to begin.
fn ask_for(program: &Program, url: &str, patience: Duration) -> String {
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let request = format!("GET {url} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn larger_responses_end_earlier_but_never_by_more_than_a_quarter() {
    let due = Instant::now() + Duration::from_secs(8);
    let [plain, gzip] = [false, true].map(|is_gzipped| ScrapeDeadline::new(due, is_gzipped));
    let spared = |deadline: &ScrapeDeadline, bytes| (due - deadline.of_results(bytes)).as_millis();
    // 80 ms is a hundredth; `new` looks at the clock. 50 MiB take 8 ns a byte, and 32.
    for (bytes, least, most) in [
        (0, 78, 80),
        (50 << 20, 497, 500),
        (1 << 40, 1950, 2000),
        (usize::MAX, 1950, 2000),
    ] {
        let spared = spared(&plain, bytes);
        assert!((least..=most).contains(&spared), "{bytes}: {spared}");
    }
    let spared = spared(&gzip, 50 << 20);
    assert!((1755..=1758).contains(&spared), "{spared}");
    assert!(plain.of_scrapes(0) < plain.of_results(0));
}
