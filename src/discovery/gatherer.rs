//! The cache thread: gathers what the threads of `follower.rs` report, and has it published a few times a second at
//! most.

use std::convert::Infallible;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use log::error;

use super::cache_writer::CacheWriter;
use super::follower::{Report, Stopped};

/// The least time between two published sets. Hundreds of changes, as a rollout brings them, then cost a handful of
/// new sets; one alone is published at once.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

/// Reports that wait for the cache thread. Beyond that the watches wait, and TCP holds back the API server.
pub(super) const REPORTS_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Gatherer {
    pub(super) writer: CacheWriter,
    pub(super) reports: Receiver<Report>,
    pub(super) stop: Receiver<Infallible>,
    /// The threads that report.
    pub(super) threads: Vec<JoinHandle<()>>,
}

impl Gatherer {
    /// Runs until the other end of `stop` is dropped, or one of the threads ends.
    pub(super) fn run(mut self) {
        let mut publish_at = Instant::now();
        while self.gather(publish_at).is_ok() {
            publish_at = Instant::now() + PUBLISH_INTERVAL;
        }
        // Whoever is sending is let go before it is waited for.
        drop(self.reports);
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a thread of discovery ended with a panic");
            }
        }
    }

    /// Waits for a report and publishes it, together with those that come until `publish_at`.
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
