//! `CACHE_UPDATE_MODE=watch`: how a watch is requested, and what each event does. README: "Settings".

use std::collections::BTreeMap;

use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::telemetry::RefreshResult;
use serde_json::{Value, json};

use crate::support::discovery::{Running, names, start_with, watch_settings};
use crate::support::fake_api::{FakeApi, Fault, Recorded, pod};
use crate::support::{describe, eventually, logs};

pub(super) fn start(api: &FakeApi, namespaces: &[&str]) -> Running {
    start_with(&watch_settings(api, namespaces))
}

/// An API server with the pod `ns/a-1`, and a watch that has begun.
pub(super) fn watched() -> (FakeApi, Running) {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    let running = start(&api, &[]);
    running.wait_for_names(&["ns/a-1"]);
    api.next_watch();
    (api, running)
}

pub(super) fn version(request: &Recorded) -> Option<&str> {
    request.query.get("resourceVersion").map(String::as_str)
}

#[test]
fn a_watch_request_begins_at_the_version_of_the_list() {
    let api = FakeApi::start();
    let _running = start(&api, &[]);
    let list = api.next_request();
    assert_eq!(list.query["limit"], "500");
    let mut watch = api.next_request();
    assert_eq!(watch.path, "/api/v1/pods");
    let seconds: u64 = watch
        .query
        .remove("timeoutSeconds")
        .unwrap()
        .parse()
        .unwrap();
    assert!((300..=600).contains(&seconds), "{seconds}");
    let expected = [
        ("allowWatchBookmarks", "true"),
        ("labelSelector", JOB_NAME_KEY),
        ("resourceVersion", "100"),
        ("watch", "1"),
    ];
    let query: Vec<_> = watch.query.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(query, expected);
    assert_eq!(watch.headers["authorization"], "Bearer fixture-token");
    assert_eq!(watch.headers["accept-encoding"], "identity");
    assert_eq!(watch.connection, list.connection);
}

/// The targets of now, one line each.
fn lines(running: &Running) -> Vec<String> {
    let set = running.cache.snapshot().unwrap();
    set.targets().map(|target| describe(target)).collect()
}

#[track_caller]
fn wait_for_lines(running: &Running, expected: &[&str]) {
    eventually(&format!("{expected:?}"), || lines(running) == expected);
}

pub(super) fn changed(mut pod: Value, pointer: &str, value: Value) -> Value {
    *pod.pointer_mut(pointer).unwrap() = value;
    pod
}

#[test]
fn every_change_of_a_pod_is_seen() {
    let (api, running) = watched();
    let one = || pod("ns", "a-1", "a", "10.0.0.1");
    let line = "a ns/a-1 10.0.0.1 10.0.0.1:80/metrics 5s";
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    wait_for_lines(
        &running,
        &[line, "a ns/a-2 10.0.0.2 10.0.0.2:80/metrics 5s"],
    );
    api.delete_pod("uid-ns-a-2");
    wait_for_lines(&running, &[line]);

    let job = json!({JOB_NAME_KEY: "b"});
    api.set_pod(changed(one(), "/metadata/labels", job));
    wait_for_lines(&running, &["b ns/a-1 10.0.0.1 10.0.0.1:80/metrics 5s"]);
    let mut annotated = one();
    annotated["metadata"]["annotations"] = json!({"metrics-aggregator.apawel.me/port": "9100"});
    api.set_pod(annotated);
    wait_for_lines(&running, &["a ns/a-1 10.0.0.1 10.0.0.1:9100/metrics 5s"]);
    api.set_pod(changed(one(), "/status/podIP", json!("fd00::1")));
    wait_for_lines(&running, &["a ns/a-1 fd00::1 [fd00::1]:80/metrics 5s"]);
    let mut terminating = one();
    terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    api.set_pod(terminating);
    wait_for_lines(
        &running,
        &["a ns/a-1 10.0.0.1 terminating 10.0.0.1:80/metrics 5s"],
    );

    let gone = [
        ("/status/phase", json!("Succeeded")),
        ("/status/phase", json!("Failed")),
        ("/status/podIP", json!("")),
        ("/status", json!(null)),
        ("/metadata/labels", json!({})),
    ];
    for (pointer, value) in gone {
        api.set_pod(changed(one(), pointer, value));
        wait_for_lines(&running, &[]);
        api.set_pod(one());
        wait_for_lines(&running, &[line]);
    }
    // One watch has seen all of it.
    assert_eq!(api.requests().len(), 0);
}

#[test]
fn a_pod_of_the_same_name_takes_the_place_of_another() {
    let (api, running) = watched();
    let second = changed(
        pod("ns", "a-1", "a", "10.0.0.9"),
        "/metadata/uid",
        json!("uid-second"),
    );
    api.set_pod(second);
    running.wait_for_names(&["ns/a-1", "ns/a-1"]);
    api.delete_pod("uid-ns-a-1");
    wait_for_lines(&running, &["a ns/a-1 10.0.0.9 10.0.0.9:80/metrics 5s"]);
}

#[test]
fn unknown_and_incomplete_events_are_ignored() {
    let (api, running) = watched();
    for line in [
        r#"{"type":"SYNCED","object":{"kind":"Pod","metadata":{"name":"x","uid":"x"}},"more":[1]}"#,
        r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{}}}"#,
        r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"b","uid":"b"}}}"#,
        r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":null},"status":null,"spec":null,"future":42}}"#,
        r#"{"type":"ADDED","object":{"kind":"Node","metadata":{"name":"n","uid":"n"}}}"#,
        r#"{"type":"ADDED","object":null}"#,
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":""}}}"#,
        r#"{"object":{}}"#,
        "",
    ] {
        api.watch_line(line);
    }
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    running.wait_for_names(&["ns/a-1", "ns/a-2"]);
    assert_eq!(api.requests().len(), 0);
}

#[test]
fn a_pod_that_loses_its_job_name_is_seen_until_it_is_gone() {
    let (api, running) = watched();
    let without_job = |expected: &[&str]| {
        eventually(&format!("without a job: {expected:?}"), || {
            let set = running.cache.snapshot().unwrap();
            let pods = set.without_job().iter();
            pods.map(|pod| &*pod.pod).eq(expected.iter().copied())
        });
    };
    api.set_pod(pod("ns", "a-1", "", "10.0.0.1"));
    without_job(&["a-1"]);
    running.wait_for_names(&[]);
    api.set_pod(pod("ns", "a-1", "b", "10.0.0.1"));
    running.wait_for_names(&["ns/a-1"]);
    without_job(&[]);
    api.set_pod(pod("ns", "a-1", "", "10.0.0.1"));
    without_job(&["a-1"]);
    api.delete_pod("uid-ns-a-1");
    without_job(&[]);
}

#[test]
fn each_namespace_has_a_watch_of_its_own() {
    let api = FakeApi::start();
    api.set_pods(vec![pod("a", "p-1", "j", "10.0.0.1")]);
    api.script([Fault::Status(500, "")]);
    let running = start(&api, &["a", "b"]);
    running.wait_for(RefreshResult::ServerError);
    running.wait_for(RefreshResult::Ok);
    // Only one of the two has been listed, so nothing is published yet.
    assert!(running.cache.snapshot().is_none());
    running.wait_for_names(&["a/p-1"]);
    let paths: BTreeMap<_, _> = [api.next_watch(), api.next_watch()]
        .into_iter()
        .map(|request| (request.path, request.connection))
        .collect();
    let expected = ["/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods"];
    assert!(paths.keys().eq(expected), "{paths:?}");
    api.set_pod(pod("b", "p-1", "j", "10.0.0.2"));
    api.set_pod(pod("c", "p-1", "j", "10.0.0.3"));
    running.wait_for_names(&["a/p-1", "b/p-1"]);
    api.delete_pod("uid-a-p-1");
    running.wait_for_names(&["b/p-1"]);
}

#[test]
fn many_changes_are_published_together() {
    logs::capture();
    let (api, running) = watched();
    for n in 0..317 {
        api.set_pod(pod("ns", &format!("b-{n}"), "b", "10.0.0.1"));
    }
    let is_complete = || running.cache.snapshot().unwrap().targets().count() == 318;
    eventually("318 targets", is_complete);
    drop(running);
    let refreshes = logs::of_thread_that_said("pod list: 318 targets in 2 jobs");
    let sets = refreshes
        .iter()
        .filter(|line| line.text.starts_with("pod list: "));
    // One by one they would be 317.
    assert!(sets.count() < 100);
}

#[test]
fn stopping_ends_all_watches() {
    let api = FakeApi::start();
    let mut running = start(&api, &["a", "b", "c"]);
    running.wait_for_names(&[]);
    for _ in 0..3 {
        api.next_watch();
    }
    running.check_stops();
    assert_eq!(names(&running.cache.snapshot().unwrap()).len(), 0);
}
