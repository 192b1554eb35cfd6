//! The certificate and token files of the listener. A new connection reads the certificate again if that is due, and a
//! request the tokens.

use std::path::PathBuf;
use std::time::Duration;

use rustls::ServerConfig;

use super::auth::BearerTokens;
use super::tls::{self, TlsFiles};
use crate::reloaded::{FileError, Reloaded};

/// The current content of the files.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) tls: Option<Reloaded<ServerConfig>>,
    pub(super) needs_client_certificate: bool,
    pub(super) tokens: Option<Reloaded<BearerTokens>>,
}

impl Files {
    /// Reads the files. They are read again after `max_age`.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn open(
        tls: Option<&TlsFiles>,
        token: Option<PathBuf>,
        max_age: Duration,
    ) -> Result<Files, FileError> {
        let files = Files {
            tls: tls.map(|files| Reloaded::open(files.named(), max_age, tls::server_config)),
            needs_client_certificate: tls.is_some_and(|files| files.client_ca.is_some()),
            tokens: token.map(|path| {
                let file = vec![("AUTH_TOKEN_FILE", path)];
                Reloaded::open(file, max_age, |files| BearerTokens::from_file(&files[0]))
            }),
        };
        files.tls.as_ref().map(Reloaded::latest).transpose()?;
        match files.tokens.as_ref().map(Reloaded::latest).transpose()? {
            Some(tokens) => tokens.first_bad_line().map_or(Ok(files), Err),
            None => Ok(files),
        }
    }
}
