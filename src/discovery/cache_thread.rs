//! The cache thread: collects the reports of the threads in `follower.rs`, and publishes them at most a few times a
//! second.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select};

use super::cache_writer::CacheWriter;
use super::follower::Message;

/// The shortest time between two published sets. So the hundreds of changes of a rollout cost only a handful of new
/// sets, while a single change is published at once.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

/// How many reports may wait for the cache thread. When they are that many, watches wait, and TCP slows down the API
/// server.
pub(super) const REPORTS_MAX: usize = 256;

/// Runs until the other end of `stop` is dropped, or one of the threads that report ends.
pub(super) fn run(
    mut writer: CacheWriter,
    reports: &Receiver<Message>,
    stop: &Receiver<Infallible>,
) {
    let mut publish_at = Instant::now();
    let mut publish = never();
    loop {
        select! {
            recv(reports) -> report => {
                let Ok(Message::Outcomes(outcomes)) = report else {
                    return;
                };
                for (scope, outcome) in outcomes {
                    writer.add(scope, outcome);
                }
                publish = at(publish_at);
            }
            recv(stop) -> _ => return,
            recv(publish) -> _ => {
                writer.publish();
                publish_at = Instant::now() + PUBLISH_INTERVAL;
                publish = never();
            }
        }
    }
}
