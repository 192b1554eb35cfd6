//! What a request asks for: method and URL in, [`Route`] or [`HttpError`] out. Pure.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use super::http_error::{HttpError, NO_SUCH_PATH, shown};
use crate::exposition::AskedFamilies;
use crate::target::{SHARDS_MAX, Shard};
use crate::telemetry::Path;

/// Most families that one request may ask for: their names go on to each pod.
const FAMILIES_MAX: usize = 100;
/// Longest name of a family, in bytes.
const FAMILY_BYTES_MAX: usize = 256;
/// The style sheet of the status page.
pub(super) const STYLE_PATH: &str = "/-/style.css";
/// The script of the status page.
pub(super) const SCRIPT_PATH: &str = "/-/page.js";
const FILES: [&str; 2] = [STYLE_PATH, SCRIPT_PATH];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The merged text of jobs.
    Metrics(Selection),
    /// One target as it is, by its name; it need not exist.
    Probe {
        /// `namespace/pod:port`, decoded.
        target: String,
    },
    /// Service discovery: a target for each job, or so many for each.
    SdJobs {
        /// From 1 to [`SHARDS_MAX`].
        shards: Option<u16>,
    },
    /// Service discovery: a target for each pod.
    SdPods {
        /// Whether Prometheus is to take over the pods' own timeouts.
        timeouts: bool,
    },
    /// The aggregator's own metrics.
    OwnMetrics,
    /// Is the process alive?
    Healthy,
    /// Has a complete pod list been published?
    Ready,
    /// The status page.
    Status(Filter),
    /// What the status page looks like.
    Style,
    /// What the status page can do where scripts run.
    Script,
}

/// Which targets a merged text is made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// In the order of the request: at least one, none empty, none twice.
    pub jobs: Vec<String>,
    /// Only these of the jobs' targets.
    pub shard: Option<Shard>,
    /// Only these metric families of theirs.
    pub families: AskedFamilies,
    /// Whether jobs that no pod has are an empty text rather than an error.
    pub absent_ok: bool,
}

/// Which targets the status page shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this job.
    pub job: Option<String>,
    /// Only those in this state.
    pub state: Option<TargetState>,
    /// From 0 on.
    pub page: usize,
}

/// How the last scrape of a target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// It succeeded.
    Up,
    /// It failed, or the target's options cannot be used.
    Down,
    /// There was none.
    Unknown,
}

impl TargetState {
    /// All, in the order of pages.
    pub const ALL: [TargetState; 3] = [TargetState::Up, TargetState::Down, TargetState::Unknown];

    /// Its name in queries and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TargetState::Up => "up",
            TargetState::Down => "down",
            TargetState::Unknown => "unknown",
        }
    }
}

/// The request's target without the prefix, which an ingress or a proxy may have left before the path or not. `prefix`
/// is empty or begins with `/`.
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

/// The path of a request's target as it is counted, whatever else is wrong with the request.
#[must_use]
pub fn counted_path(url: &str) -> Path {
    known_path(&decoded_path(url))
}

/// Without a query; empty if it cannot be decoded.
fn decoded_path(url: &str) -> String {
    let (path, _) = split_query(origin_form(url));
    let decoded = percent_decode(path).unwrap_or_default();
    split_query(&decoded).0.to_owned()
}

fn known_path(path: &str) -> Path {
    match path {
        "/metrics" => Path::Metrics,
        "/probe" => Path::Probe,
        "/sd/jobs" => Path::SdJobs,
        "/sd/pods" => Path::SdPods,
        "/-/metrics" => Path::OwnMetrics,
        "/-/healthy" => Path::Healthy,
        "/-/ready" => Path::Ready,
        "/" => Path::Status,
        _ => Path::Other,
    }
}

/// Finds out what a request line asks for.
///
/// The query is that of the URL; where it names no job, that of the percent-decoded path: `/metrics%3Fjob=J` is what
/// Prometheus requests for `metrics_path: "/metrics?job=J"` (it escapes the `?` of a path).
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
/// 405 for the method, 404 for a path that does not exist, 400 for a parameter that is missing or cannot be read.
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

/// An empty name is that of no family, as in client_golang.
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

/// Reads the scraper's timeout, as Prometheus sends it (`10`, `0.5`).
///
/// # Errors
/// 400 for anything but a finite number over 0.
pub fn scrape_timeout(value: &str) -> Result<Duration, HttpError> {
    let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| unexpected(TIMEOUT_HEADER, "a number of seconds over 0", value))
}

/// Whether a gzipped response may be sent, by the value of `Accept-Encoding` (RFC 9110, section 12.5.3).
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

/// The part of the URL from the path on; proxies send the whole of it (RFC 9112, section 3.2.2).
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

/// The query of the URL, and that which stood in its path, percent-decoded.
struct Query<'a> {
    query: &'a str,
    path_query: &'a str,
}

impl Query<'_> {
    /// The values of a parameter, from the path only where the query of the URL has none.
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

    /// The first value, read by `parse`; where that finds nothing, the error says what is expected.
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

/// The values of a parameter in a query; the others are left to others.
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

/// `%XX` to bytes, once.
///
/// # Errors
/// 400 where no two hexadecimal digits follow, or what comes out is no UTF-8.
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
