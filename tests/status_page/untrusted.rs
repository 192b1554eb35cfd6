//! Untrusted text on the status page: names, labels and bodies of pods. README: Security.

use serde_json::json;

use super::{as_json, html};
use crate::support::check_contains;
use crate::support::fake_pod::{Behaviour, FakePod};
use crate::support::program::{Program, TempFile, pod};

#[test]
fn a_browser_neither_loads_nor_runs_what_pods_say() {
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
        check_contains(&all, text);
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
    // What a pod sends is shown by /probe in this server's name, but no browser may run it.
    let (fake, program) = Program::with_pod(
        FakePod::start(Behaviour::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\n<script>"
                .to_vec(),
        )),
        &[],
    );
    let response = program.get(&format!("/probe?target=shop/web-0:{}", fake.address.port()));
    assert_eq!(response.text(), "<script>");
    assert_eq!(
        response.header("content-security-policy"),
        Some("default-src 'none'; sandbox")
    );
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn pods_that_belong_to_no_job_are_shown_with_the_reason() {
    let ip = "127.0.0.1".parse().unwrap();
    let mut no_ip = pod("shop", "no-ip", ip, &[("job-name", "web")]);
    no_ip["status"]["podIP"] = json!("<b>127.0.0.1");
    let blank = pod("shop", "<i>blank", ip, &[("job-name", "")]);
    let program = Program::scraping(&[blank, no_ip], &[]);
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
        json!([{"job": "web", "up": 0, "down": 1, "unknown": 0, "lastRequest": null}])
    );
    assert_eq!(status["targets"][0]["ip"], "<b>127.0.0.1");
    let reason = format!("{ip_reason}\"<b>127.0.0.1\"");
    assert_eq!(status["targets"][0]["reason"], reason);

    let page = html(&program, "/");
    for text in [
        "<h2>Pods without a usable job name</h2>",
        &format!("shop/&lt;i&gt;blank<p class=\"reason\">{job_reason}&quot;&quot;</p>"),
        "<small><span class=\"job\">web</span> &lt;b&gt;127.0.0.1</small>",
    ] {
        check_contains(page.text(), text);
    }
    assert!(!page.text().contains("<b>") && !page.text().contains("<i>"));

    let text = program.get_with("/", &[("Accept", "*/*")]);
    let expected =
        format!("pods without a usable job name\n  shop/<i>blank  down  {job_reason}\"\"\n");
    assert!(text.text().ends_with(&expected), "{}", text.text());

    // Its job gets a response, which says that it is down.
    let merged = program.get("/metrics?job=web");
    let up =
        "up{instance=\"no-ip\",job=\"web\",pod_namespace=\"shop\",pod_ip=\"<b>127.0.0.1\"} 0\n";
    check_contains(merged.text(), up);
    let own = program.get("/-/metrics");
    assert!(
        own.text()
            .contains("\nmetrics_aggregator_invalid_targets 2\n")
    );
    assert!(!program.get("/sd/pods").text().contains("blank"));
}
