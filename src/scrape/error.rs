//! Why a target is `up 0`: in which phase of its scrape, and for what reason.

use std::fmt;
use std::io;
use std::time::Duration;

use super::head::HeadError;
use super::redirect::NotFollowed;
use crate::exposition::{ContentTypeError, LineError};
use crate::target::OptionError;
pub use crate::telemetry::Phase;

/// Why a scrape failed. The owner of the target adds its name when it logs.
#[derive(Debug)]
pub struct ScrapeError {
    /// Where it failed.
    pub phase: Phase,
    /// What failed there.
    pub reason: Reason,
}

/// What failed. Texts that a pod had a hand in are escaped and cut.
#[derive(Debug)]
pub enum Reason {
    /// A label or annotation of the pod cannot be used.
    Option(OptionError),
    /// The request's deadline came first.
    Deadline,
    /// As many scrapes as there is room for are waiting for a client worker.
    QueueFull,
    /// The target's own timeout, or what the request's deadline left of it, was over.
    Timeout(Duration),
    /// No connection, or it broke off.
    Io(io::ErrorKind, String),
    /// The handshake failed.
    Tls(String),
    /// The answer breaks the rules of HTTP, or is over a limit of its head.
    Http(String),
    /// The status is not 200, and not that of a redirect that leads somewhere.
    Status(u16),
    /// A redirect that is not followed.
    Redirect {
        /// Its status.
        status: u16,
        /// Where it leads, without user name and query.
        place: String,
        /// Why it is not followed.
        why: NotFollowed,
    },
    /// The body is declared as gzip and cannot be decompressed.
    Gzip(String),
    /// The body is over `MAX_BODY_BYTES`.
    BodyTooLarge {
        /// The limit, in bytes after decompression.
        limit_bytes: u64,
    },
    /// The body is declared as something that Prometheus would not read as text.
    ContentType(ContentTypeError),
    /// A line of the body is malformed.
    Line(LineError),
    /// The scrape panicked: an error in this program.
    Panic,
}

impl ScrapeError {
    /// What Prometheus stores as `scrape_samples_scraped` of such a scrape: the samples before a malformed line, else 0.
    #[must_use]
    pub fn samples_before(&self) -> u64 {
        match &self.reason {
            Reason::Line(error) => error.samples_before,
            _ => 0,
        }
    }
}

impl ScrapeError {
    /// What an error of ureq means that came up in this phase of a scrape that had so much time. One of the connection
    /// itself knows its phase better.
    pub(super) fn of_ureq(phase: Phase, error: ureq::Error, budget: Duration) -> ScrapeError {
        let reason = match error {
            ureq::Error::Other(other) => match other.downcast::<ConnectionError>() {
                Ok(error) => match *error {
                    ConnectionError::Setup(phase, error) => {
                        return ScrapeError::of_ureq(phase, error, budget);
                    }
                    ConnectionError::KeptClosed(error) => Reason::Io(error.kind(), brief(&error)),
                    error => Reason::Http(brief(&error)),
                },
                Err(other) => Reason::Http(brief(&other)),
            },
            ureq::Error::Timeout(_) => Reason::Timeout(budget),
            ureq::Error::BodyExceedsLimit(limit_bytes) => Reason::BodyTooLarge { limit_bytes },
            ureq::Error::Io(error)
                if phase == Phase::Tls && error.kind() == io::ErrorKind::InvalidData =>
            {
                Reason::Tls(tls_reason(&error))
            }
            ureq::Error::Io(error) => Reason::Io(error.kind(), brief(&error)),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Reason::Tls(tls_reason(&error)),
            other => Reason::Http(brief(&other)),
        };
        ScrapeError { phase, reason }
    }
}

/// What stands in the way of TLS. rustls has only a name for a certificate of a CA that a server shows as its own
/// (RFC 5280, section 4.2.1.9), which `openssl req -x509` makes and Go takes.
fn tls_reason(error: &dyn fmt::Display) -> String {
    let text = brief(error);
    if text.contains("CaUsedAsEndEntity") {
        return "the pod shows a certificate of a CA (CA:TRUE) as its own, which is refused; give it one with CA:FALSE, \
                or set the option tls-verify to false"
            .to_owned();
    }
    text
}

/// What a connection to a pod knows of an error, on its way through ureq.
#[derive(Debug)]
pub(super) enum ConnectionError {
    /// There is no connection yet; it failed in this phase.
    Setup(Phase, ureq::Error),
    /// The connection was kept from an earlier scrape, and closed before the head of the response was there.
    KeptClosed(io::Error),
    /// The head of the response is not read.
    Head(HeadError),
    /// The connection ended before the last chunk of the body was there as a whole.
    NoLastChunk,
}

impl ConnectionError {
    /// Whether the request is worth another try on a new connection.
    pub(super) fn is_kept_closed(error: &ureq::Error) -> bool {
        let ureq::Error::Other(other) = error else {
            return false;
        };
        matches!(other.downcast_ref(), Some(ConnectionError::KeptClosed(_)))
    }
}

impl From<ConnectionError> for ureq::Error {
    fn from(error: ConnectionError) -> ureq::Error {
        ureq::Error::Other(Box::new(error))
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Setup(phase, error) => write!(f, "{phase}: {error}"),
            ConnectionError::KeptClosed(error) => error.fmt(f),
            ConnectionError::Head(error) => error.fmt(f),
            ConnectionError::NoLastChunk => f.write_str(
                "connection closed by the pod before the end of the chunked body (0 and an empty line)",
            ),
        }
    }
}

impl std::error::Error for ConnectionError {}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.phase)?;
        match &self.reason {
            Reason::Option(error) => error.fmt(f),
            Reason::Deadline => f.write_str(
                "not scraped before the request's deadline; more CLIENT_WORKERS may help",
            ),
            Reason::QueueFull => f.write_str(
                "too many scrapes are waiting for a client worker; more CLIENT_WORKERS may help",
            ),
            Reason::Timeout(after) => write!(f, "timeout after {:.3} s", after.as_secs_f64()),
            Reason::Io(_, text) | Reason::Tls(text) | Reason::Http(text) => f.write_str(text),
            Reason::Status(status) => write!(f, "expected status 200, found {status}"),
            Reason::Redirect { status, place, why } => {
                write!(
                    f,
                    "expected status 200, found {status} to \"{place}\", {why}"
                )
            }
            Reason::Gzip(text) => write!(f, "gzip that cannot be decompressed: {text}"),
            Reason::BodyTooLarge { limit_bytes } => {
                write!(
                    f,
                    "body over the limit of {limit_bytes} bytes (MAX_BODY_BYTES)"
                )
            }
            Reason::ContentType(error) => error.fmt(f),
            Reason::Line(error) => error.fmt(f),
            Reason::Panic => {
                f.write_str("panic in the scrape, an error in the aggregator; please report it")
            }
        }
    }
}

impl std::error::Error for ScrapeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Option(error) => Some(error),
            Reason::ContentType(error) => Some(error),
            Reason::Line(error) => Some(error),
            _ => None,
        }
    }
}

/// Longest text of an error that a pod may have a hand in, e.g. the names in its certificate.
const TEXT_CHARS_MAX: usize = 200;

/// The text of an error on one line, without control characters, cut.
pub(super) fn brief(error: &dyn fmt::Display) -> String {
    error
        .to_string()
        .escape_debug()
        .take(TEXT_CHARS_MAX)
        .collect()
}
