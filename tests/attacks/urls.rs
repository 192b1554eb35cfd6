//! URLs that are meant to reach something else, or to cost much. README: Security.

use crate::support::attack::Site;

/// One request for this URL: its status, and that the response is one harmless line.
#[track_caller]
fn check_url(site: &Site, url: &str, expected: u16) {
    let request = format!("GET {url} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let response = site.ask(&request).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(status, expected, "{url}: {response}");
    if status != 200 {
        let is_harmless = body.len() < 500
            && body.lines().count() == 1
            && body.trim_end().chars().all(|c| !c.is_control());
        assert!(is_harmless, "{url}: {response}");
    }
}

#[test]
fn tricks_with_urls_get_nowhere() {
    let site = Site::start(&[]);
    site.check_recovers();
    for (url, expected) in [
        ("/metrics?job=web%00", 404),
        ("/metrics%00?job=web", 404),
        ("/metrics?job=%00", 404),
        ("/metrics?job=%0d%0aX:%20y", 404),
        ("/metrics?job=%1b[2J", 404),
        ("/metrics?job=%e2%80%ae", 404),
        ("/metrics?job=../../etc/passwd", 404),
        ("/metrics?job=..%2f..%2fetc%2fpasswd", 404),
        ("/../etc/passwd", 404),
        ("/..%2f..%2fetc%2fpasswd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/metrics/../metrics?job=web", 404),
        ("/./metrics?job=web", 404),
        ("//metrics?job=web", 404),
        ("/metrics%2f?job=web", 404),
        ("/metrics%253Fjob=web", 404),
        ("/metrics?job=%25%33%77eb", 404),
        ("/metrics?job=we%62", 200),
        ("/%6detrics?job=web", 200),
        ("/metrics?job=%", 400),
        ("/metrics?job=%zz", 400),
        ("/metrics?job=%c0%80", 400),
        ("/metrics?job=%ff", 400),
        ("/metrics?job=%u0077eb", 400),
        ("/metrics;job=web", 404),
        ("/metrics?job[]=web", 400),
        ("/metrics#?job=web", 404),
        ("http://127.0.0.1:1/metrics?job=gone", 404),
        ("ftp://h/metrics?job=web", 404),
    ] {
        check_url(&site, url, expected);
    }
}

#[test]
fn huge_jobs_get_a_response_or_are_refused_at_once() {
    let site = Site::start(&[]);
    site.check_recovers();
    check_url(&site, &format!("/metrics?job={}", "x".repeat(8000)), 404);
    let euros = "%e2%82%ac".repeat(800);
    check_url(&site, &format!("/metrics?job={euros}"), 404);
    check_url(&site, &format!("/metrics?job={}", "x".repeat(9000)), 414);
    let many: Vec<String> = (0..1000).map(|number| format!("job={number}")).collect();
    check_url(&site, &format!("/metrics?{}", many.join("&")), 404);
    let repeated = "job=web&".repeat(1000);
    check_url(&site, &format!("/metrics?{repeated}"), 200);
    check_url(&site, &format!("/metrics?{}", "&".repeat(8000)), 400);
}
