//! What a request asks for: method and URL in, [`Route`] or [`RequestError`] out. Pure.

use std::fmt;
use std::time::Duration;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The merged text of these jobs: at least one, none empty, none twice.
    Metrics {
        /// In the order of the request.
        jobs: Vec<String>,
    },
    /// Is the process alive?
    Healthy,
    /// Has a complete pod list been published?
    Ready,
    /// The status page.
    Status,
}

/// Why a request is refused. `Display` is the answer's one line, for the person who reads it in a scraper's log.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestError {
    /// 405.
    Method,
    /// 400: the query has no `job`, or an empty one.
    NoJob,
    /// 400: a `%` sequence that is none, or that is no UTF-8.
    BadEncoding,
    /// 400: the value of `X-Prometheus-Scrape-Timeout-Seconds` as found.
    BadTimeout(String),
    /// 404: no such path.
    UnknownPath,
    /// 404: no pod has any of the jobs.
    UnknownJob(String),
    /// 503: no complete pod list yet.
    NotReady,
    /// 503: `MAX_WAITING_REQUESTS` are waiting.
    TooManyWaiting,
    /// 503: the deadline came while the request waited for a server worker.
    WaitedTooLong,
    /// 503: the server is about to end.
    ShuttingDown,
    /// 500: a panic, an error in this program.
    Panic,
}

/// Longest piece of a request that an answer repeats.
const SHOWN_CHARS_MAX: usize = 100;

impl RequestError {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            RequestError::NoJob | RequestError::BadEncoding | RequestError::BadTimeout(_) => 400,
            RequestError::UnknownPath | RequestError::UnknownJob(_) => 404,
            RequestError::Method => 405,
            RequestError::Panic => 500,
            RequestError::NotReady
            | RequestError::TooManyWaiting
            | RequestError::WaitedTooLong
            | RequestError::ShuttingDown => 503,
        }
    }

    /// Whether the same request may succeed in a moment: the answer then has `Retry-After`.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.status() == 503
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Method => f.write_str("only GET and HEAD are answered"),
            RequestError::NoJob => f.write_str("name the job: /metrics?job=NAME; / lists the jobs"),
            RequestError::BadEncoding => f.write_str("the URL is not percent-encoded UTF-8"),
            RequestError::BadTimeout(value) => write!(
                f,
                "X-Prometheus-Scrape-Timeout-Seconds: expected a number of seconds over 0, found {}",
                shown(value)
            ),
            RequestError::UnknownPath => f.write_str("no such path; / lists what there is"),
            RequestError::UnknownJob(jobs) => write!(
                f,
                "no pod has the label metrics-aggregator.apawel.me/job-name with the value {}; / lists the jobs",
                shown(jobs)
            ),
            RequestError::NotReady => {
                f.write_str("no complete pod list from the API server yet; / and the log say why")
            }
            RequestError::TooManyWaiting => {
                f.write_str("too many scrape requests are waiting (MAX_WAITING_REQUESTS); more SERVER_WORKERS may help")
            }
            RequestError::WaitedTooLong => {
                f.write_str("the scrape timeout was over before a server worker was free; more SERVER_WORKERS may help")
            }
            RequestError::ShuttingDown => f.write_str("the server is shutting down"),
            RequestError::Panic => f.write_str("internal error, please report it; the log has more"),
        }
    }
}

impl std::error::Error for RequestError {}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{cut:?}")
}

/// Finds out what a request line asks for.
///
/// The query is that of the URL; where it names no job, that of the percent-decoded path: `/metrics%3Fjob=J` is what
/// Prometheus requests for `metrics_path: "/metrics?job=J"` (it escapes the `?` of a path).
///
/// # Errors
/// [`RequestError::Method`], [`RequestError::UnknownPath`], [`RequestError::NoJob`], [`RequestError::BadEncoding`].
pub fn route(method: &str, url: &str) -> Result<Route, RequestError> {
    if method != "GET" && method != "HEAD" {
        return Err(RequestError::Method);
    }
    let (path, query) = split_query(origin_form(url));
    let path = percent_decode(path).ok_or(RequestError::BadEncoding)?;
    let (path, path_query) = split_query(&path);
    match path {
        "/metrics" => {
            let mut jobs = jobs(query, decoded_plus)?;
            if jobs.is_empty() {
                jobs = self::jobs(path_query, |text| Some(text.to_owned()))?;
            }
            if jobs.is_empty() {
                Err(RequestError::NoJob)
            } else {
                Ok(Route::Metrics { jobs })
            }
        }
        "/-/healthy" => Ok(Route::Healthy),
        "/-/ready" => Ok(Route::Ready),
        "/" => Ok(Route::Status),
        _ => Err(RequestError::UnknownPath),
    }
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

/// The values of `job` in a query, each once; other parameters are left to others.
fn jobs(query: &str, decode: fn(&str) -> Option<String>) -> Result<Vec<String>, RequestError> {
    let mut jobs = Vec::new();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if decode(name).ok_or(RequestError::BadEncoding)? != "job" {
            continue;
        }
        let job = decode(value).ok_or(RequestError::BadEncoding)?;
        if job.is_empty() {
            return Err(RequestError::NoJob);
        }
        if !jobs.contains(&job) {
            jobs.push(job);
        }
    }
    Ok(jobs)
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
