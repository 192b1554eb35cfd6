//! The bearer token of `AUTH_TOKEN_FILE`: who needs it, and that it is never shown. k8s/README.md: "Who may ask".

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::server::listener::{Limits, Listener, ListenerSettings, bind};

use crate::support::eventually;
use crate::support::listener::TestListener;
use crate::support::program::TempFile;

/// How often files are checked for changes.
pub(super) const RELOAD: Duration = Duration::from_millis(10);

fn start(token_file: &Path) -> TestListener {
    TestListener::start(|settings| {
        settings.token_file = Some(token_file.to_owned());
        settings.limits.reload_interval = RELOAD;
    })
}

#[track_caller]
fn status(listener: &TestListener, target: &str, headers: &str) -> String {
    let response = listener.ask(format!("GET {target} HTTP/1.0\r\n{headers}\r\n").as_bytes());
    assert!(!response.contains("s3cret"), "{response}");
    let status = response.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(
        status == "401",
        response.contains("\r\nWWW-Authenticate: Bearer\r\n"),
        "{response}"
    );
    status
}

#[test]
fn only_the_right_token_is_accepted() {
    let token = TempFile::new(b" s3cret-Token \n");
    let listener = start(&token.0);
    for (headers, expected) in [
        ("", "401"),
        ("Authorization: Bearer s3cret-Token\r\n", "200"),
        ("authorization: bearer  s3cret-Token \r\n", "200"),
        ("Authorization: Bearer s3cret-token\r\n", "401"),
        ("Authorization: Bearer s3cret-Toke\r\n", "401"),
        ("Authorization: Bearer s3cret-Token1\r\n", "401"),
        ("Authorization: Bearer s3cret-Tokens3cret-Token\r\n", "401"),
        ("Authorization: Bearer \r\n", "401"),
        ("Authorization: s3cret-Token\r\n", "401"),
        ("Authorization: Basic s3cret-Token\r\n", "401"),
        (
            "Authorization: Bearer s3cret-Token\r\nAuthorization: Bearer s3cret-Token\r\n",
            "401",
        ),
        (
            "Authorization: Bearer x\r\nAuthorization: Bearer s3cret-Token\r\n",
            "401",
        ),
        ("X-Authorization: Bearer s3cret-Token\r\n", "401"),
    ] {
        assert_eq!(
            status(&listener, "/metrics?job=a", headers),
            expected,
            "{headers}"
        );
    }
}

#[test]
fn health_checks_need_no_token_and_nothing_passes_for_one() {
    let token = TempFile::new(b"s3cret");
    let listener = start(&token.0);
    for open in ["/-/healthy", "/-/ready"] {
        assert_eq!(status(&listener, open, ""), "200", "{open}");
    }
    for closed in [
        "/",
        "/-/metrics",
        "/-/healthy?",
        "/-/healthy?job=a",
        "/-/healthy/",
        "/-/healthy/../metrics",
        "/-/healthy/..%2fmetrics",
        "/-/healthy%3Fjob=a",
        "/%2D/healthy",
        "/-/%68ealthy",
        "//-/healthy",
        "/./-/healthy",
        "/-/Healthy",
        "/-/healthy#",
        "/metrics?job=a&x=/-/healthy",
        "http://h/-/healthy",
        "*",
    ] {
        assert_eq!(status(&listener, closed, ""), "401", "{closed}");
    }
}

#[test]
fn a_new_token_is_used_without_a_restart_and_a_broken_file_is_not() {
    let token = TempFile::new(b"one");
    let listener = start(&token.0);
    let one = "Authorization: Bearer one\r\n";
    let two = "Authorization: Bearer two\r\n";
    assert_eq!(status(&listener, "/a", one), "200");
    fs::write(&token.0, "two").unwrap();
    eventually("the new token is taken", || {
        status(&listener, "/a", two) == "200"
    });
    assert_eq!(status(&listener, "/a", one), "401");
    // Both at once, as between the two halves of a rotation.
    fs::write(&token.0, "two\r\n\none\n").unwrap();
    eventually("both tokens are taken", || {
        status(&listener, "/a", one) == "200"
    });
    assert_eq!(status(&listener, "/a", two), "200");
    fs::write(&token.0, "two").unwrap();
    eventually("the first token is out", || {
        status(&listener, "/a", one) == "401"
    });
    fs::write(&token.0, "\n").unwrap();
    // Long enough for a few checks of the file.
    let until = Instant::now() + RELOAD * 5;
    while Instant::now() < until {
        assert_eq!(status(&listener, "/a", two), "200");
        assert_eq!(status(&listener, "/a", "Authorization: Bearer \r\n"), "401");
    }
    fs::write(&token.0, "one").unwrap();
    eventually("the next token is taken", || {
        status(&listener, "/a", one) == "200"
    });
}

#[test]
fn an_invalid_token_file_is_an_error_at_the_start() {
    for empty in ["", " \n"] {
        let token = TempFile::new(empty.as_bytes());
        let expected = "the file is empty: expected a token";
        assert_eq!(
            start_error(Some(token.0.clone()), None),
            format!("AUTH_TOKEN_FILE {:?}: {expected}", token.0),
            "{empty:?}"
        );
    }
    let many: String = (0..1001)
        .map(|number| format!("s3cret{number}\n"))
        .collect();
    let long = "a".repeat(4097);
    for (content, line) in [
        ("two s3cret", 1),
        (&*many, 1001),
        (&*long, 1),
        ("one\n\ns3cret jobs=web\n", 3),
        ("one\ns3cret job=\n", 2),
        ("one\ns3cret job=web,\n", 2),
        ("one\ns3cret job=web job=queue\n", 2),
        ("one\ns3cret namespace=a/b\n", 2),
        ("one\ns3cret job = web\n", 2),
        ("one\ns3cret job=web # of the shop\n", 2),
        ("s3cret\ns3cret job=web\n", 2),
        // The token is missing: a limit must not count as one.
        ("one\njob=s3cret\n", 2),
        ("one\nJob=s3cret\n", 2),
        ("one\nnamespace=s3cret job=web\n", 2),
        ("one\ns3cr\u{e9}t\n", 2),
    ] {
        let token = TempFile::new(content.as_bytes());
        let expected = "TOKEN, TOKEN job=NAME,... or TOKEN namespace=NAME,..., each token once \
                        and of at most 4096 visible ASCII characters, at most 1000 lines";
        assert_eq!(
            start_error(Some(token.0.clone()), None),
            format!(
                "AUTH_TOKEN_FILE {:?}: line {line}: expected {expected}",
                token.0
            ),
            "{content:?}"
        );
    }
    let missing = std::env::temp_dir().join("no-such-directory/missing");
    assert_eq!(
        start_error(Some(missing.clone()), None),
        format!("AUTH_TOKEN_FILE {missing:?}: No such file or directory (os error 2)")
    );
}

pub(super) fn start_error(
    token_file: Option<std::path::PathBuf>,
    tls: Option<kubernetes_metrics_aggregator::server::listener::TlsFiles>,
) -> String {
    let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
    let settings = ListenerSettings {
        connections_max: 1,
        tls,
        token_file,
        path_prefix: String::new(),
        limits: Limits::default(),
    };
    Listener::start(listener, settings, std::sync::Arc::default())
        .unwrap_err()
        .to_string()
}
