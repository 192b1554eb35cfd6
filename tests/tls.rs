//! Pods over TLS: which certificates are trusted, for which name, and the reason where one is not. README: "What you
//! label" (`tls-*`).

mod client_certificate;
mod token;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, unbounded};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::certificates::Authority;
use crate::support::check_contains;
use crate::support::fake_pod::{FakePod, SMALL_BODY, ok};
use crate::support::program::{Program, TEST_TIMEOUT, TempFile, pod_with};

/// One request of a client over TLS.
struct Request {
    server_name: Option<String>,
    /// The client's certificate, if it showed one.
    certificate: Option<Vec<u8>>,
    head: String,
}

/// Serves one request a connection over TLS, and hands each out. Who asks for `/denied` gets 401, who asks for `/moved`
/// or `/plain` is sent to the metrics, over TLS or in the clear.
fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    body: &'static str,
) -> Receiver<Request> {
    let (sender, requests) = unbounded();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = BufReader::new(StreamOwned::new(connection, stream));
            let mut head = String::new();
            // A client that does not trust us ends the handshake here.
            while tls.read_line(&mut head).is_ok_and(|read| read > 0) && !head.ends_with("\r\n\r\n")
            {
            }
            let mut tls = tls.into_inner();
            let server_name = tls.conn.server_name().map(str::to_owned);
            let redirect = |place| {
                format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
            };
            let response = match head.split(' ').nth(1) {
                Some("/denied") => b"HTTP/1.1 401 Unauthorized\r\n\r\n".to_vec(),
                Some("/moved") => redirect("/metrics".to_owned()).into_bytes(),
                Some("/plain") => redirect(format!("http://{address}/metrics")).into_bytes(),
                _ => ok(body),
            };
            let certificate = tls.conn.peer_certificates().map(|chain| chain[0].to_vec());
            let _ = sender.send(Request {
                server_name,
                certificate,
                head,
            });
            let _ = tls.write_all(&response);
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    requests
}

fn listener(last: u8) -> TcpListener {
    TcpListener::bind((Ipv4Addr::new(127, 2, 0, last), 0)).unwrap()
}

/// The only pod of the job, over TLS, with these further labels.
fn scrape(address: SocketAddr, labels: &[(&str, &str)], ca: &Authority) -> (Option<bool>, String) {
    let labels = [&[("tls-enabled", "true")], labels].concat();
    let ca = TempFile::new(ca.pem().as_bytes());
    let pods = [pod_with("n", "p", "web", address, &labels)];
    let program = Program::scraping(&pods, &[("SCRAPE_CA_FILE", ca.path())]);
    let up = program.get("/metrics?job=web").up("p");
    (up, program.get("/").text().to_owned())
}

#[track_caller]
fn check_refused(config: Arc<ServerConfig>, last: u8, ca: &Authority, reason: &str) {
    let listener = listener(last);
    let address = listener.local_addr().unwrap();
    serve(listener, config, SMALL_BODY);
    let (up, page) = scrape(address, &[], ca);
    assert_eq!(up, Some(false), "{page}");
    assert!(
        page.contains("tls: ") && page.contains(reason),
        "no {reason:?} in {page}"
    );
    // The same pod without a check.
    assert_eq!(
        scrape(address, &[("tls-verify", "false")], ca).0,
        Some(true)
    );
}

#[test]
fn a_certificate_of_the_ca_for_the_ip_is_trusted() {
    let ca = Authority::new();
    let listener = listener(1);
    let address = listener.local_addr().unwrap();
    let names = serve(listener, ca.server(&["127.2.0.1"]), SMALL_BODY);
    let (up, page) = scrape(address, &[], &ca);
    assert_eq!(up, Some(true), "{page}");
    assert_eq!(
        names.recv_timeout(TEST_TIMEOUT).unwrap().server_name,
        None,
        "no SNI for an IP (RFC 6066, section 3)"
    );
}

/// Prometheus takes those of its `ca_file` that it can parse.
#[test]
fn a_broken_ca_beside_a_good_one_costs_no_pod_its_scrape() {
    let ca = Authority::new();
    let listener = listener(18);
    let address = listener.local_addr().unwrap();
    serve(listener, ca.server(&["127.2.0.18"]), SMALL_BODY);
    let labels = [("tls-enabled", "true")];
    let broken = "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n";
    let ca = TempFile::new([broken, &ca.pem()].concat().as_bytes());
    let settings = [("SCRAPE_CA_FILE", ca.path())];
    let mut program = Program::scraping(&[pod_with("n", "p", "web", address, &labels)], &settings);
    for _ in 0..2 {
        assert_eq!(program.get("/metrics?job=web").up("p"), Some(true));
    }
    let mut log = program.log();
    log.retain(|line| line.contains("cannot be parsed"));
    assert_eq!(log.len(), 1, "{log:?}");
}

#[test]
fn a_certificate_for_the_server_name_is_trusted() {
    let ca = Authority::new();
    let listener = listener(2);
    let address = listener.local_addr().unwrap();
    let names = serve(listener, ca.server(&["web.shop.svc"]), SMALL_BODY);
    let (up, page) = scrape(address, &[("tls-server-name", "web.shop.svc")], &ca);
    assert_eq!(up, Some(true), "{page}");
    assert_eq!(
        names
            .recv_timeout(TEST_TIMEOUT)
            .unwrap()
            .server_name
            .as_deref(),
        Some("web.shop.svc")
    );
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let ca = Authority::new();
    check_refused(
        ca.server(&["127.9.9.9", "other.svc"]),
        3,
        &ca,
        "not valid for",
    );
}

#[test]
fn a_certificate_of_an_unknown_ca_is_refused() {
    check_refused(
        Authority::new().server(&["127.2.0.4"]),
        4,
        &Authority::new(),
        "UnknownIssuer",
    );
}

#[test]
fn an_expired_certificate_is_refused() {
    let ca = Authority::new();
    check_refused(ca.expired_server(&["127.2.0.5"]), 5, &ca, "expired");
}

#[test]
fn a_certificate_of_a_ca_is_refused_as_one_of_a_pod() {
    let ca = Authority::new();
    let reason = "tls: the pod shows a certificate of a CA (CA:TRUE) as its own, which is refused; \
                  give it one with CA:FALSE, or set the option tls-verify to false";
    check_refused(ca.server_that_is_a_ca(&["127.2.0.17"]), 17, &ca, reason);
}

#[test]
fn a_pod_that_does_not_speak_tls_is_down() {
    let plain = FakePod::healthy();
    let (up, page) = scrape(
        plain.address,
        &[("tls-verify", "false"), ("scrape-timeout-seconds", "1")],
        &Authority::new(),
    );
    assert_eq!(up, Some(false));
    assert!(page.contains("tls: "), "{page}");
}

#[test]
fn a_handshake_that_hangs_ends_at_the_timeout() {
    // Listens and never accepts: the kernel completes the TCP connection, nobody responds to the hello.
    let listener = listener(6);
    let (up, page) = scrape(
        listener.local_addr().unwrap(),
        &[("scrape-timeout-seconds", "0.5")],
        &Authority::new(),
    );
    assert_eq!(up, Some(false));
    assert!(page.contains("tls: timeout after 0.500 s"), "{page}");
}

/// Two pods with one server name and port: connections that are kept must not be mixed up.
#[test]
fn pods_of_one_server_name_are_told_apart() {
    let ca = Authority::new();
    let first = listener(7);
    let port = first.local_addr().unwrap().port();
    let second = TcpListener::bind((Ipv4Addr::new(127, 2, 0, 8), port)).unwrap();
    let addresses = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    let config = ca.server(&["web.shop.svc"]);
    serve(first, Arc::clone(&config), "first 1\n");
    serve(second, config, "second 1\n");
    let labels = [("tls-enabled", "true"), ("tls-server-name", "web.shop.svc")];
    let pods = [("a", addresses[0]), ("b", addresses[1])]
        .map(|(name, address)| pod_with("n", name, "web", address, &labels));
    let ca = TempFile::new(ca.pem().as_bytes());
    let program = Program::scraping(&pods, &[("SCRAPE_CA_FILE", ca.path())]);
    for _ in 0..3 {
        let response = program.get("/metrics?job=web");
        check_contains(response.text(), "first{instance=\"a\"");
        check_contains(response.text(), "second{instance=\"b\"");
    }
}
