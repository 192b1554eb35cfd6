//! The options of a pod, one by one: what each value does, and what is expected in place of a bad one.

use k8s_openapi::api::core::v1::Pod;
use kubernetes_metrics_aggregator::kubernetes::pod::targets_from_pod;
use serde_json::{Map, Value, json};

use crate::support::describe;

const PREFIX: &str = "metrics-aggregator.apawel.me";

/// The targets of a running pod with these labels and annotations, keys without the prefix; ` ; ` between targets.
fn targets_with(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> String {
    let object = |entries: &[(&str, &str)]| -> Value {
        let entries = entries
            .iter()
            .map(|(key, value)| (format!("{PREFIX}/{key}"), json!(value)));
        Value::Object(entries.collect::<Map<_, _>>())
    };
    let mut labels = object(labels);
    labels[format!("{PREFIX}/job-name")] = json!("j");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": labels, "annotations": object(annotations)},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }))
    .unwrap();
    let lines: Vec<String> = targets_from_pod(&pod)
        .iter()
        .map(|target| describe(target))
        .collect();
    lines.join(" ; ").replace("j n/p 10.0.0.1 ", "")
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
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {format!("{PREFIX}/job-name"): job}},
        "status": {"phase": "Running", "podIP": ip},
    }))
    .unwrap();
    let lines: Vec<String> = targets_from_pod(&pod)
        .iter()
        .map(|target| describe(target))
        .collect();
    lines.join(" ; ")
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
fn a_pod_ip_that_is_none_does_not_hide_the_pod() {
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
fn option_port() {
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

/// The first container's ports have these names; which of them can be asked for.
#[track_caller]
fn check_port_names(names: &[&str], port: &str, expected: &str) {
    let ports: Vec<Value> = names
        .iter()
        .zip(1..)
        .map(|(name, number)| json!({"name": name, "containerPort": number}))
        .collect();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "labels": {
            format!("{PREFIX}/job-name"): "j", format!("{PREFIX}/port"): port,
        }},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"podIP": "10.0.0.1"},
    }))
    .unwrap();
    let found = describe(&targets_from_pod(&pod)[0]);
    assert!(found.contains(expected), "{found}");
}

#[test]
fn names_of_ports() {
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
fn numbers_of_ports_that_are_none() {
    for number in [-1, 0, 65_536] {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"labels": {
                format!("{PREFIX}/job-name"): "j", format!("{PREFIX}/port"): "http",
            }, "name": "p"},
            "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": number}]}]},
            "status": {"podIP": "10.0.0.1"},
        }))
        .unwrap();
        let found = describe(&targets_from_pod(&pod)[0]);
        assert!(found.contains("(named ports of the pod: none)"), "{found}");
    }
}

#[test]
fn option_scrape_native_histograms() {
    let histograms = |value: &str| {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "p",
                "labels": {format!("{PREFIX}/job-name"): "j"},
                "annotations": {format!("{PREFIX}/scrape-native-histograms"): value},
            },
            "status": {"podIP": "10.0.0.1"},
        }))
        .unwrap();
        targets_from_pod(&pod)[0].meta.native_histograms
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
fn option_endpoint() {
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
fn option_scrape_timeout_seconds() {
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
fn options_of_tls() {
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
fn option_scrape_targets() {
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
