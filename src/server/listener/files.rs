//! Certificate, key and token files, read again when they change.
//!
//! A thread of its own reads them every few seconds and compares what they hold, not their times: Kubernetes swaps
//! whole directories of a Secret by a symbolic link. A request only copies a pointer.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;

use super::auth::BearerTokens;
use super::tls::{self, TlsError, TlsFiles};

/// Largest file that is read: far more than any chain of certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a file cannot be used.
#[derive(Debug)]
pub enum FileError {
    /// It cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What it holds is not right.
    Tls(TlsError),
    /// What it holds is no token.
    Token(&'static str),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Read { path, error } => write!(f, "{}: {error}", path.display()),
            FileError::Tls(error) => error.fmt(f),
            FileError::Token(expected) => write!(f, "AUTH_TOKEN_FILE: {expected}"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FileError::Read { error, .. } => Some(error),
            FileError::Tls(error) => Some(error),
            FileError::Token(_) => None,
        }
    }
}

/// What the files hold at the moment.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) tls: Option<Watched<Arc<ServerConfig>>>,
    pub(super) needs_client_certificate: bool,
    pub(super) token: Option<Watched<Arc<BearerTokens>>>,
}

impl Files {
    pub(super) fn load(tls: Option<&TlsFiles>, token: Option<&Path>) -> Result<Files, FileError> {
        let tls_paths = tls.map(|files| {
            let ca = files.client_ca.as_ref();
            [&files.cert, &files.key]
                .into_iter()
                .chain(ca)
                .cloned()
                .collect()
        });
        Ok(Files {
            tls: tls_paths
                .map(|paths| Watched::load(paths, load_tls))
                .transpose()?,
            needs_client_certificate: tls.is_some_and(|files| files.client_ca.is_some()),
            token: token
                .map(|path| Watched::load(vec![path.to_owned()], load_token))
                .transpose()?,
        })
    }

    /// Whether there is anything to read again.
    pub(super) fn is_empty(&self) -> bool {
        self.tls.is_none() && self.token.is_none()
    }

    /// Takes up what has changed; what cannot be used is logged once and changes nothing.
    pub(super) fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.reload("TLS certificate");
        }
        if let Some(token) = &self.token {
            token.reload("token");
        }
    }
}

fn load_tls(contents: &[Vec<u8>]) -> Result<Arc<ServerConfig>, FileError> {
    let (cert, key) = (&contents[0], &contents[1]);
    tls::server_config(cert, key, contents.get(2).map(Vec::as_slice)).map_err(FileError::Tls)
}

fn load_token(contents: &[Vec<u8>]) -> Result<Arc<BearerTokens>, FileError> {
    BearerTokens::from_file(&contents[0])
        .map(Arc::new)
        .map_err(FileError::Token)
}

/// Something made from files, and what they held when it was made.
pub(super) struct Watched<T> {
    paths: Vec<PathBuf>,
    make: fn(&[Vec<u8>]) -> Result<T, FileError>,
    current: Mutex<T>,
    seen: Mutex<Seen>,
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

struct Seen {
    used: Vec<Vec<u8>>,
    /// The error of the last reload, and whether it is logged. Files are not always replaced at one moment, so an
    /// error counts only when it is found again.
    error: Option<(String, bool)>,
}

impl<T: Clone> Watched<T> {
    fn load(
        paths: Vec<PathBuf>,
        make: fn(&[Vec<u8>]) -> Result<T, FileError>,
    ) -> Result<Watched<T>, FileError> {
        let contents = read(&paths)?;
        let current = Mutex::new(make(&contents)?);
        let seen = Mutex::new(Seen {
            used: contents,
            error: None,
        });
        Ok(Watched {
            paths,
            make,
            current,
            seen,
        })
    }

    pub(super) fn current(&self) -> T {
        self.current
            .lock()
            .expect("the critical section copies one pointer")
            .clone()
    }

    fn reload(&self, what: &str) {
        let mut seen = self.seen.lock().expect("one thread reloads");
        let contents = read(&self.paths);
        if contents
            .as_ref()
            .is_ok_and(|contents| *contents == seen.used)
        {
            seen.error = None;
            return;
        }
        let made = contents.and_then(|contents| Ok(((self.make)(&contents)?, contents)));
        match made {
            Ok((made, contents)) => {
                *self
                    .current
                    .lock()
                    .expect("the critical section copies one pointer") = made;
                *seen = Seen {
                    used: contents,
                    error: None,
                };
                log::info!("a new {what} is in use");
            }
            Err(error) => {
                let error = error.to_string();
                let (again, logged) = match &seen.error {
                    Some((last, logged)) => (*last == error, *logged),
                    None => (false, false),
                };
                if again && !logged {
                    log::warn!(
                        "the new {what} cannot be used, the one before stays in use: {error}"
                    );
                }
                seen.error = Some((error, again));
            }
        }
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, FileError> {
    paths
        .iter()
        .map(|path| {
            read_one(path).map_err(|error| FileError::Read {
                path: path.clone(),
                error,
            })
        })
        .collect()
}

fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut content)?;
    Ok(content)
}
