//! `--demo`. README: its first section.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Instant;

use crate::support::check_contains;
use crate::support::program::{HttpResponse, Program, TEST_TIMEOUT, ask};

/// The running demo and the URL that it prints.
fn start() -> (std::process::Child, String, String) {
    let mut command = Program::command(&[("LISTEN_ADDRESS", "127.0.0.1:0")]);
    command
        .arg("--demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut introduction = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !introduction.contains("Ctrl-C") {
        assert!(
            stdout.read_line(&mut introduction).unwrap() > 0,
            "{introduction}"
        );
    }
    let (_, rest) = introduction.split_once("targets: ['").unwrap();
    let address = rest.split('\'').next().unwrap().to_owned();
    (child, address, introduction)
}

/// The response once the first pod list is there.
fn ready(address: &str, url: &str) -> HttpResponse {
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        let response = ask(address.parse().unwrap(), "GET", url, &[]);
        if response.status != 503 {
            return response;
        }
        assert!(Instant::now() < deadline, "{}", response.text());
    }
}

#[test]
fn a_dozen_pods_in_three_jobs_one_of_them_down() {
    let (mut child, address, introduction) = start();
    for text in [
        "/metrics?job=memcached'",
        "honor_labels: true",
        "job: [memcached]",
        "Ctrl-C stops it",
    ] {
        check_contains(&introduction, text);
    }
    let ups = |job: &str| {
        let response = ready(&address, &format!("/metrics?job={job}"));
        let up = |value: &str| {
            response
                .text()
                .lines()
                .filter(|line| line.starts_with("up{") && line.ends_with(value))
                .count()
        };
        (up(" 1"), up(" 0"))
    };
    assert_eq!(
        (ups("memcached"), ups("queue"), ups("web")),
        ((4, 0), (2, 1), (5, 0))
    );

    let value = || {
        let response = ready(&address, "/metrics?job=memcached");
        let series = "process_uptime_seconds{instance=\"memcached-db-0\",";
        let line = response
            .text()
            .lines()
            .find(|line| line.starts_with(series))
            .unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let (first, deadline) = (value(), Instant::now() + TEST_TIMEOUT);
    while value() <= first {
        assert!(Instant::now() < deadline, "values stand still");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_port_that_is_taken_does_not_stop_it() {
    // Fails if something listens there already, which is as good.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let mut command = Program::command(&[]);
    command
        .arg("--demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let line = stdout
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("targets: ['"));
    child.kill().unwrap();
    child.wait().unwrap();
    let line = line.unwrap();
    assert!(!line.contains("127.0.0.1:8080'"), "{line}");
}
