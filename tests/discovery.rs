//! Pod lists of the API server: how they are requested, and which targets come of them. README: "When something fails",
//! `NAMESPACES`, `KUBERNETES_API_URL`.

mod faults;
mod file;
mod list_bytes;
mod watch;
mod watch_faults;
mod watch_model;

use std::fs;
use std::sync::Arc;

use kubernetes_metrics_aggregator::discovery::{DiscoverySettings, PodSource};
use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::target::{Target, TargetSet};
use kubernetes_metrics_aggregator::telemetry::RefreshResult;
use serde_json::json;

use crate::support::discovery::{names, settings, source, start, start_with};
use crate::support::fake_api::{FakeApi, Fault, pod};
use crate::support::{eventually, logs};

#[test]
fn a_list_request_has_selector_limit_and_token() {
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
}

#[test]
fn over_plain_http_no_token_is_sent() {
    let api = FakeApi::start_plain();
    let running = start(&api, &[]);
    assert!(!api.next_request().headers.contains_key("authorization"));
    running.wait_for_names(&[]);
}

#[test]
fn inside_a_cluster_its_api_server_is_asked() {
    let api = FakeApi::start();
    let (host, port) = (api.address().ip().to_string(), api.address().port());
    let source = PodSource::in_cluster(&host, port, api.service_account_dir());
    let running = start_with(&settings(source, &[]));
    running.wait_for_names(&[]);
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
}

#[test]
fn unchanged_pods_keep_their_targets() {
    let api = FakeApi::start();
    let [one, two, three] = ["1", "2", "3"].map(|n| pod("ns", n, "a", "10.0.0.1"));
    api.set_pods(vec![one.clone(), two]);
    let running = start(&api, &[]);
    let before = running.wait_for_names(&["ns/1", "ns/2"]);
    running.wait_for_another_list();
    assert!(Arc::ptr_eq(&before, &running.cache.snapshot().unwrap()));
    api.set_pods(vec![one, three]);
    let after = running.wait_for_names(&["ns/1", "ns/3"]);
    let target = |set: &TargetSet| Arc::clone(&set.job("a").unwrap()[0]);
    assert!(Arc::ptr_eq(&target(&before), &target(&after)));
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
    // Pods of a list that broke off are not kept.
    pods[3]["status"]["podIP"] = json!("10.0.0.3");
    expected[3].1 = "10.0.0.3";
    api.script_pages([Fault::HalfBody]);
    api.set_pods(pods.iter().rev().cloned().collect());
    wait_for(&expected);
    assert_eq!(first, targets().job("a").unwrap()[0]);
}

#[test]
fn the_aggregator_does_not_scrape_itself() {
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
    let mut running = start(&api, &[]);
    let before = running.wait_for_names(&["ns/a-1"]);
    api.script([Fault::Hang]);
    api.wait_for_hang();
    // Readers do not wait for it.
    assert!(Arc::ptr_eq(&before, &running.cache.snapshot().unwrap()));
    running.check_stops();
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
    drop(running);
    let lines = logs::all();
    // ureq logs each request at debug.
    assert!(
        lines
            .iter()
            .any(|line| line.text.contains(&api.address().to_string()))
    );
    assert!(!lines.iter().any(|line| line.text.contains("s3cret-t0ken")));
}
