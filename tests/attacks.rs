//! Malicious clients against the built program: what a scraper, a kubelet and the machine notice of them. README:
//! "When something fails", Security.
//!
//! The table of attacks in `tests/README.md` names these tests. They run one after the other:
//! `cargo test -- --ignored`.

mod secrets;
mod tls;
mod urls;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::tick;

use crate::support::attack::{Site, alone};
use crate::support::figures::{Bounds, Size};

/// `MAX_CONNECTIONS` where nothing else is set.
const CONNECTIONS: usize = 512;
/// How long most attacks are watched.
const LASTING: Duration = Duration::from_secs(4);
/// Longer than a client has for its request head, or for 64 KiB of a response.
const OVER_TEN_SECONDS: Duration = Duration::from_secs(12);
/// MiB of responses that clients have not read (`unsent_bytes_max`), and of those that two server workers make.
const RESPONSES_MEBIBYTES: usize = 256 + 2 * 52;

const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n";
const HUGE: &[u8] = b"GET /metrics?job=huge HTTP/1.1\r\nHost: h\r\n\r\n";

/// Runs one attack on a program of its own, and checks all that is promised during and after it.
#[track_caller]
fn check<T>(name: &str, lasting: Duration, attack: impl FnOnce(&Site) -> T) {
    check_within(Bounds::for_connections(CONNECTIONS), name, lasting, attack);
}

/// The same with other bounds.
#[track_caller]
fn check_within<T>(bounds: Bounds, name: &str, lasting: Duration, attack: impl FnOnce(&Site) -> T) {
    let _alone = alone();
    let site = Site::start(&[]);
    check_on(&site, name, lasting, bounds, attack);
}

#[track_caller]
fn check_on<T>(
    site: &Site,
    name: &str,
    lasting: Duration,
    bounds: Bounds,
    attack: impl FnOnce(&Site) -> T,
) {
    site.check_recovers();
    let before = Size::of(site.program.pid());
    let (held, figures) = site.watch(lasting, || attack(site));
    drop(held);
    figures.check(name, bounds);
    site.check_back_to(before);
    site.check_recovers();
}

/// Sends the bytes, and returns whether the server has let it.
fn send(mut stream: &TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

/// Reads until the server ends the connection; a reset is an end too.
fn rest(mut stream: &TcpStream) -> String {
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8_lossy(&response).into_owned(),
    }
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn two_thousand_idle_connections() {
    check("idle", LASTING, |site| {
        let idle = site.connect_many(2000);
        assert!(idle.len() > CONNECTIONS, "only {}", idle.len());
        idle
    });
}

fn drip(site: &Site, connections: usize, lasting: Duration) {
    let mut dripping = site.connect_many(connections);
    let seconds = tick(Duration::from_secs(1));
    for byte in b"GET /metrics?job=web".iter().cycle() {
        dripping.retain(|stream| send(stream, &[*byte]));
        seconds.recv().unwrap();
        if dripping.is_empty() {
            return;
        }
    }
    panic!("{} still drip after {lasting:?}", dripping.len());
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn five_hundred_that_drip_a_byte_each_second() {
    check("drip", OVER_TEN_SECONDS, |site| {
        let start = Instant::now();
        drip(site, 500, OVER_TEN_SECONDS);
        // Ten seconds for a head, two for the last response to be read, the rest for a slow machine.
        let took = start.elapsed();
        assert!(took < 2 * OVER_TEN_SECONDS, "{took:?}");
    });
}

/// Sends the start and then the piece again and again, on many connections at once, until it is cut off.
fn endless(site: &Site, start: &str, piece: &str, status: &str) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..20 {
                    let stream = site.connect().expect("it accepts");
                    send(&stream, start.as_bytes());
                    let mut sent = 0;
                    while sent < 100_000_000 && send(&stream, piece.as_bytes()) {
                        sent += piece.len();
                    }
                    assert!(sent < 100_000_000, "nobody ends it");
                    let response = rest(&stream);
                    // What is sent after the end may reset the connection before the response is read.
                    assert!(
                        response.is_empty() || response.starts_with(status),
                        "{response}"
                    );
                }
            });
        }
    });
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn endless_request_line() {
    check("endless line", LASTING, |site| {
        endless(site, "GET /", &"x".repeat(64 * 1024), "HTTP/1.1 414 ");
    });
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn endless_headers() {
    let start = "GET / HTTP/1.1\r\nHost: h\r\n";
    check("endless header", LASTING, |site| {
        let header = format!("{start}X: ");
        endless(site, &header, &"x".repeat(64 * 1024), "HTTP/1.1 431 ");
        endless(site, start, &"X: y\r\n".repeat(10_000), "HTTP/1.1 431 ");
    });
}

/// How many of a million requests on four connections get a response in this time.
fn pipeline(site: &Site, time: Duration) -> usize {
    let many = HEALTHY.repeat(1000);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let stream = site.connect().expect("it accepts");
                let writing = stream.try_clone().unwrap();
                let many = &many;
                scope.spawn(move || {
                    for _ in 0..250 {
                        if Instant::now() > end || !send(&writing, many) {
                            break;
                        }
                    }
                    let _ = writing.shutdown(Shutdown::Both);
                });
                scope.spawn(move || rest(&stream).matches("HTTP/1.1 200 OK").count())
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum()
    })
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn a_million_pipelined_requests() {
    check("pipelined", LASTING, |site| {
        let responses = pipeline(site, LASTING);
        assert!(responses > 100, "{responses}");
    });
}

/// Clients that ask for 50 MB each and do not read.
fn deaf(site: &Site, connections: usize) -> Vec<TcpStream> {
    let deaf = site.connect_many(connections);
    for stream in &deaf {
        send(stream, HUGE);
    }
    deaf
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn clients_that_never_read_fifty_megabytes() {
    let bounds = Bounds::for_connections(CONNECTIONS).with_responses(RESPONSES_MEBIBYTES);
    // Twice as many as SERVER_WORKERS, and five times as many: more than there is room for.
    for connections in [4, 10] {
        let name = format!("{connections} deaf");
        check_within(bounds, &name, OVER_TEN_SECONDS, |site| {
            deaf(site, connections)
        });
    }
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn clients_that_ask_for_much_and_leave() {
    let bounds = Bounds::for_connections(CONNECTIONS).with_responses(RESPONSES_MEBIBYTES);
    check_within(bounds, "leaving", LASTING, |site| drop(deaf(site, 16)));
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn half_closed() {
    check("half-closed", LASTING, |site| {
        for (request, expected) in [
            (&HEALTHY[..30], "HTTP/1.1 400 "),
            (HEALTHY, "HTTP/1.1 200 "),
            (b"", ""),
        ] {
            let streams = site.connect_many(100);
            for stream in &streams {
                send(stream, request);
                stream.shutdown(Shutdown::Write).unwrap();
            }
            for stream in &streams {
                let response = rest(stream);
                assert!(response.starts_with(expected), "{response}");
            }
        }
    });
}

/// Pseudorandom, the same in every run.
fn random(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn random_bytes() {
    check("random bytes", LASTING, |site| {
        for seed in 0..1000 {
            let stream = site.connect().expect("it accepts");
            let length = usize::try_from(1 + seed % 3000).unwrap();
            send(&stream, &random(seed).take(length).collect::<Vec<u8>>());
            let _ = stream.shutdown(Shutdown::Write);
            let response = rest(&stream);
            assert!(
                response.is_empty() || response.starts_with("HTTP/1.1 4"),
                "{response}"
            );
        }
    });
}

/// Connections where 96 descriptors may be open: half of them.
const FEW_CONNECTIONS: usize = 48;

#[test]
#[ignore = "an attack, watched for seconds"]
fn descriptors_run_out_and_come_back() {
    let _alone = alone();
    for open_files in [96, 32] {
        let site = Site::start_limited(Some(open_files), &[]);
        site.check_recovers();
        let before = Size::of(site.program.pid());
        let bounds = Bounds {
            // Listed while they change, one may be seen twice.
            descriptors: open_files + 2,
            ..Bounds::for_connections(FEW_CONNECTIONS).with_responses(RESPONSES_MEBIBYTES)
        };
        let attacks: [(&str, &dyn Fn() -> Vec<TcpStream>); 5] = [
            ("idle", &|| site.connect_many(600)),
            ("half a head", &|| {
                let streams = site.connect_many(500);
                streams
                    .iter()
                    .for_each(|stream| assert!(send(stream, b"GET /")));
                streams
            }),
            ("deaf", &|| deaf(&site, 8)),
            ("many scrapes", &|| {
                let streams = site.connect_many(200);
                streams
                    .iter()
                    .for_each(|stream| assert!(send(stream, &HUGE.repeat(2))));
                streams
            }),
            ("random bytes", &|| {
                let streams = site.connect_many(200);
                for (stream, seed) in streams.iter().zip(1..) {
                    send(stream, &random(seed).take(2000).collect::<Vec<u8>>());
                }
                streams
            }),
        ];
        for (name, attack) in attacks {
            let name = format!("{name}, {open_files} descriptors");
            let (held, figures) = site.watch(Duration::from_secs(2), attack);
            figures.check_size(&name, bounds);
            drop(held);
            site.check_recovers();
            site.check_back_to(before);
        }
    }
}
