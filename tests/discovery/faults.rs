//! Each way in which a pod list fails: the last complete list stays in use, the reason is shown, discovery recovers.
//! README: "When something fails".

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::discovery::{Discovery, PodSource, TargetCache};
use kubernetes_metrics_aggregator::telemetry::{RefreshResult, Telemetry};

use crate::support::discovery::{Running, settings, start, start_with};
use crate::support::fake_api::{FakeApi, Fault, pod};
use crate::support::{check_contains, eventually};

/// The same fault many times, so that it lasts until the test checks.
fn repeated(fault: &Fault) -> impl Iterator<Item = Fault> {
    std::iter::repeat_n(fault.clone(), 100)
}

/// A fault after a good list of two pages, first on the first page, then on the second: what the refreshes count as,
/// and what the status page says. The targets stay.
#[track_caller]
fn check_failure(fault: &Fault, result: RefreshResult, expected: &str) {
    for is_first_page in [true, false] {
        let api = FakeApi::start();
        let pods = (1..=3).map(|n| pod("ns", &format!("a-{n}"), "a", "10.0.0.1"));
        api.set_pods(pods.collect());
        api.set_page_items(2);
        let running = start(&api, &[]);
        let before = running.wait_for_names(&["ns/a-1", "ns/a-2", "ns/a-3"]);
        if is_first_page {
            api.script(repeated(fault));
        } else {
            api.script_pages(repeated(fault));
        }
        running.wait_for(result);
        let error = running.wait_for_error();
        assert!(error.contains(expected), "{error}");
        assert!(Arc::ptr_eq(&before, &running.cache.snapshot().unwrap()));
        assert!(running.cache.last_success().is_some());
    }
}

#[test]
fn error_statuses_keep_the_last_list() {
    let check_status = |status, result, expected| {
        check_failure(&Fault::Status(status, ""), result, expected);
    };
    check_status(
        401,
        RefreshResult::Unauthorized,
        "status 401: \"scripted 401\"",
    );
    check_status(
        403,
        RefreshResult::Forbidden,
        "status 403: the service account may not list pods at the cluster scope: \"scripted 403\"",
    );
    check_status(410, RefreshResult::Gone, "status 410: \"scripted 410\"");
    check_status(
        429,
        RefreshResult::Throttled,
        "status 429: \"scripted 429\"",
    );
    check_status(
        500,
        RefreshResult::ServerError,
        "status 500: \"scripted 500\"",
    );
    let redirect = Fault::Status(302, "Location: http://127.0.0.1:1/\r\n");
    check_failure(&redirect, RefreshResult::ServerError, "status 302");
}

#[test]
fn responses_that_break_off_keep_the_last_list() {
    check_failure(
        &Fault::Close,
        RefreshResult::Connection,
        "connection: peer closed",
    );
    check_failure(
        &Fault::HalfBody,
        RefreshResult::Connection,
        "Peer disconnected",
    );
}

#[test]
fn responses_that_are_no_pod_list_keep_the_last_list() {
    let check_body = |body, expected| {
        check_failure(&Fault::Body(body), RefreshResult::Malformed, expected);
    };
    check_body("<html>", "malformed response: expected value");
    check_body("{}", "malformed response: expected kind PodList");
    check_body(r#"{"kind":"PodList","items":["#, "malformed response: EOF");
    check_body(
        r#"{"kind":"PodList","items":[]}{"#,
        "malformed response: trailing",
    );
}

#[test]
fn a_list_of_more_than_2000_pages_fails() {
    let api = FakeApi::start_plain();
    let running = start(&api, &[]);
    running.wait_for_names(&[]);
    api.script([Fault::EmptyPage]);
    api.script_pages(std::iter::repeat_n(Fault::EmptyPage, 2_000));
    running.wait_for(RefreshResult::Malformed);
    assert_eq!(&*running.wait_for_error(), "larger than 2,000 pages");
}

#[test]
fn an_old_continue_token_starts_the_list_again() {
    let api = FakeApi::start();
    let pods = (1..=3).map(|n| pod("ns", &format!("a-{n}"), "a", "10.0.0.1"));
    api.set_pods(pods.collect());
    api.set_page_items(2);
    api.script_pages([Fault::Status(410, ""), Fault::Status(410, "")]);
    let running = start(&api, &[]);
    running.wait_for_names(&["ns/a-1", "ns/a-2", "ns/a-3"]);
    assert_eq!(running.telemetry.refreshes.get(RefreshResult::Gone), 0);
    let is_first = |_| !api.next_request().query.contains_key("continue");
    let firsts: Vec<bool> = (0..6).map(is_first).collect();
    assert_eq!(firsts, [true, false, true, false, true, false]);
}

#[test]
fn discovery_recovers_by_itself() {
    let api = FakeApi::start();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    api.script([Fault::Close, Fault::Status(500, "")]);
    let running = start(&api, &[]);
    running.wait_for(RefreshResult::ServerError);
    assert!(running.cache.snapshot().is_none());
    assert!(running.cache.last_success().is_none());
    running.wait_for_names(&["ns/a-1"]);
    eventually("no error", || running.cache.last_error().is_none());
    assert!(running.cache.last_success().is_some());
}

#[test]
fn retry_after_is_obeyed() {
    let api = FakeApi::start();
    api.script([Fault::Status(429, "Retry-After: 3\r\n")]);
    let _running = start(&api, &[]);
    api.next_request();
    let asked = Instant::now();
    api.next_request();
    // Longer than the first wait ever is without the header.
    assert!(asked.elapsed() >= Duration::from_millis(2_900));
}

#[test]
fn a_token_that_was_replaced_is_read_at_once() {
    let api = FakeApi::start();
    let running = start(&api, &[]);
    running.wait_for_names(&[]);
    fs::write(api.service_account_dir().join("token"), "second").unwrap();
    api.set_token("second");
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    running.wait_for_names(&["ns/a-1"]);
    assert_eq!(
        running.telemetry.refreshes.get(RefreshResult::Unauthorized),
        0
    );
}

#[test]
fn a_token_that_expired_is_replaced_later() {
    let api = FakeApi::start();
    let running = start(&api, &[]);
    running.wait_for_names(&[]);
    api.set_token("second");
    running.wait_for(RefreshResult::Unauthorized);
    fs::write(api.service_account_dir().join("token"), "second").unwrap();
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    running.wait_for_names(&["ns/a-1"]);
}

#[test]
fn a_ca_that_rotates_is_read_again() {
    let api = FakeApi::start();
    let running = start(&api, &[]);
    running.wait_for_names(&[]);
    api.set_pods(vec![pod("ns", "a-1", "a", "10.0.0.1")]);
    api.rotate_ca();
    running.wait_for_names(&["ns/a-1"]);
}

fn source(url: &str, service_account_dir: PathBuf) -> PodSource {
    PodSource::Url {
        url: url.to_owned(),
        service_account_dir,
    }
}

fn start_at(url: &str, service_account_dir: PathBuf) -> Running {
    start_with(&settings(source(url, service_account_dir), &[]))
}

#[test]
fn a_server_of_another_ca_is_not_trusted() {
    let [api, other] = [FakeApi::start(), FakeApi::start()];
    let running = start_at(&api.url(), other.service_account_dir());
    running.wait_for(RefreshResult::Connection);
    let error = running.wait_for_error();
    check_contains(&error, "connection: invalid peer certificate");
}

#[test]
fn without_a_service_account_the_error_names_the_file() {
    let api = FakeApi::start();
    let running = start_at(&api.url(), "/nowhere".into());
    running.wait_for(RefreshResult::File);
    let error = running.wait_for_error();
    check_contains(&error, "service account file \"/nowhere/token\": ");
}

#[test]
fn invalid_urls_are_refused_at_the_start() {
    for url in [
        "",
        "api",
        "ftp://api",
        "https://",
        "http://u:p@api",
        "http://api?x=1",
        "/x",
    ] {
        let source = source(url, "/nowhere".into());
        let telemetry = Arc::new(Telemetry::default());
        let error = Discovery::start(&settings(source, &[]), TargetCache::default(), telemetry)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("API server: expected a URL"), "{error}");
    }
}
