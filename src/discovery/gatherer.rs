//! The cache thread: collects the reports of the threads in `follower.rs`, and publishes them at most a few times a
//! second.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::cache_writer::CacheWriter;
use super::follower::{Report, Stopped};

/// The shortest time between two published sets. So the hundreds of changes of a rollout cost only a handful of new
/// sets, while a single change is published at once.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

/// How many reports may wait for the cache thread. When they are that many, watches wait, and TCP slows down the API
/// server.
pub(super) const REPORTS_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Gatherer {
    pub(super) writer: CacheWriter,
    pub(super) reports: Receiver<Report>,
    pub(super) stop: Receiver<Infallible>,
}

impl Gatherer {
    /// Runs until the other end of `stop` is dropped, or one of the threads ends.
    pub(super) fn run(mut self) {
        let mut publish_at = Instant::now();
        while self.gather(publish_at).is_ok() {
            publish_at = Instant::now() + PUBLISH_INTERVAL;
        }
    }

    /// Waits for a report, and publishes it together with those that arrive before `publish_at`.
    fn gather(&mut self, publish_at: Instant) -> Result<(), Stopped> {
        let first = select! {
            recv(self.reports) -> report => report.map_err(|_| Stopped)?,
            recv(self.stop) -> _ => return Err(Stopped),
        };
        self.add(first)?;
        loop {
            let left = publish_at.saturating_duration_since(Instant::now());
            let next = select! {
                recv(self.reports) -> report => report.map_err(|_| Stopped)?,
                recv(self.stop) -> _ => return Err(Stopped),
                default(left) => break,
            };
            self.add(next)?;
            if left.is_zero() {
                break;
            }
        }
        self.writer.publish();
        Ok(())
    }

    fn add(&mut self, report: Report) -> Result<(), Stopped> {
        match report {
            Report::Outcomes(outcomes) => {
                for (scope, outcome) in outcomes {
                    self.writer.add(scope, outcome);
                }
                Ok(())
            }
            Report::Ended => Err(Stopped),
        }
    }
}
