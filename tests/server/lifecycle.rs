//! Start, health, and shutdown of the built program. README: "What you get" (`/-/healthy`, `/-/ready`), "When something
//! fails" (SIGTERM, SIGINT).

use std::net::TcpStream;
use std::thread;

use crossbeam_channel::unbounded;

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{Program, TEST_TIMEOUT, read_to_end};

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
    let (fake, program) = Program::with_pod(
        FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned())),
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
        fake.requests.recv_timeout(TEST_TIMEOUT).unwrap();
        // The one worker is busy: of two more requests one waits, so the first response is the refusal of the other.
        ask();
        ask();
        let refused = responses.recv_timeout(TEST_TIMEOUT).unwrap();
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("1"))
        );
        check_contains(refused.text(), "MAX_WAITING_REQUESTS");
        assert_eq!(program.get("/-/healthy").status, 200);
        assert_eq!(program.get("/-/ready").status, 200);
        for _ in 0..2 {
            go.send(()).unwrap();
            assert_eq!(
                responses.recv_timeout(TEST_TIMEOUT).unwrap().up("web-0"),
                Some(true)
            );
        }
    });
}

#[track_caller]
fn check_shutdown(signal: &str) {
    let (go, wait) = unbounded();
    let (fake, mut program) = Program::with_pod(
        FakePod::start(Behaviour::Wait(wait, SMALL_BODY.to_owned())),
        &[],
    );
    let address = program.address;
    let stream = program.begin("/metrics?job=web");
    fake.requests.recv_timeout(TEST_TIMEOUT).unwrap();
    program.signal(signal);
    program.wait_for_log("stopping");
    go.send(()).unwrap();
    let response = read_to_end(stream);
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
fn sigint_lets_a_running_request_finish_and_ends_with_0() {
    check_shutdown("-INT");
}

#[test]
fn an_address_in_use_is_an_error_with_the_setting_to_change() {
    let program = Program::scraping(&[], &[]);
    let address = program.address.to_string();
    let settings = [
        ("LISTEN_ADDRESS", &*address),
        ("POD_LIST_FILE", "/dev/null"),
    ];
    let output = Program::command(&settings).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&address) && stderr.contains("LISTEN_ADDRESS"),
        "{stderr}"
    );
}
