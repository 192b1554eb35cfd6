//! `MAX_SAMPLES`: a pod with more samples is down, and the reason says so. README: "Settings".

use crate::support::fake_pod::{Behaviour, FakePod, ok_as};
use crate::support::program::{HttpResponse, Program, pod_at};

/// The program with a limit of three samples and a pod for each body. Those that start with `# TYPE` and end with
/// `# EOF` are sent as OpenMetrics.
fn limited(bodies: &[(&str, &str)]) -> Program {
    let start = |(_, body): &(_, &str)| FakePod::start(Behaviour::Raw(response(body)));
    let fakes: Vec<FakePod> = bodies.iter().map(start).collect();
    let pods: Vec<_> = (bodies.iter().zip(&fakes))
        .map(|((name, _), fake)| pod_at("n", name, "web", fake.address))
        .collect();
    Program::scraping(&pods, &[("MAX_SAMPLES", "3")])
}

fn response(body: &str) -> Vec<u8> {
    let content_type = if body.ends_with("# EOF\n") {
        "application/openmetrics-text; version=1.0.0"
    } else {
        "text/plain"
    };
    ok_as(content_type, body.as_bytes())
}

/// Whether the pod is up, and its `scrape_samples_scraped`.
fn report(response: &HttpResponse, pod: &str) -> (Option<bool>, u64) {
    let start = format!("scrape_samples_scraped{{instance=\"{pod}\"");
    let (_, count) = response.lines(&start)[0].rsplit_once(' ').unwrap();
    (response.up(pod), count.parse().unwrap())
}

#[track_caller]
fn check(bodies: &[(&str, &str)], url: &str, expected: &[(bool, u64)]) -> Program {
    let program = limited(bodies);
    let response = program.get(url);
    for ((pod, _), (is_up, samples)) in bodies.iter().zip(expected) {
        let found = report(&response, pod);
        assert_eq!(
            found,
            (Some(*is_up), *samples),
            "{pod}: {}",
            program.get("/").text()
        );
        if !is_up {
            let label = format!("instance=\"{pod}\"");
            let text = response.text();
            assert_eq!(text.matches(&label).count(), 3, "{text}");
        }
    }
    program
}

/// Like Prometheus beyond its `sample_limit`, the count is that of the whole body.
#[test]
fn a_pod_with_more_samples_is_down_and_the_others_are_not() {
    let bodies = [
        ("at", "a 1\nb 2\nc 3\n"),
        ("over", "a 1\nb 2\nc 3\n# HELP d D\n\n  \n d 4\n\te 5\nf 6"),
        ("open", "# TYPE a gauge\na 1\nb 2\nc 3\nd 4\n# EOF\n"),
        ("last", "a 1\nb 2\nc 3\nd 4\n"),
    ];
    let expected = [(true, 3), (false, 6), (false, 4), (false, 4)];
    let program = check(&bodies, "/metrics?job=web", &expected);
    let page = program.get("/").text().to_owned();
    let reason =
        "body: 6 samples, over the limit of 3; raise MAX_SAMPLES, or have the pod serve fewer";
    assert!(page.contains(reason), "{page}");
    let own = program.get("/-/metrics");
    let failures = "metrics_aggregator_scrape_failures_total{phase=\"body\"}";
    assert_eq!(own.sample(failures), Some("3"), "{}", own.text());
}

/// The scraper does not get duplicates, so they cannot exceed its limit.
#[test]
fn duplicates_do_not_count_against_the_limit() {
    let bodies = [
        ("twice", "a 1\na 2\na 3\nb 1\nb 2\nc 3\nup 1\n"),
        ("timestamps", "a 1 1\na 2 2\na 3 3\na 4 4\n"),
    ];
    check(&bodies, "/metrics?job=web", &[(true, 7), (false, 4)]);
}

#[test]
fn samples_after_the_limit_are_not_parsed() {
    let bodies = [
        ("broken", "a 1\nb 2\nc 3\nd 4\ne x\n"),
        ("early", "a 1\nb x\nc 3\nd 4\ne 5\n"),
    ];
    let program = check(&bodies, "/metrics?job=web", &[(false, 5), (false, 1)]);
    let page = program.get("/").text().to_owned();
    assert!(page.contains("body: 5 samples"), "{page}");
    assert!(page.contains("parse: line 2"), "{page}");
}

#[test]
fn only_the_requested_families_count() {
    let bodies = [
        ("one", "a 1\nb 2\nc 3\nd 4\n"),
        (
            "many",
            "a{x=\"1\"} 1\na{x=\"2\"} 2\nb 2\na{x=\"3\"} 3\na{x=\"4\"} 4\na{x=\"4\"} 5\n",
        ),
    ];
    check(
        &bodies,
        "/metrics?job=web&name[]=a",
        &[(true, 1), (false, 5)],
    );
}

/// The bytes of a probe are passed on without being parsed.
#[test]
fn a_probe_has_no_limit() {
    let fake = FakePod::serving("a 1\nb 2\nc 3\nd 4\n");
    let pods = [pod_at("n", "p", "web", fake.address)];
    let program = Program::scraping(&pods, &[("MAX_SAMPLES", "3")]);
    let response = program.get(&format!("/probe?target=n/p:{}", fake.address.port()));
    assert_eq!((response.status, response.text().lines().count()), (200, 4));
}
