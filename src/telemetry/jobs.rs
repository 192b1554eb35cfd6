//! Counters by job. Anyone who labels pods can name jobs, so their number is bounded: the first jobs have counters of
//! their own, and all others share one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// How many jobs have counters of their own.
pub const COUNTED_JOBS_MAX: usize = 200;
/// The job name under which all further jobs are counted.
const OTHER: &str = "other";

#[derive(Debug, Clone, Default)]
pub(super) struct JobCounts {
    pub(super) body_bytes: u64,
    pub(super) body_bytes_max: u64,
    pub(super) targets: u64,
}

#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<BTreeMap<String, JobCounts>>);

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, JobCounts>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    pub(super) fn count_body(&self, job: &str, bytes: u64) {
        let mut jobs = self.lock();
        let counts = counts(&mut jobs, job);
        counts.body_bytes += bytes;
        counts.body_bytes_max = counts.body_bytes_max.max(bytes);
    }

    /// The counters of all jobs, with these numbers of targets. A job that is gone keeps its counters.
    pub(super) fn with_targets<'a>(
        &self,
        targets: impl Iterator<Item = (&'a str, usize)>,
    ) -> BTreeMap<String, JobCounts> {
        let mut jobs = self.lock();
        jobs.values_mut().for_each(|counts| counts.targets = 0);
        for (job, count) in targets {
            counts(&mut jobs, job).targets += count as u64;
        }
        jobs.clone()
    }
}

fn counts<'j>(jobs: &'j mut BTreeMap<String, JobCounts>, job: &str) -> &'j mut JobCounts {
    let has_own = jobs.contains_key(job) || jobs.len() < COUNTED_JOBS_MAX;
    let name = if has_own { job } else { OTHER };
    jobs.entry(name.to_owned()).or_default()
}
