//! Metric families that a scraper asks for by `name[]`: pods are asked for them, and nothing else of what comes is
//! handed on.

use super::gzip;
use crate::support::fake_pod::{Behaviour, FakePod, ok};
use crate::support::program::{HttpResponse, Program, TempFile, pod, pod_at};

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
fn pods_are_asked_and_what_comes_is_reduced() {
    let (plain, query) = [(); 2]
        .map(|()| FakePod::start(Behaviour::Body(BODY.to_owned())))
        .into();
    let port = query.address.port().to_string();
    let labels = [("job-name", "web"), ("port", &port), ("endpoint", "m?x=1")];
    let pods = TempFile::pods(&[
        pod_at("n", "plain", "web", plain.address),
        pod("n", "query", query.address.ip(), &labels),
    ]);
    let program = Program::with_pods(&pods, &[]);
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
        let line = response
            .text()
            .lines()
            .find(|line| line.starts_with(&scraped));
        assert!(line.unwrap().ends_with(" 2"), "{}", response.text());
    }

    // The next request has a question of its own.
    let response = program.get("/metrics?job=web");
    assert_eq!(samples(&response).len(), 6);
    assert_eq!(asked(&plain), "GET /metrics HTTP/1.1");
    assert_eq!(asked(&query), "GET /m?x=1 HTTP/1.1");
}

#[test]
fn nothing_of_these_names() {
    let fake = FakePod::start(Behaviour::Body(BODY.to_owned()));
    let pods = TempFile::pods(&[pod_at("n", "p", "web", fake.address)]);
    let program = Program::with_pods(&pods, &[]);
    for names in ["name[]=nothing", "name[]="] {
        let response = program.get(&format!("/metrics?job=web&{names}"));
        assert_eq!((response.status, response.up("p")), (200, Some(true)));
        assert!(samples(&response).is_empty(), "{}", response.text());
    }
}

/// The body has to be valid as a whole, whatever of it is asked for.
#[test]
fn a_malformed_line_of_another_family() {
    let fake = FakePod::start(Behaviour::Body("a 1\nb x\n".to_owned()));
    let pods = TempFile::pods(&[pod_at("n", "p", "web", fake.address)]);
    let program = Program::with_pods(&pods, &[]);
    let response = program.get("/metrics?job=web&name[]=a");
    assert_eq!(response.up("p"), Some(false), "{}", response.text());
}

/// A redirect within the pod keeps its own query; what comes is reduced all the same.
#[test]
fn a_redirect_has_its_own_query() {
    let redirect =
        b"HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\nLocation: /m/?y\r\n\r\n".to_vec();
    let fake = FakePod::start(Behaviour::Paths(vec![
        ("/metrics?name%5B%5D=b", redirect),
        ("/m/?y", ok(BODY)),
    ]));
    let pods = TempFile::pods(&[pod_at("n", "p", "web", fake.address)]);
    let program = Program::with_pods(&pods, &[]);
    let response = program.get("/metrics?job=web&name[]=b");
    assert_eq!(samples(&response).len(), 1, "{}", response.text());
    assert_eq!(response.up("p"), Some(true));
}

/// Through the form of the URL that `metrics_path` makes of a `?`, from a pod in gzip, in OpenMetrics.
#[test]
fn in_every_way_in_which_a_request_comes() {
    let body = gzip(b"# TYPE a counter\na_total 1\n# TYPE b gauge\nb 2\n# EOF\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\
         Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let fake = FakePod::start(Behaviour::Raw([head.as_bytes(), &body].concat()));
    let pods = TempFile::pods(&[pod_at("n", "p", "web", fake.address)]);
    let program = Program::with_pods(&pods, &[]);
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
