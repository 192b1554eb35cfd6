//! The target cache: the cache thread publishes target sets in it, and all other threads read them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::target::TargetSet;

/// The last complete set of targets. Clones share the same cache. It is empty until the first set is published.
///
/// Readers and the writer never wait for each other's work: the lock is held only while a pointer is copied.
#[derive(Debug, Clone, Default)]
pub struct TargetCache {
    state: Arc<Mutex<CacheState>>,
}

#[derive(Debug, Default)]
struct CacheState {
    targets: Option<Arc<TargetSet>>,
    last_success: Option<Instant>,
    last_error: Option<Arc<str>>,
}

impl TargetCache {
    /// The current targets; `None` before the first complete list.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<TargetSet>> {
        self.lock().targets.clone()
    }

    /// When the pods were last listed; with several namespaces, when the oldest of their lists was made.
    #[must_use]
    pub fn last_success(&self) -> Option<Instant> {
        self.lock().last_success
    }

    /// Why the last list failed; `None` while lists succeed. Text from outside is escaped and cut.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<str>> {
        self.lock().last_error.clone()
    }

    /// Replaces the targets.
    pub fn publish(&self, targets: Arc<TargetSet>) {
        self.lock().targets = Some(targets);
    }

    pub(super) fn set_outcome(&self, last_success: Option<Instant>, last_error: Option<Arc<str>>) {
        let mut state = self.lock();
        state.last_success = last_success;
        state.last_error = last_error;
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state
            .lock()
            .expect("the critical section copies pointers")
    }
}
