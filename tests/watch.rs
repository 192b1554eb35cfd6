//! `CACHE_UPDATE_MODE=watch`: how it asks, what it makes of each event, and what becomes of it when the watch fails.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;
use kubernetes_metrics_aggregator::discovery::{DiscoverySettings, WatchTimes};
use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::telemetry::RefreshResult;
use serde_json::{Value, json};

use crate::support::discovery::{Running, names, settings, source, start_with, watch_settings};
use crate::support::fake_api::{FakeApi, Fault, Recorded, pod};
use crate::support::{describe, eventually, logs};

fn start(api: &FakeApi, namespaces: &[&str]) -> Running {
    start_with(&watch_settings(api, namespaces))
}

/// An API server with the pod `ns/a-1`, and a watch that has begun.
fn watched() -> (FakeApi, Running) {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    let running = start(&api, &[]);
    running.wait_for_names(&["ns/a-1"]);
    api.next_watch();
    (api, running)
}

fn version(request: &Recorded) -> Option<&str> {
    request.query.get("resourceVersion").map(String::as_str)
}

#[test]
fn a_watch_is_asked_for_as_the_api_server_wants_it() {
    let api = FakeApi::start();
    let running = start(&api, &[]);
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
    running.discovery.stop();
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

fn changed(mut pod: Value, pointer: &str, value: Value) -> Value {
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
    // All of it by the one watch.
    assert_eq!(api.requests().len(), 0);
    running.discovery.stop();
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
    running.discovery.stop();
}

#[test]
fn what_a_pod_or_an_event_lacks_or_has_more_harms_nothing() {
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
    running.discovery.stop();
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
    running.discovery.stop();
}

#[test]
fn a_watch_goes_on_where_it_was() {
    let (api, running) = watched();
    // The connection is cut in the middle of an event, whose pod is none until it has come whole.
    api.cut_watches(r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"a-2","#);
    assert_eq!(version(&api.next_watch()), Some("100"));
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    running.wait_for_names(&["ns/a-1", "ns/a-2"]);
    api.end_watches();
    assert_eq!(version(&api.next_watch()), Some("101"));
    // What the watch does not see moves the version on too.
    api.set_pod(changed(
        pod("ns", "b-1", "b", "10.0.0.3"),
        "/metadata/labels",
        json!({}),
    ));
    api.bookmark();
    api.end_watches();
    assert_eq!(version(&api.next_watch()), Some("102"));
    api.close_connections();
    assert_eq!(version(&api.next_watch()), Some("102"));
    api.set_pod(pod("ns", "a-3", "a", "10.0.0.3"));
    running.wait_for_names(&["ns/a-1", "ns/a-2", "ns/a-3"]);
    let requests = api.requests();
    assert!(requests.is_empty(), "{requests:?}");
    running.discovery.stop();
}

#[test]
fn a_version_that_is_too_old_is_listed_again_at_once() {
    let by_event = |api: &FakeApi| api.watch_error(410);
    let by_status = |api: &FakeApi| {
        api.script_watches([Fault::Status(410, "")]);
        api.end_watches();
    };
    let by_compaction = |api: &FakeApi| {
        api.compact();
        api.end_watches();
    };
    let ways: [&dyn Fn(&FakeApi); 3] = [&by_event, &by_status, &by_compaction];
    for too_old in ways {
        let (api, running) = watched();
        // The watch will not tell.
        api.set_pods(vec![pod("ns", "a-2", "a", "10.0.0.2")]);
        too_old(&api);
        let list = api.next_list();
        assert_eq!((version(&list), &*list.query["limit"]), (None, "500"));
        running.wait_for_names(&["ns/a-2"]);
        api.next_watch();
        api.set_pod(pod("ns", "a-3", "a", "10.0.0.3"));
        running.wait_for_names(&["ns/a-2", "ns/a-3"]);
        // Once is usual, and waits for nothing.
        assert_eq!(running.telemetry.refreshes.get(RefreshResult::Gone), 0);
        running.discovery.stop();
    }
}

#[test]
fn of_several_lists_in_a_row_the_last_counts() {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    api.script_watches([Fault::Status(410, ""), Fault::Status(410, "")]);
    let running = start(&api, &[]);
    api.next_watch();
    api.next_watch();
    api.next_watch();
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    running.wait_for_names(&["ns/a-1", "ns/a-2"]);
    running.discovery.stop();
}

#[test]
fn versions_that_are_always_too_old_are_no_storm_of_lists() {
    let api = FakeApi::start_plain();
    api.script_watches(std::iter::repeat_n(Fault::Status(410, ""), 100));
    let begin = Instant::now();
    let running = start_with(&DiscoverySettings {
        watch: Some(WatchTimes::default()),
        ..watch_settings(&api, &[])
    });
    let gone = || running.telemetry.refreshes.get(RefreshResult::Gone);
    eventually("two faults", || gone() >= 2);
    // After the first list and the one at once each waits, the first time from 1.6 s on.
    assert!(begin.elapsed() >= Duration::from_millis(1_500));
    let is_list = |request: &Recorded| !request.query.contains_key("watch");
    assert_eq!(api.requests().iter().filter(|r| is_list(r)).count(), 3);
    running.discovery.stop();
}

#[test]
fn a_line_that_is_no_event_is_listed_again() {
    let large = "x".repeat(9 * 1024 * 1024);
    for (line, expected) in [
        ("]", "watch: malformed response: expected value"),
        (
            r#"{"type":"ADDED","object":[]}"#,
            "watch: malformed response: invalid type",
        ),
        (
            r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"labels":7}}}"#,
            "watch: malformed",
        ),
        (large.as_str(), "watch: larger than 8 MiB in one event"),
    ] {
        let (api, running) = watched();
        api.set_pods(vec![pod("ns", "a-2", "a", "10.0.0.2")]);
        api.watch_line(line);
        let error = running.wait_for_error();
        assert!(error.starts_with(expected), "{error}");
        let list = api.next_list();
        assert_eq!(version(&list), Some("100"));
        running.wait_for_names(&["ns/a-2"]);
        eventually("no error", || running.cache.last_error().is_none());
        running.discovery.stop();
    }
}

#[test]
fn a_server_that_is_behind_is_asked_for_its_latest() {
    let (api, running) = watched();
    // Another API server has seen more.
    api.watch_line(
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"900"}}}"#,
    );
    api.watch_line("]");
    assert_eq!(version(&api.next_list()), Some("900"));
    assert_eq!(version(&api.next_list()), None);
    assert_eq!(version(&api.next_watch()), Some("100"));
    running.discovery.stop();
}

fn with_times(api: &FakeApi, times: WatchTimes) -> Running {
    start_with(&DiscoverySettings {
        watch: Some(times),
        ..settings(source(api), &[])
    })
}

#[test]
fn a_watch_that_is_half_open_is_noticed() {
    let api = FakeApi::start();
    api.script_watches([Fault::Hang]);
    let idle = Duration::from_millis(300);
    let running = with_times(
        &api,
        WatchTimes {
            idle,
            steady: Duration::ZERO,
            ..WatchTimes::default()
        },
    );
    api.wait_for_hang();
    let begin = Instant::now();
    api.next_watch();
    assert_eq!(version(&api.next_watch()), Some("100"));
    assert!(begin.elapsed() >= idle / 2);
    api.set_pod(pod("ns", "a-1", "a", "10.0.0.1"));
    running.wait_for_names(&["ns/a-1"]);
    assert!(running.cache.last_error().is_none());
    running.discovery.stop();
}

#[test]
fn bookmarks_alone_keep_a_watch_alive() {
    let api = FakeApi::start();
    let idle = Duration::from_secs(1);
    let running = with_times(
        &api,
        WatchTimes {
            idle,
            ..WatchTimes::default()
        },
    );
    api.next_watch();
    let first = running.cache.last_success();
    let begin = Instant::now();
    for _ in crossbeam_channel::tick(idle / 10) {
        api.bookmark();
        if begin.elapsed() > 2 * idle {
            break;
        }
    }
    assert_eq!(api.requests().len(), 0);
    // The cache is as old as the last sign of life.
    assert!(running.cache.last_success() > first);
    running.discovery.stop();
}

#[test]
fn all_pods_are_listed_from_time_to_time() {
    let api = FakeApi::start();
    let full_list = Duration::from_millis(2_500);
    let running = with_times(
        &api,
        WatchTimes {
            full_list,
            ..WatchTimes::default()
        },
    );
    let seconds: u64 = api.next_watch().query["timeoutSeconds"].parse().unwrap();
    assert!(seconds <= 2, "{seconds}");
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    // The real server ends it after these seconds.
    crossbeam_channel::after(Duration::from_secs(2))
        .recv()
        .unwrap();
    api.end_watches();
    let list = api.next_list();
    assert_eq!(version(&list), Some("100"));
    assert_eq!(list.query["resourceVersionMatch"], "NotOlderThan");
    running.wait_for_names(&["ns/a-1"]);
    running.discovery.stop();
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
    running.discovery.stop();
}

#[test]
fn a_right_that_is_missing_is_named_and_the_pods_are_listed_meanwhile() {
    let api = FakeApi::start();
    api.script_watches(std::iter::repeat_n(Fault::Status(403, ""), 2));
    let running = start(&api, &["ns"]);
    let error = running.wait_for_error();
    let expected = "namespace \"ns\": watch: status 403: the service account may not watch pods in namespace \"ns\"";
    assert!(error.starts_with(expected), "{error}");
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    running.wait_for_names(&["ns/a-1"]);
    eventually("no error", || running.cache.last_error().is_none());
    running.discovery.stop();
}

#[test]
fn a_server_that_is_away_or_busy_is_asked_again() {
    for (fault, times, result) in [
        (Fault::Close, 1, RefreshResult::Connection),
        (Fault::Status(429, ""), 1, RefreshResult::Throttled),
        (Fault::Status(500, ""), 1, RefreshResult::ServerError),
        // After the first the token is read again at once.
        (Fault::Status(401, ""), 2, RefreshResult::Unauthorized),
    ] {
        let api = FakeApi::start();
        api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
        api.script_watches(std::iter::repeat_n(fault, times));
        let running = with_times(&api, WatchTimes::default());
        running.wait_for(result);
        running.wait_for_names(&["ns/a-1"]);
        api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
        running.wait_for_names(&["ns/a-1", "ns/a-2"]);
        // The watch went on where it was.
        let lists = api.requests();
        let lists = lists.iter().filter(|r| !r.query.contains_key("watch"));
        assert_eq!(lists.count(), 1);
        running.discovery.stop();
    }
}

#[test]
fn a_token_and_a_ca_that_are_replaced_are_read_again() {
    let (api, running) = watched();
    fs::write(api.service_account_dir().join("token"), "second").unwrap();
    api.set_token("second");
    api.end_watches();
    api.next_watch();
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    running.wait_for_names(&["ns/a-1", "ns/a-2"]);
    api.rotate_ca();
    api.set_pod(pod("ns", "a-3", "a", "10.0.0.3"));
    running.wait_for_names(&["ns/a-1", "ns/a-2", "ns/a-3"]);
    running.discovery.stop();
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
    running.discovery.stop();
    let refreshes = logs::of_thread_that_said("pod list: 318 targets in 2 jobs");
    let sets = refreshes
        .iter()
        .filter(|line| line.text.starts_with("pod list: "));
    // One by one they would be 317.
    assert!(sets.count() < 100);
}

#[test]
fn stop_ends_watches() {
    let api = FakeApi::start();
    let running = start(&api, &["a", "b", "c"]);
    running.wait_for_names(&[]);
    for _ in 0..3 {
        api.next_watch();
    }
    let begin = Instant::now();
    let ended = running.discovery.ended().clone();
    assert_eq!(ended.try_recv(), Err(TryRecvError::Empty));
    running.discovery.stop();
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(ended.try_recv(), Err(TryRecvError::Disconnected));
    assert!(running.cache.last_error().is_none());
    assert_eq!(names(&running.cache.snapshot().unwrap()).len(), 0);
}
