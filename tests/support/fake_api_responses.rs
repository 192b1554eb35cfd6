//! The responses of the fake API server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use rustls::ServerConfig;
use serde_json::{Value, json};

use super::fake_api_watch::{HEAD, Line, Watch};
use super::fake_pod::gzip;

/// What the server does instead of a good response, once each, in order.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// None: the good response.
    Good,
    /// This status with a `Status` object, and these header lines.
    Status(u16, &'static str),
    /// 200 with this body.
    Body(&'static str),
    /// Closes after half of the good response.
    HalfBody,
    /// Closes without a response.
    Close,
    /// Begins the good response and says no more while the client waits.
    Hang,
    /// A page without pods, and another one after it.
    EmptyPage,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
}

/// The pods of the server, and the faults that it has to make.
#[derive(Debug)]
pub(super) struct State {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) token: String,
    pub(super) pods: Vec<Value>,
    pub(super) page_items: usize,
    /// Namespaces that may not be listed; an empty name: all at once.
    pub(super) forbidden: Vec<String>,
    pub(super) faults: VecDeque<Fault>,
    /// For pages after the first only.
    pub(super) page_faults: VecDeque<Fault>,
    pub(super) watch_faults: VecDeque<Fault>,
    /// The resource version of now.
    pub(super) version: u64,
    /// The oldest that a watch may begin from.
    pub(super) oldest: u64,
    /// What watches see.
    pub(super) lines: Vec<Line>,
}

/// The bytes to send, and what happens to the connection then.
pub(super) struct ApiResponse {
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

/// What happens to the connection after a response.
pub(super) enum Then {
    KeepAlive,
    Close,
    Hang,
    Watch(Watch),
}

impl State {
    pub(super) fn response(&mut self, request: &Recorded) -> ApiResponse {
        let is_watch = request.query.contains_key("watch");
        let fault = if is_watch {
            self.watch_faults.pop_front()
        } else if request.query.contains_key("continue") {
            self.page_faults.pop_front()
        } else {
            self.faults.pop_front()
        };
        let then = |bytes, then| ApiResponse { bytes, then };
        if is_watch && matches!(fault, None | Some(Fault::Good)) {
            return match self.checked(request) {
                Ok(namespace) => then(Vec::new(), Then::Watch(self.watch(request, namespace))),
                Err(refusal) => then(refusal, Then::KeepAlive),
            };
        }
        match fault {
            None | Some(Fault::Good) => then(self.good_response(request), Then::KeepAlive),
            Some(Fault::Status(code, headers)) => {
                let message = format!("scripted {code}");
                then(status(code, &message, headers), Then::KeepAlive)
            }
            Some(Fault::Body(body)) => then(ok(body.as_bytes(), false), Then::KeepAlive),
            Some(Fault::HalfBody) => then(half(self.good_response(request)), Then::Close),
            Some(Fault::Close) => then(Vec::new(), Then::Close),
            Some(Fault::Hang) => then(half(self.good_response(request)), Then::Hang),
            Some(Fault::EmptyPage) => {
                let page =
                    json!({"kind": "PodList", "items": [], "metadata": {"continue": "again"}});
                then(ok(page.to_string().as_bytes(), false), Then::KeepAlive)
            }
        }
    }

    fn good_response(&self, request: &Recorded) -> Vec<u8> {
        let namespace = match self.checked(request) {
            Ok(namespace) => namespace,
            Err(refusal) => return refusal,
        };
        if request.query.contains_key("watch") {
            return HEAD.as_bytes().to_vec();
        }
        let is_gzip = request.headers.get("accept-encoding").map(String::as_str) == Some("gzip");
        ok(
            self.page(namespace, request).to_string().as_bytes(),
            is_gzip,
        )
    }

    /// The requested namespace, or an error. As the real server, it checks the token first, then the right, then the
    /// parameters.
    fn checked<'r>(&self, request: &'r Recorded) -> Result<&'r str, Vec<u8>> {
        let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
        if self.tls.is_some() && header("authorization") != format!("Bearer {}", self.token) {
            return Err(status(401, "Unauthorized", ""));
        }
        let namespace = match request.path.split('/').collect::<Vec<_>>()[..] {
            ["", "api", "v1", "pods"] => "",
            ["", "api", "v1", "namespaces", namespace, "pods"] => namespace,
            _ => {
                return Err(status(
                    404,
                    "the server could not find the requested resource",
                    "",
                ));
            }
        };
        if self.forbidden.iter().any(|name| name == namespace) {
            let message = "pods is forbidden: User \"system:serviceaccount:m:aggregator\" \
                           cannot list resource \"pods\"";
            return Err(status(403, message, ""));
        }
        if let Err(message) = check_parameters(request) {
            return Err(status(400, message, ""));
        }
        let wanted = request.query.get("resourceVersion");
        if wanted.is_some_and(|version| version.parse::<u64>().unwrap() > self.version) {
            return Err(status(504, "Too large resource version", ""));
        }
        Ok(namespace)
    }

    fn watch(&self, request: &Recorded, namespace: &str) -> Watch {
        let version = request.query["resourceVersion"].parse().unwrap();
        Watch {
            version,
            namespace: namespace.to_owned(),
            missed: self.lines.len(),
            is_too_old: version < self.oldest,
        }
    }

    fn page(&self, namespace: &str, request: &Recorded) -> Value {
        let is_selected = |pod: &&Value| {
            pod["metadata"]["labels"].get(JOB_NAME_KEY).is_some()
                && (namespace.is_empty() || pod["metadata"]["namespace"] == namespace)
        };
        let selected: Vec<&Value> = self.pods.iter().filter(is_selected).collect();
        let start: usize = match request.query.get("continue") {
            Some(token) => token.strip_prefix("from-").unwrap().parse().unwrap(),
            None => 0,
        };
        // There may be fewer pods than at the page before.
        let start = start.min(selected.len());
        let limit = request.query.get("limit");
        let limit: usize = limit.map_or(usize::MAX, |limit| limit.parse().unwrap());
        let end = selected
            .len()
            .min(start.saturating_add(limit.min(self.page_items)));
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if end < selected.len() {
            metadata["continue"] = json!(format!("from-{end}"));
        }
        json!({
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": metadata,
            "items": &selected[start..end],
        })
    }
}

/// The rules of `ValidateListOptions` in apimachinery, and the label selector of the client.
fn check_parameters(request: &Recorded) -> Result<(), &'static str> {
    let parameter = |name: &str| request.query.get(name).map(String::as_str);
    let is_first = parameter("continue").is_none();
    if parameter("labelSelector") != Some(JOB_NAME_KEY) {
        return Err("expected a selector by job name");
    }
    if parameter("watch").is_some() {
        let seconds = parameter("timeoutSeconds").and_then(|text| text.parse().ok());
        let is_good = parameter("allowWatchBookmarks") == Some("true")
            && parameter("resourceVersion").is_some()
            && matches!(seconds, Some(1..=600));
        return is_good
            .then_some(())
            .ok_or("expected a version, bookmarks and a timeout");
    }
    let is_from_cache = !matches!(parameter("resourceVersion"), None | Some("0"));
    if parameter("limit").is_none() != is_from_cache {
        return Err("expected a limit, but for a list from the watch cache");
    }
    let version = (
        parameter("resourceVersion"),
        parameter("resourceVersionMatch"),
    );
    match version {
        (None, None) => Ok(()),
        (Some(_), Some("NotOlderThan")) if is_first => Ok(()),
        (_, Some(_)) if !is_first => Err("resourceVersionMatch is forbidden with continue"),
        (Some(_), _) if !is_first => {
            Err("specifying resource version is not allowed when using continue")
        }
        _ => Err("resourceVersionMatch is forbidden unless resourceVersion is provided"),
    }
}

/// All of the head and half of what follows.
fn half(mut response: Vec<u8>) -> Vec<u8> {
    let head = response
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap()
        + 4;
    response.truncate(head + (response.len() - head) / 2);
    response
}

fn status(code: u16, message: &str, headers: &str) -> Vec<u8> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code});
    response(code, headers, body.to_string().as_bytes())
}

fn ok(body: &[u8], is_gzip: bool) -> Vec<u8> {
    if !is_gzip {
        return response(200, "", body);
    }
    response(200, "Content-Encoding: gzip\r\n", &gzip(body))
}

fn response(code: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code} Scripted\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}
