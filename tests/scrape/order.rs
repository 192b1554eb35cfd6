//! Who is scraped when: pods that hang cost neither the other pods of their job nor those of other jobs.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, TryRecvError, bounded, unbounded};

use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{Answer, PATIENCE, Program, TempFile, pod_at};

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

fn pods_up(answer: &Answer) -> usize {
    let up = |line: &&str| line.starts_with("up{") && line.ends_with(" 1");
    answer.text().lines().filter(up).count()
}

#[track_caller]
fn check_all_healthy_are_up(client_workers: &str, hangs: usize) {
    let mut job = hanging(hangs);
    job.extend(healthy(20));
    let program = program(&[("web", &job)], client_workers);
    // In the first answer nobody knows yet which pods hang; they stand first.
    for round in ["first", "second"] {
        let answer = program.get_with("/metrics?job=web", &[(TIMEOUT, "3")]);
        assert_eq!(answer.text().matches("\nup{").count(), hangs + 20);
        assert_eq!(pods_up(&answer), 20, "{round} answer");
    }
}

#[test]
fn pods_that_hang_take_no_time_of_those_behind_them() {
    check_all_healthy_are_up("4", 5);
}

/// More hang than are given up early, and they stand together.
#[test]
fn the_first_answer_has_most_healthy_pods_when_many_hang() {
    let mut job = hanging(8);
    job.extend(healthy(12));
    let program = program(&[("web", &job)], "2");
    let answer = program.get_with("/metrics?job=web", &[(TIMEOUT, "8")]);
    let up = pods_up(&answer);
    assert!(up >= 6, "{up} of 12 healthy pods");
    let answer = program.get_with("/metrics?job=web", &[(TIMEOUT, "8")]);
    assert_eq!(pods_up(&answer), 12, "second answer");
}

#[test]
fn pods_that_hang_take_no_time_of_those_behind_them_with_a_single_worker() {
    check_all_healthy_are_up("1", 2);
}

#[test]
fn a_pod_that_is_given_up_early_has_its_whole_timeout_in_the_end() {
    let (go, wait) = unbounded();
    let mut job = vec![FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned()))];
    job.extend(healthy(20));
    let program = program(&[("web", &job)], "1");
    let (sender, answers) = bounded(1);
    thread::scope(|scope| {
        scope.spawn(|| sender.send(program.get_with("/metrics?job=web", &[(TIMEOUT, "10")])));
        for _ in 0..2 {
            let head = job[0].requests.recv_timeout(PATIENCE).unwrap();
            let head = head.to_ascii_lowercase();
            let told = head
                .lines()
                .find_map(|line| line.strip_prefix("x-prometheus-scrape-timeout-seconds: "))
                .unwrap();
            // Its own timeout of 5 s; what is missing is for a slow machine.
            let told: f64 = told.parse().unwrap();
            assert!(3.0 < told && told <= 5.0, "{told}");
        }
        // The first turn lasted as long as 9.5 s are for each of 21 pods. The second goes on after that.
        let longer = Duration::from_secs(1);
        assert!(matches!(
            answers.recv_timeout(longer),
            Err(RecvTimeoutError::Timeout)
        ));
        // The connection of the first turn is waiting for this too.
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(pods_up(&answers.recv_timeout(PATIENCE).unwrap()), 21);
    });
}

/// A job is answered while the pods of another hang.
#[track_caller]
fn check_the_other_job_does_not_wait(client_workers: &str, busy: usize, is_known: bool) {
    let (slow, quick) = (hanging(20), healthy(20));
    let program = program(&[("slow", &slow), ("quick", &quick)], client_workers);
    let timeout = [(TIMEOUT, "4")];
    if is_known {
        assert_eq!(pods_up(&program.get("/metrics?job=quick")), 20);
    }
    // The first time nobody knows that they hang.
    for _ in 0..2 {
        let requests = || slow.iter().flat_map(|pod| pod.requests.try_iter()).count();
        requests();
        let (sender, answers) = bounded(1);
        thread::scope(|scope| {
            scope.spawn(|| sender.send(program.get_with("/metrics?job=slow", &timeout)));
            // As many as hanging pods may ever take are taken.
            let mut taken = 0;
            while taken < busy {
                taken += requests();
                thread::yield_now();
            }
            assert_eq!(pods_up(&program.get("/metrics?job=quick")), 20);
            assert!(matches!(answers.try_recv(), Err(TryRecvError::Empty)));
            assert_eq!(pods_up(&answers.recv_timeout(PATIENCE).unwrap()), 0);
        });
    }
}

#[test]
fn pods_that_hang_leave_workers_to_other_jobs() {
    check_the_other_job_does_not_wait("8", 4, true);
}

#[test]
fn pods_that_hang_leave_one_of_two_workers_to_other_jobs() {
    check_the_other_job_does_not_wait("2", 1, true);
}

#[test]
fn pods_that_hang_leave_workers_to_pods_of_which_nothing_is_known() {
    check_the_other_job_does_not_wait("4", 2, false);
}
