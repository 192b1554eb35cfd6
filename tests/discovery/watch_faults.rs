//! `CACHE_UPDATE_MODE=watch`, when the watch fails: where it goes on, when the pods are listed again, and how fast.
//! README: "When something fails".

use std::fs;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::discovery::{DiscoverySettings, WatchTimes};
use kubernetes_metrics_aggregator::telemetry::RefreshResult;
use serde_json::json;

use super::watch::{changed, start, version, watched};
use crate::support::discovery::{Running, settings, source, start_with, watch_settings};
use crate::support::eventually;
use crate::support::fake_api::{FakeApi, Fault, Recorded, pod};

#[test]
fn a_broken_watch_resumes_at_its_last_version() {
    let (api, running) = watched();
    // The connection is cut in the middle of an event, whose pod does not count until the event has come whole.
    api.cut_watches(r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"a-2","#);
    assert_eq!(version(&api.next_watch()), Some("100"));
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    running.wait_for_names(&["ns/a-1", "ns/a-2"]);
    api.end_watches();
    assert_eq!(version(&api.next_watch()), Some("101"));
    // A change that the watch does not see increases the version too.
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
        // The watch does not see this change.
        api.set_pods(vec![pod("ns", "a-2", "a", "10.0.0.2")]);
        too_old(&api);
        let list = api.next_list();
        assert_eq!((version(&list), &*list.query["limit"]), (None, "500"));
        running.wait_for_names(&["ns/a-2"]);
        api.next_watch();
        api.set_pod(pod("ns", "a-3", "a", "10.0.0.3"));
        running.wait_for_names(&["ns/a-2", "ns/a-3"]);
        // A single 410 is usual, so nothing waits.
        assert_eq!(running.telemetry.refreshes.get(RefreshResult::Gone), 0);
    }
}

#[test]
fn after_several_lists_the_last_one_counts() {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    api.script_watches([Fault::Status(410, ""), Fault::Status(410, "")]);
    let running = start(&api, &[]);
    api.next_watch();
    api.next_watch();
    api.next_watch();
    api.set_pod(pod("ns", "a-2", "a", "10.0.0.2"));
    running.wait_for_names(&["ns/a-1", "ns/a-2"]);
}

#[test]
fn repeated_410_causes_no_storm_of_lists() {
    let api = FakeApi::start_plain();
    api.script_watches(std::iter::repeat_n(Fault::Status(410, ""), 100));
    let begin = Instant::now();
    let running = start_with(&DiscoverySettings {
        watch: Some(WatchTimes::default()),
        ..watch_settings(&api, &[])
    });
    let gone = || running.telemetry.refreshes.get(RefreshResult::Gone);
    eventually("two faults", || gone() >= 2);
    // After the first list and one at once, each list waits, the first one for at least 1.6 s.
    assert!(begin.elapsed() >= Duration::from_millis(1_500));
    let is_list = |request: &Recorded| !request.query.contains_key("watch");
    assert_eq!(api.requests().iter().filter(|r| is_list(r)).count(), 3);
}

#[test]
fn after_a_malformed_event_the_pods_are_listed_again() {
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
    }
}

#[test]
fn a_server_that_is_behind_is_asked_for_its_latest() {
    let (api, _running) = watched();
    // Another API server has seen more.
    api.watch_line(
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"900"}}}"#,
    );
    api.watch_line("]");
    assert_eq!(version(&api.next_list()), Some("900"));
    assert_eq!(version(&api.next_list()), None);
    assert_eq!(version(&api.next_watch()), Some("100"));
}

fn with_times(api: &FakeApi, times: WatchTimes) -> Running {
    start_with(&DiscoverySettings {
        watch: Some(times),
        ..settings(source(api), &[])
    })
}

#[test]
fn a_silent_watch_is_resumed() {
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
    // The pod list is as old as the last bookmark.
    assert!(running.cache.last_success() > first);
}

#[test]
fn a_watch_is_followed_by_a_full_list_now_and_then() {
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
}

#[test]
fn a_missing_right_to_watch_is_named_and_the_pods_are_listed_meanwhile() {
    let api = FakeApi::start();
    api.script_watches(std::iter::repeat_n(Fault::Status(403, ""), 2));
    let running = start(&api, &["ns"]);
    let error = running.wait_for_error();
    let expected = "namespace \"ns\": watch: status 403: the service account may not watch pods in namespace \"ns\"";
    assert!(error.starts_with(expected), "{error}");
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    running.wait_for_names(&["ns/a-1"]);
    eventually("no error", || running.cache.last_error().is_none());
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
        // The watch resumed without another list.
        let lists = api.requests();
        let lists = lists.iter().filter(|r| !r.query.contains_key("watch"));
        assert_eq!(lists.count(), 1);
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
}
