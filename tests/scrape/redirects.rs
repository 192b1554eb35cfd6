//! Redirects: within the pod they are followed, three at most, and nobody else is ever asked.
//! Prometheus 3.5.3 follows those within the pod in the same way: `tests/real/bodies/responses.py`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use super::{check, check_raw};
use crate::support::fake_pod::{Behaviour, FakePod, SMALL_BODY, ok};
use crate::support::program::{Program, TempFile, pod_at};

fn redirect(status: u16, location: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Elsewhere\r\nContent-Length: 0\r\nLocation: ");
    [head.as_bytes(), location, b"\r\n\r\n"].concat()
}

/// A pod that sends its metrics at `/found`, and at `/metrics` what `response` makes of its address.
fn pod_with(response: impl FnOnce(SocketAddr) -> Vec<u8>) -> FakePod {
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

/// Scrapes a pod that redirects to these places, all of which are `/found` in the pod.
#[track_caller]
fn check_followed(fakes: &[FakePod]) {
    let pods: Vec<_> = (0..fakes.len())
        .map(|number| pod_at("n", &number.to_string(), "web", fakes[number].address))
        .collect();
    let program = Program::with_pods(&TempFile::pods(&pods), &[]);
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
fn places_in_the_pod_are_followed() {
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
        pod_with(|host| redirect(307, place.replace("HOST", &host.to_string()).as_bytes()))
    }));
}

#[test]
fn redirects_of_every_kind_are_followed() {
    check_followed(
        &[301, 302, 303, 307, 308].map(|status| pod_with(|_| redirect(status, b"/found"))),
    );
}

#[test]
fn the_first_of_several_places_counts() {
    check_followed(&[pod_with(|_| redirect(302, b"/found\r\nLocation: /metrics"))]);
}

#[test]
fn other_statuses_lead_nowhere() {
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
    let elsewhere = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
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
    let elsewhere = FakePod::start(Behaviour::Body(SMALL_BODY.to_owned()));
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
fn places_that_cannot_be_followed_say_what_to_set() {
    let unreadable = "which is not a URL that can be asked for; set the option endpoint";
    for (place, reason) in [
        (
            "https://HOST/found",
            "another scheme, which is not followed; set the options tls-enabled and port",
        ),
        (
            "http://name:fixture-7f3a@HOST/found",
            "with a user name, which is not followed; set the option endpoint",
        ),
        ("/a\tb", unreadable),
        ("/%zz", unreadable),
        ("http:/found", unreadable),
        ("http:found", unreadable),
    ] {
        let fake =
            pod_with(|host| redirect(302, place.replace("HOST", &host.to_string()).as_bytes()));
        super::check_address(fake.address, reason);
        assert_eq!(asked(&fake), ["GET /metrics HTTP/1.1"]);
    }
    let reason = "found 302 to \"http://\u{fffd}/\", another host";
    check_raw(redirect(302, b"http://\xff/"), reason);
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
    let program = Program::with_pods(
        &TempFile::pods(&[pod_at("n", "p", "web", three.address)]),
        &[],
    );
    assert_eq!(program.get("/metrics?job=web").up("p"), Some(true));
    let four = chain(b"/3");
    let reason = "found 302 to \"/found\", after three redirects, and no more are followed";
    super::check_address(four.address, reason);
    assert_eq!(asked(&four).len(), 4);
}

#[test]
fn a_loop_ends() {
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

/// A megabyte that never comes.
#[test]
fn the_body_of_a_redirect_is_not_waited_for() {
    let head = "HTTP/1.1 302 Found\r\nLocation: /found\r\nContent-Length: 1000000\r\n\r\nb 1\n";
    check_followed(&[pod_with(|_| head.as_bytes().to_vec())]);
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
            // The scraper may have given up.
            let _ = stream.write_all(&redirect(302, b"/metrics"));
        }
    });
    super::check_address(address, "wait: timeout after 1.000 s");
}
