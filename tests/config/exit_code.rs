//! The program with settings that it cannot use, and its options: exit codes and what it prints. README: "Settings".

use kubernetes_metrics_aggregator::config::settings;

use crate::support::certificates::Authority;
use crate::support::check_contains;
use crate::support::program::{Program, TempFile};

#[track_caller]
fn check_exit(
    arguments: &[&str],
    settings: &[(&str, &str)],
    code: i32,
    stdout: &[&str],
    stderr: &[&str],
) {
    let output = Program::command(settings).args(arguments).output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {out}\nstderr: {err}"
    );
    for (text, found) in stdout
        .iter()
        .map(|text| (text, &out))
        .chain(stderr.iter().map(|text| (text, &err)))
    {
        check_contains(found, text);
    }
}

#[test]
fn bad_values_end_the_program_with_2() {
    let bad = [("GZIP_LEVEL", "11"), ("CLIENT_WORKERS", "-3")];
    let lines = [
        "GZIP_LEVEL: expected a number from 0 to 9, found \"11\"",
        "CLIENT_WORKERS: expected",
    ];
    check_exit(&[], &bad, 2, &[], &lines);
    check_exit(&["--check-config"], &bad, 2, &[], &lines);
    check_exit(&["--demo"], &bad, 2, &[], &lines);
}

#[test]
fn outside_of_a_cluster_the_program_says_what_to_do_and_ends_with_2() {
    check_exit(
        &[],
        &[],
        2,
        &[],
        &[
            "not inside a Kubernetes cluster",
            "KUBERNETES_SERVICE_HOST",
            "KUBERNETES_API_URL",
            "--demo",
        ],
    );
}

#[test]
fn unknown_and_surplus_options_end_the_program_with_2() {
    check_exit(
        &["--frobnicate"],
        &[],
        2,
        &[],
        &["unknown option \"--frobnicate\"", "--help"],
    );
    check_exit(&["--help", "me"], &[], 2, &[], &["unknown option \"me\""]);
}

#[test]
fn help_names_every_setting_with_its_default() {
    let lines: Vec<String> = settings()
        .map(|(name, default)| {
            format!(
                "{name} (default: {})",
                if default.is_empty() { "unset" } else { default }
            )
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check_exit(&["--help"], &[], 0, &lines, &[]);
}

#[test]
fn version_is_that_of_the_manifest() {
    check_exit(&["--version"], &[], 0, &[env!("CARGO_PKG_VERSION")], &[]);
}

#[test]
fn check_config_reads_the_files_too() {
    let url = ("KUBERNETES_API_URL", "http://127.0.0.1:8001");
    check_exit(
        &["--check-config"],
        &[url],
        0,
        &["CLIENT_WORKERS=2", "the settings can be used"],
        &[],
    );
    check_exit(
        &["--check-config"],
        &[url, ("SCRAPE_CA_FILE", "/no/such/ca.pem")],
        1,
        &[],
        &["/no/such/ca.pem: "],
    );
}

#[test]
fn a_client_certificate_that_cannot_be_used_ends_the_program_with_2() {
    let ca = Authority::new();
    let (pair, other) = (ca.pem_pair(&["a"]), ca.pem_pair(&["b"]));
    let [cert, key, other] = [&pair.0, &pair.1, &other.1].map(|pem| TempFile::new(pem.as_bytes()));
    let check = |key: &TempFile, code: i32, stderr: &[&str]| {
        let settings = [
            ("KUBERNETES_API_URL", "http://127.0.0.1:8001"),
            ("LISTEN_ADDRESS", "127.0.0.1:0"),
            ("SCRAPE_CERT_FILE", cert.path()),
            ("SCRAPE_KEY_FILE", key.path()),
        ];
        check_exit(&["--check-config"], &settings, code, &[], stderr);
        if code != 0 {
            check_exit(&[], &settings, code, &[], stderr);
        }
    };
    check(&key, 0, &[]);
    check(
        &other,
        2,
        &["SCRAPE_CERT_FILE", "does not go with SCRAPE_KEY_FILE"],
    );
    let expected = "expected one private key in PEM, not encrypted";
    check(&cert, 2, &["SCRAPE_KEY_FILE", expected]);
    std::fs::remove_file(&other.0).unwrap();
    check(&other, 2, &["SCRAPE_KEY_FILE", "No such file"]);
}
