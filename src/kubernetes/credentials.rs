//! The service account of the pod that this program runs in: its token and the CA of the cluster.
//!
//! Both are files that the kubelet replaces while the program runs (a token at 80 % of its life, an hour by default),
//! so they are read again: at least each [`REREAD_INTERVAL`], and at once after [`ServiceAccount::expire`]. The rules
//! are those of client-go (`transport/token_source.go`, `transport/ca_rotation.go`): what cannot be read leaves what
//! was read before. Runs in the cache thread.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where Kubernetes mounts the service account in each container.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How old a token or CA may be before the files are read again.
pub const REREAD_INTERVAL: Duration = Duration::from_secs(60);

const TOKEN_FILE: &str = "token";
const CA_FILE: &str = "ca.crt";

/// A credential. Its `Debug` never shows it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// The value of the header `Authorization`.
    #[must_use]
    pub fn header_value(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// What a connection to the API server needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Sent with every request.
    pub token: BearerToken,
    /// The certificates that the server's has to come from; at least one.
    pub ca: Vec<CertificateDer<'static>>,
}

/// Why a credential cannot be used. Names the file, never what it holds.
#[derive(Debug)]
pub enum CredentialsError {
    /// The file cannot be read as text.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in the token file, or something that cannot stand in a header.
    BadToken {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate in PEM in the CA file.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialsError::Unreadable { path, source } => {
                write!(f, "service account file {path:?}: {source}")
            }
            CredentialsError::BadToken { path } => {
                write!(f, "service account file {path:?}: expected a token")
            }
            CredentialsError::NoCertificate { path } => {
                write!(
                    f,
                    "service account file {path:?}: expected a PEM certificate"
                )
            }
        }
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CredentialsError::Unreadable { source, .. } => Some(source),
            CredentialsError::BadToken { .. } | CredentialsError::NoCertificate { .. } => None,
        }
    }
}

/// The directory with the files, and what was last read from it.
#[derive(Debug)]
pub struct ServiceAccount {
    dir: PathBuf,
    known: Option<Credentials>,
    read_at: Option<Instant>,
}

impl ServiceAccount {
    /// Nothing is read before [`ServiceAccount::credentials`] is called.
    #[must_use]
    pub fn new(dir: PathBuf) -> ServiceAccount {
        ServiceAccount {
            dir,
            known: None,
            read_at: None,
        }
    }

    /// The same files, for another connection.
    pub(super) fn another(&self) -> ServiceAccount {
        ServiceAccount::new(self.dir.clone())
    }

    /// Token and CA, read again if they were last read [`REREAD_INTERVAL`] before `now` or have expired.
    ///
    /// # Errors
    ///
    /// When a file cannot be used and none of its kind could be before.
    pub fn credentials(&mut self, now: Instant) -> Result<Credentials, CredentialsError> {
        let is_fresh = |read_at| now.duration_since(read_at) < REREAD_INTERVAL;
        if let Some(known) = &self.known
            && self.read_at.is_some_and(is_fresh)
        {
            return Ok(known.clone());
        }
        let known = self.known.as_ref();
        let credentials = Credentials {
            token: read_token(&self.dir)
                .or_else(|error| known.map(|known| known.token.clone()).ok_or(error))?,
            ca: read_ca(&self.dir)
                .or_else(|error| known.map(|known| known.ca.clone()).ok_or(error))?,
        };
        self.known = Some(credentials.clone());
        self.read_at = Some(now);
        Ok(credentials)
    }

    /// Has the files read again at the next use: the API server did not take what they held.
    pub fn expire(&mut self) {
        self.read_at = None;
    }
}

fn read_token(dir: &Path) -> Result<BearerToken, CredentialsError> {
    let path = dir.join(TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim_ascii();
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(CredentialsError::BadToken { path });
            }
            Ok(BearerToken(token.to_owned()))
        }
        Err(source) => Err(CredentialsError::Unreadable { path, source }),
    }
}

fn read_ca(dir: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let path = dir.join(CA_FILE);
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(CredentialsError::Unreadable { path, source }),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(ca) if !ca.is_empty() => Ok(ca),
        Ok(_) | Err(_) => Err(CredentialsError::NoCertificate { path }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    /// A service account whose files hold these texts; `None`: there is no such file.
    fn account(name: &str, token: Option<&str>, ca: Option<&str>) -> ServiceAccount {
        let dir =
            std::env::temp_dir().join(format!("service-account-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in [(TOKEN_FILE, token), (CA_FILE, ca)] {
            if let Some(text) = text {
                fs::write(dir.join(file), text).unwrap();
            }
        }
        ServiceAccount::new(dir)
    }

    fn replace_token(account: &ServiceAccount, token: &str) {
        fs::write(account.dir.join(TOKEN_FILE), token).unwrap();
    }

    #[track_caller]
    fn check_token(account: &mut ServiceAccount, now: Instant, expected: &str) {
        let header = account.credentials(now).unwrap().token.header_value();
        assert_eq!(header, format!("Bearer {expected}"));
    }

    #[test]
    fn files_are_read_again_when_old_and_when_expired() {
        let mut account = account("again", Some("one\n"), Some(CA));
        let start = Instant::now();
        check_token(&mut account, start, "one");
        replace_token(&account, "two");
        check_token(&mut account, start + REREAD_INTERVAL / 2, "one");
        check_token(&mut account, start + REREAD_INTERVAL, "two");
        replace_token(&account, "three");
        account.expire();
        check_token(&mut account, start + REREAD_INTERVAL, "three");
        replace_token(&account, "");
        account.expire();
        check_token(&mut account, start + REREAD_INTERVAL, "three");
        fs::remove_dir_all(&account.dir).unwrap();
        account.expire();
        check_token(&mut account, start + REREAD_INTERVAL, "three");
    }

    #[track_caller]
    fn check_error(name: &str, token: Option<&str>, ca: Option<&str>, expected: &str) {
        let mut account = account(name, token, ca);
        let error = account.credentials(Instant::now()).unwrap_err().to_string();
        fs::remove_dir_all(&account.dir).unwrap();
        assert!(error.ends_with(expected), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        check_error(
            "none",
            None,
            Some(CA),
            "token\": No such file or directory (os error 2)",
        );
        check_error("empty", Some("\n"), Some(CA), "token\": expected a token");
        check_error(
            "lines",
            Some("a\r\nb"),
            Some(CA),
            "token\": expected a token",
        );
        check_error(
            "no-ca",
            Some("t"),
            None,
            "ca.crt\": No such file or directory (os error 2)",
        );
        check_error(
            "bad-ca",
            Some("t"),
            Some("x"),
            "ca.crt\": expected a PEM certificate",
        );
    }

    #[test]
    fn debug_hides_the_token() {
        let mut account = account("debug", Some("s3cret"), Some(CA));
        account.credentials(Instant::now()).unwrap();
        fs::remove_dir_all(&account.dir).unwrap();
        let shown = format!("{account:?}");
        assert!(shown.contains("BearerToken(..)"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
