//! The error responses of the listener, the router and the handlers. Pure.

use std::borrow::Cow;
use std::fmt;

/// How many characters of a request's text a response or a log line repeats.
const SHOWN_CHARS_MAX: usize = 100;
/// 404: the path does not exist, or not for this client.
pub(super) const NO_SUCH_PATH: HttpError =
    HttpError::fixed(404, "no such path; / lists what there is");

/// 500: an error in this program.
pub(super) const INTERNAL: HttpError =
    HttpError::fixed(500, "internal error, please report it; the log has more");
/// 503: the server is stopping.
pub(super) const STOPPING: HttpError =
    HttpError::fixed(503, "the server is shutting down; try again");

/// A status, and one line for people that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// 400 to 505.
    pub status: u16,
    /// One line without its end. Text from a client is escaped and cut.
    pub message: Cow<'static, str>,
}

impl HttpError {
    /// An error with this status and line.
    pub(super) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> HttpError {
        HttpError {
            status,
            message: message.into(),
        }
    }

    /// The same, for constants.
    pub(super) const fn fixed(status: u16, message: &'static str) -> HttpError {
        HttpError {
            status,
            message: Cow::Borrowed(message),
        }
    }

    /// The header that belongs to the status, if any.
    pub(super) fn header(&self) -> Option<(&'static str, &'static str)> {
        match self.status {
            401 => Some(("WWW-Authenticate", "Bearer")),
            405 => Some(("Allow", "GET, HEAD")),
            503 => Some(("Retry-After", "1")),
            _ => None,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HttpError {}

/// Text from a client on one line: quoted, escaped and cut.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{cut:?}")
}
