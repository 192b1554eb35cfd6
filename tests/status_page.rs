//! The status page: its formats, its filters, and text of strangers in it.

use serde_json::{Value, json};

use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY};
use crate::support::program::{Answer, Program, TempFile, pod, pod_at};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn html(program: &Program, url: &str) -> Answer {
    let answer = program.get_with(url, &[("Accept", BROWSER)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    answer
}

fn as_json(program: &Program, url: &str) -> Value {
    let answer = program.get_with(url, &[("Accept", "application/json")]);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Two jobs: one pod is up, one down, one was never scraped.
fn program() -> (Vec<FakePod>, Program) {
    let up = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
    let down = FakePod::start(Behaviour::Status(404));
    let file = TempFile::pods(&[
        pod_at("shop", "up", "web", up.address),
        pod_at("shop", "down", "web", down.address),
        pod_at("shop", "never", "queue", up.address),
    ]);
    let program = Program::with_pods(&file, &[]);
    program.get("/metrics?job=web");
    (vec![up, down], program)
}

#[test]
fn the_page_is_html_for_a_browser_json_for_a_program_and_text_for_curl() {
    let (_pods, program) = program();
    let page = html(&program, "/");
    for text in [
        "<td class=\"n\">1</td>",
        "wait: expected status 200, found 404",
        "http://test/sd/pods",
    ] {
        assert!(
            page.text().contains(text),
            "no {text:?} in:\n{}",
            page.text()
        );
    }
    let text = program.get_with("/", &[("Accept", "*/*")]);
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let status = as_json(&program, "/");
    assert_eq!(
        status["jobs"],
        json!([
            {"job": "queue", "up": 0, "down": 0, "unknown": 1},
            {"job": "web", "up": 1, "down": 1, "unknown": 0},
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

#[test]
fn a_browser_loads_and_runs_nothing_of_strangers() {
    let fake = FakePod::start(Behaviour::Status(500));
    let labels = [
        ("job-name", "<img src=x onerror=alert(1)>"),
        ("port", "\"><script>alert(2)</script>"),
    ];
    let file = TempFile::pods(&[pod(
        "shop",
        "<b>'\"&\u{202e}\u{7}",
        fake.address.ip(),
        &labels,
    )]);
    let program = Program::with_pods(&file, &[]);
    let page = html(&program, "/?job=%22%3E%3Cscript%3E");
    let all = [page.text(), html(&program, "/").text()].concat();
    for markup in ["<img", "<b>", "<script>"] {
        assert!(!all.contains(markup), "{markup} in:\n{all}");
    }
    for text in [
        "&lt;img src=x onerror=alert(1)&gt;",
        "&lt;b&gt;&#39;&quot;&amp;\u{fffd}\u{fffd}",
    ] {
        assert!(all.contains(text), "no {text} in:\n{all}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"),
        "{policy}"
    );
    assert!(
        !all.contains("http://www") && !all.contains("https://"),
        "another host in:\n{all}"
    );
    for file in ["/-/style.css", "/-/page.js"] {
        assert_eq!(program.get(file).status, 200, "{file}");
    }
    // What a pod sends is shown by /probe in this server's name, but no browser may run it.
    let fake = FakePod::start(Behaviour::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\n<script>".to_vec(),
    ));
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", fake.address)]);
    let program = Program::with_pods(&file, &[]);
    let answer = program.get(&format!("/probe?target=shop/web-0:{}", fake.address.port()));
    assert_eq!(answer.text(), "<script>");
    assert_eq!(
        answer.header("content-security-policy"),
        Some("default-src 'none'; sandbox")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn pods_that_belong_to_no_job_are_shown_with_the_reason() {
    let ip = "127.0.0.1".parse().unwrap();
    let mut no_ip = pod("shop", "no-ip", ip, &[("job-name", "web")]);
    no_ip["status"]["podIP"] = json!("<b>127.0.0.1");
    let blank = pod("shop", "<i>blank", ip, &[("job-name", "")]);
    let program = Program::with_pods(&TempFile::pods(&[blank, no_ip]), &[]);
    let job_reason = "options: label metrics-aggregator.apawel.me/job-name: \
                      expected the name of a job, 1 to 63 characters, found ";
    let ip_reason = "options: field status.podIP: expected an IPv4 or IPv6 address, found ";

    let status = as_json(&program, "/");
    let expected = json!([
        {"namespace": "shop", "pod": "<i>blank", "reason": format!("{job_reason}\"\"")}
    ]);
    assert_eq!(status["podsWithoutJob"], expected);
    assert_eq!(
        status["jobs"],
        json!([{"job": "web", "up": 0, "down": 1, "unknown": 0}])
    );
    assert_eq!(status["targets"][0]["ip"], "<b>127.0.0.1");
    let reason = format!("{ip_reason}\"<b>127.0.0.1\"");
    assert_eq!(status["targets"][0]["reason"], reason);

    let page = html(&program, "/");
    for text in [
        "<h2>Pods without a usable job name</h2>",
        &format!("shop/&lt;i&gt;blank<p class=\"reason\">{job_reason}&quot;&quot;</p>"),
        "<td>&lt;b&gt;127.0.0.1</td>",
    ] {
        assert!(
            page.text().contains(text),
            "no {text:?} in:\n{}",
            page.text()
        );
    }
    assert!(!page.text().contains("<b>") && !page.text().contains("<i>"));

    let text = program.get_with("/", &[("Accept", "*/*")]);
    let expected =
        format!("pods without a usable job name\n  shop/<i>blank  down  {job_reason}\"\"\n");
    assert!(text.text().ends_with(&expected), "{}", text.text());

    // Its job answers, and says that it is down.
    let merged = program.get("/metrics?job=web");
    let up =
        "up{instance=\"no-ip\",job=\"web\",pod_namespace=\"shop\",pod_ip=\"<b>127.0.0.1\"} 0\n";
    assert!(merged.text().contains(up), "{}", merged.text());
    let own = program.get("/-/metrics");
    assert!(
        own.text()
            .contains("\nmetrics_aggregator_invalid_targets 2\n")
    );
    assert!(!program.get("/sd/pods").text().contains("blank"));
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
    let program = Program::with_pods(&TempFile::pods(&pods), &[]);
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
    assert!(
        page.text().contains("No complete pod list"),
        "{}",
        page.text()
    );
    assert_eq!(as_json(&program, "/")["ready"], false);
}
