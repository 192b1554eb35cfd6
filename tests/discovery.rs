//! The cache thread: how it asks, what it publishes and what it says, against the fake API server and files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::discovery::{DiscoverySettings, PodSource};
use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::target::{Target, TargetSet};
use kubernetes_metrics_aggregator::telemetry::RefreshResult;
use log::Level;
use serde_json::{Value, json};

use crate::support::discovery::{names, settings, source, start, start_with};
use crate::support::fake_api::{FakeApi, Fault, pod};
use crate::support::{eventually, logs};

#[test]
fn a_list_is_asked_for_as_the_api_server_wants_it() {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    let running = start(&api, &[]);
    running.wait_for_names(&["ns/a-1"]);
    let first = api.next_request();
    assert_eq!(first.path, "/api/v1/pods");
    let expected = [
        ("labelSelector", JOB_NAME_KEY),
        ("limit", "500"),
        ("resourceVersion", "0"),
        ("resourceVersionMatch", "NotOlderThan"),
    ];
    let query: Vec<_> = first.query.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(query, expected);
    assert_eq!(first.headers["authorization"], "Bearer fixture-token");
    assert_eq!(first.headers["accept"], "application/json");
    assert_eq!(first.headers["accept-encoding"], "gzip");
    let agent = format!(
        "kubernetes-metrics-aggregator/{}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(first.headers["user-agent"], agent);
    assert_eq!(api.next_request().connection, first.connection);
    assert_eq!(api.next_request().connection, first.connection);
    running.discovery.stop();
}

#[test]
fn over_plain_http_no_token_is_sent() {
    let api = FakeApi::start_plain();
    let running = start(&api, &[]);
    assert!(!api.next_request().headers.contains_key("authorization"));
    running.wait_for_names(&[]);
    running.discovery.stop();
}

#[test]
fn the_api_server_of_the_cluster() {
    let api = FakeApi::start();
    let (host, port) = (api.address().ip().to_string(), api.address().port());
    let source = PodSource::in_cluster(&host, port, api.service_account_dir());
    let running = start_with(&settings(source, &[]));
    running.wait_for_names(&[]);
    running.discovery.stop();
}

#[test]
fn pages_make_one_list() {
    let api = FakeApi::start();
    let pods = (1..=5).map(|n| pod("ns", &format!("a-{n}"), "a", "10.0.0.1"));
    api.set_pods(pods.collect());
    api.set_page_items(2);
    let running = start(&api, &[]);
    running.wait_for_names(&["ns/a-1", "ns/a-2", "ns/a-3", "ns/a-4", "ns/a-5"]);
    let continues: Vec<_> = (0..4)
        .map(|_| api.next_request().query.remove("continue"))
        .collect();
    let token = |text: &str| Some(text.to_owned());
    assert_eq!(continues, [None, token("from-2"), token("from-4"), None]);
    running.discovery.stop();
}

#[test]
fn a_forbidden_namespace_does_not_blind_the_others() {
    let api = FakeApi::start();
    api.set_pods(vec![
        pod("a", "p-1", "j", "10.0.0.1"),
        pod("b", "p-1", "j", "10.0.0.2"),
        pod("c", "p-1", "j", "10.0.0.3"),
    ]);
    api.set_forbidden(&["b"]);
    let running = start(&api, &["b", "a", "b"]);
    running.wait_for_names(&["a/p-1"]);
    let error = running.wait_for_error();
    let expected =
        "namespace \"b\": status 403: the service account may not list pods in namespace \"b\"";
    assert!(error.starts_with(expected), "{error}");

    api.set_forbidden(&[]);
    running.wait_for_names(&["a/p-1", "b/p-1"]);
    eventually("no error", || running.cache.last_error().is_none());

    api.set_forbidden(&["b"]);
    api.set_pods(vec![pod("a", "p-2", "j", "10.0.0.1")]);
    running.wait_for_names(&["a/p-2", "b/p-1"]);
    running.discovery.stop();
}

#[test]
fn no_targets_before_every_namespace_has_been_listed() {
    let api = FakeApi::start();
    api.set_pods(vec![
        pod("a", "p-1", "j", "10.0.0.1"),
        pod("b", "p-1", "j", "10.0.0.2"),
    ]);
    // The namespaces are listed in order.
    api.script([Fault::Good, Fault::Status(500, "")]);
    let running = start(&api, &["a", "b"]);
    running.wait_for_error();
    assert!(running.cache.snapshot().is_none());
    eventually("a set", || running.cache.snapshot().is_some());
    let first = running.cache.snapshot().unwrap();
    assert_eq!(names(&first), ["a/p-1", "b/p-1"]);
    running.discovery.stop();
}

#[test]
fn any_number_of_namespaces_is_polled_over_one_connection() {
    let api = FakeApi::start();
    // More than can be watched.
    let namespaces: Vec<String> = (0..100).map(|n| format!("ns-{n:02}")).collect();
    let pods = namespaces
        .iter()
        .map(|name| pod(name, "p", "j", "10.0.0.1"));
    api.set_pods(pods.collect());
    let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    let running = start(&api, &names);
    let expected: Vec<String> = namespaces.iter().map(|name| format!("{name}/p")).collect();
    running.wait_for_names(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    let first = api.next_request();
    for name in &names[1..] {
        let request = api.next_request();
        assert_eq!(request.path, format!("/api/v1/namespaces/{name}/pods"));
        assert_eq!(request.connection, first.connection);
    }
    running.discovery.stop();
}

#[test]
fn what_does_not_change_keeps_its_identity() {
    let api = FakeApi::start();
    let [one, two, three] = ["1", "2", "3"].map(|n| pod("ns", n, "a", "10.0.0.1"));
    api.set_pods(vec![one.clone(), two]);
    let running = start(&api, &[]);
    let before = running.wait_for_names(&["ns/1", "ns/2"]);
    let first_success = running.cache.last_success();
    eventually("another list", || {
        running.cache.last_success() != first_success
    });
    assert!(Arc::ptr_eq(&before, &running.cache.snapshot().unwrap()));
    api.set_pods(vec![one, three]);
    let after = running.wait_for_names(&["ns/1", "ns/3"]);
    let target = |set: &TargetSet| Arc::clone(&set.job("a").unwrap()[0]);
    assert!(Arc::ptr_eq(&target(&before), &target(&after)));
    running.discovery.stop();
}

#[test]
fn polls_see_what_changes_in_pods_that_they_know() {
    let api = FakeApi::start();
    api.set_page_items(2);
    let mut pods = ["1", "2", "3", "4", "5"].map(|name| pod("ns", name, "a", "10.0.0.1"));
    api.set_pods(pods.to_vec());
    let running = start(&api, &[]);
    let targets = || running.cache.snapshot().unwrap_or_default();
    let wait_for = |expected: &[(&str, &str)]| {
        let is = |target: &Arc<Target>, (name, ip): &(&str, &str)| {
            target.pod == *name && target.pod_ip == *ip
        };
        eventually(&format!("{expected:?}"), || {
            let targets = targets();
            targets.targets().count() == expected.len()
                && targets.targets().zip(expected).all(|(t, e)| is(t, e))
        });
    };
    let all = |ip| ["1", "2", "3", "4", "5"].map(|name| (name, ip));
    wait_for(&all("10.0.0.1"));
    let first = Arc::clone(&targets().job("a").unwrap()[0]);
    // One byte, on the second page.
    pods[2]["status"]["podIP"] = json!("10.0.0.2");
    api.set_pods(pods.to_vec());
    let mut expected = all("10.0.0.1");
    expected[2].1 = "10.0.0.2";
    wait_for(&expected);
    // The others move to other pages.
    api.set_pods(pods[2..].to_vec());
    wait_for(&expected[2..]);
    // What a list that broke off had shown is not known.
    pods[3]["status"]["podIP"] = json!("10.0.0.3");
    expected[3].1 = "10.0.0.3";
    api.script_pages([Fault::HalfBody]);
    api.set_pods(pods.iter().rev().cloned().collect());
    wait_for(&expected);
    assert_eq!(first, targets().job("a").unwrap()[0]);
    running.discovery.stop();
}

#[test]
fn the_aggregator_is_no_target() {
    let api = FakeApi::start();
    api.set_pods(vec![
        pod("ns", "self", "a", "127.0.0.7"),
        // The same port of an address that is not of this machine (RFC 5737).
        pod("ns", "other", "a", "192.0.2.55"),
        pod("ns", "six", "a", "::1"),
    ]);
    let check = |own_address: &str, expected: &[&str]| {
        let running = start_with(&DiscoverySettings {
            own_address: Some(own_address.parse().unwrap()),
            ..settings(source(&api), &[])
        });
        running.wait_for_names(expected);
        running.discovery.stop();
    };
    check("0.0.0.0:80", &["ns/other", "ns/six"]);
    check("127.0.0.7:80", &["ns/other", "ns/six"]);
    check("127.0.0.8:80", &["ns/other", "ns/self", "ns/six"]);
    check("0.0.0.0:81", &["ns/other", "ns/self", "ns/six"]);
}

#[test]
fn stopping_does_not_wait_for_a_slow_api_server() {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    let running = start(&api, &[]);
    let before = running.wait_for_names(&["ns/a-1"]);
    api.script([Fault::Hang]);
    api.wait_for_hang();
    // Readers do not wait for it.
    assert!(Arc::ptr_eq(&before, &running.cache.snapshot().unwrap()));
    let begin = Instant::now();
    let ended = running.discovery.ended().clone();
    running.discovery.stop();
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(
        ended.try_recv(),
        Err(crossbeam_channel::TryRecvError::Disconnected)
    );
    assert!(running.cache.last_error().is_none());
}

/// A file of this test, in a directory that the tests share.
fn file_with(name: &str, text: &str) -> PathBuf {
    let name = format!("pods-{}-{name}.json", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    replace(&path, text);
    path
}

/// As an operator does it who does not want half a file to be read.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn list_of(pods: &[Value]) -> String {
    json!({"kind": "List", "items": pods}).to_string()
}

#[test]
fn a_file_is_read_again_and_again() {
    let pods = [
        pod("a", "p-1", "j", "10.0.0.1"),
        pod("b", "p-1", "j", "10.0.0.2"),
    ];
    let path = file_with("again", &list_of(&pods));
    let all = start_with(&settings(PodSource::File(path.clone()), &[]));
    let some = start_with(&settings(PodSource::File(path.clone()), &["b", "c"]));
    all.wait_for_names(&["a/p-1", "b/p-1"]);
    some.wait_for_names(&["b/p-1"]);

    replace(&path, "{\"kind\": ");
    all.wait_for(RefreshResult::Malformed);
    let error = all.wait_for_error();
    assert!(
        error.starts_with("file \"") && error.contains("EOF"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    all.wait_for(RefreshResult::File);
    all.wait_for_names(&["a/p-1", "b/p-1"]);

    replace(&path, &list_of(&pods[..1]));
    all.wait_for_names(&["a/p-1"]);
    some.wait_for_names(&[]);
    all.discovery.stop();
    some.discovery.stop();
    fs::remove_file(&path).unwrap();
}

/// Only a list that is put together by hand can contain two pods of one name, or with one uid.
#[test]
fn the_second_pod_of_one_name_or_uid_in_a_file_is_not_scraped() {
    let mut copied = pod("ns", "copied", "j", "10.0.0.4");
    copied["metadata"]["uid"] = json!("uid-ns-p-1");
    let mut two_targets = pod("ns", "p-2", "j", "10.0.0.5");
    two_targets["metadata"]["annotations"] = json!({
        "metrics-aggregator.apawel.me/scrape-targets": "1,2",
        "metrics-aggregator.apawel.me/scrape-timeout-seconds": "5s",
    });
    let pods = [
        pod("ns", "p-1", "j", "10.0.0.1"),
        pod("ns", "p-1", "j", "10.0.0.2"),
        pod("ns", "p-1", "another-job", "10.0.0.3"),
        copied,
        two_targets,
        pod("other", "p-1", "j", "10.0.0.1"),
    ];
    let path = file_with("twice", &list_of(&pods));
    let running = start_with(&settings(PodSource::File(path.clone()), &[]));
    let set = running.wait_for_names(&["ns/p-1", "ns/p-2", "ns/p-2", "other/p-1"]);
    assert_eq!(set.find("ns/p-1:80").unwrap().pod_ip, "10.0.0.1");
    let rejected = set.without_job().iter().map(|target| {
        let error = target.options.as_ref().unwrap_err();
        format!("{target} {}: {error}", target.pod_ip)
    });
    let error = |pod: &str| {
        format!(
            "field metadata.name: expected a pod whose name and uid no pod before it in the file has, found {pod:?}"
        )
    };
    let expected = [
        format!("ns/copied 10.0.0.4: {}", error("copied")),
        format!("ns/p-1 10.0.0.2: {}", error("p-1")),
        format!("ns/p-1 10.0.0.3: {}", error("p-1")),
    ];
    assert_eq!(rejected.collect::<Vec<_>>(), expected);
    running.discovery.stop();
    fs::remove_file(&path).unwrap();
}

/// What the thread of this test has logged at info or above, in order.
fn loud_lines(mark: &str) -> Vec<(Level, String)> {
    logs::of_thread_that_said(mark)
        .into_iter()
        .filter(|line| line.level <= Level::Info)
        .map(|line| (line.level, line.text))
        .collect()
}

/// What is said of pods whose port is an escape sequence.
fn bad_ports(names: &[String]) -> String {
    let reason = |name: &String| {
        format!(
            "{name:?}: label metrics-aggregator.apawel.me/port: \
             expected a number from 1 to 65535 or the name of a container port \
             (named ports of the pod: none), found \"x\\u{{1b}}[2J\""
        )
    };
    names.iter().map(reason).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_refresh_says_one_thing_and_only_news() {
    logs::capture();
    let with_port = |name: &str, port: &str| {
        let mut pod = pod("ns", name, "a", "10.0.0.1");
        pod["metadata"]["labels"]["metrics-aggregator.apawel.me/port"] = json!(port);
        pod
    };
    let path = file_with("log-lines", &list_of(&[pod("ns", "p-1", "a", "10.0.0.1")]));
    let running = start_with(&settings(PodSource::File(path.clone()), &[]));
    running.wait_for_names(&["ns/p-1"]);
    let bad: Vec<_> = (10..22)
        .map(|n| with_port(&format!("bad-{n}"), "x\u{1b}[2J"))
        .collect();
    replace(&path, &list_of(&bad));
    let names: Vec<String> = (10..22).map(|n| format!("ns/bad-{n}")).collect();
    running.wait_for_names(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let success = running.cache.last_success();
    eventually("another list", || running.cache.last_success() != success);
    let not_json = "]";
    replace(&path, not_json);
    running.wait_for(RefreshResult::Malformed);
    replace(&path, &list_of(&bad));
    eventually("no error", || running.cache.last_error().is_none());
    // The next list only begins when the line of this one is written.
    let success = running.cache.last_success();
    eventually("another list", || running.cache.last_success() != success);
    running.discovery.stop();
    fs::remove_file(&path).unwrap();

    let name = path.file_name().unwrap().to_str().unwrap();
    let lines = loud_lines(name);
    let reasons = bad_ports(&names[..10]);
    let expected = [
        (Level::Info, "pod list: 1 targets in 1 jobs".to_owned()),
        (
            Level::Warn,
            format!(
                "pod list: 12 targets in 1 jobs; invalid option: {reasons} \
                 (and of 2 more pods, see debug)"
            ),
        ),
        (
            Level::Warn,
            format!(
                "pod list: file {path:?}: expected value at line 1 column 1; keeping 12 targets in 1 jobs"
            ),
        ),
        (Level::Info, "pod list: 12 targets in 1 jobs".to_owned()),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn each_pod_that_carries_the_label_is_seen() {
    logs::capture();
    let without_name = |name: &str| pod("ns", name, "", "10.0.0.1");
    // Two pods of one uid, as only a file can have them: both are reported.
    let mut twin = without_name("twin");
    twin["metadata"]["uid"] = json!("uid-ns-blank");
    let no_ip = pod("ns", "no-ip", "a", "10.0.0.01");
    let good = pod("ns", "good", "a", "10.0.0.1");
    let mut done = without_name("done");
    done["status"]["phase"] = json!("Succeeded");
    let pending = pod("ns", "pending", "", "");
    let pods = [without_name("blank"), twin, no_ip, good, done, pending];
    let path = file_with("all-seen", &list_of(&pods));
    let running = start_with(&settings(PodSource::File(path.clone()), &[]));
    let set = running.wait_for_names(&["ns/good", "ns/no-ip"]);
    let without_job: Vec<&str> = set.without_job().iter().map(|pod| &*pod.pod).collect();
    assert_eq!(without_job, ["blank", "twin"]);
    assert_eq!(set.invalid().count(), 3);
    assert_eq!(set.jobs().count(), 1);

    // Said once for each pod and value, and again when the value changes.
    let success = running.cache.last_success();
    eventually("another list", || running.cache.last_success() != success);
    let long_name = pod("ns", "blank", &"j".repeat(64), "10.0.0.1");
    replace(&path, &list_of(&[long_name]));
    running.wait_for_names(&[]);
    replace(&path, "]");
    running.wait_for(RefreshResult::Malformed);
    running.discovery.stop();
    fs::remove_file(&path).unwrap();
    let reason = |name: &str, value: &str| {
        format!(
            "\"ns/{name}\": label {JOB_NAME_KEY}: \
             expected the name of a job, 1 to 63 characters, found {value:?}"
        )
    };
    let expected = [
        format!(
            "pod list: 2 targets in 1 jobs; invalid option: \"ns/no-ip\": field status.podIP: \
             expected an IPv4 or IPv6 address, found \"10.0.0.01\"; {}; {}",
            reason("blank", ""),
            reason("twin", "")
        ),
        format!(
            "pod list: 0 targets in 0 jobs; invalid option: {}",
            reason("blank", &"j".repeat(64))
        ),
    ];
    let name = path.file_name().unwrap().to_str().unwrap();
    let lines = loud_lines(name);
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[..2], expected);
    assert!(texts[2].starts_with("pod list: file "), "{texts:?}");
    assert!(lines.iter().all(|(level, _)| *level == Level::Warn));
}

#[test]
fn the_token_is_never_logged() {
    logs::capture();
    let api = FakeApi::start();
    fs::write(api.service_account_dir().join("token"), "s3cret-t0ken").unwrap();
    let running = start(&api, &[]);
    running.wait_for(RefreshResult::Unauthorized);
    api.set_token("s3cret-t0ken");
    running.wait_for(RefreshResult::Ok);
    running.discovery.stop();
    let lines = logs::all();
    // ureq logs each request at debug.
    assert!(
        lines
            .iter()
            .any(|line| line.text.contains(&api.address().to_string()))
    );
    assert!(!lines.iter().any(|line| line.text.contains("s3cret-t0ken")));
}
