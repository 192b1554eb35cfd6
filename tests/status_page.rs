//! The status page `/`: its formats, its filters and its order. README: "What you get".

mod untrusted;

use serde_json::{Value, json};

use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod, ok_as};
use crate::support::program::{HttpResponse, Program, TempFile, pod, pod_at};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn html(program: &Program, url: &str) -> HttpResponse {
    let response = program.get_with(url, &[("Accept", BROWSER)]);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    response
}

fn as_json(program: &Program, url: &str) -> Value {
    program
        .get_with(url, &[("Accept", "application/json")])
        .json()
}

/// Two jobs: one pod is up, one down, one was never scraped.
fn program() -> (Vec<FakePod>, Program) {
    let up = FakePod::healthy();
    let down = FakePod::start(Behaviour::Status(404));
    let pods = [
        pod_at("shop", "up", "web", up.address),
        pod_at("shop", "down", "web", down.address),
        pod_at("shop", "never", "queue", up.address),
    ];
    let program = Program::scraping(&pods, &[]);
    program.get("/metrics?job=web");
    (vec![up, down], program)
}

#[test]
fn the_page_is_html_for_a_browser_json_for_a_program_and_text_for_curl() {
    let (_pods, program) = program();
    let page = html(&program, "/");
    for text in [
        "<p class=\"verdict down\">1 of 3 targets is down.</p>",
        "aria-label=\"1 down, 0 not scraped yet, 1 up\"",
        "wait: expected status 200, found 404",
        "http://test/sd/pods",
    ] {
        check_contains(page.text(), text);
    }
    let text = program.get_with("/", &[("Accept", "*/*")]);
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    check_order(
        text.text(),
        &["job web: 2 targets, 1 down", "shop/up:", "up    1 sample,"],
    );
    let status = as_json(&program, "/");
    let last_request = &status["jobs"][1]["lastRequest"];
    assert_eq!(
        status["jobs"],
        json!([
            {"job": "queue", "up": 0, "down": 0, "unknown": 1, "lastRequest": null},
            {"job": "web", "up": 1, "down": 1, "unknown": 0, "lastRequest": last_request},
        ])
    );
    let states: Vec<&Value> = status["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["state"])
        .collect();
    assert_eq!(states, ["unknown", "down", "up"]);
    assert_eq!(status["targets"][2]["lastScrape"]["samples"], 1);
    assert_eq!(status["ready"], true);
}

/// Checks that the page has these texts in this order.
#[track_caller]
fn check_order(page: &str, texts: &[&str]) {
    let mut rest = page;
    for text in texts {
        let found = rest.split_once(text);
        (_, rest) =
            found.unwrap_or_else(|| panic!("no {text:?} after those before it in:\n{page}"));
    }
}

#[test]
fn trouble_comes_first_in_a_browser() {
    let up = FakePod::healthy();
    let down = FakePod::start(Behaviour::Status(404));
    let pods = [
        pod_at("shop", "a-up", "a-fine", up.address),
        pod_at("shop", "b-new", "b-new", up.address),
        pod_at("shop", "c-down", "c-bad", down.address),
        pod_at("shop", "c-1", "c-bad", up.address),
    ];
    let program = Program::scraping(&pods, &[]);
    program.get("/metrics?job=a-fine&job=c-bad");
    let page = html(&program, "/");
    let jobs = ["/?job=c-bad\"", "/?job=b-new\"", "/?job=a-fine\""];
    let targets = ["/c-down:", "/b-new:", "/a-up:", "/c-1:"];
    let verdict = ["1 of 4 targets is down.", "<h2>Jobs</h2>"];
    check_order(page.text(), &[&verdict[..], &jobs, &targets].concat());
    // For programs the order stays that of the names.
    let names: Vec<Value> = as_json(&program, "/")["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["pod"].clone())
        .collect();
    assert_eq!(names, ["a-up", "b-new", "c-1", "c-down"]);
    // Nothing is down, but not all was scraped; then all was.
    let program = Program::scraping(
        &[
            pod_at("shop", "a", "a", up.address),
            pod_at("shop", "b", "b", up.address),
        ],
        &[],
    );
    for (job, verdict) in [
        ("a", "No target is down, 1 not scraped yet."),
        ("b", "All targets are up."),
    ] {
        program.get(&format!("/metrics?job={job}"));
        check_order(html(&program, "/").text(), &[verdict]);
    }
}

/// One failed target among ten thousand is seen: a part of a bar is never narrower than three hundredths.
#[test]
fn a_bar_shows_a_single_target() {
    let ip = "127.1.2.3".parse().unwrap();
    let mut pods: Vec<Value> = (0..9_999)
        .map(|number| pod("shop", &format!("web-{number}"), ip, &[("job-name", "web")]))
        .collect();
    pods.push(pod(
        "shop",
        "bad",
        ip,
        &[("job-name", "web"), ("port", "0")],
    ));
    let program = Program::scraping(&pods, &[]);
    let expected = "aria-label=\"1 down, 9999 not scraped yet, 0 up\">\
                    <rect class=\"down\" x=\"0\" width=\"3\" height=\"8\"/>\
                    <rect class=\"unknown\" x=\"3\" width=\"99\" height=\"8\"/></svg>";
    check_order(html(&program, "/").text(), &[expected]);
}

/// A body that Prometheus can read from the pod, but that cannot be merged: its Content-Type is none of metrics.
#[test]
fn the_last_merged_scrape_and_the_last_probe_are_apart() {
    let json = Behaviour::Raw(ok_as("application/json", b"{}"));
    let (fake, program) = Program::with_pod(FakePod::start(json), &[]);
    let probe = format!("/probe?target=shop/web-0:{}", fake.address.port());
    assert_eq!(program.get(&probe).status, 200);
    let target = || as_json(&program, "/")["targets"][0].clone();
    let probed = target();
    assert_eq!(
        (&probed["state"], &probed["lastScrape"]),
        (&json!("up"), &json!(null))
    );
    let expected = (json!(null), json!(null), json!(2), json!(null));
    let shown = |last: &Value| {
        let keys = ["reason", "samples", "bytes", "format"];
        let [reason, samples, bytes, format] = keys.map(|key| last[key].clone());
        (reason, samples, bytes, format)
    };
    assert_eq!(shown(&probed["lastProbe"]), expected);
    program.get("/metrics?job=web");
    // The failure still counts after a probe of the pod.
    assert_eq!(program.get(&probe).status, 200);
    let both = target();
    assert_eq!(
        (&both["state"], &both["lastProbe"]["reason"]),
        (&json!("down"), &json!(null))
    );
    let reason = both["reason"].as_str().unwrap();
    assert!(
        reason.contains("unsupported Content-Type \"application/json\""),
        "{reason}"
    );
    assert_eq!(both["lastScrape"]["reason"], reason);
    let page = html(&program, "/");
    let kinds = [
        "<td class=\"kind down\">merged</td>",
        "<td class=\"kind up\">probe</td>",
    ];
    check_order(
        page.text(),
        &["unsupported Content-Type", kinds[0], kinds[1]],
    );
    let text = program.get("/").text().to_owned();
    check_order(
        &text,
        &[
            "  down  ",
            "unsupported Content-Type",
            "; probe up    2 B in 0.",
        ],
    );
}

#[test]
fn format_and_size_of_each_body_and_the_last_request_of_each_job() {
    let text = FakePod::serving(format!("# {}\na 1\n", "x".repeat(1994)));
    let body = "# TYPE b counter\nb_total 1\n# EOF\n";
    let open_metrics = "application/openmetrics-text; version=1.0.0";
    let open = FakePod::start(Behaviour::Raw(ok_as(open_metrics, body.as_bytes())));
    let pods = [
        pod_at("shop", "open-0", "web", open.address),
        pod_at("shop", "text-0", "web", text.address),
        pod_at("shop", "other", "other", text.address),
    ];
    let program = Program::scraping(&pods, &[]);
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let merged = program.get_with("/metrics?job=web", &[("Accept", accept)]);
    let status = as_json(&program, "/");
    let of = |index: usize| {
        let last = &status["targets"][index]["lastScrape"];
        json!([last["format"], last["bytes"], last["samples"]])
    };
    assert_eq!(of(1), json!(["openmetrics", body.len(), 1]));
    assert_eq!(of(2), json!(["text", 2001, 1]));
    assert_eq!(status["jobs"][0]["lastRequest"], json!(null));
    let request = &status["jobs"][1]["lastRequest"];
    assert_eq!(request["format"], "openmetrics");
    assert_eq!(request["bytes"], merged.body.len());
    assert!(request["durationSeconds"].as_f64().unwrap() > 0.0);
    let page = html(&program, "/");
    let request = format!(
        " s, {:.1} kB openmetrics</td>",
        merged.body.len() as f64 / 1e3
    );
    check_order(
        page.text(),
        &["other</a>", "none</td>", "web</a>", &request],
    );
    let cell = |size: &str, format: &str| format!("<td class=\"n\">{size}</td><td>{format}</td>");
    check_order(
        page.text(),
        &[&cell("33 B", "openmetrics"), &cell("2.0 kB", "text")],
    );
    let text = program.get("/").text().to_owned();
    check_order(
        &text,
        &[
            "job web: 2 targets, 0 down, 0 not scraped yet; last request ",
            " kB openmetrics in 0.",
        ],
    );
}

#[test]
fn filters_by_job_and_by_state() {
    let (_pods, program) = program();
    for (query, expected) in [
        ("?job=web", &["down", "up"][..]),
        ("?state=down", &["down"]),
        ("?state=unknown", &["never"]),
        ("?job=queue&state=down", &[]),
        ("?job=&state=", &["never", "down", "up"]),
    ] {
        let status = as_json(&program, &format!("/{query}"));
        let targets = status["targets"].as_array().unwrap();
        let names: Vec<&Value> = targets.iter().map(|target| &target["pod"]).collect();
        assert_eq!(names, expected, "{query}");
        assert_eq!(status["jobs"].as_array().unwrap().len(), 2, "{query}");
        let page = html(&program, &format!("/{query}"));
        assert_eq!(
            page.text().matches("href=\"/probe?target=").count(),
            expected.len(),
            "{query}"
        );
    }
}

/// Browsers keep these files for a while, so the URL of another content has to be another one.
#[test]
fn the_page_names_its_style_sheet_and_script_by_their_content() {
    let program = Program::with_pods(&TempFile::pods(&[]), &[]);
    let page = html(&program, "/");
    for (attribute, file) in [("href", "/-/style.css"), ("src", "/-/page.js")] {
        let response = program.get(file);
        assert_eq!(response.status, 200, "{file}");
        assert_eq!(response.header("cache-control"), Some("max-age=3600"));
        let mut crc = flate2::Crc::new();
        crc.update(&response.body);
        let link = format!("{attribute}=\"{file}?v={:08x}\"", crc.sum());
        assert!(
            page.text().contains(&link),
            "no {link} in:\n{}",
            page.text()
        );
    }
}

#[test]
fn ten_thousand_targets_are_shown_in_pages() {
    let address = "127.1.2.3:9100".parse().unwrap();
    let pods: Vec<Value> = (0..10_000)
        .map(|number| {
            pod_at(
                "shop",
                &format!("web-{number:05}"),
                &format!("job-{}", number / 100),
                address,
            )
        })
        .collect();
    let program = Program::scraping(&pods, &[]);
    let page = html(&program, "/?page=49");
    assert!(page.text().contains("Page 50 of 50, 10000 targets."));
    assert_eq!(page.text().matches("href=\"/probe?target=").count(), 200);
    assert!(page.body.len() < 200_000, "{} bytes", page.body.len());
    assert_eq!(
        as_json(&program, "/")["targets"].as_array().unwrap().len(),
        10_000
    );
    let zipped = program.get_with("/sd/pods", &[("Accept-Encoding", "gzip")]);
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
}

#[test]
fn before_the_first_list_the_page_says_so() {
    let program = Program::start(&[("POD_LIST_FILE", "/no/such/file")]);
    let page = html(&program, "/");
    check_contains(page.text(), "No complete pod list");
    assert_eq!(as_json(&program, "/")["ready"], false);
}
