//! The service account of the pod that this program runs in: its token and the CA of the cluster.
//!
//! Both are files that the kubelet replaces while the program runs (a token at 80 % of its life, an hour by default).
//! They are read again each [`REREAD_INTERVAL`] at least, and at once after [`ServiceAccount::expire`]. Used by the
//! thread that lists and by those that watch, which share what was read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::reloaded::{BearerToken, Certificates, FileError, Reloaded, authorities};

/// Where Kubernetes mounts the service account in each container.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How old a token or CA may be before the files are read again.
pub const REREAD_INTERVAL: Duration = Duration::from_secs(60);

/// What stands before the path in errors and in the log.
const FILE_NAME: &str = "service account file";

/// The files of a service account, and what was last read from them.
#[derive(Debug)]
pub struct ServiceAccount {
    token: Reloaded<BearerToken>,
    ca: Reloaded<Certificates>,
    /// Whoever comes while another thread reads waits here: after a 401 the token of before is of no use to it.
    turn: Mutex<()>,
}

impl ServiceAccount {
    /// Reads the files `token` and `ca.crt` of the directory.
    #[must_use]
    pub fn open(dir: &Path) -> ServiceAccount {
        let file = |name| -> Vec<(&'static str, PathBuf)> { vec![(FILE_NAME, dir.join(name))] };
        ServiceAccount {
            token: Reloaded::open(file("token"), REREAD_INTERVAL, |files| {
                BearerToken::from_file(&files[0])
            }),
            ca: Reloaded::open(file("ca.crt"), REREAD_INTERVAL, |files| {
                authorities(&files[0])
            }),
            turn: Mutex::default(),
        }
    }

    /// The token, and the certificates that the server's has to come from: read again if they were last read
    /// [`REREAD_INTERVAL`] before `now` or have expired. Each is the same `Arc` as long as its file does not change.
    ///
    /// # Errors
    /// A file could never be used.
    pub fn credentials(
        &self,
        now: Instant,
    ) -> Result<(Arc<BearerToken>, Arc<Certificates>), FileError> {
        // Poisoned or not: it guards nothing but the order.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((self.token.current(now)?, self.ca.current(now)?))
    }

    /// Has the files read again at the next use: the API server did not take what they held.
    pub fn expire(&self) {
        self.token.expire();
        self.ca.expire();
    }
}
