//! The order of scrapes: pods that hang delay neither the other pods of their job nor other jobs. README: "Timeouts" in
//! k8s/prometheus, "Sizing" in k8s.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{TryRecvError, bounded, unbounded};

use crate::support::attack::alone;
use crate::support::eventually;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{HttpResponse, Program, TEST_TIMEOUT, numbered, pod_at, read_to_end};

const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

fn hanging(number: usize) -> Vec<FakePod> {
    let start = |_| FakePod::start(Behaviour::Hang);
    (0..number).map(start).collect()
}

fn healthy(number: usize) -> Vec<FakePod> {
    let start = |_| FakePod::healthy();
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
    Program::scraping(&pods, &settings)
}

fn pods_up(response: &HttpResponse) -> usize {
    let up = response.lines("up{").into_iter();
    up.filter(|line| line.ends_with(" 1")).count()
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
fn pods_that_hang_do_not_delay_the_others() {
    check_all_healthy_are_up("4", 5, 1);
}

#[test]
fn pods_that_hang_do_not_delay_the_others_with_a_single_worker() {
    check_all_healthy_are_up("1", 2, 2);
}

#[test]
fn a_small_job_does_not_wait_behind_a_large_one() {
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
    // The first time it is not yet known that they hang.
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
            assert_eq!(pods_up(&responses.recv_timeout(TEST_TIMEOUT).unwrap()), 0);
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
    let mut pods = numbered(
        &slow,
        &[("scrape-timeout-seconds", "1"), ("job-name", "slow")],
    );
    let at = |fake: &FakePod| {
        let name = fake.address.port().to_string();
        pod_at("quick", &name, "quick", fake.address)
    };
    pods.extend(quick.iter().map(at));
    let program = Program::scraping(&pods, &[("CLIENT_WORKERS", "4")]);
    assert_eq!(pods_up(&program.get("/metrics?job=quick")), 8);
    let start = Instant::now();
    thread::scope(|scope| {
        let hanging = scope.spawn(|| {
            let stream = program.begin("/metrics?job=slow");
            stream.set_read_timeout(Some(2 * ALL_HANGING)).unwrap();
            read_to_end(stream)
        });
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

/// The time in which three workers scrape a hundred pods that hang for a second each.
const ALL_HANGING: Duration = Duration::from_secs(42);
