//! What a request line asks for.

mod generated;

use std::time::Duration;

use kubernetes_metrics_aggregator::server::route::{
    Filter, RequestError, Route, State, accepts_gzip, route, scrape_timeout,
};
use kubernetes_metrics_aggregator::target::Shard;

#[track_caller]
fn check(url: &str, expected: Result<&[&str], RequestError>) {
    let expected = expected.map(|jobs| Route::Metrics {
        jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        shard: None,
        absent_ok: false,
    });
    assert_eq!(route("GET", url), expected, "{url}");
}

#[test]
fn jobs_of_the_query() {
    check("/metrics?job=memcached", Ok(&["memcached"]));
    check("/metrics?job=a&job=b", Ok(&["a", "b"]));
    check("/metrics?job=a&job=a", Ok(&["a"]));
    check("/metrics?other=1&job=a&verbose", Ok(&["a"]));
    check("/metrics?job=a%2Eb", Ok(&["a.b"]));
    check("/metrics?%6Aob=a", Ok(&["a"]));
    check("/metrics?job=a+b", Ok(&["a b"]));
    check("http://10.0.0.1/metrics?job=a", Ok(&["a"]));
}

/// Prometheus escapes the `?` of a `metrics_path`, and nothing else of `/metrics?job=J`.
#[test]
fn jobs_of_the_escaped_path() {
    check("/metrics%3Fjob=memcached", Ok(&["memcached"]));
    check("/metrics%3fjob=memcached", Ok(&["memcached"]));
    check("/metrics%3Fjob=a&job=b", Ok(&["a", "b"]));
    // The path was decoded once: what looks encoded now is part of the name.
    check("/metrics%3Fjob=a%252Eb", Ok(&["a%2Eb"]));
    check("/metrics%3Fjob=a+b", Ok(&["a+b"]));
}

#[test]
fn a_real_query_comes_first() {
    check("/metrics%3Fjob=a?job=z", Ok(&["z"]));
    check("/metrics%3Fjob=a?other=1", Ok(&["a"]));
}

#[test]
fn a_job_is_needed() {
    check("/metrics", Err(RequestError::NoJob));
    check("/metrics?", Err(RequestError::NoJob));
    check("/metrics?job", Err(RequestError::NoJob));
    check("/metrics?job=", Err(RequestError::NoJob));
    check("/metrics?job=a&job=", Err(RequestError::NoJob));
    check("/metrics?jobs=a", Err(RequestError::NoJob));
    check("/metrics%3Fjob=", Err(RequestError::NoJob));
}

#[test]
fn encodings_that_are_none() {
    check("/metrics?job=%", Err(RequestError::BadEncoding));
    check("/metrics?job=%2", Err(RequestError::BadEncoding));
    check("/metrics?job=%+1", Err(RequestError::BadEncoding));
    check("/metrics?job=%ff", Err(RequestError::BadEncoding));
    check("/metrics%", Err(RequestError::BadEncoding));
}

#[test]
fn other_paths() {
    assert_eq!(route("GET", "/-/healthy"), Ok(Route::Healthy));
    assert_eq!(route("HEAD", "/-/ready?x=1"), Ok(Route::Ready));
    assert_eq!(route("GET", "/-/metrics"), Ok(Route::OwnMetrics));
    for everything in ["/", "http://host", "/?job=&state=&page=x"] {
        let status = Route::Status(Filter::default());
        assert_eq!(route("GET", everything), Ok(status), "{everything}");
    }
    let filter = Filter {
        job: Some("a b".to_owned()),
        state: Some(State::Down),
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
        assert_eq!(
            route("GET", unknown),
            Err(RequestError::UnknownPath),
            "{unknown}"
        );
    }
}

#[test]
fn methods_that_are_refused() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", ""] {
        assert_eq!(
            route(method, "/metrics?job=a"),
            Err(RequestError::Method),
            "{method}"
        );
    }
}

/// Prometheus writes the header by `strconv.FormatFloat(seconds, 'f', -1, 64)` (scrape/scrape.go).
#[test]
fn timeouts_of_the_scraper() {
    assert_eq!(scrape_timeout("10"), Ok(Duration::from_secs(10)));
    assert_eq!(scrape_timeout("0.5"), Ok(Duration::from_millis(500)));
    for bad in ["", "0", "-1", "NaN", "inf", "10s", "1e400"] {
        assert_eq!(
            scrape_timeout(bad),
            Err(RequestError::BadTimeout(bad.to_owned())),
            "{bad}"
        );
    }
}

#[test]
fn gzip_is_sent_only_where_it_is_accepted() {
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
fn shards() {
    for (url, expected) in [
        ("/metrics?job=a&shard=1/1", (1, 1)),
        ("/metrics?job=a&shard=2%2F3", (2, 3)),
        ("/metrics%3Fjob=a&shard=1000/1000", (1000, 1000)),
    ] {
        let Ok(Route::Metrics { shard, .. }) = route("GET", url) else {
            panic!("{url}");
        };
        assert_eq!(shard, Shard::new(expected.0, expected.1), "{url}");
        assert!(shard.is_some(), "{url}");
    }
    for bad in [
        "", "1", "0/3", "4/3", "1/1001", "1/0", "+1/3", "1/3/3", "a/b", "-1/3",
    ] {
        assert_eq!(
            route(
                "GET",
                &format!("/metrics?job=a&shard={}", bad.replace('+', "%2B"))
            ),
            Err(RequestError::BadShard(bad.to_owned())),
            "{bad}"
        );
    }
}

#[test]
fn jobs_that_may_have_no_pods() {
    for (url, expected) in [
        ("/metrics?job=a&absent=ok", true),
        ("/metrics?absent=%6fk&job=a", true),
        ("/metrics%3Fjob=a&absent=ok", true),
        ("/metrics%3Fjob=a?absent=ok", true),
        ("/metrics?job=a&absents=ok", false),
    ] {
        let Ok(Route::Metrics { absent_ok, .. }) = route("GET", url) else {
            panic!("{url}");
        };
        assert_eq!(absent_ok, expected, "{url}");
    }
    for bad in ["", "OK", "true", "ok "] {
        assert_eq!(
            route("GET", &format!("/metrics?job=a&absent={bad}")),
            Err(RequestError::BadAbsent(bad.to_owned())),
            "{bad}"
        );
    }
    // It makes no job right that would be wrong without.
    check("/metrics?absent=ok", Err(RequestError::NoJob));
}

#[test]
fn targets_of_a_probe() {
    for url in [
        "/probe?target=ns/pod-1:8080",
        "/probe?target=ns%2Fpod-1%3A8080",
        "/probe%3Ftarget=ns/pod-1:8080",
    ] {
        let target = "ns/pod-1:8080".to_owned();
        assert_eq!(route("GET", url), Ok(Route::Probe { target }), "{url}");
    }
    for url in ["/probe", "/probe?target=", "/probe?job=a"] {
        assert_eq!(route("GET", url), Err(RequestError::NoTarget), "{url}");
    }
}

#[test]
fn service_discovery() {
    let jobs = |shards| Ok(Route::SdJobs { shards });
    assert_eq!(route("GET", "/sd/jobs"), jobs(None));
    assert_eq!(route("GET", "/sd/jobs?shards=3"), jobs(Some(3)));
    for bad in ["", "0", "1001", "x"] {
        assert_eq!(
            route("GET", &format!("/sd/jobs?shards={bad}")),
            Err(RequestError::BadShards(bad.to_owned())),
            "{bad}"
        );
    }
    let pods = |timeouts| Ok(Route::SdPods { timeouts });
    assert_eq!(route("GET", "/sd/pods"), pods(false));
    assert_eq!(route("GET", "/sd/pods?timeouts=true"), pods(true));
}
