//! The attacks that TLS adds: garbage, handshakes that are never finished, plain HTTP.

use std::time::Duration;

use super::{CONNECTIONS, HEALTHY, LASTING, check_on, random, rest, send};
use crate::support::attack::{Site, alone};
use crate::support::certificates::{Authority, NAME};
use crate::support::figures::Bounds;
use crate::support::program::TempFile;

/// A TLS session has buffers beside the connection's thread: 24 KiB more for each.
const SESSIONS_MEBIBYTES: usize = CONNECTIONS * 24 / 1024;

/// The first bytes of a ClientHello that goes on.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// Checks an attack on a program that speaks only TLS, as the good clients do.
#[track_caller]
fn check<T>(name: &str, lasting: Duration, attack: impl FnOnce(&Site) -> T) {
    let _alone = alone();
    let authority = Authority::new();
    let (cert, key) = authority.pem_pair(&[NAME]);
    let (cert, key) = (
        TempFile::new(cert.as_bytes()),
        TempFile::new(key.as_bytes()),
    );
    let settings = [("TLS_CERT_FILE", cert.path()), ("TLS_KEY_FILE", key.path())];
    let site = Site::start(&settings).with_tls(&authority.pem());
    let bounds = Bounds::for_connections(CONNECTIONS).with_responses(SESSIONS_MEBIBYTES);
    check_on(&site, name, lasting, bounds, attack);
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn tls_garbage() {
    check("TLS garbage", LASTING, |site| {
        for seed in 0..300 {
            let stream = site.connect().expect("it accepts");
            // A record of a handshake, as far as its first bytes go; and what is plain HTTP or nothing at all.
            let start: &[u8] = match seed % 3 {
                0 => HELLO,
                1 => HEALTHY,
                _ => b"",
            };
            let bytes: Vec<u8> = start
                .iter()
                .copied()
                .chain(random(seed).take(700))
                .collect();
            send(&stream, &bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let response = rest(&stream);
            // An alert, a word to plain HTTP, or nothing.
            assert!(!response.contains(" 200 "), "{response}");
        }
    });
}

#[test]
#[ignore = "an attack, watched for seconds"]
fn tls_handshakes_that_are_never_finished() {
    check("unfinished handshakes", Duration::from_secs(12), |site| {
        let streams = site.connect_many(1000);
        for stream in &streams {
            send(stream, HELLO);
        }
        streams
    });
}
