//! The bearer token that is sent to pods of some namespaces, if the operator wants that.
//!
//! Everybody who may label a pod can choose where a scrape goes. So the token is sent only over verified TLS, and only
//! to pods in the namespaces that the operator named.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::reloaded::{BearerToken, Reloaded};
use crate::target::{ScrapeOptions, Target};

/// The age at which the file is read again. After a 401 of a pod that got the token it is read at once.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// The token's file, and the namespaces that get it.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The file with the token.
    pub file: PathBuf,
    /// The namespaces whose pods get the token.
    pub namespaces: Vec<String>,
}

/// The token, and the namespaces that get it.
#[derive(Debug)]
pub(super) struct PodToken {
    namespaces: Vec<String>,
    file: Reloaded<BearerToken>,
}

impl PodToken {
    /// Reads the file. If it has no token, pods are scraped without one until it has.
    pub(super) fn open(settings: TokenSettings) -> PodToken {
        let files = vec![("SCRAPE_TOKEN_FILE", settings.file)];
        let file = Reloaded::open(files, TOKEN_AGE_MAX, |files| {
            BearerToken::from_file(&files[0])
        });
        if let Err(error) = file.latest() {
            log::warn!("{error}; pods that want a token will refuse");
        }
        PodToken {
            namespaces: settings.namespaces,
            file,
        }
    }

    /// The value of the `Authorization` header for this target, if it gets the token.
    pub(super) fn header_for(&self, target: &Target, options: &ScrapeOptions) -> Option<String> {
        let is_verified = options.tls.as_ref().is_some_and(|tls| tls.verify);
        if !is_verified || !self.namespaces.contains(&target.namespace) {
            return None;
        }
        // The error is logged already.
        let token = self.file.current(Instant::now()).ok()?;
        Some(token.header_value())
    }

    /// Makes the next use read the file again, because a pod refused the token.
    pub(super) fn expire(&self) {
        self.file.expire();
    }
}
