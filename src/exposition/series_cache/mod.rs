//! What the lines of bodies mean, remembered for the other bodies of the same request.
//!
//! Pods of a job run the same program, so most of their lines differ in values only. As the scrape cache of Prometheus
//! does over time, this does over the pods of a request: a line is found by its bytes before the value, first as the
//! one that followed the last line the time before, then by its hash; only what is not found is parsed. Bytes are
//! compared, never hashes alone, so no body changes what the line of another one means. Value and timestamp belong to
//! the body.
//!
//! * `known_lines.rs`: the lines that are known, and how they are found
//! * `body.rs`: reads one body
//! * `in_body.rs`: what a body says, its values aside
//! * `series.rs`, `texts.rs`: how series are written, and the bytes of the lines

mod body;
mod in_body;
mod known_lines;
mod series;
mod texts;

use super::error::{Fault, LineError, LineErrorKind};
use super::{Accept, Exposition, Format, IdentityLabels};
use known_lines::KnownLines;
use std::sync::{Mutex, MutexGuard};

/// The known lines of one request. Dropped with it: nothing of a request serves another one.
///
/// Each body is read by one thread with known lines that no other thread has meanwhile, so no thread waits for another.
/// There are as many of these as bodies have been read at the same time.
#[derive(Debug, Default)]
pub struct SeriesCache {
    accept: Accept,
    idle: Mutex<Vec<KnownLines>>,
}

/// Bytes of memory of all known lines of a request that nobody uses. Those that would exceed it are forgotten, and the
/// body after them is parsed as a whole.
const KNOWN_BYTES_MAX: usize = 32 << 20;

impl SeriesCache {
    /// Nothing is known yet. Names are written as the scraper can read them.
    #[must_use]
    pub fn new(accept: Accept) -> SeriesCache {
        SeriesCache {
            accept,
            idle: Mutex::default(),
        }
    }

    /// Reads one complete body for a target with these labels: the same as [`parse`] makes of it, in less time if
    /// bodies before had some of its lines.
    ///
    /// # Errors
    /// As [`parse`].
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
        let mut lines = self.take(format, labels);
        let exposition = lines.read(body, labels);
        self.put_back(lines);
        exposition
    }

    /// Known lines that are known for this format, and for targets whose identity labels have the same names: they
    /// decide which labels of a pod are renamed. The last that were used are the likeliest to be near the processor.
    fn take(&self, format: Format, labels: &IdentityLabels) -> KnownLines {
        let mut idle = self.lock();
        let fitting = idle.iter().rposition(|lines| lines.are_of(format, labels));
        match fitting {
            Some(at) => idle.remove(at),
            None => KnownLines::new(format, labels, self.accept.escaping(format)),
        }
    }

    fn put_back(&self, lines: KnownLines) {
        let mut idle = self.lock();
        let held: usize = idle.iter().map(KnownLines::held_bytes).sum();
        if held + lines.held_bytes() <= KNOWN_BYTES_MAX {
            idle.push(lines);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<KnownLines>> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}

/// Reads one complete body by itself, and finds in all its samples the place for the identity labels.
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
