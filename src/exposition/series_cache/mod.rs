//! What the lines of bodies mean, remembered for the other bodies of the same request.
//!
//! Pods of a job run the same program, so most of their lines differ in values only. As the scrape cache of Prometheus
//! does over time, this does over the pods of a request: a line is found by its bytes before the value, first as the
//! one that followed the last line the time before, then by its hash; only what is not found is parsed. Bytes are
//! compared, never hashes alone, so no body changes what the line of another one means. Value and timestamp belong to
//! the body. What only one body has is forgotten with it.
//!
//! * `known_lines.rs`: the lines that are known, and how they are found
//! * `new_lines.rs`: what lines mean that are not known yet
//! * `body.rs`: reads one body
//! * `known_layout.rs`: what of a body is kept: the families that are asked for
//! * `in_body.rs`: what a body says, its values aside
//! * `places.rs`, `names.rs`: where lines are, by hash, and the names of metrics
//! * `series.rs`, `texts.rs`: how series are written, and the bytes of the lines

mod body;
mod in_body;
mod known_layout;
mod known_lines;
mod names;
mod new_lines;
mod places;
mod series;
mod texts;

use super::error::{Fault, LineError, LineErrorKind};
use super::{Asked, Exposition, Format, IdentityLabels};
use known_lines::KnownLines;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The known lines of one request. Dropped with it: nothing of a request serves another one.
///
/// Each body is read by one thread with known lines that no other thread has meanwhile, so that no thread waits for
/// another at each line. There are as many of these as bodies are read at the same time.
#[derive(Debug)]
pub struct SeriesCache {
    asked: Asked,
    samples_max: u64,
    state: Mutex<State>,
    /// A body has been read.
    ended: Condvar,
    readers_max: usize,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<KnownLines>,
    /// Bodies that are being read.
    readers: usize,
}

/// A body waits no longer for others to be read: only one that is huge, or made to be slow, takes so long.
const TURN_WAIT_MAX: Duration = Duration::from_millis(100);
/// Bytes of memory of all known lines of a request that nobody uses. Those that would exceed it are forgotten, and the
/// body after them is parsed as a whole.
const KNOWN_BYTES_MAX: usize = 32 << 20;
/// So many lines are known at least before they are forgotten…
const KNOWN_LINES_MIN: usize = 4096;
/// …because they are so many times those of the last body: most of them do not come back, and large tables are slow.
const KNOWN_LINES_PART: usize = 8;

impl SeriesCache {
    /// Nothing is known yet. Names are written as the scraper can read them. Of the bodies only the families that are
    /// asked for are kept, and bodies of which more than `samples_max` samples would be kept are refused.
    ///
    /// No more than `readers_max` bodies are read at the same time, unless the others would wait long. There is no use
    /// in more than there are cores: each of them has to learn what the lines mean.
    #[must_use]
    pub fn new(asked: Asked, samples_max: u64, readers_max: usize) -> SeriesCache {
        SeriesCache {
            asked,
            samples_max,
            state: Mutex::default(),
            ended: Condvar::new(),
            readers_max: readers_max.max(1),
        }
    }

    /// Reads one complete body, in the text format or in OpenMetrics, for a target with these labels: the same as
    /// [`parse`] makes of it, in less time if bodies before had some of its lines.
    ///
    /// # Errors
    /// As [`parse`], and [`LineErrorKind::Samples`].
    pub fn parse(
        &self,
        format: Format,
        body: &[u8],
        labels: &IdentityLabels,
    ) -> Result<Exposition, LineError> {
        if body.len() >= u32::MAX as usize {
            let fault = Fault {
                kind: LineErrorKind::Size,
                at: 0,
                counted: false,
            };
            return Err(fault.describe(body, 0));
        }
        let turn = self.turn();
        let mut lines = turn.take(format, labels);
        let exposition = lines.read(body, labels, self.samples_max);
        turn.put_back(lines);
        exposition
    }

    /// What is asked for.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Of how many samples a body is taken in at most.
    #[must_use]
    pub fn samples_max(&self) -> u64 {
        self.samples_max
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Waits until fewer bodies are read than should be, but not for ever.
    fn turn(&self) -> Turn<'_> {
        let are_enough = |state: &mut State| state.readers >= self.readers_max;
        let waited = self
            .ended
            .wait_timeout_while(self.state(), TURN_WAIT_MAX, are_enough);
        let (mut state, _) = waited.expect("no holder of this lock panics");
        state.readers += 1;
        Turn(self)
    }
}

/// For bodies that are read one after the other.
impl Default for SeriesCache {
    fn default() -> SeriesCache {
        SeriesCache::new(Asked::default(), u64::MAX, 1)
    }
}

/// One body's turn, which ends when it is dropped.
struct Turn<'c>(&'c SeriesCache);

impl Turn<'_> {
    /// Known lines of this format, for targets whose identity labels have the same names: they decide which labels of a
    /// pod are renamed. The last that were used are the likeliest to be near the processor.
    fn take(&self, format: Format, labels: &IdentityLabels) -> KnownLines {
        let mut state = self.0.state();
        let is_fitting = |lines: &KnownLines| lines.are_of(format, labels);
        match state.idle.iter().rposition(is_fitting) {
            Some(at) => state.idle.remove(at),
            None => KnownLines::new(format, labels, &self.0.asked),
        }
    }

    /// For the next body, unless they have become too many.
    fn put_back(&self, lines: KnownLines) {
        let lines_max = KNOWN_LINES_MIN + KNOWN_LINES_PART * lines.ids.len();
        if lines.entries.len() > lines_max {
            return;
        }
        let mut state = self.0.state();
        let held: usize = state.idle.iter().map(KnownLines::held_bytes).sum();
        if held + lines.held_bytes() <= KNOWN_BYTES_MAX {
            state.idle.push(lines);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().readers -= 1;
        self.0.ended.notify_one();
    }
}

/// Reads one complete body by itself, in the text format or in OpenMetrics, and finds in all its samples the place for
/// the identity labels.
///
/// Samples are written in one form, whatever the body's (quoted names, escapes, blanks between labels, labels without a
/// value), with values and timestamps byte for byte. A label that clashes with an identity label is kept as `exported_`
/// and its name, as Prometheus does for `honor_labels: false`.
///
/// # Errors
/// The first malformed line, as the parser of Prometheus 3 for this format would refuse it; or [`LineErrorKind::Size`]
/// for a body that is over `u32::MAX` bytes, as it is or as it would be written.
pub fn parse(
    format: Format,
    body: impl AsRef<[u8]>,
    labels: &IdentityLabels,
) -> Result<Exposition, LineError> {
    SeriesCache::default().parse(format, body.as_ref(), labels)
}
