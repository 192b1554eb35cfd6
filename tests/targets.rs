//! Pod lists → targets: whole lists as an API server or `kubectl` writes them. README: "What you label".

use std::fs;
use std::sync::Arc;

use kubernetes_metrics_aggregator::kubernetes::pod_list::{PodListEnd, read_pod_list};
use kubernetes_metrics_aggregator::target::Target;

use crate::support::describe;

fn fixture(name: &str) -> String {
    let path = format!(
        "{}/fixtures/kubernetes/podlist-{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::read_to_string(path).unwrap()
}

fn read(json: &str) -> Result<(Vec<Arc<Target>>, PodListEnd), serde_json::Error> {
    let mut targets = Vec::new();
    let end = read_pod_list(json.as_bytes(), &mut targets)?;
    Ok((targets, end))
}

/// The targets of a fixture, one line each.
#[track_caller]
fn check_list(name: &str, expected: &[&str]) {
    let (targets, _) = read(&fixture(name)).unwrap();
    let lines: Vec<String> = targets.iter().map(|target| describe(target)).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_pod_with_the_job_label_is_a_target() {
    check_list(
        "seed",
        &[
            "memcached somenamespace/memcached-db-54c6dc7658-9zlwq 10.244.137.60 10.244.137.60:9150/metrics 5s",
            "memcached someothernamespace/memcached-db-7788765cbb-clrqg 10.244.142.192 10.244.142.192:9150/metrics 5s",
            "memcached someothernamespace/memcached-session-69b5fdf649-zx8lg \
             10.244.134.119 10.244.134.119:9150/metrics 5s",
            "web somenamespace/web-5d9c7b7f6-abcde 10.244.137.61 10.244.137.61:80/metrics 5s",
        ],
    );
}

#[test]
fn finished_pods_and_pods_without_an_ip_are_skipped() {
    check_list(
        "phases",
        &[
            "web ns/running-1 10.1.0.11 10.1.0.11:8080/metrics 5s",
            "web ns/not-ready-1 10.1.0.12 10.1.0.12:8080/metrics 5s",
            "web ns/pending-with-ip-1 10.1.0.13 10.1.0.13:8080/metrics 5s",
            "web ns/unknown-1 10.1.0.18 10.1.0.18:8080/metrics 5s",
            "web ns/terminating-1 10.1.0.19 terminating 10.1.0.19:8080/metrics 5s",
            "web ns/bad-ip-1 10.1.0.300 field status.podIP: expected an IPv4 or IPv6 address, found \"10.1.0.300\"",
            " ns/empty-job-1 10.1.0.22 label metrics-aggregator.apawel.me/job-name: \
             expected the name of a job, 1 to 63 characters, found \"\"",
        ],
    );
}

#[test]
fn two_pods_with_the_ip_of_their_node_are_two_targets() {
    check_list(
        "host-network",
        &[
            "node monitoring/node-exporter-4xk2p 192.168.10.11 192.168.10.11:9100/metrics 5s",
            "node monitoring/node-exporter-second-9qq7d 192.168.10.11 192.168.10.11:9100/metrics 5s",
        ],
    );
}

#[test]
fn ipv6_addresses_are_bracketed_in_urls_only() {
    check_list(
        "ipv6",
        &[
            "web ns/six-1 fd00:10:244::5 [fd00:10:244::5]:8080/metrics 5s",
            "web ns/dual-1 10.244.0.9 10.244.0.9:8080/metrics 5s",
            "web ns/long-1 2001:db8::1 [2001:db8::1]:8080/metrics 5s",
        ],
    );
}

#[test]
fn scrape_targets_makes_several_targets_of_one_pod() {
    check_list(
        "scrape-targets",
        &[
            "multi ns/envoy-1 10.1.0.51 pod_port=9100 10.1.0.51:9100/stats?format=prometheus 5s",
            "multi ns/envoy-1 10.1.0.51 pod_port=8080 10.1.0.51:8080/metrics 5s",
            "multi ns/envoy-1 10.1.0.51 pod_port=9200 10.1.0.51:9200/metrics 5s",
            "multi ns/same-port-twice-1 10.1.0.52 annotation metrics-aggregator.apawel.me/scrape-targets: \
             expected at most 100 different ports with paths, like 8080:/metrics,http:/stats \
             (named ports of the pod: metrics), found \"8080:/a,8080:/b\"",
            "multi ns/bad-timeout-1 10.1.0.53 pod_port=8080 \
             annotation metrics-aggregator.apawel.me/scrape-timeout-seconds: \
             expected seconds over 0, at most 300, like 5 or 0.5, found \"5s\"",
            "multi ns/bad-timeout-1 10.1.0.53 pod_port=8081 \
             annotation metrics-aggregator.apawel.me/scrape-timeout-seconds: \
             expected seconds over 0, at most 300, like 5 or 0.5, found \"5s\"",
            "multi ns/bad-port-1 10.1.0.54 label metrics-aggregator.apawel.me/port: \
             expected a number from 1 to 65535 or the name of a container port (named ports of the pod: metrics), \
             found \"http\"",
        ],
    );
}

#[test]
fn a_port_name_is_that_of_a_container_that_stays() {
    let (http, targets) = (
        "label metrics-aggregator.apawel.me/port: expected a number from 1 to 65535 \
         or the name of a container port",
        "annotation metrics-aggregator.apawel.me/scrape-targets: expected at most 100 different ports with paths, \
         like 8080:/metrics,http:/stats",
    );
    let names = "(named ports of the pod: dns, envoy-prom, http, http-metrics)";
    check_list(
        "named-ports",
        &[
            "web ns/by-name 10.1.0.81 10.1.0.81:9100/metrics 5s",
            "web ns/name-of-two-containers 10.1.0.81 10.1.0.81:8080/metrics 5s",
            "web ns/init-container-that-stays 10.1.0.81 10.1.0.81:15090/metrics 5s",
            &format!("web ns/init-container-that-ends 10.1.0.81 {http} {names}, found \"setup\""),
            &format!(
                "web ns/port-without-a-name 10.1.0.81 {http} (named ports of the pod: none), found \"http\""
            ),
            &format!(
                "web ns/no-ports 10.1.0.81 {http} (named ports of the pod: none), found \"http\""
            ),
            "web ns/several 10.1.0.81 pod_port=9100 10.1.0.81:9100/metrics 5s",
            "web ns/several 10.1.0.81 pod_port=9090 10.1.0.81:9090/stats 5s",
            "web ns/several 10.1.0.81 pod_port=15090 10.1.0.81:15090/metrics 5s",
            &format!(
                "web ns/one-port-by-two-names 10.1.0.81 {targets} {names}, \
                 found \"http-metrics:/metrics,9100:/stats\""
            ),
        ],
    );
}

#[test]
fn the_output_of_kubectl_is_read() {
    check_list(
        "kubectl",
        &[
            "memcached a/memcached-1 10.1.0.61 10.1.0.61:9150/metrics 5s",
            "memcached b/memcached-2 10.1.0.63 10.1.0.63:9150/metrics 5s",
        ],
    );
}

#[test]
fn missing_and_unknown_fields_are_no_error() {
    check_list(
        "sparse",
        &[
            // It has no name: a pod of no job.
            " ns/ 10.1.0.72 field metadata.name: expected the name of the pod, found \"\"",
            "web default/sparse 10.1.0.73 10.1.0.73:80/metrics 5s",
            "web ns/future 10.1.0.74 10.1.0.74:80/metrics 5s",
        ],
    );
    check_list("empty", &[]);
}

/// The API server reads such a value as an empty one.
#[test]
fn a_null_label_or_annotation_is_an_empty_one() {
    let pod = |label: &str, annotation: &str| {
        format!(
            r#"{{"metadata": {{"name": "p", "namespace": "n", "uid": "u",
                "labels": {{"metrics-aggregator.apawel.me/job-name": {label}, "x": null}},
                "annotations": {{"metrics-aggregator.apawel.me/endpoint": {annotation}, "x": null}}}},
                "status": {{"podIP": "10.0.0.1"}}}}"#
        )
    };
    let pods = [pod("\"j\"", "null"), pod("null", "null")].join(",");
    let (targets, _) = read(&format!(r#"{{"kind":"PodList","items":[{pods}]}}"#)).unwrap();
    let lines: Vec<String> = targets.iter().map(|target| describe(target)).collect();
    assert_eq!(
        lines,
        [
            "j n/p 10.0.0.1 10.0.0.1:80/ 5s",
            " n/p 10.0.0.1 label metrics-aggregator.apawel.me/job-name: \
             expected the name of a job, 1 to 63 characters, found \"\"",
        ]
    );
    assert!(
        targets[0]
            .meta
            .labels
            .iter()
            .any(|label| label == ("x", ""))
    );
}

#[test]
fn a_list_has_a_version_and_a_token_for_its_next_page() {
    let (_, end) = read(&fixture("sparse")).unwrap();
    assert_eq!(
        (end.continue_token, end.resource_version),
        (None, "7".to_owned())
    );
    let page =
        r#"{"kind":"PodList","items":[],"metadata":{"continue":"abc","resourceVersion":"9"}}"#;
    let (_, end) = read(page).unwrap();
    assert_eq!(end.continue_token.as_deref(), Some("abc"));
}
