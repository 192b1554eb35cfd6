//! What a request line asks for.

use std::time::Duration;

use kubernetes_metrics_aggregator::server::route::{
    RequestError, Route, accepts_gzip, route, scrape_timeout,
};

#[track_caller]
fn check(url: &str, expected: Result<&[&str], RequestError>) {
    let expected = expected.map(|jobs| Route::Metrics {
        jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
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
    assert_eq!(route("GET", "/"), Ok(Route::Status));
    assert_eq!(route("GET", "http://host"), Ok(Route::Status));
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
