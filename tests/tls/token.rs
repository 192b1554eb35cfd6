//! The bearer token for pods: to whom it is sent, and when its file is read again. README: `SCRAPE_TOKEN_FILE`,
//! `SCRAPE_TOKEN_NAMESPACES`.

use std::fs;

use crossbeam_channel::Receiver;
use serde_json::Value;

use super::{Request, listener, serve};
use crate::support::certificates::Authority;
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, header};
use crate::support::program::{Program, TEST_TIMEOUT, TempFile, pod_at, pod_with};

/// The token that came with the request.
fn sent_token(request: &Request) -> Option<String> {
    header(&request.head, "authorization")
}

/// Scrapes the pod once, and says which token it was sent.
fn token_sent(program: &Program, requests: &Receiver<Request>) -> Option<String> {
    program.get("/metrics?job=web");
    sent_token(&requests.recv_timeout(TEST_TIMEOUT).unwrap())
}

/// One pod, and a token for the namespace `trusted`: what is sent to it.
#[track_caller]
fn check_token(namespace: &str, verify: &str, last: u8, expected: Option<&str>) {
    check_tokens(namespace, verify, "metrics", last, &[expected]);
}

/// The same for a path, and for each request that it leads to.
#[track_caller]
fn check_tokens(
    namespace: &str,
    verify: &str,
    endpoint: &str,
    last: u8,
    expected: &[Option<&str>],
) {
    let ca = Authority::new();
    let listener = listener(last);
    let address = listener.local_addr().unwrap();
    let requests = serve(
        listener,
        ca.server(&[&address.ip().to_string()]),
        SMALL_BODY,
    );
    let labels = [
        ("tls-enabled", "true"),
        ("tls-verify", verify),
        ("endpoint", endpoint),
    ];
    let (ca, token) = (
        TempFile::new(ca.pem().as_bytes()),
        TempFile::new(b"fixture-token-7f3a\n"),
    );
    let settings = [
        ("SCRAPE_CA_FILE", ca.path()),
        ("SCRAPE_TOKEN_FILE", token.path()),
        ("SCRAPE_TOKEN_NAMESPACES", "trusted"),
        ("LOG_LEVEL", "trace"),
    ];
    let pods = [pod_with(namespace, "p", "web", address, &labels)];
    let mut program = Program::scraping(&pods, &settings);
    program.get("/metrics?job=web");
    let sent: Vec<Option<String>> = requests
        .try_iter()
        .map(|request| sent_token(&request))
        .collect();
    let sent: Vec<Option<&str>> = sent.iter().map(Option::as_deref).collect();
    assert_eq!(sent, expected);
    let seen = [program.log().join("\n"), program.get("/").text().to_owned()].concat();
    assert!(!seen.contains("fixture-token"), "{seen}");
}

#[test]
fn the_token_is_sent_over_verified_tls_in_the_named_namespace() {
    check_token("trusted", "true", 9, Some("Bearer fixture-token-7f3a"));
}

#[test]
fn the_token_is_not_sent_to_another_namespace() {
    check_token("other", "true", 10, None);
}

#[test]
fn the_token_is_not_sent_where_the_certificate_is_not_checked() {
    check_token("trusted", "false", 11, None);
}

#[test]
fn a_redirect_gets_the_token_that_the_pod_was_sent_anyway() {
    let token = Some("Bearer fixture-token-7f3a");
    check_tokens("trusted", "true", "moved", 13, &[token, token]);
    check_tokens("other", "true", "moved", 14, &[None, None]);
    check_tokens("trusted", "false", "moved", 15, &[None, None]);
}

#[test]
fn a_redirect_to_a_place_in_the_clear_is_not_followed() {
    let token = Some("Bearer fixture-token-7f3a");
    check_tokens("trusted", "true", "plain", 16, &[token]);
}

#[test]
fn the_token_is_not_sent_in_the_clear() {
    let fake = FakePod::healthy();
    let token = TempFile::new(b"fixture-token-7f3a");
    let settings = [
        ("SCRAPE_TOKEN_FILE", token.path()),
        ("SCRAPE_TOKEN_NAMESPACES", "trusted"),
    ];
    let pods = [pod_at("trusted", "p", "web", fake.address)];
    let program = Program::scraping(&pods, &settings);
    assert_eq!(program.get("/metrics?job=web").up("p"), Some(true));
    let head = fake.requests.try_recv().unwrap();
    assert_eq!(header(&head, "authorization"), None);
}

/// A program whose pods in the namespace `trusted` are sent the token of a file.
struct TokenTest {
    program: Program,
    token: TempFile,
    /// What the pod that wants a token is asked.
    requests: Receiver<Request>,
    _ca: TempFile,
}

impl TokenTest {
    /// One pod that is sent the token `old` at this path, and these others of the same job.
    fn start(last: u8, path: &str, others: &[Value]) -> TokenTest {
        let ca = Authority::new();
        let listener = listener(last);
        let address = listener.local_addr().unwrap();
        let certificate = ca.server(&[&address.ip().to_string()]);
        let requests = serve(listener, certificate, SMALL_BODY);
        let labels = [("tls-enabled", "true"), ("endpoint", path)];
        let pod = pod_with("trusted", "p", "web", address, &labels);
        let pods = [&[pod], others].concat();
        let (ca, token) = (TempFile::new(ca.pem().as_bytes()), TempFile::new(b"old"));
        let settings = [
            ("SCRAPE_CA_FILE", ca.path()),
            ("SCRAPE_TOKEN_FILE", token.path()),
            ("SCRAPE_TOKEN_NAMESPACES", "trusted"),
        ];
        let program = Program::scraping(&pods, &settings);
        TokenTest {
            program,
            token,
            requests,
            _ca: ca,
        }
    }

    #[track_caller]
    fn check_sent(&self, expected: &str) {
        let sent = token_sent(&self.program, &self.requests);
        assert_eq!(sent.as_deref(), Some(format!("Bearer {expected}").as_str()));
    }

    /// Lines of the log about the file of the token.
    fn log(&mut self) -> Vec<String> {
        let mut lines = self.program.log();
        lines.retain(|line| line.contains("SCRAPE_TOKEN_FILE") && !line.contains("version"));
        lines
    }
}

#[test]
fn a_refused_token_is_read_again_for_the_next_scrape() {
    let test = TokenTest::start(12, "denied", &[]);
    test.check_sent("old");
    fs::write(&test.token.0, "new").unwrap();
    test.check_sent("new");
}

#[test]
fn a_pod_that_was_sent_no_token_cannot_have_it_read_again() {
    let stranger = FakePod::start(Behaviour::Status(401));
    let others = [pod_at("other", "stranger", "web", stranger.address)];
    let test = TokenTest::start(13, "metrics", &others);
    test.check_sent("old");
    fs::write(&test.token.0, "new").unwrap();
    for _ in 0..3 {
        test.check_sent("old");
        stranger.requests.recv_timeout(TEST_TIMEOUT).unwrap();
    }
}

#[test]
fn a_token_file_that_is_gone_is_logged_once_and_the_token_before_stays() {
    let mut test = TokenTest::start(14, "denied", &[]);
    test.check_sent("old");
    fs::remove_file(&test.token.0).unwrap();
    for _ in 0..6 {
        test.check_sent("old");
    }
    fs::write(&test.token.0, "new").unwrap();
    test.check_sent("new");
    test.program.wait_for_log("the new content is in use");
    let log = test.log();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].contains("No such file or directory"), "{log:?}");
    assert!(log[1].contains("the new content is in use"), "{log:?}");
}
