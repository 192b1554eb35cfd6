//! The bearer token that pods of some namespaces are sent, if the operator says so.
//!
//! Whoever may label a pod chooses where a scrape goes, so the token leaves only over TLS with a checked certificate
//! and only for the namespaces that are named.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::reloaded::{BearerToken, Reloaded};
use crate::target::{ScrapeOptions, Target};

/// Age at which the file is read again; a refusal by a pod that was sent the token has it read at once.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// Which token, and for whom.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The file that holds the token.
    pub file: PathBuf,
    /// The namespaces whose pods are sent it.
    pub namespaces: Vec<String>,
}

/// The token, and for whom it is.
#[derive(Debug)]
pub(super) struct Token {
    namespaces: Vec<String>,
    file: Reloaded<BearerToken>,
}

impl Token {
    /// Reads the file. Without a token in it pods are scraped without one, until there is one.
    pub(super) fn open(settings: TokenSettings) -> Token {
        let files = vec![("SCRAPE_TOKEN_FILE", settings.file)];
        let file = Reloaded::open(files, TOKEN_AGE_MAX, |files| {
            BearerToken::from_file(&files[0])
        });
        if let Err(error) = file.latest() {
            log::warn!("{error}; pods that want a token will refuse");
        }
        Token {
            namespaces: settings.namespaces,
            file,
        }
    }

    /// The value of the header `Authorization` for this target, if it may have it.
    pub(super) fn header_for(&self, target: &Target, options: &ScrapeOptions) -> Option<String> {
        let is_verified = options.tls.as_ref().is_some_and(|tls| tls.verify);
        if !is_verified || !self.namespaces.contains(&target.namespace) {
            return None;
        }
        // What is wrong with the file is in the log.
        let token = self.file.current(Instant::now()).ok()?;
        Some(token.header_value())
    }

    /// Has the file read again at the next use: a pod refused the token.
    pub(super) fn expire(&self) {
        self.file.expire();
    }
}
