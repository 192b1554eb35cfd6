//! The service account of this program's pod: its token, and the CA of the cluster.
//!
//! Both are files that the kubelet replaces while the program runs (a token at 80 % of its life, which is an hour by
//! default). They are read again at least each [`REREAD_INTERVAL`], and at once after [`ServiceAccount::expire`]. The
//! threads that list and watch share them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::reloaded::{BearerToken, Certificates, FileError, Reloaded, authorities};

/// Where Kubernetes mounts the service account in each container.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The age at which the files are read again.
pub const REREAD_INTERVAL: Duration = Duration::from_secs(60);

/// The name of the files in errors and in the log.
const FILE_NAME: &str = "service account file";

/// The files of a service account, with their last good content.
#[derive(Debug)]
pub struct ServiceAccount {
    token: Reloaded<BearerToken>,
    ca: Reloaded<Certificates>,
    /// Held while the files are read. Other threads wait for it, because after a 401 the previous token is of no use.
    reading: Mutex<()>,
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
            reading: Mutex::default(),
        }
    }

    /// The token, and the CA certificates for the server's certificate. Reads the files again if that was last done
    /// [`REREAD_INTERVAL`] before `now`, or if they have expired. Each is the same `Arc` as long as its file does not
    /// change.
    ///
    /// # Errors
    /// A file could never be used.
    pub fn credentials(
        &self,
        now: Instant,
    ) -> Result<(Arc<BearerToken>, Arc<Certificates>), FileError> {
        // A poisoned lock is fine, because it guards only the order.
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((self.token.current(now)?, self.ca.current(now)?))
    }

    /// Makes the next use read the files again, because the API server refused what they contained.
    pub fn expire(&self) {
        self.token.expire();
        self.ca.expire();
    }
}
