//! `POD_LIST_FILE`: the pods of a file that is read again and again, and what is logged of pods and lists.
//! README: "Settings", "What you label".

use std::fs;

use kubernetes_metrics_aggregator::discovery::PodSource;
use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::telemetry::RefreshResult;
use log::Level;
use serde_json::{Value, json};

use crate::support::discovery::{Running, settings, start_with};
use crate::support::fake_api::pod;
use crate::support::program::TempFile;
use crate::support::{eventually, logs};

fn list_of(pods: &[Value]) -> String {
    json!({"kind": "List", "items": pods}).to_string()
}

fn file_of(pods: &[Value]) -> TempFile {
    TempFile::new(list_of(pods).as_bytes())
}

fn start(file: &TempFile, namespaces: &[&str]) -> Running {
    start_with(&settings(PodSource::File(file.0.clone()), namespaces))
}

#[test]
fn a_pod_list_file_is_read_at_each_interval() {
    let pods = [
        pod("a", "p-1", "j", "10.0.0.1"),
        pod("b", "p-1", "j", "10.0.0.2"),
    ];
    let file = file_of(&pods);
    let all = start(&file, &[]);
    let some = start(&file, &["b", "c"]);
    all.wait_for_names(&["a/p-1", "b/p-1"]);
    some.wait_for_names(&["b/p-1"]);

    file.replace("{\"kind\": ");
    all.wait_for(RefreshResult::Malformed);
    let error = all.wait_for_error();
    assert!(
        error.starts_with("file \"") && error.contains("EOF"),
        "{error}"
    );
    fs::remove_file(&file.0).unwrap();
    all.wait_for(RefreshResult::File);
    all.wait_for_names(&["a/p-1", "b/p-1"]);

    file.replace(&list_of(&pods[..1]));
    all.wait_for_names(&["a/p-1"]);
    some.wait_for_names(&[]);
}

/// Only a list that is put together by hand can contain two pods of one name, or with one uid.
#[test]
fn the_second_pod_of_one_name_or_uid_in_a_file_is_not_scraped() {
    let mut copied = pod("ns", "copied", "j", "10.0.0.4");
    copied["metadata"]["uid"] = json!("uid-ns-p-1");
    let at_another_port = |name: &str, uid: &str, ip: &str| {
        let mut pod = pod("ns", name, "j", ip);
        pod["metadata"]["uid"] = json!(uid);
        pod["metadata"]["annotations"] = json!({"metrics-aggregator.apawel.me/port": "81"});
        pod
    };
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
        at_another_port("p-1", "uid-ns-p-1", "10.0.0.6"),
        at_another_port("p-1", "another-uid", "10.0.0.7"),
        at_another_port("copied", "uid-ns-p-1", "10.0.0.8"),
        two_targets,
        pod("other", "p-1", "j", "10.0.0.1"),
    ];
    let file = file_of(&pods);
    let running = start(&file, &[]);
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
        format!("ns/copied 10.0.0.8: {}", error("copied")),
        format!("ns/p-1 10.0.0.2: {}", error("p-1")),
        format!("ns/p-1 10.0.0.3: {}", error("p-1")),
        format!("ns/p-1 10.0.0.6: {}", error("p-1")),
        format!("ns/p-1 10.0.0.7: {}", error("p-1")),
    ];
    let mut rejected: Vec<String> = rejected.collect();
    rejected.sort_unstable();
    assert_eq!(rejected, expected);
    drop(running);
}

/// What the thread of this test has logged at info or above, in order.
fn loud_lines(mark: &str) -> Vec<(Level, String)> {
    logs::of_thread_that_said(mark)
        .into_iter()
        .filter(|line| line.level <= Level::Info)
        .map(|line| (line.level, line.text))
        .collect()
}

/// The error of pods whose port is an escape sequence.
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
fn each_refresh_logs_one_line_of_what_is_new() {
    logs::capture();
    let with_port = |name: &str, port: &str| {
        let mut pod = pod("ns", name, "a", "10.0.0.1");
        pod["metadata"]["labels"]["metrics-aggregator.apawel.me/port"] = json!(port);
        pod
    };
    let file = file_of(&[pod("ns", "p-1", "a", "10.0.0.1")]);
    let running = start(&file, &[]);
    running.wait_for_names(&["ns/p-1"]);
    let bad: Vec<_> = (10..22)
        .map(|n| with_port(&format!("bad-{n}"), "x\u{1b}[2J"))
        .collect();
    file.replace(&list_of(&bad));
    let names: Vec<String> = (10..22).map(|n| format!("ns/bad-{n}")).collect();
    running.wait_for_names(&names.iter().map(String::as_str).collect::<Vec<_>>());
    running.wait_for_another_list();
    let not_json = "]";
    file.replace(not_json);
    running.wait_for(RefreshResult::Malformed);
    file.replace(&list_of(&bad));
    eventually("no error", || running.cache.last_error().is_none());
    // The next list only begins when the line of this one is written.
    running.wait_for_another_list();
    drop(running);

    let name = file.path();
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
                "pod list: file {name:?}: expected value at line 1 column 1; keeping 12 targets in 1 jobs"
            ),
        ),
        (Level::Info, "pod list: 12 targets in 1 jobs".to_owned()),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn pods_without_a_usable_job_name_or_ip_are_reported() {
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
    let file = file_of(&pods);
    let running = start(&file, &[]);
    let set = running.wait_for_names(&["ns/good", "ns/no-ip"]);
    let without_job: Vec<&str> = set.without_job().iter().map(|pod| &*pod.pod).collect();
    assert_eq!(without_job, ["blank", "twin"]);
    assert_eq!(set.invalid().count(), 3);
    assert_eq!(set.jobs().count(), 1);

    // Logged once for each pod and value, and again when the value changes.
    running.wait_for_another_list();
    let long_name = pod("ns", "blank", &"j".repeat(64), "10.0.0.1");
    file.replace(&list_of(&[long_name]));
    running.wait_for_names(&[]);
    file.replace("]");
    running.wait_for(RefreshResult::Malformed);
    drop(running);
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
    let name = file.path();
    let lines = loud_lines(name);
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[..2], expected);
    assert!(texts[2].starts_with("pod list: file "), "{texts:?}");
    assert!(lines.iter().all(|(level, _)| *level == Level::Warn));
}
