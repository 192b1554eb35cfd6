//! The CAs that certificates of pods are checked against: each file by itself, all of them together.
//!
//! Certificates that cannot be parsed are left out. A file that has no others, or cannot be read, keeps what it held
//! last, whatever the others do. Connections that were checked against other CAs than those of now are dropped by
//! `agents.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::tls::Certificate;

use super::connect::Tls;
use crate::reloaded::{Certificates, Reloaded, authorities};

/// Age at which CA files are read again, as client-go does with its own.
pub(super) const CA_FILES_AGE_MAX: Duration = Duration::from_secs(60);

/// The CA files.
#[derive(Debug)]
pub(super) struct Roots {
    files: Vec<Reloaded<Certificates>>,
}

/// What certificates of pods are checked against, and the CAs that it was made from.
#[derive(Debug)]
pub(super) struct Trust {
    /// One for each file; `None`: it could never be used.
    cas: Vec<Option<Arc<Certificates>>>,
    pub(super) verified: Tls,
}

impl Roots {
    /// Reads the files. Those that cannot be used are logged and left out until they can.
    pub(super) fn open(files: Vec<PathBuf>) -> Roots {
        let open = |path| {
            let file = Reloaded::open(vec![("CA file", path)], CA_FILES_AGE_MAX, |files| {
                authorities(&files[0])
            });
            if let Err(error) = file.latest() {
                log::warn!("{error}; pods with tls-verify=true may fail");
            }
            file
        };
        Roots {
            files: files.into_iter().map(open).collect(),
        }
    }

    /// Reads those files again that are due. Not to be called under a lock.
    pub(super) fn refresh(&self, now: Instant) {
        for file in &self.files {
            file.refresh(now);
        }
    }

    /// The CAs of now, without a look at the files.
    pub(super) fn trust(&self) -> Trust {
        let cas: Vec<_> = self.files.iter().map(|file| file.latest().ok()).collect();
        let all = cas.iter().flatten().flat_map(|file| file.iter());
        let verified = Tls::verified(all.map(|ca| Certificate::from_der(ca).to_owned()).collect());
        Trust { cas, verified }
    }

    /// Whether the CAs of now are those of this trust.
    pub(super) fn is_current(&self, trust: &Trust) -> bool {
        let mut both = self.files.iter().zip(&trust.cas);
        both.all(|(file, used)| {
            file.latest().ok().as_ref().map(Arc::as_ptr) == used.as_ref().map(Arc::as_ptr)
        })
    }
}
