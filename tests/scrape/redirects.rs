//! Redirects: three at most are followed within the pod, and no other server is ever asked.
//! README: "When something fails", Security.
//! Prometheus 3.5.3 follows those within the pod in the same way: `tests/real/bodies/responses.py`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use super::{check, check_raw};
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, ok};
use crate::support::program::{Program, numbered, pod_at, pod_with};

fn redirect(status: u16, location: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Elsewhere\r\nContent-Length: 0\r\nLocation: ");
    [head.as_bytes(), location, b"\r\n\r\n"].concat()
}

/// A pod that sends its metrics at `/found`, and at `/metrics` what `response` makes of its address.
fn pod_redirected_by(response: impl FnOnce(SocketAddr) -> Vec<u8>) -> FakePod {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let response = response(listener.local_addr().unwrap());
    let paths = vec![("/metrics", response), ("/found", ok(SMALL_BODY))];
    FakePod::on(listener, Behaviour::Paths(paths))
}

/// The request lines that the pod has got.
fn asked(fake: &FakePod) -> Vec<String> {
    let first_line = |head: String| head.lines().next().unwrap().to_owned();
    fake.requests.try_iter().map(first_line).collect()
}

/// Scrapes pods that redirect to their own `/found`.
#[track_caller]
fn check_followed(fakes: &[FakePod]) {
    let program = Program::scraping(&numbered(fakes, &[]), &[]);
    let response = program.get("/metrics?job=web");
    for (number, fake) in fakes.iter().enumerate() {
        let series = format!("pages_total{{kind=\"a\",instance=\"{number}\"");
        let found = response.text().matches(&series).count();
        assert_eq!(found, 1, "{number}: {}", program.get("/").text());
        let asked = asked(fake);
        assert_eq!(asked, ["GET /metrics HTTP/1.1", "GET /found HTTP/1.1"]);
    }
}

#[test]
fn redirects_within_the_pod_are_followed() {
    let places = [
        "/found",
        "found",
        "./x/../found",
        "//HOST/found",
        "http://HOST/found",
        "HTTP://HOST/found#x",
        "../../found",
    ];
    check_followed(&places.map(|place| {
        pod_redirected_by(|host| redirect(307, place.replace("HOST", &host.to_string()).as_bytes()))
    }));
}

/// The `Location` that pods at `/a/metrics?x=1` send, and the path that they are asked for then (RFC 3986, section
/// 5.2). A real Prometheus follows those before the blank in the same way.
const REFERENCES: [(&str, &str); 26] = [
    ("/metrics/", "/metrics/"),
    ("http://HOST/b", "/b"),
    ("HTTP://HOST/b", "/b"),
    ("//HOST/b?c=d", "/b?c=d"),
    ("http://HOST", "/"),
    ("http://HOST?c=d", "/?c=d"),
    ("b", "/a/b"),
    ("metrics/", "/a/metrics/"),
    ("./b", "/a/b"),
    ("../b", "/b"),
    ("../../../b", "/b"),
    ("..", "/"),
    (".", "/a/"),
    ("/b/../c/./d/..", "/c/"),
    ("/b//c", "/b//c"),
    ("/b/%2e%2e/c", "/b/%2e%2e/c"),
    ("?y=2", "/a/metrics?y=2"),
    ("/b?y=/../2", "/b?y=/../2"),
    ("/b?y=2?3", "/b?y=2?3"),
    ("#y", "/a/metrics?x=1"),
    ("/b#y?z", "/b"),
    ("/b:c", "/b:c"),
    ("/b c", "/b%20c"),
    ("/é?ü", "/%C3%A9?%C3%BC"),
    ("/BYTE", "/%E9"),
    (r#"/"<>\^`{|}"#, "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
];

/// With the pod's address for `HOST`, its port for `PORT`, and a byte that is no UTF-8 for `BYTE`.
fn place_of(host: SocketAddr, place: &str) -> Vec<u8> {
    let port = host.port().to_string();
    let place = place
        .replace("HOST", &host.to_string())
        .replace("PORT", &port);
    let pieces: Vec<&[u8]> = place.split("BYTE").map(str::as_bytes).collect();
    pieces.join(&b"\xe9"[..])
}

/// Scrapes a pod for each of the places, which it sends at `/a/metrics?x=1`; returns the pods and the status page.
fn redirected(places: &[&str]) -> (Vec<FakePod>, String) {
    let fakes: Vec<FakePod> = places
        .iter()
        .map(|place| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let place = place_of(listener.local_addr().unwrap(), place);
            FakePod::on(listener, Behaviour::Raw(redirect(302, &place)))
        })
        .collect();
    let pods: Vec<_> = (fakes.iter().enumerate())
        .map(|(number, fake)| {
            let labels = [("endpoint", "/a/metrics?x=1")];
            pod_with("n", &format!("{number:02}"), "web", fake.address, &labels)
        })
        .collect();
    let program = Program::scraping(&pods, &[]);
    program.get("/metrics?job=web");
    (fakes, program.get("/").text().to_owned())
}

#[test]
fn a_location_is_resolved_against_the_url_of_the_request() {
    let (fakes, _) = redirected(&REFERENCES.map(|(place, _)| place));
    for (fake, (place, path)) in fakes.iter().zip(REFERENCES) {
        let asked = asked(fake);
        assert_eq!(asked[0], "GET /a/metrics?x=1 HTTP/1.1");
        assert_eq!(asked[1], format!("GET {path} HTTP/1.1"), "{place}");
    }
}

const SCHEME: &str = "another scheme, which is not followed; set the options tls-enabled and port";
const HOST: &str = "another host, which is not followed; \
                    set the option endpoint to a path where the pod itself serves its metrics";
const PORT: &str = "another port, which is not followed; set the option port";
const USER: &str = "with a user name, which is not followed; set the option endpoint";
const UNREADABLE: &str = "which is not a URL that can be asked for; set the option endpoint";

/// What pods send as `Location`, what is shown of it, and why it is not followed.
const NOT_FOLLOWED: [(&str, &str, &str); 22] = [
    ("https://HOST/", "https://HOST/", SCHEME),
    ("ftp://HOST/", "ftp://HOST/", SCHEME),
    ("http://127.0.0.2:PORT/", "http://127.0.0.2:PORT/", HOST),
    ("//metrics", "//metrics", HOST),
    ("http://127.0.0.1.:PORT/", "http://127.0.0.1.:PORT/", HOST),
    ("http:///b", "http:///b", HOST),
    ("http://0127.0.0.1:PORT/", "http://0127.0.0.1:PORT/", HOST),
    (
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        HOST,
    ),
    (
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.169.254/latest/meta-data",
        HOST,
    ),
    ("http://BYTE:PORT/", "http://\u{fffd}:PORT/", HOST),
    ("http://127.0.0.1:1/", "http://127.0.0.1:1/", PORT),
    ("http://127.0.0.1/", "http://127.0.0.1/", PORT),
    ("http://user:secret@HOST/", "http://HOST/", USER),
    ("http://HOST@127.0.0.2/", "http://127.0.0.2/", USER),
    ("//a@b@other/c?token=secret#d", "//other/c?…", USER),
    ("http:/b", "http:/b", UNREADABLE),
    ("http:b", "http:b", UNREADABLE),
    (
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:99999/",
        UNREADABLE,
    ),
    (
        "http://127.0.0.1:+PORT/",
        "http://127.0.0.1:+PORT/",
        UNREADABLE,
    ),
    ("/b\tc", "/b\\tc", UNREADABLE),
    ("/%zz", "/%zz", UNREADABLE),
    ("/%2", "/%2", UNREADABLE),
];

#[test]
fn a_location_that_is_not_followed_says_what_to_set() {
    let (fakes, page) = redirected(&NOT_FOLLOWED.map(|(place, ..)| place));
    for (fake, (place, shown, reason)) in fakes.iter().zip(NOT_FOLLOWED) {
        assert_eq!(asked(fake), ["GET /a/metrics?x=1 HTTP/1.1"], "{place}");
        let shown = place_of(fake.address, shown);
        let shown = String::from_utf8(shown).unwrap();
        let line = format!(":{}", fake.address.port());
        let line = page.lines().find(|text| text.contains(&line)).unwrap();
        let reason = format!("wait: expected status 200, found 302 to \"{shown}\", {reason}");
        assert!(line.ends_with(&reason), "no {reason:?} in: {line}");
    }
}

#[test]
fn a_location_over_2048_bytes_is_not_followed() {
    let longest = format!("/{}", "b".repeat(2047));
    let (fakes, page) = redirected(&[&longest, &format!("{longest}b")]);
    assert_eq!(asked(&fakes[0])[1], format!("GET {longest} HTTP/1.1"));
    assert_eq!(asked(&fakes[1]).len(), 1, "{page}");
    assert!(page.contains(UNREADABLE), "{page}");
}

#[test]
fn each_redirect_status_is_followed() {
    check_followed(
        &[301, 302, 303, 307, 308].map(|status| pod_redirected_by(|_| redirect(status, b"/found"))),
    );
}

#[test]
fn the_first_of_several_locations_counts() {
    check_followed(&[pod_redirected_by(|_| {
        redirect(302, b"/found\r\nLocation: /metrics")
    })]);
}

#[test]
fn other_statuses_and_a_missing_location_are_not_redirects() {
    for status in [201, 300, 304, 305, 306] {
        let reason = format!("wait: expected status 200, found {status}");
        check_raw(redirect(status, b"/found"), &reason);
    }
    for response in [
        redirect(302, b""),
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ] {
        check_raw(response, "wait: expected status 200, found 302");
    }
}

#[test]
fn another_host_is_not_asked() {
    let elsewhere = FakePod::healthy();
    let place = format!("http://{}/metrics?token=fixture-7f3a", elsewhere.address);
    let reason = format!(
        "wait: expected status 200, found 302 to \"http://{}/metrics?…\", another host, which is not followed; \
         set the option endpoint to a path where the pod itself serves its metrics",
        elsewhere.address
    );
    check_raw(redirect(302, place.as_bytes()), &reason);
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn another_port_of_the_pod_is_not_asked() {
    let elsewhere = FakePod::healthy();
    let listener = TcpListener::bind((elsewhere.address.ip(), 0)).unwrap();
    let place = format!("//{}/", elsewhere.address);
    let fake = FakePod::on(listener, Behaviour::Raw(redirect(308, place.as_bytes())));
    super::check_address(
        fake.address,
        "another port, which is not followed; set the option port",
    );
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn three_redirects_are_followed_and_no_more() {
    let chain = |last| {
        let paths = vec![
            ("/metrics", redirect(302, b"/1")),
            ("/1", redirect(302, b"/2")),
            ("/2", redirect(302, last)),
            ("/3", redirect(302, b"/found")),
            ("/found", ok(SMALL_BODY)),
        ];
        FakePod::start(Behaviour::Paths(paths))
    };
    let three = chain(b"/found");
    let program = Program::scraping(&[pod_at("n", "p", "web", three.address)], &[]);
    assert_eq!(program.get("/metrics?job=web").up("p"), Some(true));
    let four = chain(b"/3");
    let reason = "found 302 to \"/found\", after three redirects, and no more are followed";
    super::check_address(four.address, reason);
    assert_eq!(asked(&four).len(), 4);
}

#[test]
fn a_redirect_loop_ends_after_three() {
    let fake = FakePod::start(Behaviour::Raw(redirect(307, b"/metrics")));
    super::check_address(fake.address, "after three redirects");
    assert_eq!(fake.connections(), 4);
}

#[test]
fn what_a_redirect_leads_to_is_judged_as_any_response() {
    check(
        Behaviour::Paths(vec![("/metrics", redirect(302, b"/gone"))]),
        "wait: expected status 200, found 404",
    );
}

/// The redirect announces a megabyte that never comes.
#[test]
fn the_body_of_a_redirect_is_not_waited_for() {
    let head = "HTTP/1.1 302 Found\r\nLocation: /found\r\nContent-Length: 1000000\r\n\r\nb 1\n";
    check_followed(&[pod_redirected_by(|_| head.as_bytes().to_vec())]);
}

/// All requests of a scrape share its timeout. A pod that takes seven tenths of it for each of them is too slow; the
/// wait is the thing under test.
#[test]
fn a_redirect_does_not_prolong_the_scrape() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.read_exact(&mut [0]).unwrap();
            thread::sleep(Duration::from_millis(700));
            // The scraper may have closed the connection.
            let _ = stream.write_all(&redirect(302, b"/metrics"));
        }
    });
    super::check_address(address, "wait: timeout after 1.000 s");
}
