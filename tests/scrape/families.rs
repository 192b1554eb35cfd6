//! `name[]`: pods are asked for these metric families, and others that they send are left out.
//! README: "What you get".

use crate::support::fake_pod::{Behaviour, FakePod, gzip, ok, ok_with};
use crate::support::program::{HttpResponse, Program, pod_at, pod_with};

const BODY: &str = "# TYPE a_total counter\na_total 1\n# TYPE b gauge\nb 2\n# TYPE c gauge\nc 3\n";

/// The samples of the pods themselves.
fn samples(response: &HttpResponse) -> Vec<&str> {
    let is_reported = |line: &&str| line.starts_with("up{") || line.starts_with("scrape_");
    let lines = response.text().lines();
    let samples = lines.filter(|line| !line.starts_with('#') && !is_reported(line));
    samples.collect()
}

fn asked(fake: &FakePod) -> String {
    let head = fake.requests.try_iter().last().unwrap();
    head.lines().next().unwrap().to_owned()
}

#[test]
fn pods_are_asked_for_the_families_and_others_are_left_out() {
    let (plain, query) = [(); 2].map(|()| FakePod::serving(BODY)).into();
    let labels = [("endpoint", "m?x=1")];
    let pods = [
        pod_at("n", "plain", "web", plain.address),
        pod_with("n", "query", "web", query.address, &labels),
    ];
    let program = Program::scraping(&pods, &[]);
    let response = program.get("/metrics?job=web&name[]=a_total&name[]=%22%C3%A9.b&name[]=b");
    assert_eq!(response.status, 200);
    let names = "name%5B%5D=a_total&name%5B%5D=%22%C3%A9.b&name%5B%5D=b";
    assert_eq!(asked(&plain), format!("GET /metrics?{names} HTTP/1.1"));
    assert_eq!(asked(&query), format!("GET /m?x=1&{names} HTTP/1.1"));
    let found = samples(&response);
    let names: Vec<&str> = found
        .iter()
        .map(|line| line.split('{').next().unwrap())
        .collect();
    assert_eq!(
        names,
        ["a_total", "a_total", "b", "b"],
        "{}",
        response.text()
    );
    assert!(!response.text().contains("# TYPE c"), "{}", response.text());
    for pod in ["plain", "query"] {
        assert_eq!(response.up(pod), Some(true));
        let scraped = format!("scrape_samples_scraped{{instance=\"{pod}\"");
        let lines = response.lines(&scraped);
        assert!(lines[0].ends_with(" 2"), "{}", response.text());
    }

    // The next request asks for all families.
    let response = program.get("/metrics?job=web");
    assert_eq!(samples(&response).len(), 6);
    assert_eq!(asked(&plain), "GET /metrics HTTP/1.1");
    assert_eq!(asked(&query), "GET /m?x=1 HTTP/1.1");
}

#[test]
fn a_pod_without_these_families_is_up_without_samples() {
    let fake = FakePod::serving(BODY);
    let program = Program::scraping(&[pod_at("n", "p", "web", fake.address)], &[]);
    for names in ["name[]=nothing", "name[]="] {
        let response = program.get(&format!("/metrics?job=web&{names}"));
        assert_eq!((response.status, response.up("p")), (200, Some(true)));
        assert!(samples(&response).is_empty(), "{}", response.text());
    }
}

/// The whole body has to be valid, also the families that are not requested.
#[test]
fn a_malformed_line_of_another_family_fails_the_pod() {
    let fake = FakePod::serving("a 1\nb x\n");
    let program = Program::scraping(&[pod_at("n", "p", "web", fake.address)], &[]);
    let response = program.get("/metrics?job=web&name[]=a");
    assert_eq!(response.up("p"), Some(false), "{}", response.text());
}

/// The place of a redirect keeps its own query, and the body is reduced nevertheless.
#[test]
fn a_redirect_keeps_its_own_query_and_its_body_is_reduced() {
    let redirect =
        b"HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\nLocation: /m/?y\r\n\r\n".to_vec();
    let fake = FakePod::start(Behaviour::Paths(vec![
        ("/metrics?name%5B%5D=b", redirect),
        ("/m/?y", ok(BODY)),
    ]));
    let program = Program::scraping(&[pod_at("n", "p", "web", fake.address)], &[]);
    let response = program.get("/metrics?job=web&name[]=b");
    assert_eq!(samples(&response).len(), 1, "{}", response.text());
    assert_eq!(response.up("p"), Some(true));
}

/// Also in the form that `metrics_path` makes of a `?`, and from a pod that sends OpenMetrics in gzip.
#[test]
fn each_form_of_the_url_selects_families() {
    let body = gzip(b"# TYPE a counter\na_total 1\n# TYPE b gauge\nb 2\n# EOF\n");
    let headers =
        "Content-Type: application/openmetrics-text; version=1.0.0\r\nContent-Encoding: gzip\r\n";
    let fake = FakePod::start(Behaviour::Raw(ok_with(headers, &body)));
    let program = Program::scraping(&[pod_at("n", "p", "web", fake.address)], &[]);
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
    for url in [
        "/metrics%3Fjob=web&name%5B%5D=a_total",
        "/metrics?job=web&name%5B%5D=a",
        "/metrics?job=web&name%5B%5D=a_total&shard=1/1",
    ] {
        let response = program.get_with(url, &accept);
        let found = samples(&response);
        assert!(found[0].starts_with("a_total{instance=\"p\""), "{url}");
        assert_eq!(found.len(), 1, "{url}");
        assert!(response.text().contains("# TYPE a counter\n"), "{url}");
        assert!(response.text().ends_with("# EOF\n"), "{url}");
    }
}
