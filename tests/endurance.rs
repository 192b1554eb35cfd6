//! Many rounds of mixed faults: the program must not grow. README: "When something fails".

use std::thread;
use std::time::Duration;

use crossbeam_channel::tick;
use serde_json::Value;

use crate::support::attack::alone;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::figures::Size;
use crate::support::program::{Program, pod_with};

const PODS: usize = 200;
const ROUNDS: usize = 100;
/// Rounds after which connections, buffers and records that are kept exist.
const SETTLED: usize = 10;

/// The behaviour of the n-th pod: two thirds are healthy, the others fail in ten ways.
fn behaviour(number: usize) -> Behaviour {
    match number % 30 {
        0 => Behaviour::Hang,
        3 => Behaviour::HangInBody(100, "a 1\n"),
        6 => Behaviour::Drip(Duration::from_millis(1)),
        9 => Behaviour::Endless,
        12 => Behaviour::Reset,
        15 => Behaviour::Status(503),
        18 => Behaviour::Raw(b"SSH-2.0-x\r\n".to_vec()),
        21 => Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na 1\n".to_vec()),
        24 => Behaviour::Body("a 1\nno number\n".to_owned()),
        27 => Behaviour::CloseAfter(3, SMALL_BODY.to_owned()),
        _ => Behaviour::Body(
            SMALL_BODY
                .repeat(1 + number % 7)
                .replace("kind=", &format!("kind{number}=")),
        ),
    }
}

/// The size, with the threads once those of connections that were just closed have ended.
fn settled_size(pid: u32) -> Size {
    let ticks = tick(Duration::from_millis(20));
    let sizes = ticks.iter().take(25).map(|_| Size::of(pid));
    sizes.min_by_key(|size| size.threads).unwrap()
}

/// The fake pods and the list of them.
fn pods() -> (Vec<FakePod>, Vec<Value>) {
    let start = |number| FakePod::start(behaviour(number));
    let fakes: Vec<FakePod> = (0..PODS).map(start).collect();
    let pod = |(number, fake): (usize, &FakePod)| {
        let timeout = if is_healthy(number) { "20" } else { "0.15" };
        let labels = [("scrape-timeout-seconds", timeout)];
        pod_with("n", &format!("p{number}"), "web", fake.address, &labels)
    };
    let pods = fakes.iter().enumerate().map(pod).collect();
    (fakes, pods)
}

/// Whether the n-th pod responds as it should.
fn is_healthy(number: usize) -> bool {
    matches!(behaviour(number), Behaviour::CloseAfter(..)) || !number.is_multiple_of(3)
}

#[test]
#[ignore = "takes the better part of a minute"]
fn a_hundred_rounds_of_mixed_faults_leave_nothing_behind() {
    let _alone = alone();
    let (_fakes, pods) = pods();
    let settings = [("CLIENT_WORKERS", "32"), ("MAX_BODY_BYTES", "100000")];
    let mut program = Program::scraping(&pods, &settings);
    let mut settled = None;
    for round in 1..=ROUNDS {
        let responses = thread::scope(|scope| {
            let clients: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| program.get("/metrics?job=web")))
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .collect::<Vec<_>>()
        });
        for response in responses {
            for number in 0..PODS {
                let up = response.up(&format!("p{number}"));
                let page = || program.get("/").text().to_owned();
                let expected = Some(is_healthy(number));
                assert_eq!(up, expected, "round {round}, p{number}: {}", page());
            }
        }
        // Read what it logs, or the pipe fills up.
        program.log();
        if round == SETTLED {
            settled = Some(settled_size(program.pid()));
        }
    }
    let (before, after) = (settled.unwrap(), settled_size(program.pid()));
    assert!(after.threads <= before.threads, "{before} then {after}");
    // Which of the connections are just being opened differs from round to round.
    assert!(
        after.descriptors <= before.descriptors + 20,
        "{before} then {after}"
    );
    assert!(
        after.resident_kib <= before.resident_kib + before.resident_kib / 10 + 1024,
        "{before} then {after}"
    );
}
