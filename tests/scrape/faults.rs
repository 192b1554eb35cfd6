//! Bodies and heads that are too slow, too long, too short or too large.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};

use super::{check, check_address, check_raw, gzip, with_headers};
use crate::support::attack::{Size, alone};
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, ok};
use crate::support::program::{PATIENCE, Program, TempFile, pod, pod_at};

/// A program with the job `web`, whose one pod `p` has this timeout.
fn program(fake: &FakePod, timeout_seconds: &str, settings: &[(&str, &str)]) -> Program {
    let port = fake.address.port().to_string();
    let labels = [
        ("job-name", "web"),
        ("port", port.as_str()),
        ("scrape-timeout-seconds", timeout_seconds),
    ];
    let file = TempFile::pods(&[pod("n", "p", fake.address.ip(), &labels)]);
    Program::with_pods(&file, settings)
}

#[test]
fn drips_a_byte_each_millisecond() {
    let gap = Duration::from_millis(1);
    check(Behaviour::Drip(gap), "body: timeout after 1.000 s");
}

#[test]
fn drips_a_byte_each_second() {
    let gap = Duration::from_secs(1);
    check(Behaviour::Drip(gap), "body: timeout after 1.000 s");
}

#[test]
fn drips_slower_than_the_timeout() {
    let gap = Duration::from_millis(700);
    check(Behaviour::Drip(gap), "body: timeout after 1.000 s");
}

#[test]
fn resets_inside_of_the_body() {
    check(Behaviour::ResetInBody, "body: Connection reset by peer");
}

/// A timeout of the socket is not set again for a few milliseconds; one that was never set is another matter.
#[test]
fn hangs_with_a_timeout_of_a_few_milliseconds() {
    let fake = FakePod::start(Behaviour::Hang);
    let program = program(&fake, "0.004", &[("CLIENT_WORKERS", "1")]);
    for _ in 0..3 {
        let response = program.get("/metrics?job=web");
        assert_eq!(response.up("p"), Some(false), "{}", response.text());
    }
}

/// A process that is stopped and goes on finds its calls to the kernel interrupted.
#[test]
fn interruptions_do_not_prolong_a_scrape() {
    let fake = FakePod::start(Behaviour::Hang);
    let program = program(&fake, "1", &[]);
    let pid = program.pid().to_string();
    let start = Instant::now();
    thread::scope(|scope| {
        let asked = scope.spawn(|| program.get("/metrics?job=web"));
        while !asked.is_finished() && start.elapsed() < Duration::from_secs(6) {
            thread::sleep(Duration::from_millis(200));
            for signal in ["-STOP", "-CONT"] {
                let kill = Command::new("kill").args([signal, &pid]).status();
                assert!(kill.unwrap().success());
            }
        }
        assert_eq!(asked.join().unwrap().up("p"), Some(false));
    });
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

/// Without a length the body ends where the connection does; a reset is no end.
#[test]
fn resets_inside_of_a_body_without_length() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.read_exact(&mut [0]).unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\na 1\n";
            stream.write_all(head.as_bytes()).unwrap();
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
    let mut client = TcpStream::connect(program.address).unwrap();
    client
        .write_all(b"GET /metrics?job=web HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    fake.requests.recv_timeout(PATIENCE).unwrap();
    drop(client);
    let pid = program.pid().to_string();
    let kill = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(kill.unwrap().success());
    assert_eq!(program.wait().code(), Some(0));
}

fn with_length(length: usize, body: &[u8]) -> Vec<u8> {
    let headers = format!("Content-Type: text/plain\r\nContent-Length: {length}\r\n");
    with_headers(&headers, body)
}

#[test]
fn fewer_bytes_than_declared() {
    check_raw(with_length(100, b"a 1\n"), "body: ");
}

#[test]
fn more_bytes_than_declared() {
    check_raw(with_length(6, b"a 1\nb 2\n"), "parse: line 2");
}

/// As for Prometheus: the body is what the length says, and what comes after it belongs to nothing.
#[test]
fn more_bytes_than_declared_after_a_whole_line() {
    let fake = FakePod::start(Behaviour::Raw(with_length(4, b"a 1\nb 2\n")));
    let file = TempFile::pods(&[pod_at("n", "p", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
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
fn a_hundred_thousand_headers() {
    let headers = "X-Padding: 0123456789\r\n".repeat(100_000);
    check_raw(with_headers(&headers, b""), "wait: ");
}

#[test]
fn one_header_without_end() {
    let header = format!("X-Padding: {}\r\n", "x".repeat(10_000_000));
    check_raw(with_headers(&header, b""), "wait: ");
}

#[test]
fn a_gzip_bomb() {
    let bomb = gzip(&vec![b'#'; 10_000_000]);
    assert!(bomb.len() < 100_000);
    check_raw(
        gzipped(&bomb),
        "body: body over the limit of 1000000 bytes (MAX_BODY_BYTES)",
    );
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let headers = format!(
        "Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
        body.len()
    );
    with_headers(&headers, body)
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
    let port = fake.address.port().to_string();
    // Decompressing is slow in a debug build on a busy machine.
    let labels = [
        ("job-name", "web"),
        ("port", port.as_str()),
        ("scrape-timeout-seconds", "60"),
    ];
    let file = TempFile::pods(&[pod("n", "p", fake.address.ip(), &labels)]);
    let program = Program::with_pods(&file, &[("MAX_BODY_BYTES", "8388608")]);
    let response = program.get("/metrics?job=web");
    assert_eq!(response.up("p"), Some(false), "{}", response.text());
    let page = program.get("/");
    assert!(
        page.text().contains("body over the limit of 8388608 bytes"),
        "{}",
        page.text()
    );
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
    let fake = FakePod::start(Behaviour::Body(body));
    let program = program(&fake, "60", &[]);
    let clients: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut client = TcpStream::connect(program.address).unwrap();
            client
                .write_all(b"GET /metrics?job=web HTTP/1.1\r\nHost: h\r\n\r\n")
                .unwrap();
            client.read_exact(&mut [0]).unwrap();
            client
        })
        .collect();
    let now = Size::of(program.pid()).resident_kib;
    assert!(now < 128 * 1024, "{now} KiB");
    drop(clients);
}

#[test]
fn one_malformed_line_among_a_hundred_thousand() {
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
    let healthy = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let mut pods: Vec<_> = fakes
        .iter()
        .enumerate()
        .map(|(number, fake)| {
            let port = fake.address.port().to_string();
            let labels = [
                ("job-name", "web"),
                ("port", port.as_str()),
                ("scrape-timeout-seconds", "1.5"),
            ];
            pod("n", &number.to_string(), fake.address.ip(), &labels)
        })
        .collect();
    pods.push(pod_at("n", "good", "web", healthy.address));
    let program = Program::with_pods(&TempFile::pods(&pods), &[("CLIENT_WORKERS", "8")]);
    let mut best = vec![f64::MAX; fakes.len()];
    for _ in 0..3 {
        let response = program.get("/metrics?job=web");
        assert_eq!(response.up("good"), Some(true));
        for (number, best) in best.iter_mut().enumerate() {
            let start = format!("scrape_duration_seconds{{instance=\"{number}\",");
            let line = response
                .text()
                .lines()
                .find(|line| line.starts_with(&start));
            let seconds = line.and_then(|line| line.rsplit(' ').next()).unwrap();
            *best = best.min(seconds.parse().unwrap());
        }
    }
    assert!(
        best.iter().all(|seconds| (1.4..1.65).contains(seconds)),
        "{best:?}"
    );
}
