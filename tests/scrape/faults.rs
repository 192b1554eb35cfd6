//! Bodies and heads that are too slow, too long, too short or too large. README: "When something fails".

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};

use super::{check, check_address, check_raw};
use crate::support::attack::alone;
use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, gzip, ok, ok_with, raw};
use crate::support::figures::Size;
use crate::support::program::{Program, TEST_TIMEOUT, numbered, pod_at, pod_with};

/// A program with the job `web`, whose one pod `p` has this timeout.
fn program(fake: &FakePod, timeout_seconds: &str, settings: &[(&str, &str)]) -> Program {
    let timeout = [("scrape-timeout-seconds", timeout_seconds)];
    let pods = [pod_with("n", "p", "web", fake.address, &timeout)];
    Program::scraping(&pods, settings)
}

/// Each byte comes well within the timeout of 1 s, just within it, or just after it.
#[test]
fn a_pod_that_drips_its_body_is_down_at_its_timeout() {
    for gap in [1, 700, 1000].map(Duration::from_millis) {
        check(Behaviour::Drip(gap), "body: timeout after 1.000 s");
    }
}

#[test]
fn a_reset_inside_the_body_fails_the_pod() {
    check(Behaviour::ResetInBody, "body: Connection reset by peer");
}

/// The timeout of a socket is not set again for a change of a few milliseconds, but it has to be set once.
#[test]
fn a_timeout_of_a_few_milliseconds_is_kept() {
    let fake = FakePod::start(Behaviour::Hang);
    let program = program(&fake, "0.004", &[("CLIENT_WORKERS", "1")]);
    for _ in 0..3 {
        let response = program.get("/metrics?job=web");
        assert_eq!(response.up("p"), Some(false), "{}", response.text());
    }
}

/// Stopping and continuing a process interrupts its system calls.
#[test]
fn interruptions_do_not_prolong_a_scrape() {
    let fake = FakePod::start(Behaviour::Hang);
    let program = program(&fake, "1", &[]);
    let start = Instant::now();
    thread::scope(|scope| {
        let asked = scope.spawn(|| program.get("/metrics?job=web"));
        while !asked.is_finished() && start.elapsed() < Duration::from_secs(6) {
            thread::sleep(Duration::from_millis(200));
            program.signal("-STOP");
            program.signal("-CONT");
        }
        assert_eq!(asked.join().unwrap().up("p"), Some(false));
    });
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Without a length the body ends where the connection does; a reset is no end.
#[test]
fn a_reset_inside_a_body_without_length_fails_the_pod() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.read_exact(&mut [0]).unwrap();
            let start = raw("Content-Type: text/plain\r\n", b"a 1\n");
            stream.write_all(&start).unwrap();
            // Time for the scraper to read as far. The close with most of the request unread is a reset.
            thread::sleep(Duration::from_millis(50));
        }
    });
    check_address(address, "body: Connection reset by peer");
}

#[test]
fn a_pod_that_hangs_does_not_hold_up_the_end_of_the_program() {
    let fake = FakePod::start(Behaviour::Hang);
    let mut program = program(&fake, "300", &[]);
    let client = program.begin("/metrics?job=web");
    fake.requests.recv_timeout(TEST_TIMEOUT).unwrap();
    drop(client);
    program.signal("-TERM");
    assert_eq!(program.wait().code(), Some(0));
}

fn with_length(length: usize, body: &[u8]) -> Vec<u8> {
    let headers = format!("Content-Type: text/plain\r\nContent-Length: {length}\r\n");
    raw(&headers, body)
}

#[test]
fn a_body_shorter_than_its_length_fails_the_pod() {
    check_raw(with_length(100, b"a 1\n"), "body: ");
}

#[test]
fn a_length_that_ends_inside_a_line_fails_the_pod() {
    check_raw(with_length(6, b"a 1\nb 2\n"), "parse: line 2");
}

/// As for Prometheus: the body has the declared length, and the bytes after it are ignored.
#[test]
fn bytes_after_the_declared_length_belong_to_nothing() {
    let fake = FakePod::start(Behaviour::Raw(with_length(4, b"a 1\nb 2\n")));
    let program = Program::scraping(&[pod_at("n", "p", "web", fake.address)], &[]);
    for _ in 0..3 {
        let response = program.get("/metrics?job=web");
        assert_eq!(response.up("p"), Some(true));
        assert!(
            response.text().contains("\na{") && !response.text().contains("\nb{"),
            "{}",
            response.text()
        );
    }
}

#[test]
fn a_hundred_thousand_headers_are_not_read() {
    let headers = "X-Padding: 0123456789\r\n".repeat(100_000);
    check_raw(raw(&headers, b""), "wait: ");
}

#[test]
fn a_header_of_ten_megabytes_is_not_read() {
    let header = format!("X-Padding: {}\r\n", "x".repeat(10_000_000));
    check_raw(raw(&header, b""), "wait: ");
}

#[test]
fn a_gzip_bomb_ends_at_the_limit() {
    let bomb = gzip(&vec![b'#'; 10_000_000]);
    assert!(bomb.len() < 100_000);
    check_raw(
        gzipped(&bomb),
        "body: body over the limit of 1000000 bytes (MAX_BODY_BYTES)",
    );
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    ok_with(
        "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n",
        body,
    )
}

/// About a megabyte that becomes a gigabyte: the same piece of compressed text a thousand times.
fn gigabyte() -> Vec<u8> {
    let megabyte = vec![b'#'; 1 << 20];
    let mut piece = Vec::with_capacity(64 * 1024);
    Compress::new(Compression::best(), false)
        .compress_vec(&megabyte, &mut piece, FlushCompress::Full)
        .unwrap();
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    [&header[..], &piece.repeat(1024)].concat()
}

#[test]
fn a_gigabyte_from_a_megabyte_is_never_in_memory() {
    let bomb = gigabyte();
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    let fake = FakePod::start(Behaviour::Raw(gzipped(&bomb)));
    // Decompressing is slow in a debug build on a busy machine.
    let program = program(&fake, "60", &[("MAX_BODY_BYTES", "8388608")]);
    let response = program.get("/metrics?job=web");
    assert_eq!(response.up("p"), Some(false), "{}", response.text());
    let page = program.get("/");
    check_contains(page.text(), "body over the limit of 8388608 bytes");
    // The buffer grows by doubling, and is given back.
    let most = Size::most_resident_kib(program.pid());
    assert!(most < (64 + 2 * 8) * 1024, "{most} KiB");
    let now = Size::of(program.pid()).resident_kib;
    assert!(now < 64 * 1024, "{now} KiB");
}

/// Responses that clients have not read are bounded by their size, so they must not hold much more than that.
#[test]
fn a_response_that_waits_for_its_client_holds_no_comments() {
    let comment = format!("# {}\n", "c".repeat(40 << 20));
    // More than the kernel takes for a client that does not read.
    let samples = (0..100_000).map(|number| format!("a{{number=\"{number}\"}} 1\n"));
    let body = comment + &samples.collect::<String>();
    let fake = FakePod::serving(body);
    let program = program(&fake, "60", &[]);
    let clients: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut client = program.begin("/metrics?job=web");
            client.read_exact(&mut [0]).unwrap();
            client
        })
        .collect();
    let now = Size::of(program.pid()).resident_kib;
    assert!(now < 128 * 1024, "{now} KiB");
    drop(clients);
}

#[test]
fn one_malformed_line_among_a_hundred_thousand_fails_the_pod() {
    let mut body = "good 1\n".repeat(77_776);
    body.push_str("bad one two\n");
    body.push_str(&"good 1\n".repeat(22_223));
    check_raw(ok(&body), "parse: line 77777");
}

/// The whole scrape ends within a tenth more than its timeout: the best of three, since the machine may be busy.
#[test]
#[ignore = "measures, for seconds"]
fn timeouts_are_kept_within_a_tenth() {
    let _alone = alone();
    let behaviours = [
        Behaviour::Hang,
        Behaviour::HangInBody(100, "a 1\n"),
        Behaviour::Drip(Duration::from_millis(1)),
        Behaviour::Drip(Duration::from_secs(1)),
        Behaviour::Drip(Duration::from_millis(900)),
    ];
    let fakes: Vec<FakePod> = behaviours.into_iter().map(FakePod::start).collect();
    let healthy = FakePod::healthy();
    let mut pods = numbered(&fakes, &[("scrape-timeout-seconds", "1.5")]);
    pods.push(pod_at("n", "good", "web", healthy.address));
    let program = Program::scraping(&pods, &[("CLIENT_WORKERS", "8")]);
    let mut best = vec![f64::MAX; fakes.len()];
    for _ in 0..3 {
        let response = program.get("/metrics?job=web");
        assert_eq!(response.up("good"), Some(true));
        for (number, best) in best.iter_mut().enumerate() {
            let start = format!("scrape_duration_seconds{{instance=\"{number}\",");
            let (_, seconds) = response.lines(&start)[0].rsplit_once(' ').unwrap();
            *best = best.min(seconds.parse().unwrap());
        }
    }
    assert!(
        best.iter().all(|seconds| (1.4..1.65).contains(seconds)),
        "{best:?}"
    );
}
