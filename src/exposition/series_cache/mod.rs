//! The series cache: lines that were parsed in one body are recognized in the other bodies of the same request.
//!
//! Pods of a job run the same program, so most of their lines differ only in their values. Prometheus has a scrape
//! cache over time; this is one over the pods of a request. A line is looked up by its bytes before the value: first it
//! is compared with the line that followed the last one in an earlier body, then it is looked up by hash. A line that
//! is not found is parsed and added. Bytes are always compared, not only hashes, so no body can change the meaning of a
//! line in another body. Values and timestamps belong to the body. Lines that only one body has are forgotten after it.
//!
//! * `known_lines.rs`: the known lines, and how they are looked up
//! * `new_lines.rs`: adds lines that are not known yet
//! * `body.rs`: reads one body
//! * `new_layout.rs`: makes the layout of a body, with the families that are asked for
//! * `places.rs`, `names.rs`: hash tables of lines, and the names of metrics
//! * `series.rs`, `texts.rs`: how series are written, and the bytes of the lines

mod body;
mod known_lines;
mod names;
mod new_layout;
mod new_lines;
mod places;
mod series;
mod texts;

use super::error::{Fault, LineError, LineErrorKind};
use super::protobuf::KnownBodies;
use super::{Asked, Exposition, Format, IdentityLabels};
use known_lines::KnownLines;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The known lines of one request. They are dropped with it, and never used by another request.
///
/// There are as many sets of known lines as bodies that are read at the same time. Each thread has its own set while it
/// reads a body, so that no thread waits for another one at each line.
#[derive(Debug)]
pub struct SeriesCache {
    asked: Asked,
    samples_max: u64,
    /// Bodies in protobuf.
    known_bodies: KnownBodies,
    state: Mutex<State>,
    /// Signals that a body has been read.
    ended: Condvar,
    readers_max: usize,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<KnownLines>,
    /// How many bodies are being read.
    readers: usize,
}

/// How long a body waits at most for others to be read. Only a body that is huge, or made to be slow, takes this long.
const PERMIT_WAIT_MAX: Duration = Duration::from_millis(100);
/// The limit in bytes for all known lines of a request that are not in use. A set of lines that would exceed it is
/// dropped, and a later body is then parsed as a whole.
const KNOWN_BYTES_MAX: usize = 32 << 20;
/// A set with fewer lines than this is never too large…
const KNOWN_LINES_MIN: usize = 4096;
/// …and a larger one is dropped if it has this many times the lines of the last body: most of its lines do not come
/// back, and large tables are slow.
const KNOWN_LINES_PART: usize = 8;
/// Each body that differs from the ones before refers to all texts of the known lines. With more texts than this, the
/// known lines are forgotten.
const KNOWN_TEXTS_MAX: usize = 64;

impl SeriesCache {
    /// An empty cache. Names are escaped as `asked` says, and only the families that it asks for are kept. A body with
    /// more than `samples_max` samples to keep is refused.
    ///
    /// At most `readers_max` bodies are read at the same time, unless a body would wait too long. More than the number
    /// of cores is of no use, because each reader has to parse the lines once.
    #[must_use]
    pub fn new(asked: Asked, samples_max: u64, readers_max: usize) -> SeriesCache {
        SeriesCache {
            asked,
            samples_max,
            known_bodies: KnownBodies::default(),
            state: Mutex::default(),
            ended: Condvar::new(),
            readers_max: readers_max.max(1),
        }
    }

    /// Parses one complete body, in the text format or in OpenMetrics, for a target with these labels. The result is
    /// that of [`parse`], but faster if earlier bodies had some of its lines.
    ///
    /// # Errors
    /// The errors of [`parse`], and [`LineErrorKind::Samples`].
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
        let permit = self.permit();
        let mut lines = permit.take(format, labels);
        let exposition = lines.read(body, labels, self.samples_max);
        permit.put_back(lines);
        exposition
    }

    /// What is asked for.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// How many samples a body may have.
    #[must_use]
    pub fn samples_max(&self) -> u64 {
        self.samples_max
    }

    pub(super) fn known_bodies(&self) -> &KnownBodies {
        &self.known_bodies
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Waits until fewer than `readers_max` bodies are being read, but not for ever.
    fn permit(&self) -> ReadPermit<'_> {
        let are_enough = |state: &mut State| state.readers >= self.readers_max;
        let waited = self
            .ended
            .wait_timeout_while(self.state(), PERMIT_WAIT_MAX, are_enough);
        let (mut state, _) = waited.expect("no holder of this lock panics");
        state.readers += 1;
        ReadPermit(self)
    }
}

/// A cache for all families, without a limit, with one reader at a time.
impl Default for SeriesCache {
    fn default() -> SeriesCache {
        SeriesCache::new(Asked::default(), u64::MAX, 1)
    }
}

/// The permit to read one body. Dropping it lets the next body be read.
struct ReadPermit<'c>(&'c SeriesCache);

impl ReadPermit<'_> {
    /// Takes the known lines of this format for targets whose identity labels have the same names, which decide which
    /// labels of a pod are renamed. The set that was used last is taken first: it is most likely in the processor's
    /// cache.
    fn take(&self, format: Format, labels: &IdentityLabels) -> KnownLines {
        let mut state = self.0.state();
        let is_fitting = |lines: &KnownLines| lines.are_of(format, labels);
        match state.idle.iter().rposition(is_fitting) {
            Some(at) => state.idle.remove(at),
            None => KnownLines::new(format, labels, &self.0.asked),
        }
    }

    /// Returns the known lines for the next body, unless they are too many.
    fn put_back(&self, lines: KnownLines) {
        let lines_max = KNOWN_LINES_MIN + KNOWN_LINES_PART * lines.ids.len();
        if lines.entries.len() > lines_max || lines.texts.count() > KNOWN_TEXTS_MAX {
            return;
        }
        let mut state = self.0.state();
        let held: usize = state.idle.iter().map(KnownLines::held_bytes).sum();
        if held + lines.held_bytes() <= KNOWN_BYTES_MAX {
            state.idle.push(lines);
        }
    }
}

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        self.0.state().readers -= 1;
        self.0.ended.notify_one();
    }
}

/// Parses one complete body by itself, in the text format or in OpenMetrics, and finds the place for the identity
/// labels in all its samples.
///
/// All series are written in one form, whatever form the body has (quoted names, escapes, blanks between labels, empty
/// label values). Values and timestamps are kept byte for byte. A label that clashes with an identity label is renamed
/// to `exported_` and its name, as Prometheus does with `honor_labels: false`.
///
/// # Errors
/// The first malformed line, which the parser of Prometheus 3 for this format would refuse, too; or
/// [`LineErrorKind::Size`] for a body that has over `u32::MAX` bytes, as it is or as it would be written.
pub fn parse(
    format: Format,
    body: impl AsRef<[u8]>,
    labels: &IdentityLabels,
) -> Result<Exposition, LineError> {
    SeriesCache::default().parse(format, body.as_ref(), labels)
}
