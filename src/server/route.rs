//! What a request asks for: method and URL in, [`Route`] or [`RequestError`] out. Pure.

use std::time::Duration;

pub use super::request_error::RequestError;
use crate::target::{SHARDS_MAX, Shard};
use crate::telemetry::Path;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The merged text of these jobs: at least one, none empty, none twice.
    Metrics {
        /// In the order of the request.
        jobs: Vec<String>,
        /// Only these of the jobs' targets.
        shard: Option<Shard>,
        /// Whether jobs that no pod has are an empty text rather than an error.
        absent_ok: bool,
    },
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

/// Which targets the status page shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this job.
    pub job: Option<String>,
    /// Only those in this state.
    pub state: Option<State>,
    /// From 0 on.
    pub page: usize,
}

/// How the last scrape of a target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It succeeded.
    Up,
    /// It failed, or the target's options cannot be used.
    Down,
    /// There was none.
    Unknown,
}

impl State {
    /// All, in the order of pages.
    pub const ALL: [State; 3] = [State::Up, State::Down, State::Unknown];

    /// Its name in queries and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
            State::Unknown => "unknown",
        }
    }
}

impl Route {
    /// The path that was asked for, as it is counted.
    #[must_use]
    pub fn path(&self) -> Path {
        match self {
            Route::Metrics { .. } => Path::Metrics,
            Route::Probe { .. } => Path::Probe,
            Route::SdJobs { .. } => Path::SdJobs,
            Route::SdPods { .. } => Path::SdPods,
            Route::OwnMetrics => Path::OwnMetrics,
            Route::Healthy => Path::Healthy,
            Route::Ready => Path::Ready,
            Route::Status(_) => Path::Status,
            Route::Style | Route::Script => Path::Other,
        }
    }
}

/// Finds out what a request line asks for.
///
/// The query is that of the URL; where it names no job, that of the percent-decoded path: `/metrics%3Fjob=J` is what
/// Prometheus requests for `metrics_path: "/metrics?job=J"` (it escapes the `?` of a path).
///
/// # Errors
/// [`RequestError::Method`], [`RequestError::UnknownPath`], [`RequestError::BadEncoding`], and those of a parameter that
/// is missing or that cannot be read.
pub fn route(method: &str, url: &str) -> Result<Route, RequestError> {
    if method != "GET" && method != "HEAD" {
        return Err(RequestError::Method);
    }
    let (path, query) = split_query(origin_form(url));
    let path = percent_decode(path).ok_or(RequestError::BadEncoding)?;
    let (path, path_query) = split_query(&path);
    let query = Query { query, path_query };
    match path {
        "/metrics" => metrics(&query),
        "/probe" => match query.first("target")? {
            Some(target) if !target.is_empty() => Ok(Route::Probe { target }),
            _ => Err(RequestError::NoTarget),
        },
        "/sd/jobs" => sd_jobs(&query),
        "/sd/pods" => {
            let timeouts = query.first("timeouts")?.as_deref() == Some("true");
            Ok(Route::SdPods { timeouts })
        }
        "/-/metrics" => Ok(Route::OwnMetrics),
        "/-/healthy" => Ok(Route::Healthy),
        "/-/ready" => Ok(Route::Ready),
        "/-/style.css" => Ok(Route::Style),
        "/-/page.js" => Ok(Route::Script),
        "/" => Ok(Route::Status(filter(&query)?)),
        _ => Err(RequestError::UnknownPath),
    }
}

fn metrics(query: &Query<'_>) -> Result<Route, RequestError> {
    let mut jobs = Vec::new();
    for job in query.all("job")? {
        if job.is_empty() {
            return Err(RequestError::NoJob);
        }
        if !jobs.contains(&job) {
            jobs.push(job);
        }
    }
    if jobs.is_empty() {
        return Err(RequestError::NoJob);
    }
    let shard = match query.first("shard")? {
        Some(text) => Some(Shard::parse(&text).ok_or(RequestError::BadShard(text))?),
        None => None,
    };
    let absent_ok = match query.first("absent")? {
        Some(text) if text == "ok" => true,
        Some(text) => return Err(RequestError::BadAbsent(text)),
        None => false,
    };
    Ok(Route::Metrics {
        jobs,
        shard,
        absent_ok,
    })
}

fn sd_jobs(query: &Query<'_>) -> Result<Route, RequestError> {
    let shards = match query.first("shards")? {
        Some(text) => {
            let number = text.parse().ok().filter(|n| (1..=SHARDS_MAX).contains(n));
            Some(number.ok_or(RequestError::BadShards(text))?)
        }
        None => None,
    };
    Ok(Route::SdJobs { shards })
}

/// What a form leaves empty does not filter; what makes no sense does not either.
fn filter(query: &Query<'_>) -> Result<Filter, RequestError> {
    let state = query.first("state")?;
    let page = query.first("page")?;
    Ok(Filter {
        job: query.first("job")?.filter(|job| !job.is_empty()),
        state: State::ALL
            .into_iter()
            .find(|known| Some(known.name()) == state.as_deref()),
        page: page.and_then(|page| page.parse().ok()).unwrap_or_default(),
    })
}

/// Reads the scraper's timeout, as Prometheus sends it (`10`, `0.5`).
///
/// # Errors
/// [`RequestError::BadTimeout`] for anything but a finite number over 0.
pub fn scrape_timeout(value: &str) -> Result<Duration, RequestError> {
    let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| RequestError::BadTimeout(value.to_owned()))
}

/// Whether a gzipped answer may be sent, by the value of `Accept-Encoding` (RFC 9110, section 12.5.3).
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
    fn all(&self, name: &str) -> Result<Vec<String>, RequestError> {
        let found = values(self.query, name, decoded_plus)?;
        if found.is_empty() {
            return values(self.path_query, name, |text| Some(text.to_owned()));
        }
        Ok(found)
    }

    fn first(&self, name: &str) -> Result<Option<String>, RequestError> {
        Ok(self.all(name)?.into_iter().next())
    }
}

/// The values of a parameter in a query; the others are left to others.
fn values(
    query: &str,
    name: &str,
    decode: fn(&str) -> Option<String>,
) -> Result<Vec<String>, RequestError> {
    let mut found = Vec::new();
    for parameter in query.split('&') {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if decode(key).ok_or(RequestError::BadEncoding)? == name {
            found.push(decode(value).ok_or(RequestError::BadEncoding)?);
        }
    }
    Ok(found)
}

fn decoded_plus(text: &str) -> Option<String> {
    percent_decode(&text.replace('+', " "))
}

/// `%XX` to bytes, once; `None` where that is no UTF-8 or no two hexadecimal digits follow.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
