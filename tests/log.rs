//! What the built program writes to its log. README: `LOG_LEVEL`.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod};
use crate::support::program::{Program, TEST_TIMEOUT, TempFile, pod_at};

/// A line that is written in pieces can be torn apart by the lines of another process, and each piece costs a system
/// call.
#[test]
fn a_log_line_is_one_write() {
    // Each write is a datagram.
    let (log, stderr) = UnixDatagram::pair().unwrap();
    log.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let file = TempFile::pods(&[]);
    let mut program = Program::command(&[
        ("LISTEN_ADDRESS", "127.0.0.1:0"),
        ("POD_LIST_FILE", file.path()),
    ])
    .stderr(Stdio::from(OwnedFd::from(stderr)))
    .spawn()
    .unwrap();
    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|line: &String| line.contains("listening on "))
    {
        let mut buffer = [0; 16 * 1024];
        let length = log.recv(&mut buffer).unwrap();
        seen.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    program.kill().unwrap();
    program.wait().unwrap();
    let is_line = |line: &String| line.starts_with("20") && line.find('\n') == Some(line.len() - 1);
    assert!(seen.iter().all(is_line), "{seen:?}");
}

#[test]
fn a_request_is_one_line_in_the_log() {
    let down = FakePod::start(Behaviour::Status(404));
    let up = FakePod::healthy();
    let pods = [
        pod_at("n", "a", "web", down.address),
        pod_at("n", "b", "web", up.address),
    ];
    let mut program = Program::scraping(&pods, &[]);
    let before = program.log().len();
    program.get("/metrics?job=web");
    let line = program.wait_for_log("job=");
    for text in [
        "targets=2 up=1 down=1 samples=1",
        "first=\"n/a:",
        "expected status 200, found 404",
    ] {
        check_contains(&line, text);
    }
    assert_eq!(program.log().len(), before + 1);
}

#[test]
fn a_long_job_is_cut_in_the_log() {
    let (_fake, mut program) = Program::with_pod(FakePod::healthy(), &[]);
    let response = program.get(&format!("/metrics?job=web&job={}", "x".repeat(8000)));
    assert_eq!(response.up("web-0"), Some(true));
    let line = program.wait_for_log("job=\"web,xxx");
    assert!(line.len() < 500, "{line}");
}
