//! What a request line asks for: paths, parameters, and the errors for invalid ones. README: "What you get", "Status
//! codes".

mod generated;

use std::fmt::Debug;
use std::time::Duration;

use kubernetes_metrics_aggregator::exposition::AskedFamilies;
use kubernetes_metrics_aggregator::server::HttpError;
use kubernetes_metrics_aggregator::server::route::{
    Filter, Route, Selection, TargetState, accepts_gzip, counted_path, route, scrape_timeout,
    without_prefix,
};
use kubernetes_metrics_aggregator::target::Shard;

#[track_caller]
fn check(url: &str, jobs: &[&str]) {
    let expected = Route::Metrics(Selection {
        jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        shard: None,
        families: AskedFamilies::default(),
        absent_ok: false,
    });
    assert_eq!(route("GET", url), Ok(expected), "{url}");
}

/// What a URL of `/metrics` selects.
#[track_caller]
fn selection(url: &str) -> Selection {
    match route("GET", url) {
        Ok(Route::Metrics(selection)) => selection,
        other => panic!("{url}: {other:?}"),
    }
}

#[track_caller]
fn check_error<T: Debug>(result: Result<T, HttpError>, status: u16, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.status, status, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[track_caller]
fn check_refused(url: &str, status: u16, text: &str) {
    check_error(route("GET", url), status, text);
}

#[test]
fn jobs_are_read_from_the_query() {
    check("/metrics?job=memcached", &["memcached"]);
    check("/metrics?job=a&job=b", &["a", "b"]);
    check("/metrics?job=a&job=a", &["a"]);
    check("/metrics?other=1&job=a&verbose", &["a"]);
    check("/metrics?job=a%2Eb", &["a.b"]);
    check("/metrics?%6Aob=a", &["a"]);
    check("/metrics?job=a+b", &["a b"]);
    check("http://10.0.0.1/metrics?job=a", &["a"]);
}

/// Prometheus escapes the `?` of a `metrics_path`, and nothing else of `/metrics?job=J`.
#[test]
fn jobs_are_read_from_an_escaped_path() {
    check("/metrics%3Fjob=memcached", &["memcached"]);
    check("/metrics%3fjob=memcached", &["memcached"]);
    check("/metrics%3Fjob=a&job=b", &["a", "b"]);
    // The path was decoded once: what looks encoded now is part of the name.
    check("/metrics%3Fjob=a%252Eb", &["a%2Eb"]);
    check("/metrics%3Fjob=a+b", &["a+b"]);
}

#[test]
fn a_real_query_comes_first() {
    check("/metrics%3Fjob=a?job=z", &["z"]);
    check("/metrics%3Fjob=a?other=1", &["a"]);
}

#[test]
fn a_job_is_needed() {
    check_refused("/metrics", 400, "name the job");
    check_refused("/metrics?", 400, "name the job");
    check_refused("/metrics?job", 400, "name the job");
    check_refused("/metrics?job=", 400, "name the job");
    check_refused("/metrics?job=a&job=", 400, "name the job");
    check_refused("/metrics?jobs=a", 400, "name the job");
    check_refused("/metrics%3Fjob=", 400, "name the job");
}

#[test]
fn invalid_percent_encoding_is_refused() {
    check_refused("/metrics?job=%", 400, "not percent-encoded UTF-8");
    check_refused("/metrics?job=%2", 400, "not percent-encoded UTF-8");
    check_refused("/metrics?job=%+1", 400, "not percent-encoded UTF-8");
    check_refused("/metrics?job=%ff", 400, "not percent-encoded UTF-8");
    check_refused("/metrics%", 400, "not percent-encoded UTF-8");
}

#[test]
fn paths_have_handlers_and_others_are_not_found() {
    assert_eq!(route("GET", "/-/healthy"), Ok(Route::Healthy));
    assert_eq!(route("HEAD", "/-/ready?x=1"), Ok(Route::Ready));
    assert_eq!(route("GET", "/-/metrics"), Ok(Route::OwnMetrics));
    for everything in ["/", "http://host", "/?job=&state=&page=x"] {
        let status = Route::Status(Filter::default());
        assert_eq!(route("GET", everything), Ok(status), "{everything}");
    }
    let filter = Filter {
        job: Some("a b".to_owned()),
        state: Some(TargetState::Down),
        page: 2,
    };
    assert_eq!(
        route("GET", "/?job=a+b&state=down&page=2"),
        Ok(Route::Status(filter))
    );
    for unknown in [
        "",
        "/metrics/",
        "/metrics/x?job=a",
        "//metrics?job=a",
        "/../metrics",
        "/Metrics?job=a",
        "*",
        "x",
    ] {
        check_refused(unknown, 404, "no such path");
    }
}

#[test]
fn methods_other_than_get_and_head_are_refused() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", ""] {
        check_error(route(method, "/metrics?job=a"), 405, "only GET and HEAD");
    }
}

#[test]
fn a_request_counts_under_its_path_whatever_else_is_invalid() {
    for (url, path) in [
        ("/metrics?job=%", "/metrics"),
        ("/metrics%3Fjob=a", "/metrics"),
        ("/metrics", "/metrics"),
        ("/%6detrics?shard=x", "/metrics"),
        ("http://h/probe?target=", "/probe"),
        ("/sd/jobs?shards=0", "/sd/jobs"),
        ("/sd/pods?timeouts=%zz", "/sd/pods"),
        ("/-/metrics?x", "/-/metrics"),
        ("/-/healthy", "/-/healthy"),
        ("/-/ready", "/-/ready"),
        ("/?job=%ff", "/"),
        ("http://h", "/"),
        ("/metrics%", "other"),
        ("/%ff", "other"),
        ("/metrics/", "other"),
        ("/-/style.css", "other"),
        ("*", "other"),
        ("", "other"),
    ] {
        assert_eq!(counted_path(url).to_string(), path, "{url}");
    }
}

/// An ingress may or may not take its path off, so both forms come in.
#[test]
fn the_path_of_the_advertised_address_is_removed_if_present() {
    for (url, expected) in [
        ("/aggregator/metrics?job=a", "/metrics?job=a"),
        ("/aggregator/metrics%3Fjob=a", "/metrics%3Fjob=a"),
        ("http://h/aggregator/probe?target=x", "/probe?target=x"),
        ("/aggregator/-/healthy", "/-/healthy"),
        ("/aggregator/", "/"),
        ("/aggregator", "/"),
        ("/aggregator?state=down", "/?state=down"),
        ("/metrics?job=a", "/metrics?job=a"),
        ("/", "/"),
        // Once, and a whole segment.
        ("/aggregator/aggregator/", "/aggregator/"),
        ("/aggregators/metrics", "/aggregators/metrics"),
        ("/a/aggregator/metrics", "/a/aggregator/metrics"),
    ] {
        assert_eq!(without_prefix(url, "/aggregator"), expected, "{url}");
    }
    // What is left of `/metrics/metrics?job=a` where the ingress has taken its part off is no status page.
    for (url, expected) in [
        ("/metrics/metrics?job=a", "/metrics?job=a"),
        ("/metrics?job=a", "/metrics?job=a"),
        ("/metrics/", "/"),
    ] {
        assert_eq!(without_prefix(url, "/metrics"), expected, "{url}");
    }
    // The same for a prefix with which the paths of this server begin.
    for path in ["/-/healthy", "/-/style.css", "/-/page.js?v=1"] {
        assert_eq!(without_prefix(path, "/-"), path);
        assert_eq!(without_prefix(&format!("/-{path}"), "/-"), path);
    }
    assert_eq!(without_prefix("//metrics", ""), "//metrics");
}

/// Prometheus writes the header by `strconv.FormatFloat(seconds, 'f', -1, 64)` (scrape/scrape.go).
#[test]
fn the_scrapers_timeout_is_seconds_over_0() {
    assert_eq!(scrape_timeout("10"), Ok(Duration::from_secs(10)));
    assert_eq!(scrape_timeout("0.5"), Ok(Duration::from_millis(500)));
    for bad in ["", "0", "-1", "NaN", "inf", "10s", "1e400"] {
        let text = format!("seconds over 0, found {bad:?}");
        check_error(scrape_timeout(bad), 400, &text);
    }
}

#[test]
fn gzip_is_sent_only_if_the_scraper_accepts_it() {
    for accepted in [
        "gzip",
        "GZIP",
        "deflate, gzip;q=0.5",
        "*",
        "gzip;q=1.0, identity;q=0",
        "br,gzip",
    ] {
        assert!(accepts_gzip(accepted), "{accepted}");
    }
    for refused in [
        "",
        "identity",
        "gzip;q=0",
        "gzip; q=0.0",
        "*;q=0",
        "*, gzip;q=0",
        "xgzip",
        "deflate",
    ] {
        assert!(!accepts_gzip(refused), "{refused}");
    }
}

#[test]
fn a_shard_is_one_of_at_most_1000() {
    for (url, expected) in [
        ("/metrics?job=a&shard=1/1", (1, 1)),
        ("/metrics?job=a&shard=2%2F3", (2, 3)),
        ("/metrics%3Fjob=a&shard=1000/1000", (1000, 1000)),
    ] {
        let shard = selection(url).shard;
        assert_eq!(shard, Shard::new(expected.0, expected.1), "{url}");
        assert!(shard.is_some(), "{url}");
    }
    for bad in [
        "", "1", "0/3", "4/3", "1/1001", "1/0", "+1/3", "1/3/3", "a/b", "-1/3",
    ] {
        let url = format!("/metrics?job=a&shard={}", bad.replace('+', "%2B"));
        let text =
            format!("shard: expected i/n with 1 <= i <= n <= 1000, such as 2/3, found {bad:?}");
        check_refused(&url, 400, &text);
    }
}

#[test]
fn metric_families_are_named_at_most_100_times() {
    for (url, expected) in [
        ("/metrics?job=a", &[][..]),
        ("/metrics?job=a&name=b", &[]),
        ("/metrics?job=a&name[]=b", &["b"]),
        // As Prometheus sends `params: {job: [a], "name[]": [b, c]}`.
        ("/metrics?job=a&name%5B%5D=b&name%5B%5D=c", &["b", "c"]),
        ("/metrics?name[]=a:b_total&job=a", &["a:b_total"]),
        (
            "/metrics?job=a&name[]=http.requests%20%C3%A9",
            &["http.requests \u{e9}"],
        ),
        ("/metrics?job=a&name[]=", &[""]),
        ("/metrics%3Fjob=a&name%5B%5D=b", &["b"]),
        ("/metrics%3Fjob=a&name[]=b&name[]=c", &["b", "c"]),
        ("/metrics%3Fjob=a?name[]=b", &["b"]),
    ] {
        assert_eq!(selection(url).families.names(), expected, "{url}");
    }
    let url = |names: usize, length: usize| {
        let name = format!("&name[]={}", "x".repeat(length));
        format!("/metrics?job=a{}", name.repeat(names))
    };
    assert!(route("GET", &url(100, 1)).is_ok());
    assert!(route("GET", &url(1, 256)).is_ok());
    for (names, length) in [(101, 1), (1, 257)] {
        let text = "name[]: expected at most 100 names of at most 256 bytes";
        check_refused(&url(names, length), 400, text);
    }
}

#[test]
fn absent_ok_is_the_only_value_of_absent() {
    for (url, expected) in [
        ("/metrics?job=a&absent=ok", true),
        ("/metrics?absent=%6fk&job=a", true),
        ("/metrics%3Fjob=a&absent=ok", true),
        ("/metrics%3Fjob=a?absent=ok", true),
        ("/metrics?job=a&absents=ok", false),
    ] {
        assert_eq!(selection(url).absent_ok, expected, "{url}");
    }
    for bad in ["", "OK", "true", "ok "] {
        let url = format!("/metrics?job=a&absent={bad}");
        check_refused(
            &url,
            400,
            &format!(
                "absent: expected ok, which makes a job without pods an empty text, found {bad:?}"
            ),
        );
    }
    // It makes no job right that would be wrong without.
    check_refused("/metrics?absent=ok", 400, "name the job");
}

#[test]
fn a_probe_names_its_target() {
    for url in [
        "/probe?target=ns/pod-1:8080",
        "/probe?target=ns%2Fpod-1%3A8080",
        "/probe%3Ftarget=ns/pod-1:8080",
    ] {
        let target = "ns/pod-1:8080".to_owned();
        assert_eq!(route("GET", url), Ok(Route::Probe { target }), "{url}");
    }
    for url in ["/probe", "/probe?target=", "/probe?job=a"] {
        check_refused(url, 400, "name the target");
    }
}

#[test]
fn service_discovery_has_shards_and_timeouts() {
    let jobs = |shards| Ok(Route::SdJobs { shards });
    assert_eq!(route("GET", "/sd/jobs"), jobs(None));
    assert_eq!(route("GET", "/sd/jobs?shards=3"), jobs(Some(3)));
    for bad in ["", "0", "1001", "x"] {
        let text = format!("shards: expected a number from 1 to 1000, found {bad:?}");
        check_refused(&format!("/sd/jobs?shards={bad}"), 400, &text);
    }
    let pods = |timeouts| Ok(Route::SdPods { timeouts });
    assert_eq!(route("GET", "/sd/pods"), pods(false));
    assert_eq!(route("GET", "/sd/pods?timeouts=true"), pods(true));
}
