//! What a client sends: the head as the listener reads it, what the head asks for, and in which formats.

use kubernetes_metrics_aggregator::exposition::{Accept, Format};
use kubernetes_metrics_aggregator::server::HttpError;
use kubernetes_metrics_aggregator::server::listener::{Head, HeadBuffer};
use kubernetes_metrics_aggregator::server::route::{Route, Selection, route};

/// A head is the same in one piece and byte by byte; written again for tiny_http it means the same; and what it asks
/// for is routed or refused in one short line.
///
/// # Panics
/// Where that is not so.
pub fn check_request(bytes: &[u8]) {
    let whole = take(bytes, bytes.len().max(1));
    assert_eq!(whole, take(bytes, 1), "{}", bytes.escape_ascii());
    let Ok(Some(head)) = whole else {
        return;
    };
    check_written_again(&head);
    check_route(&head);
}

/// The header for pods is short, in one line, and means the same when it is read again; and a response in the chosen
/// format says so.
///
/// # Panics
/// Where that is not so.
pub fn check_accept(bytes: &[u8]) {
    let header = String::from_utf8_lossy(bytes);
    let accept = Accept::parse(&header);
    let for_pods = accept.for_pods();
    let is_one_line = for_pods.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(is_one_line && for_pods.len() < 4096, "{for_pods:?}");
    let again = Accept::parse(&for_pods);
    assert_eq!(again.for_pods(), for_pods, "{header:?}");
    let formats = [Format::Text, Format::OpenMetrics, Format::Protobuf];
    for number in 0..1 << formats.len() {
        let came = (0..).zip(formats).filter(|(bit, _)| number >> bit & 1 == 1);
        let came: Vec<Format> = came.map(|(_, format)| format).collect();
        let best = accept.best(came.clone());
        assert_eq!(again.best(came), best, "{header:?}");
        let content_type = accept.content_type(best);
        assert_eq!(
            Format::from_content_type(Some(&content_type)),
            Ok(best),
            "{content_type:?}"
        );
    }
}

/// The first head in bytes that come in pieces of this size.
fn take(bytes: &[u8], size: usize) -> Result<Option<Head>, HttpError> {
    let mut buffer = HeadBuffer::default();
    for piece in bytes.chunks(size) {
        buffer.push(piece);
        if let Some(head) = buffer.take()? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

fn check_written_again(head: &Head) {
    let mut written = head.encode();
    // HTTP/1.0 needs no Host, and is written as 1.1.
    if !head.headers.iter().any(|(name, _)| *name == "Host") {
        written.push_str("Host: h\r\n");
    }
    written.push_str("\r\n");
    let mut again = match take(written.as_bytes(), written.len()) {
        Ok(Some(again)) => again,
        other => panic!("{other:?}: {written:?}"),
    };
    again.headers.truncate(head.headers.len());
    assert_eq!(
        (&again.method, &again.target, &again.headers),
        (&head.method, &head.target, &head.headers)
    );
}

fn check_route(head: &Head) {
    match route(&head.method, &head.target) {
        Ok(Route::Metrics(Selection { jobs, .. })) => {
            let mut once = jobs.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), jobs.len(), "{jobs:?}");
            assert!(
                !jobs.is_empty() && jobs.iter().all(|job| !job.is_empty()),
                "{jobs:?}"
            );
        }
        Ok(_) => {}
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.len() < 1000 && !text.chars().any(char::is_control),
                "{text:?}"
            );
        }
    }
}
