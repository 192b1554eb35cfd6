//! Reads the method, the URL and some headers of a request: a [`Route`], or the [`HttpError`] for the client. Pure.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use super::http_error::{HttpError, NO_SUCH_PATH, shown};
use crate::exposition::AskedFamilies;
use crate::target::{SHARDS_MAX, Shard};
use crate::telemetry::Path;

/// The most families that one request may ask for. Their names are sent to each pod.
const FAMILIES_MAX: usize = 100;
/// Longest name of a family, in bytes.
const FAMILY_BYTES_MAX: usize = 256;
/// The style sheet of the status page.
pub(super) const STYLE_PATH: &str = "/-/style.css";
/// The script of the status page.
pub(super) const SCRIPT_PATH: &str = "/-/page.js";
const FILES: [&str; 2] = [STYLE_PATH, SCRIPT_PATH];

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The merged metrics of jobs.
    Metrics(Selection),
    /// The metrics of one target, unchanged.
    Probe {
        /// `namespace/pod:port`, decoded. It need not exist.
        target: String,
    },
    /// Service discovery: a target for each job, or this many for each.
    SdJobs {
        /// From 1 to [`SHARDS_MAX`].
        shards: Option<u16>,
    },
    /// Service discovery: a target for each pod.
    SdPods {
        /// Whether Prometheus should use the timeouts of the pods.
        timeouts: bool,
    },
    /// The aggregator's own metrics.
    OwnMetrics,
    /// Whether the process is alive.
    Healthy,
    /// Whether there is a complete pod list.
    Ready,
    /// The status page.
    Status(Filter),
    /// The style sheet of the status page.
    Style,
    /// The script of the status page.
    Script,
}

/// The targets and families of a merged response.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// In the order of the request: at least one, none is empty, none is repeated.
    pub jobs: Vec<String>,
    /// If set, only these targets of the jobs.
    pub shard: Option<Shard>,
    /// The metric families that are wanted.
    pub families: AskedFamilies,
    /// Whether the response is empty instead of an error if no pod has one of the jobs.
    pub absent_ok: bool,
}

/// The targets that the status page shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// If set, only targets of this job.
    pub job: Option<String>,
    /// If set, only targets in this state.
    pub state: Option<TargetState>,
    /// The number of the page, from 0 on.
    pub page: usize,
}

/// Whether the last scrape of a target succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// It succeeded.
    Up,
    /// It failed, or the target's options are invalid.
    Down,
    /// The target was never scraped.
    Unknown,
}

impl TargetState {
    /// All states.
    pub const ALL: [TargetState; 3] = [TargetState::Up, TargetState::Down, TargetState::Unknown];

    /// The name of the state in queries and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TargetState::Up => "up",
            TargetState::Down => "down",
            TargetState::Unknown => "unknown",
        }
    }
}

/// The URL of a request without the prefix of its path. An ingress or a proxy may have removed it already. `prefix` is
/// empty or begins with `/`.
#[must_use]
pub fn without_prefix<'u>(url: &'u str, prefix: &str) -> Cow<'u, str> {
    // With the prefix `/metrics`, the proxy has removed it already if `/metrics?job=J` comes in.
    let path = decoded_path(url);
    let is_known = known_path(&path) != Path::Other || FILES.contains(&&*path);
    if prefix.is_empty() || is_known {
        return url.into();
    }
    match origin_form(url).strip_prefix(prefix) {
        Some(rest) if rest.starts_with('/') => rest.into(),
        Some(rest) if rest.is_empty() || rest.starts_with('?') => format!("/{rest}").into(),
        _ => url.into(),
    }
}

/// The path that a request is counted by. It is also known for requests with other faults.
#[must_use]
pub fn counted_path(url: &str) -> Path {
    known_path(&decoded_path(url))
}

/// The path of a URL, percent-decoded and without its query; empty if it cannot be decoded.
fn decoded_path(url: &str) -> String {
    let (path, _) = split_query(origin_form(url));
    let decoded = percent_decode(path).unwrap_or_default();
    split_query(&decoded).0.to_owned()
}

fn known_path(path: &str) -> Path {
    let mut all = Path::ALL.into_iter();
    all.find(|known| known.to_string() == path)
        .unwrap_or(Path::Other)
}

/// What a request with this method and URL asks for.
///
/// Parameters come from the query of the URL. Those that are missing there come from the percent-decoded path, because
/// Prometheus requests `/metrics%3Fjob=J` for `metrics_path: "/metrics?job=J"`.
///
/// ```
/// use kubernetes_metrics_aggregator::server::route::{Route, route};
///
/// let asked = route("GET", "/metrics?job=web&job=queue").unwrap();
/// let Route::Metrics(selection) = asked else { panic!("{asked:?}") };
/// assert_eq!(selection.jobs, ["web", "queue"]);
/// assert!(matches!(route("GET", "/metrics%3Fjob=web"), Ok(Route::Metrics(_))));
/// assert_eq!(route("POST", "/metrics?job=web").unwrap_err().status, 405);
/// assert_eq!(route("GET", "/metrics").unwrap_err().status, 400);
/// ```
///
/// # Errors
/// 405 for another method, 404 for an unknown path, 400 for a parameter that is missing or invalid.
pub fn route(method: &str, url: &str) -> Result<Route, HttpError> {
    if method != "GET" && method != "HEAD" {
        return Err(HttpError::new(405, "only GET and HEAD are supported"));
    }
    let (path, query) = split_query(origin_form(url));
    let path = percent_decode(path)?;
    let (path, path_query) = split_query(&path);
    let query = Query { query, path_query };
    Ok(match known_path(path) {
        Path::Metrics => Route::Metrics(selection(&query)?),
        Path::Probe => match query.first("target")? {
            Some(target) if !target.is_empty() => Route::Probe { target },
            _ => {
                let message =
                    "name the target: /probe?target=NAMESPACE/POD:PORT; /sd/pods lists them";
                return Err(HttpError::new(400, message));
            }
        },
        Path::SdJobs => sd_jobs(&query)?,
        Path::SdPods => Route::SdPods {
            timeouts: query.first("timeouts")?.as_deref() == Some("true"),
        },
        Path::OwnMetrics => Route::OwnMetrics,
        Path::Healthy => Route::Healthy,
        Path::Ready => Route::Ready,
        Path::Status => Route::Status(filter(&query)?),
        Path::Other => match path {
            STYLE_PATH => Route::Style,
            SCRIPT_PATH => Route::Script,
            _ => return Err(NO_SUCH_PATH),
        },
    })
}

fn selection(query: &Query<'_>) -> Result<Selection, HttpError> {
    let mut jobs = query.all("job")?;
    if jobs.is_empty() || jobs.iter().any(String::is_empty) {
        let message = "name the job: /metrics?job=NAME; / lists the jobs";
        return Err(HttpError::new(400, message));
    }
    let mut seen = HashSet::new();
    jobs.retain(|job| seen.insert(job.clone()));
    let shard = query.parsed("shard", Shard::parse, || {
        format!("i/n with 1 <= i <= n <= {SHARDS_MAX}, such as 2/3")
    })?;
    let absent = query.parsed(
        "absent",
        |text| (text == "ok").then_some(()),
        || "ok, which makes a job without pods an empty text".to_owned(),
    )?;
    Ok(Selection {
        jobs,
        shard,
        families: families(query)?,
        absent_ok: absent.is_some(),
    })
}

/// The values of `name[]`. As in client_golang, no family has an empty name.
fn families(query: &Query<'_>) -> Result<AskedFamilies, HttpError> {
    let names = query.all("name[]")?;
    if names.len() > FAMILIES_MAX || names.iter().any(|name| name.len() > FAMILY_BYTES_MAX) {
        let message = format!(
            "name[]: expected at most {FAMILIES_MAX} names of at most {FAMILY_BYTES_MAX} bytes"
        );
        return Err(HttpError::new(400, message));
    }
    Ok(AskedFamilies::new(names))
}

fn sd_jobs(query: &Query<'_>) -> Result<Route, HttpError> {
    let shards = |text: &str| text.parse().ok().filter(|n| (1..=SHARDS_MAX).contains(n));
    let expected = || format!("a number from 1 to {SHARDS_MAX}");
    let shards = query.parsed("shards", shards, expected)?;
    Ok(Route::SdJobs { shards })
}

/// Empty or invalid filter values are ignored.
fn filter(query: &Query<'_>) -> Result<Filter, HttpError> {
    let state = query.first("state")?;
    let page = query.first("page")?;
    Ok(Filter {
        job: query.first("job")?.filter(|job| !job.is_empty()),
        state: TargetState::ALL
            .into_iter()
            .find(|known| Some(known.name()) == state.as_deref()),
        page: page.and_then(|page| page.parse().ok()).unwrap_or_default(),
    })
}

/// Prometheus' header with the scraper's timeout.
pub const TIMEOUT_HEADER: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// The scraper's timeout, from the value of [`TIMEOUT_HEADER`] (`10`, `0.5`).
///
/// # Errors
/// 400 if it is not a finite number over 0.
pub fn scrape_timeout(value: &str) -> Result<Duration, HttpError> {
    let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| unexpected(TIMEOUT_HEADER, "a number of seconds over 0", value))
}

/// Whether the response may be gzipped, by the value of `Accept-Encoding` (RFC 9110, section 12.5.3).
#[must_use]
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let weight = |name: &str| {
        accept_encoding.split(',').find_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next()?;
            let refused = parts.any(|part| {
                let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.parse() == Ok(0.0))
            });
            coding.eq_ignore_ascii_case(name).then_some(!refused)
        })
    };
    weight("gzip").or_else(|| weight("*")).unwrap_or(false)
}

/// Path and query of a URL. Clients of a proxy send a scheme and a host before them (RFC 9112, section 3.2.2).
fn origin_form(url: &str) -> &str {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url;
    };
    match (scheme, rest.find('/')) {
        ("http" | "https", Some(path)) => &rest[path..],
        ("http" | "https", None) => "/",
        _ => url,
    }
}

fn split_query(url: &str) -> (&str, &str) {
    url.split_once('?').unwrap_or((url, ""))
}

/// The query of a URL, and the query in its percent-decoded path.
struct Query<'a> {
    query: &'a str,
    path_query: &'a str,
}

impl Query<'_> {
    /// The values of a parameter. Those in the path count only if the query of the URL has none.
    fn all(&self, name: &str) -> Result<Vec<String>, HttpError> {
        let found = values(self.query, name, decoded_plus)?;
        if found.is_empty() {
            return values(self.path_query, name, |text| Ok(text.to_owned()));
        }
        Ok(found)
    }

    fn first(&self, name: &str) -> Result<Option<String>, HttpError> {
        Ok(self.all(name)?.into_iter().next())
    }

    /// The first value of a parameter, parsed. If `parse` returns `None`, the error says what is expected.
    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: impl FnOnce() -> String,
    ) -> Result<Option<T>, HttpError> {
        let Some(text) = self.first(name)? else {
            return Ok(None);
        };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(unexpected(name, &expected(), &text)),
        }
    }
}

fn unexpected(name: &str, expected: &str, found: &str) -> HttpError {
    let found = shown(found);
    HttpError::new(400, format!("{name}: expected {expected}, found {found}"))
}

/// The values of one parameter in a query.
fn values(
    query: &str,
    name: &str,
    decode: fn(&str) -> Result<String, HttpError>,
) -> Result<Vec<String>, HttpError> {
    let mut found = Vec::new();
    for parameter in query.split('&') {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if decode(key)? == name {
            found.push(decode(value)?);
        }
    }
    Ok(found)
}

fn decoded_plus(text: &str) -> Result<String, HttpError> {
    percent_decode(&text.replace('+', " "))
}

/// Replaces each `%XX` by its byte.
///
/// # Errors
/// 400 if a `%` has no two hexadecimal digits after it, or the result is not UTF-8.
fn percent_decode(text: &str) -> Result<String, HttpError> {
    let mut escapes = text.split('%').skip(1);
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if escapes.all(is_escape) => Ok(decoded.into_owned()),
        _ => Err(HttpError::new(400, "the URL is not percent-encoded UTF-8")),
    }
}
