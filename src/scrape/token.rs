//! The bearer token that pods of some namespaces are sent, if the operator says so.
//!
//! Whoever may label a pod chooses where a scrape goes, so the token leaves only over TLS with a checked certificate
//! and only for the namespaces that are named.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::target::{ScrapeOptions, Target};

/// Age at which the file is read again; a refusal by a pod has it read at once.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// Which token, and for whom.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The file that holds the token.
    pub file: PathBuf,
    /// The namespaces whose pods are sent it.
    pub namespaces: Vec<String>,
}

/// The token as last read.
#[derive(Debug)]
pub(super) struct Token {
    settings: TokenSettings,
    current: Mutex<Current>,
}

/// The value of the header `Authorization`, which `Debug` does not show.
#[derive(Clone)]
struct Header(String);

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Header(..)")
    }
}

#[derive(Debug, Default)]
struct Current {
    header: Option<Header>,
    read_at: Option<Instant>,
}

impl Token {
    pub(super) fn new(settings: TokenSettings) -> Token {
        Token {
            settings,
            current: Mutex::default(),
        }
    }

    /// The value of the header `Authorization` for this target, if it may have it.
    pub(super) fn header_for(&self, target: &Target, options: &ScrapeOptions) -> Option<String> {
        let is_verified = options.tls.as_ref().is_some_and(|tls| tls.verify);
        if !is_verified || !self.settings.namespaces.contains(&target.namespace) {
            return None;
        }
        let mut current = self.current.lock().expect("no holder of this lock panics");
        if current
            .read_at
            .is_none_or(|read_at| read_at.elapsed() >= TOKEN_AGE_MAX)
        {
            current.read_at = Some(Instant::now());
            // A token that cannot be read leaves the one before.
            if let Some(header) = self.read() {
                current.header = Some(header);
            }
        }
        current.header.as_ref().map(|header| header.0.clone())
    }

    /// Has the file read again at the next use: a pod refused the token.
    pub(super) fn expire(&self) {
        self.current
            .lock()
            .expect("no holder of this lock panics")
            .read_at = None;
    }

    fn read(&self) -> Option<Header> {
        let file = self.settings.file.display();
        match fs::read_to_string(&self.settings.file) {
            Ok(text) => {
                let token = text.trim_ascii();
                if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Some(Header(format!("Bearer {token}")));
                }
                log::warn!(
                    "SCRAPE_TOKEN_FILE {file}: expected a token, found none; pods that want one will refuse"
                );
            }
            Err(error) => {
                log::warn!("SCRAPE_TOKEN_FILE {file}: {error}; pods that want a token will refuse")
            }
        }
        None
    }
}
