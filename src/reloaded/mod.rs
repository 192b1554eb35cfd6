//! Files that are read again while the program runs: tokens, CAs, certificates and keys.
//!
//! Kubernetes may replace them at any time, by a symbolic link to a new directory (Secrets, projected tokens) or in
//! place. The same rules hold for all of them, those of client-go (`transport/token_source.go`,
//! `transport/ca_rotation.go`):
//!
//! * A file is read again at the first use after its age limit, and at the next use after [`Reloaded::expire`], which
//!   is for a token that was refused. No thread watches files.
//! * A file has changed if its bytes differ. Its time is ignored, because two changes can have the same time.
//! * A file that is broken changes nothing: the last good value stays in use. It is tried again after [`RETRY_AFTER`].
//!   The failure is logged once, and so is the recovery.
//! * The thread that needs a file first reads it. The others do not wait; they get the previous value meanwhile.
//! * No `Debug`, error or log line shows the content of a file.

mod pem;
mod token;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

pub use pem::{Certificates, authorities, certificates, certified_key};
pub use token::BearerToken;

/// The largest file that is read, far larger than any bundle of CAs.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How soon broken files are read again, if their age limit is not lower.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a file cannot be used. Names the file and what was expected, and never shows its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError(Arc<str>);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

/// The content of one file. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct FileContent {
    name: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileContent")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl FileContent {
    /// Reads the file. `name` is the setting, or another name by which the operator knows the file.
    fn read(name: &'static str, path: &Path) -> Result<FileContent, FileError> {
        let mut content = FileContent {
            name,
            path: path.to_owned(),
            bytes: Vec::new(),
        };
        let read = File::open(path).and_then(|file| {
            file.take(FILE_BYTES_MAX + 1)
                .read_to_end(&mut content.bytes)
        });
        match read {
            Err(error) => Err(content.error(error)),
            Ok(length) if length as u64 > FILE_BYTES_MAX => Err(content.error("larger than 1 MiB")),
            Ok(_) => Ok(content),
        }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An error about this file. `problem` must not quote its content.
    pub fn error(&self, problem: impl fmt::Display) -> FileError {
        FileError(format!("{} {:?}: {problem}", self.name, self.path).into())
    }
}

/// Makes the value from all files, in the order in which they were given.
pub type Parse<T> = fn(&[FileContent]) -> Result<T, FileError>;

/// A value made from one or several files, which are read again when they change.
pub struct Reloaded<T> {
    files: Vec<(&'static str, PathBuf)>,
    max_age: Duration,
    parse: Parse<T>,
    /// Locked only to copy or replace a pointer.
    latest: Mutex<Latest<T>>,
    /// Locked by the one thread that reads files; no other thread waits for it.
    last_read: Mutex<LastRead>,
}

struct Latest<T> {
    /// The last good value, or why there was never one.
    value: Result<Arc<T>, FileError>,
    /// When to read the files again; `None`: at the next use.
    due_at: Option<Instant>,
}

#[derive(Default)]
struct LastRead {
    /// The content that the value was made from.
    used: Option<Vec<FileContent>>,
    has_failed: bool,
    /// The last failure that was reported since the files were good.
    reported: Option<FileError>,
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded")
            .field("files", &self.files)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

impl<T> Reloaded<T> {
    /// Reads the files, each given by its path and by the name for errors and the log (its setting).
    ///
    /// If they cannot be used, [`Reloaded::latest`] returns the error until they can. The caller has to report it.
    #[must_use]
    pub fn open(
        files: Vec<(&'static str, PathBuf)>,
        max_age: Duration,
        parse: Parse<T>,
    ) -> Reloaded<T> {
        let not_read = FileError("not read yet".into());
        let reloaded = Reloaded {
            files,
            max_age,
            parse,
            latest: Mutex::new(Latest {
                value: Err(not_read),
                due_at: None,
            }),
            last_read: Mutex::default(),
        };
        reloaded.refresh(Instant::now());
        reloaded
    }

    /// Reads the files again if that is due, and returns the last good value: the same `Arc` until the files change.
    ///
    /// # Errors
    /// The files could never be used.
    pub fn current(&self, now: Instant) -> Result<Arc<T>, FileError> {
        self.refresh(now);
        self.latest()
    }

    /// The last good value, without reading the files.
    ///
    /// # Errors
    /// The files could never be used.
    pub fn latest(&self) -> Result<Arc<T>, FileError> {
        self.lock_latest().value.clone()
    }

    /// Makes the next use read the files again even if that is not due, because a server refused what they contained.
    pub fn expire(&self) {
        self.lock_latest().due_at = None;
    }

    /// Reads the files again if that is due and no other thread is reading them. Returns whether there is a new value.
    pub fn refresh(&self, now: Instant) -> bool {
        let Some(mut last_read) = self.begin_read(now) else {
            return false;
        };
        let read = read_all(&self.files).and_then(|contents| {
            if last_read.used.as_ref() == Some(&contents) {
                return Ok(None);
            }
            Ok(Some(((self.parse)(&contents)?, contents)))
        });
        let is_new = matches!(read, Ok(Some(_)));
        match read {
            Err(error) => {
                self.note_failure(&mut last_read, error, now);
                return false;
            }
            Ok(None) if last_read.reported.is_some() => {
                log::info!("{}: can be used again, nothing has changed", self.names());
            }
            Ok(None) => {}
            Ok(Some((value, contents))) => {
                self.lock_latest().value = Ok(Arc::new(value));
                if last_read.used.replace(contents).is_some() || last_read.has_failed {
                    log::info!("{}: the new content is in use", self.names());
                }
            }
        }
        last_read.has_failed = false;
        last_read.reported = None;
        is_new
    }

    /// The lock for reading, if that is due and no other thread is reading.
    fn begin_read(&self, now: Instant) -> Option<MutexGuard<'_, LastRead>> {
        let mut latest = self.lock_latest();
        if latest.due_at.is_some_and(|due_at| now < due_at) {
            return None;
        }
        let last_read = match self.last_read.try_lock() {
            Ok(last_read) => last_read,
            // The parser panicked; the notes of the read before are still right.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // Set before the files are read, so that an `expire` in the meantime has them read once more.
        latest.due_at = now.checked_add(self.max_age);
        Some(last_read)
    }

    fn note_failure(&self, last_read: &mut LastRead, error: FileError, now: Instant) {
        let mut latest = self.lock_latest();
        let retry_at = now + RETRY_AFTER;
        latest.due_at = latest.due_at.map(|due_at| due_at.min(retry_at));
        let consequence = if latest.value.is_ok() {
            "; the previous content stays in use"
        } else {
            latest.value = Err(error.clone());
            ""
        };
        drop(latest);
        let is_first_read = last_read.used.is_none() && !last_read.has_failed;
        // A certificate and its key are not always replaced at the same moment, so only the second failure in a row is
        // logged. The caller of `open` reports that of the first read.
        if is_first_read {
            last_read.reported = Some(error);
        } else if last_read.has_failed && last_read.reported.as_ref() != Some(&error) {
            log::warn!("{error}{consequence}");
            last_read.reported = Some(error);
        }
        last_read.has_failed = true;
    }

    fn lock_latest(&self) -> MutexGuard<'_, Latest<T>> {
        self.latest
            .lock()
            .expect("the critical sections only copy and replace pointers")
    }

    /// All names and paths, for the log.
    fn names(&self) -> String {
        let names = self.files.iter();
        let names: Vec<String> = names
            .map(|(name, path)| format!("{name} {path:?}"))
            .collect();
        names.join(", ")
    }
}

fn read_all(files: &[(&'static str, PathBuf)]) -> Result<Vec<FileContent>, FileError> {
    files
        .iter()
        .map(|(name, path)| FileContent::read(name, path))
        .collect()
}
