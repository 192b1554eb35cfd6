//! Pods that ask for a client certificate: who is shown the one of `SCRAPE_CERT_FILE`, and who is not.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{listener, serve};
use crate::support::certificates::Authority;
use crate::support::check_contains;
use crate::support::fake_pod::SMALL_BODY;
use crate::support::program::{Program, TEST_TIMEOUT, TempFile, pod_with};

/// The program with one pod over TLS, whose certificate it trusts, and the files of a client certificate.
struct Scraped {
    program: Program,
    _files: Vec<TempFile>,
}

fn scraped(
    address: SocketAddr,
    verify: &str,
    ca: &Authority,
    pair: Option<&(String, String)>,
) -> Scraped {
    let labels = [("tls-enabled", "true"), ("tls-verify", verify)];
    let mut files = vec![TempFile::new(ca.pem().as_bytes())];
    if let Some((cert, key)) = pair {
        files.extend([cert, key].map(|pem| TempFile::new(pem.as_bytes())));
    }
    let names = ["SCRAPE_CA_FILE", "SCRAPE_CERT_FILE", "SCRAPE_KEY_FILE"];
    let paths = files.iter().map(|file| file.path());
    let settings: Vec<(&str, &str)> = names.into_iter().zip(paths).collect();
    let pods = [pod_with("n", "p", "web", address, &labels)];
    let program = Program::scraping(&pods, &settings);
    Scraped {
        program,
        _files: files,
    }
}

fn pod_that_asks(last: u8, ca: &Authority, clients: &Authority) -> (SocketAddr, Arc<ServerConfig>) {
    let ip = format!("127.2.0.{last}");
    (
        ([127, 2, 0, last], 0).into(),
        ca.server_for(&[&ip], clients),
    )
}

#[test]
fn a_pod_that_asks_is_shown_the_certificate() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let pair = clients.pem_pair(&["aggregator"]);
    let shown = CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap();
    let listener = listener(30);
    let address = listener.local_addr().unwrap();
    let requests = serve(listener, pod_that_asks(30, &ca, &clients).1, SMALL_BODY);
    let mut scraped = scraped(address, "true", &ca, Some(&pair));
    assert_eq!(scraped.program.get("/metrics?job=web").up("p"), Some(true));
    let target = format!("/probe?target=n/p:{}", address.port());
    assert_eq!(scraped.program.get(&target).status, 200);
    for _ in 0..2 {
        let request = requests.recv_timeout(TEST_TIMEOUT).unwrap();
        assert_eq!(request.certificate.as_deref(), Some(&*shown));
    }
    let log = scraped.program.log().join("\n");
    let page = scraped.program.get("/").text().to_owned();
    for line in pair.1.lines().filter(|line| !line.starts_with('-')) {
        assert!(!log.contains(line) && !page.contains(line));
    }
}

#[track_caller]
fn check_down(last: u8, verify: &str, signed_by: Option<&Authority>, reason: &str) {
    let (ca, clients) = (Authority::new(), Authority::new());
    let pair = signed_by.map(|authority| authority.pem_pair(&["aggregator"]));
    let listener = listener(last);
    let address = listener.local_addr().unwrap();
    serve(listener, pod_that_asks(last, &ca, &clients).1, SMALL_BODY);
    let scraped = scraped(address, verify, &ca, pair.as_ref());
    assert_eq!(scraped.program.get("/metrics?job=web").up("p"), Some(false));
    let page = scraped.program.get("/").text().to_owned();
    check_contains(&page, reason);
}

const REMEDY: &str = "the pod asks for a client certificate that it trusts: set SCRAPE_CERT_FILE and SCRAPE_KEY_FILE, \
                      which are used only with the option tls-verify true";

#[test]
fn a_pod_that_asks_and_is_shown_none_says_what_to_do() {
    check_down(31, "true", None, REMEDY);
}

/// Anyone who may label a pod chooses where a scrape goes.
#[test]
fn a_pod_whose_certificate_is_not_checked_is_shown_none() {
    check_down(32, "false", Some(&Authority::new()), REMEDY);
}

#[test]
fn a_certificate_that_the_pod_does_not_trust() {
    check_down(33, "true", Some(&Authority::new()), REMEDY);
}

#[test]
fn a_pod_that_does_not_ask_is_shown_none() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let pair = clients.pem_pair(&["aggregator"]);
    let listener = listener(34);
    let address = listener.local_addr().unwrap();
    let requests = serve(listener, ca.server(&["127.2.0.34"]), SMALL_BODY);
    let scraped = scraped(address, "true", &ca, Some(&pair));
    assert_eq!(scraped.program.get("/metrics?job=web").up("p"), Some(true));
    assert_eq!(
        requests.recv_timeout(TEST_TIMEOUT).unwrap().certificate,
        None
    );
}
