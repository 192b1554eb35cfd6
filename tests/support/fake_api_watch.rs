//! The watches of the fake API server: events of its pods, and faults.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex};

use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use serde_json::{Value, json};

use super::fake_api_responses::State;

/// What a watch sees, in order.
#[derive(Debug)]
pub(super) enum Line {
    /// Also seen by a watch that begins later, from an older version.
    Event {
        version: u64,
        namespace: String,
        json: String,
    },
    /// Only seen by the watches of now.
    Now(Vec<u8>, Then),
}

/// What happens to a watch after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// The server ends it in good order.
    End,
    /// The connection is cut.
    Cut,
}

/// A watch of the pods of a namespace (an empty name: all), from a version on.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) version: u64,
    pub(super) namespace: String,
    /// How many of the lines have happened before.
    pub(super) missed: usize,
    /// Whether it begins at a version that has been compacted.
    pub(super) is_too_old: bool,
}

pub(super) const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

fn is_selected(pod: &Value) -> bool {
    pod["metadata"]["labels"].get(JOB_NAME_KEY).is_some()
}

impl State {
    /// Creates the pod or replaces the one of its uid. Watches see what the selector makes of it: a pod that stops
    /// matching is DELETED for them.
    pub(super) fn set_pod(&mut self, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let uid = pod["metadata"]["uid"].clone();
        let old = self.pods.iter().position(|p| p["metadata"]["uid"] == uid);
        let old = old.map(|index| self.pods.remove(index));
        let kind = match (old.as_ref().is_some_and(is_selected), is_selected(&pod)) {
            (false, true) => Some("ADDED"),
            (true, true) => Some("MODIFIED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        };
        if let Some(kind) = kind {
            self.add_event(kind, &pod);
        }
        self.pods.push(pod);
    }

    pub(super) fn delete_pod(&mut self, uid: &str) {
        let is_it = |pod: &Value| pod["metadata"]["uid"] == uid;
        let index = self.pods.iter().position(is_it).unwrap();
        let mut pod = self.pods.remove(index);
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if is_selected(&pod) {
            self.add_event("DELETED", &pod);
        }
    }

    fn add_event(&mut self, kind: &str, pod: &Value) {
        let mut pod = pod.clone();
        pod["kind"] = json!("Pod");
        pod["apiVersion"] = json!("v1");
        self.lines.push(Line::Event {
            version: self.version,
            namespace: pod["metadata"]["namespace"].as_str().unwrap().to_owned(),
            json: json!({"type": kind, "object": pod}).to_string(),
        });
    }

    pub(super) fn bookmark(&mut self) {
        let version = self.version.to_string();
        let object =
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version}});
        let line = json!({"type": "BOOKMARK", "object": object});
        self.lines.push(Line::Now(line_bytes(&line), Then::GoOn));
    }
}

/// As the real server writes it when a watch cannot go on.
pub(super) fn error_line(code: u16) -> Vec<u8> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": format!("scripted {code}"),
    });
    line_bytes(&json!({"type": "ERROR", "object": status}))
}

pub(super) fn line_bytes(json: &Value) -> Vec<u8> {
    format!("{json}\n").into_bytes()
}

/// Sends what the watch has missed and then what happens, until a line ends it or `is_over`.
pub(super) fn stream(
    client: &mut impl Write,
    watch: &Watch,
    state: &Mutex<State>,
    happened: &Condvar,
    is_over: impl Fn() -> bool,
) -> io::Result<Then> {
    client.write_all(HEAD.as_bytes())?;
    client.flush()?;
    if watch.is_too_old {
        send(client, &error_line(410))?;
        return finish(client, Then::End);
    }
    for next in 0.. {
        let no_news = |state: &mut State| state.lines.len() <= next && !is_over();
        // Not kept while sending: the client may be slow to read.
        let line = happened
            .wait_while(state.lock().unwrap(), no_news)
            .unwrap()
            .lines
            .get(next)
            .map(|line| line.seen_by(watch, next < watch.missed));
        let Some((bytes, then)) = line else {
            break;
        };
        if !bytes.is_empty() {
            send(client, &bytes)?;
        }
        if then != Then::GoOn {
            return finish(client, then);
        }
    }
    Ok(Then::Cut)
}

impl Line {
    fn seen_by(&self, watch: &Watch, is_past: bool) -> (Vec<u8>, Then) {
        match self {
            Line::Event {
                version,
                namespace,
                json,
            } if *version > watch.version
                && (watch.namespace.is_empty() || *namespace == watch.namespace) =>
            {
                (format!("{json}\n").into_bytes(), Then::GoOn)
            }
            Line::Now(bytes, then) if !is_past => (bytes.clone(), *then),
            _ => (Vec::new(), Then::GoOn),
        }
    }
}

/// One chunk.
fn send(client: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    client.write_all(&chunk)?;
    client.flush()
}

fn finish(client: &mut impl Write, then: Then) -> io::Result<Then> {
    if then == Then::End {
        client.write_all(b"0\r\n\r\n")?;
        client.flush()?;
    }
    Ok(then)
}
