//! Each option of a pod: what a valid value does, and what is expected in place of an invalid one.
//! README: "What you label".

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kubernetes_metrics_aggregator::kubernetes::pod::targets_from_pod;
use kubernetes_metrics_aggregator::target::Target;
use serde_json::{Value, json};

use crate::support::describe;

const PREFIX: &str = "metrics-aggregator.apawel.me";

/// The targets of the running pod `n/p` of the job `j`, after this change to its JSON.
fn targets_of(change: impl FnOnce(&mut Value)) -> Vec<Arc<Target>> {
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {}},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    });
    pod["metadata"]["labels"][format!("{PREFIX}/job-name")] = json!("j");
    change(&mut pod);
    let pod: Pod = serde_json::from_value(pod).unwrap();
    targets_from_pod(&pod)
}

/// The same in one line, with ` ; ` between targets.
fn described(change: impl FnOnce(&mut Value)) -> String {
    let targets = targets_of(change);
    let lines: Vec<String> = targets.iter().map(|target| describe(target)).collect();
    lines.join(" ; ")
}

/// The pod with these labels and annotations, keys without the prefix.
fn targets_with(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> String {
    let line = described(|pod| {
        for (kind, entries) in [("labels", labels), ("annotations", annotations)] {
            for (key, value) in entries {
                pod["metadata"][kind][format!("{PREFIX}/{key}")] = json!(value);
            }
        }
    });
    line.replace("j n/p 10.0.0.1 ", "")
}

/// A good option: how the pod is then scraped.
#[track_caller]
fn check(option: &str, value: &str, expected: &str) {
    assert_eq!(targets_with(&[], &[(option, value)]), expected);
}

/// A bad option: what is expected in its place.
#[track_caller]
fn check_bad(option: &str, value: &str, expected: &str) {
    let found = targets_with(&[], &[(option, value)]);
    let prefix = format!("annotation {PREFIX}/{option}: expected {expected}, found ");
    assert!(found.starts_with(&prefix), "{found}");
}

#[test]
fn annotations_win_over_labels() {
    let found = targets_with(&[("port", "1"), ("endpoint", "label")], &[("port", "2")]);
    assert_eq!(found, "10.0.0.1:2/label 5s");
    let found = targets_with(&[("port", "1")], &[("port", "x")]);
    assert!(found.starts_with("annotation "), "{found}");
    let found = targets_with(&[], &[("job-name", "other")]);
    assert_eq!(found, "10.0.0.1:80/metrics 5s");
}

/// A pod with this job name and IP, in one line.
fn target_with(job: &str, ip: &str) -> String {
    described(|pod| {
        pod["metadata"]["labels"][format!("{PREFIX}/job-name")] = json!(job);
        pod["status"]["podIP"] = json!(ip);
    })
}

#[test]
fn a_pod_without_a_usable_job_name_has_no_job() {
    let longest = "j".repeat(63);
    let found = target_with(&longest, "10.0.0.1");
    assert_eq!(
        found,
        format!("{longest} n/p 10.0.0.1 10.0.0.1:80/metrics 5s")
    );
    for bad in ["", &"j".repeat(64)] {
        let found = target_with(bad, "10.0.0.1");
        let expected = format!(
            " n/p 10.0.0.1 label {PREFIX}/job-name: expected the name of a job, 1 to 63 characters, found {bad:?}"
        );
        assert_eq!(found, expected);
    }
}

#[test]
fn an_invalid_pod_ip_does_not_hide_the_pod() {
    for bad in [
        "10.0.0.01",
        "10.0.0.256",
        "node-1",
        "[fd00::1]",
        "10.0.0.1:80",
        " 10.0.0.1",
    ] {
        let found = target_with("j", bad);
        let expected = format!(
            "j n/p {bad} field status.podIP: expected an IPv4 or IPv6 address, found {bad:?}"
        );
        assert_eq!(found, expected);
    }
    // A pod that is starting has none yet.
    assert_eq!(target_with("j", ""), "");
}

#[test]
fn port_is_a_number_or_a_name() {
    check("port", "1", "10.0.0.1:1/metrics 5s");
    check("port", "65535", "10.0.0.1:65535/metrics 5s");
    check("port", " 9100\n", "10.0.0.1:9100/metrics 5s");
    for bad in [
        "", "0", "65536", "http", "+80", "-1", "80.0", "8 0", "0x50", "٨٠",
    ] {
        let expected = "a number from 1 to 65535 or the name of a container port (named ports of the pod: none)";
        check_bad("port", bad, expected);
    }
}

/// The pod's `port` is this, and its first container has these ports: how it is scraped, or why not.
#[track_caller]
fn check_ports(ports: &[(&str, i64)], port: &str, expected: &str) {
    let named = |(name, number): &(&str, i64)| json!({"name": name, "containerPort": number});
    let ports: Vec<Value> = ports.iter().map(named).collect();
    let found = described(|pod| {
        pod["metadata"]["labels"][format!("{PREFIX}/port")] = json!(port);
        pod["spec"] = json!({"containers": [{"name": "c", "ports": ports}]});
    });
    assert!(found.contains(expected), "{found}");
}

/// The same with ports of these names, numbered from 1.
#[track_caller]
fn check_port_names(names: &[&str], port: &str, expected: &str) {
    let ports: Vec<(&str, i64)> = names.iter().copied().zip(1..).collect();
    check_ports(&ports, port, expected);
}

#[test]
fn a_port_name_is_that_of_a_container_port() {
    check_port_names(&["web", "http-2"], "http-2", " 10.0.0.1:2/metrics ");
    check_port_names(&["web"], " web\n", " 10.0.0.1:1/metrics ");
    // A number is a number, whatever ports are called.
    check_port_names(&["8080", "9100"], "9100", " 10.0.0.1:9100/metrics ");
    // Only a file that was written by hand has such names.
    let bad = ["", "Web", "a\nb", "a_b", "sixteen-letters-"];
    for name in bad {
        check_port_names(&bad, name, "(named ports of the pod: none), found ");
    }
    let many: Vec<String> = (0..30).map(|number| format!("p{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check_port_names(&many, "p29", " 10.0.0.1:30/metrics ");
    check_port_names(&many, "x", "p25, p26), found \"x\"");
}

#[test]
fn a_named_port_with_an_invalid_number_does_not_exist() {
    for number in [-1, 0, 65_536] {
        let expected = "(named ports of the pod: none)";
        check_ports(&[("http", number)], "http", expected);
    }
}

#[test]
fn scrape_native_histograms_is_true_or_false() {
    let histograms = |value: &str| {
        let targets = targets_of(|pod| {
            let key = format!("{PREFIX}/scrape-native-histograms");
            pod["metadata"]["annotations"] = json!({key: value});
        });
        targets[0].meta.native_histograms
    };
    assert_eq!(histograms("true"), Some(true));
    assert_eq!(histograms("False"), Some(false));
    check("scrape-native-histograms", "true", "10.0.0.1:80/metrics 5s");
    for bad in ["", "1", "yes"] {
        check_bad("scrape-native-histograms", bad, "true or false");
        assert_eq!(histograms(bad), None);
    }
}

#[test]
fn endpoint_is_a_path_with_an_optional_query() {
    check("endpoint", "stats", "10.0.0.1:80/stats 5s");
    check("endpoint", "/stats", "10.0.0.1:80/stats 5s");
    check("endpoint", "", "10.0.0.1:80/ 5s");
    check("endpoint", "/", "10.0.0.1:80/ 5s");
    check("endpoint", "//x/../y", "10.0.0.1:80//x/../y 5s");
    check(
        "endpoint",
        "actuator/prometheus?verbose=1&match[]=up",
        "10.0.0.1:80/actuator/prometheus?verbose=1&match[]=up 5s",
    );
    check("endpoint", "?a=1", "10.0.0.1:80/?a=1 5s");
    // What is not legal in a request target never gets there.
    check(
        "endpoint",
        "a b\r\nX: y",
        "10.0.0.1:80/a%20b%0D%0AX:%20y 5s",
    );
    check("endpoint", "ü#x", "10.0.0.1:80/%C3%BC%23x 5s");
    check(
        "endpoint",
        "\"<>\\^`{|}\u{7f}",
        "10.0.0.1:80/%22%3C%3E%5C%5E%60%7B%7C%7D%7F 5s",
    );
    check("endpoint", "%41%4g%", "10.0.0.1:80/%41%254g%25 5s");
    check("endpoint", "http://other/", "10.0.0.1:80/http://other/ 5s");
    check_bad(
        "endpoint",
        &"x".repeat(4096),
        "a path of at most 4096 bytes",
    );
    check_bad("endpoint", &"ü".repeat(700), "a path of at most 4096 bytes");
}

#[test]
fn scrape_timeout_seconds_is_a_decimal_up_to_300() {
    check("scrape-timeout-seconds", "10", "10.0.0.1:80/metrics 10s");
    check("scrape-timeout-seconds", "0.5", "10.0.0.1:80/metrics 0.5s");
    check("scrape-timeout-seconds", "300", "10.0.0.1:80/metrics 300s");
    check(
        "scrape-timeout-seconds",
        "300.0",
        "10.0.0.1:80/metrics 300s",
    );
    for bad in [
        "",
        "0",
        "0.0",
        "0.0000000001",
        "300.1",
        "301",
        "5s",
        "1e2",
        "-1",
        "+1",
        ".5",
        "5.",
        "1.2.3",
        "NaN",
        "inf",
        "5,0",
        "0x5",
    ] {
        let expected = "seconds over 0, at most 300, like 5 or 0.5";
        check_bad("scrape-timeout-seconds", bad, expected);
    }
    check_bad(
        "scrape-timeout-seconds",
        &"9".repeat(4_000),
        "seconds over 0, at most 300, like 5 or 0.5",
    );
}

#[test]
fn tls_options_are_booleans_and_a_server_name() {
    check(
        "tls-enabled",
        "true",
        "10.0.0.1:80/metrics 5s tls verify=true name=-",
    );
    check(
        "tls-enabled",
        "True",
        "10.0.0.1:80/metrics 5s tls verify=true name=-",
    );
    check("tls-enabled", "FALSE", "10.0.0.1:80/metrics 5s");
    let with_tls = |option, value| targets_with(&[("tls-enabled", "true")], &[(option, value)]);
    assert_eq!(
        with_tls("tls-verify", "false"),
        "10.0.0.1:80/metrics 5s tls verify=false name=-"
    );
    for name in ["web.ns.svc", "10.0.0.9", "fd00::1"] {
        let expected = format!("10.0.0.1:80/metrics 5s tls verify=true name={name}");
        assert_eq!(with_tls("tls-server-name", name), expected);
    }
    for bad in ["", "1", "yes", "on", "t", "truefalse"] {
        check_bad("tls-enabled", bad, "true or false");
        check_bad("tls-verify", bad, "true or false");
    }
    for bad in ["", "a b", "a..b", "https://x", "[fd00::1]", "x:443", "*"] {
        check_bad("tls-server-name", bad, "a DNS name or an IP address");
    }
}

#[test]
fn scrape_targets_is_a_list_of_ports_with_paths() {
    check(
        "scrape-targets",
        "8080:/metrics,9100:/stats",
        "pod_port=8080 10.0.0.1:8080/metrics 5s ; pod_port=9100 10.0.0.1:9100/stats 5s",
    );
    check(
        "scrape-targets",
        "8080",
        "pod_port=8080 10.0.0.1:8080/metrics 5s",
    );
    check(
        "scrape-targets",
        "\n8080 : /a b ,\n 9100\n",
        "pod_port=8080 10.0.0.1:8080/a%20b 5s ; pod_port=9100 10.0.0.1:9100/metrics 5s",
    );
    let ports = |count: u16| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>();
    let hundred = targets_with(&[], &[("scrape-targets", &ports(100).join(","))]);
    assert_eq!(hundred.split(" ; ").count(), 100);
    let too_many = ports(101).join(",");
    for bad in [
        "",
        ",",
        "8080,",
        "8080:",
        ":/metrics",
        "/metrics",
        "http:/metrics",
        "0:/x",
        "8080:/a,8080:/b",
        &too_many,
    ] {
        let expected = "at most 100 different ports with paths, like 8080:/metrics,http:/stats \
            (named ports of the pod: none)";
        check_bad("scrape-targets", bad, expected);
    }
    // They replace the port and the endpoint, whatever those are.
    let found = targets_with(
        &[("port", "http"), ("endpoint", "x")],
        &[("scrape-targets", "1")],
    );
    assert_eq!(found, "pod_port=1 10.0.0.1:1/metrics 5s");
}
