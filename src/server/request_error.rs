//! Why a request is refused, and how its answer says so. Pure.

use std::fmt;

use crate::target::SHARDS_MAX;
use crate::telemetry::Path;

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
    /// 400: `/probe` without a target.
    NoTarget,
    /// 400: a value of `shard` as found.
    BadShard(String),
    /// 400: a value of `absent` as found.
    BadAbsent(String),
    /// 400: a value of `shards` as found.
    BadShards(String),
    /// 400: nothing says under which address this server is known.
    NoAddress,
    /// 404: no such path.
    UnknownPath,
    /// 404: no pod has any of the jobs.
    UnknownJob(String),
    /// 404: no target of this name.
    UnknownTarget(String),
    /// 503: no complete pod list yet.
    NotReady,
    /// 503: `MAX_WAITING_REQUESTS` are waiting.
    TooManyWaiting,
    /// 503: the deadline came while the request waited for a server worker.
    WaitedTooLong,
    /// 503: the client closed its side of the connection while the pods were scraped. Almost always nobody is there
    /// to read it.
    Abandoned,
    /// 503: the server is about to end.
    ShuttingDown,
    /// 500: a panic, an error in this program.
    Panic,
}

/// Longest piece of a request that an answer or a log line repeats.
const SHOWN_CHARS_MAX: usize = 100;

impl RequestError {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            RequestError::NoJob
            | RequestError::BadEncoding
            | RequestError::BadTimeout(_)
            | RequestError::NoTarget
            | RequestError::BadShard(_)
            | RequestError::BadAbsent(_)
            | RequestError::BadShards(_)
            | RequestError::NoAddress => 400,
            RequestError::UnknownPath
            | RequestError::UnknownJob(_)
            | RequestError::UnknownTarget(_) => 404,
            RequestError::Method => 405,
            RequestError::Panic => 500,
            RequestError::NotReady
            | RequestError::TooManyWaiting
            | RequestError::WaitedTooLong
            | RequestError::Abandoned
            | RequestError::ShuttingDown => 503,
        }
    }

    /// The path that was asked for, as far as the error alone tells, as it is counted.
    pub(super) fn path(&self) -> Path {
        match self {
            RequestError::NoJob | RequestError::BadShard(_) | RequestError::BadAbsent(_) => {
                Path::Metrics
            }
            RequestError::NoTarget => Path::Probe,
            RequestError::BadShards(_) => Path::SdJobs,
            _ => Path::Other,
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
            RequestError::NoTarget => {
                f.write_str("name the target: /probe?target=NAMESPACE/POD:PORT; /sd/pods lists them")
            }
            RequestError::BadShard(value) => write!(
                f,
                "shard: expected i/n with 1 <= i <= n <= {SHARDS_MAX}, such as 2/3, found {}",
                shown(value)
            ),
            RequestError::BadAbsent(value) => write!(
                f,
                "absent: expected ok, which makes a job without pods an empty text, found {}",
                shown(value)
            ),
            RequestError::BadShards(value) => write!(
                f,
                "shards: expected a number from 1 to {SHARDS_MAX}, found {}",
                shown(value)
            ),
            RequestError::NoAddress => f.write_str(
                "the request's Host header is no HOST or HOST:PORT; send one, or set ADVERTISE_ADDRESS",
            ),
            RequestError::UnknownPath => f.write_str("no such path; / lists what there is"),
            RequestError::UnknownJob(jobs) => write!(
                f,
                "no pod has the label metrics-aggregator.apawel.me/job-name with the value {}; / lists the \
                jobs, and &absent=ok makes one without pods an empty text",
                shown(jobs)
            ),
            RequestError::UnknownTarget(name) => write!(
                f,
                "no target has the name {}; /sd/pods lists them",
                shown(name)
            ),
            RequestError::NotReady => {
                f.write_str("no complete pod list from the API server yet; / and the log say why")
            }
            RequestError::TooManyWaiting => {
                f.write_str("too many requests are waiting (MAX_WAITING_REQUESTS); more SERVER_WORKERS may help")
            }
            RequestError::WaitedTooLong => {
                f.write_str("the scrape timeout was over before a server worker was free; more SERVER_WORKERS may help")
            }
            RequestError::Abandoned => f.write_str("keep the connection open until the answer"),
            RequestError::ShuttingDown => f.write_str("the server is shutting down"),
            RequestError::Panic => f.write_str("internal error, please report it; the log has more"),
        }
    }
}

impl std::error::Error for RequestError {}

/// Text of a client on one line, quoted, escaped and cut.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{cut:?}")
}
