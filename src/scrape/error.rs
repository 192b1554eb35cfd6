//! Why a target is `up 0`: the phase in which its scrape failed, and the reason.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::exposition::BodyError;
pub use crate::telemetry::Phase;

/// Why a scrape failed. The caller that logs it adds the name of the target.
#[derive(Debug)]
pub struct ScrapeError {
    /// The phase in which it failed.
    pub phase: Phase,
    /// The reason.
    pub reason: Reason,
    /// The value of `scrape_samples_scraped` for this scrape: the samples before the fault, or 0.
    pub samples_before: u64,
}

/// The reason of a failed scrape.
#[derive(Debug)]
pub enum Reason {
    /// The request's deadline came first.
    Deadline,
    /// Too many scrapes are waiting for a client worker.
    QueueFull,
    /// The target's own timeout, or what the request's deadline left of it, is over.
    Timeout(Duration),
    /// Anything else, in words. Text that a pod can influence is escaped and cut.
    Failed(String),
}

impl ScrapeError {
    pub(super) fn new(phase: Phase, reason: Reason) -> ScrapeError {
        ScrapeError {
            phase,
            reason,
            samples_before: 0,
        }
    }

    /// For a reason that is only shown.
    pub(super) fn failed(phase: Phase, reason: impl fmt::Display) -> ScrapeError {
        ScrapeError::new(phase, Reason::Failed(reason.to_string()))
    }

    /// The error for a malformed body, or for one with too many samples, which is counted like one with too many bytes.
    pub(super) fn of_body(error: BodyError) -> ScrapeError {
        let phase = match error {
            BodyError::TooManySamples { .. } => Phase::Body,
            _ => Phase::Parse,
        };
        ScrapeError {
            samples_before: error.samples_before(),
            ..ScrapeError::failed(phase, error)
        }
    }

    /// The error for an error of ureq in this phase of a scrape, which had this time limit. A [`ConnectionError`] has
    /// the phase itself.
    pub(super) fn of_ureq(phase: Phase, error: ureq::Error, budget: Duration) -> ScrapeError {
        let mut text = match error {
            ureq::Error::Timeout(_) => return ScrapeError::new(phase, Reason::Timeout(budget)),
            ureq::Error::Other(other) => match other.downcast::<ConnectionError>() {
                Ok(error) => match *error {
                    ConnectionError::Setup(phase, error) => {
                        return ScrapeError::of_ureq(phase, error, budget);
                    }
                    error => brief(&error),
                },
                Err(other) => brief(&other),
            },
            ureq::Error::BodyExceedsLimit(bytes) => {
                format!("body over the limit of {bytes} bytes (MAX_BODY_BYTES)")
            }
            ureq::Error::Io(error) => brief(&error),
            other => brief(&other),
        };
        // The error of rustls is only a name if a server shows a certificate of a CA (RFC 5280, section 4.2.1.9).
        // `openssl req -x509` makes such certificates, and Go accepts them.
        if phase == Phase::Tls && text.contains("CaUsedAsEndEntity") {
            let text = "the pod shows a certificate of a CA (CA:TRUE) as its own, which is refused; \
                        give it one with CA:FALSE, or set the option tls-verify to false";
            return ScrapeError::failed(phase, text);
        }
        // The same for an RSA key that is too short for ring. Go accepts it.
        if phase == Phase::Tls && text.contains("BadSignature") {
            text.push_str(
                ", as for each RSA key of fewer than 2048 bits; give the pod and its CA larger ones, \
                 or set the option tls-verify to false",
            );
        }
        // With TLS 1.3 this alert comes after the handshake.
        let is_alert = text.contains("received fatal alert");
        if is_alert && (text.contains("Certificate") || text.contains("UnknownCA")) {
            text.push_str(
                "; the pod asks for a client certificate that it trusts: set SCRAPE_CERT_FILE and SCRAPE_KEY_FILE, \
                 which are used only with the option tls-verify true",
            );
        }
        ScrapeError::failed(phase, text)
    }
}

/// An error of a connection to a pod, with more than ureq can express.
#[derive(Debug)]
pub(super) enum ConnectionError {
    /// There is no connection yet; it failed in this phase.
    Setup(Phase, ureq::Error),
    /// The connection was kept from an earlier scrape, and closed before the head of the response was there.
    KeptClosed(io::Error),
    /// The response is refused.
    Response(Cow<'static, str>),
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
            ConnectionError::Response(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ConnectionError {}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.phase)?;
        match &self.reason {
            Reason::Deadline => f.write_str(
                "not scraped before the request's deadline; more CLIENT_WORKERS may help",
            ),
            Reason::QueueFull => f.write_str(
                "too many scrapes are waiting for a client worker; more CLIENT_WORKERS may help",
            ),
            Reason::Timeout(after) => write!(f, "timeout after {:.3} s", after.as_secs_f64()),
            Reason::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ScrapeError {}

/// The longest text of an error that a pod can influence, for example by the names in its certificate.
const TEXT_CHARS_MAX: usize = 200;

/// The text of an error on one line, without control characters, cut.
pub(super) fn brief(error: &dyn fmt::Display) -> String {
    error
        .to_string()
        .escape_debug()
        .take(TEXT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No server of the tests can have such a key: ring does not sign with it either.
    #[test]
    fn a_signature_with_a_short_key_says_what_to_do() {
        let error = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        let error = ScrapeError::of_ureq(Phase::Tls, error.into(), Duration::ZERO);
        assert_eq!(
            error.to_string(),
            "tls: invalid peer certificate: BadSignature, as for each RSA key of fewer than 2048 bits; \
             give the pod and its CA larger ones, or set the option tls-verify to false"
        );
    }
}
