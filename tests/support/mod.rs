//! The only shared helpers: a fake API server, fake pods, a listener, and the built program as a process, also under
//! attack.

use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::target::Target;

pub(crate) mod attack;
pub(crate) mod certificates;
pub(crate) mod client_model;
pub(crate) mod discovery;
pub(crate) mod fake_api;
mod fake_api_responses;
mod fake_api_watch;
pub(crate) mod fake_pod;
pub(crate) mod figures;
pub(crate) mod labelled;
pub(crate) mod listener;
pub(crate) mod logs;
pub(crate) mod merged;
pub(crate) mod program;
mod response;
pub(crate) mod stored;

/// One line: job, namespace, pod and IP of a target, and how it is scraped or why not.
pub(crate) fn describe(target: &Target) -> String {
    let mut line = format!(
        "{} {}/{} {}",
        target.job, target.namespace, target.pod, target.pod_ip
    );
    if let Some(port) = target.pod_port {
        write!(line, " pod_port={port}").unwrap();
    }
    if target.terminating {
        line += " terminating";
    }
    match &target.options {
        Ok(options) => {
            let address = target.address().unwrap();
            let timeout = options.timeout.as_secs_f64();
            write!(line, " {address}{} {timeout}s", options.path_and_query).unwrap();
            if let Some(tls) = &options.tls {
                let name = tls.server_name.as_deref().unwrap_or("-");
                write!(line, " tls verify={} name={name}", tls.verify).unwrap();
            }
        }
        Err(error) => write!(line, " {error}").unwrap(),
    }
    line
}

/// Waits until the condition holds; panics after [`program::TEST_TIMEOUT`], which no condition needs by far.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + program::TEST_TIMEOUT;
    while !is_true() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Checks that the text has the part.
#[track_caller]
pub(crate) fn check_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}
