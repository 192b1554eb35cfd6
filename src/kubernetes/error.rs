//! Errors of the API server's client.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::reloaded::FileError;
use crate::target::Excerpt;

/// How many characters of a message from outside are shown.
const SHOWN_MESSAGE_CHARS: usize = 300;

/// Why a list or a watch failed.
///
/// `Display` is for the operator: it says what is missing, and what the API server said, escaped and cut.
#[derive(Debug)]
pub enum ClientError {
    /// The service account cannot be used.
    Credentials(FileError),
    /// The response has no pods, or the event is an ERROR.
    Status {
        /// The HTTP status, any but 200, or the code of the event.
        status: u16,
        /// The right that the request needs: `list` or `watch`.
        verb: &'static str,
        /// The namespace of the request; `None`: all.
        namespace: Option<String>,
        /// The `message` of the `Status` in the body; empty if there is none.
        message: String,
        /// The header `Retry-After`, if it is a number of seconds.
        retry_after: Option<Duration>,
    },
    /// What did not come in time.
    Timeout(&'static str),
    /// There is no connection, or it broke off.
    Connection(io::Error),
    /// The response is not a pod list, or a line of a watch is not an event.
    Malformed(serde_json::Error),
    /// The response is larger than this limit.
    TooLarge(&'static str),
}

impl ClientError {
    /// The status of the response, if there was one other than 200.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the API server asks the client to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Credentials(error) => error.fmt(f),
            ClientError::Status {
                status,
                verb,
                namespace,
                message,
                ..
            } => {
                write!(f, "status {status}")?;
                if *status == 403 {
                    write!(f, ": the service account may not {verb} pods ")?;
                    match namespace {
                        None => f.write_str("at the cluster scope")?,
                        Some(namespace) => write!(f, "in namespace {namespace:?}")?,
                    }
                }
                if message.is_empty() {
                    return Ok(());
                }
                write!(f, ": {}", Excerpt(message, SHOWN_MESSAGE_CHARS))
            }
            ClientError::Timeout(phase) => write!(f, "timeout: {phase}"),
            ClientError::Connection(error) => write!(f, "connection: {error}"),
            ClientError::Malformed(error) => write!(f, "malformed response: {error}"),
            ClientError::TooLarge(limit) => write!(f, "larger than {limit}"),
        }
    }
}

impl std::error::Error for ClientError {}
