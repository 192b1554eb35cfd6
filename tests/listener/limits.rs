//! Slow clients, too many clients, and clients that do not read. README: "When something fails", `MAX_CONNECTIONS`.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::server::Response;
use kubernetes_metrics_aggregator::server::listener::Limits;
use kubernetes_metrics_aggregator::telemetry::ListenerEvent;

use crate::support::eventually;
use crate::support::listener::TestListener;
use crate::support::program::TEST_TIMEOUT;

/// A limit of the program that a test waits for, instead of the usual seconds.
const SHORT: Duration = Duration::from_millis(150);
/// Larger than what the kernel takes for a client that does not read.
const LARGE: usize = 24_000_000;

fn large_request() -> String {
    format!("GET /bytes/{LARGE} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn a_request_head_that_drips_is_cut_off_at_its_total_time() {
    let listener = TestListener::start(|settings| settings.limits.head_time = SHORT);
    let mut client = listener.client();
    let mut reader = client.stream.try_clone().unwrap();
    let (ended, end) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut response = String::new();
        // A byte that is sent after the last response may reset the connection.
        let _ = reader.read_to_string(&mut response);
        ended.send(()).unwrap();
        response
    });
    let started = Instant::now();
    // One byte now and then, each well within the limit.
    while end.recv_timeout(SHORT / 10).is_err() {
        let _ = client.stream.write_all(b"G");
        assert!(started.elapsed() < TEST_TIMEOUT);
    }
    assert!(reading.join().unwrap().starts_with("HTTP/1.1 408 "));
}

#[test]
fn silent_clients_are_closed_without_a_response() {
    let listener = TestListener::start(|settings| {
        settings.limits.head_time = SHORT;
        settings.limits.idle_time = SHORT;
    });
    assert!(listener.client().is_closed());
    let mut client = listener.client();
    client.check_served();
    assert!(client.is_closed());
    eventually("all have ended", || listener.open() == 0);
}

#[test]
fn the_connection_that_waited_longest_is_closed_for_a_new_one() {
    let listener = TestListener::start(|settings| settings.connections_max = 3);
    let mut first = listener.client();
    first.check_served();
    let mut second = listener.client();
    let mut third = listener.client();
    eventually("all are accepted", || listener.open() == 3);
    // The first one starts to wait again here, so the second one has waited longest.
    first.check_served();
    let mut fourth = listener.client();
    assert!(second.is_closed());
    fourth.check_served();
    let mut fifth = listener.client();
    assert!(third.is_closed());
    for client in [&mut first, &mut fourth, &mut fifth] {
        client.check_served();
    }
    assert_eq!(listener.count(ListenerEvent::MadeRoom), 2);
    assert_eq!(listener.open(), 3);
}

#[test]
fn a_flood_of_idle_connections_keeps_nobody_out() {
    let listener = TestListener::start(|settings| settings.connections_max = 16);
    let mut idle = Vec::new();
    for round in 0..20 {
        idle.extend((0..10).map(|_| listener.tcp()));
        assert!(
            listener
                .client()
                .get(&format!("/{round}"))
                .starts_with("200")
        );
        // One more than all may be open: the spare one, for refusals.
        assert!(listener.open() <= 17, "{}", listener.open());
    }
}

#[test]
fn a_connection_is_refused_only_while_all_others_are_in_use() {
    let listener = TestListener::start(|settings| settings.connections_max = 2);
    let mut busy: Vec<_> = (0..2).map(|_| listener.client()).collect();
    let held: Vec<_> = busy
        .iter_mut()
        .map(|client| {
            client.send(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
            listener.held()
        })
        .collect();
    for _ in 0..3 {
        let refused = listener.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
        assert!(refused.contains("MAX_CONNECTIONS"), "{refused}");
        assert!(
            listener
                .client()
                .get("/-/healthy")
                .starts_with("200 GET /-/healthy")
        );
    }
    let mut errors = listener.telemetry.listener_errors.with([]).into_iter();
    assert_eq!(errors.find(|(status, _)| *status == 503), Some((503, 3)));
    for request in held {
        request.respond(Response::text(200, "held"));
    }
    for client in &mut busy {
        assert_eq!(client.response(), "200 held");
    }
    // Their connections wait for a next request as soon as their threads have sent the responses.
    eventually("a slot is free again", || {
        listener.client().get("/a").starts_with("200")
    });
}

#[test]
fn clients_that_do_not_read_are_cut_off_and_delay_no_others() {
    let listener = TestListener::start(|settings| settings.limits.progress_time = SHORT);
    let mut deaf: Vec<_> = (0..6).map(|_| listener.client()).collect();
    for client in &mut deaf {
        client.send(large_request().as_bytes());
    }
    // Twice as many as there are handlers, which are free nevertheless.
    listener.client().check_served();
    listener.client().check_bytes("/bytes/", LARGE);
    eventually("all are cut off", || {
        listener.count(ListenerEvent::SendCutOff) == 6
    });
    eventually("their memory is free", || listener.open() == 0);
}

#[test]
fn a_client_that_reads_too_slowly_is_cut_off() {
    let listener = TestListener::start(|settings| settings.limits.progress_time = SHORT);
    let mut client = listener.client();
    client.send(large_request().as_bytes());
    let started = Instant::now();
    let mut piece = [0; 100];
    // A hundred bytes now and then: always some progress, never enough.
    while listener.count(ListenerEvent::SendCutOff) == 0 {
        assert!(started.elapsed() < TEST_TIMEOUT);
        client.stream.read_exact(&mut piece).unwrap();
        thread::sleep(SHORT / 10);
    }
}

#[test]
fn responses_that_clients_do_not_read_make_room_for_others() {
    let listener = TestListener::start(|settings| {
        settings.limits.unsent_bytes_max = 2 * LARGE;
        // Clients that read have no longer than that either, on any machine.
        settings.limits.unsent_time = Duration::from_secs(1);
        settings.limits.unsent_stall_time = TEST_TIMEOUT;
    });
    let mut deaf: Vec<_> = (0..4).map(|_| listener.client()).collect();
    for client in &mut deaf {
        client.send(large_request().as_bytes());
    }
    // Of these four and this one, two fit at a time; the others wait until those have had their time.
    listener.client().check_bytes("/bytes/", LARGE);
    eventually("deaf clients are cut off", || {
        listener.count(ListenerEvent::SendCutOff) >= 2
    });
    // Larger than the whole send budget: it gets all of it, alone.
    listener.client().check_bytes("/bytes/", 3 * LARGE);
}

#[test]
fn a_response_that_must_not_wait_is_refused_without_a_send_budget() {
    let listener = TestListener::start(|settings| {
        settings.limits.unsent_bytes_max = LARGE;
        settings.limits.unsent_time = TEST_TIMEOUT;
        settings.limits.unsent_stall_time = TEST_TIMEOUT;
    });
    let mut deaf = listener.client();
    deaf.send(large_request().as_bytes());
    let mut client = listener.client();
    // Unread responses count from 64 KiB on.
    eventually("the budget is used up", || {
        client.get("/now/100000").starts_with("503 other clients")
    });
    client.check_bytes("/now/", 60_000);
    drop(deaf);
    eventually("the budget is free", || {
        client.get("/now/100000").len() == "200 ".len() + 100_000
    });
}

#[test]
fn a_last_response_is_readable_whatever_the_client_still_sends() {
    let listener = TestListener::start(|settings| {
        settings.limits = Limits {
            linger_time: SHORT,
            ..Limits::default()
        };
    });
    let mut client = listener.client();
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    client.send(&[b'x'; 100_000]);
    assert!(client.rest().starts_with("HTTP/1.1 413 "));
    // The client keeps it open, but it uses a connection slot no longer than the limit.
    eventually("the slot is free", || listener.open() == 0);
}
