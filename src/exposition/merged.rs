//! The body of a response, in whatever format: it never exists in one place, but is put together as it is read.

use super::Format;
use super::body::{Body, Part};
use super::merge::{self, MergedText};
use super::protobuf::{self, MergedProtobuf, ProtobufBody};
use std::fmt;
use std::io::{self, BufRead, Read, Write};

/// What is put together at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Whole lines and metrics are put together, so the last one goes beyond that.
const LINE_BYTES: usize = 4 * 1024;

/// Merges the parts into the body of a response in this format; bodies of other formats are converted. Series, values
/// and timestamps stay.
///
/// In text and OpenMetrics the samples of a family stand in the order of `parts`. HELP is that of the first part that
/// has one. Where TYPEs differ, `untyped` is written, as for a family without a TYPE; also for a histogram or summary
/// of which any part has samples that did not stand under its TYPE line: the values of `le` and `quantile` are then
/// those that Prometheus would have stored. A family that has only HELP or TYPE is written without samples: Prometheus
/// keeps its metadata. In OpenMetrics a family has the name that it has there (counters without `_total`), and its
/// `_created` samples stand in its block. Counters whose samples lack `_total` are `unknown`.
///
/// In protobuf the families of one part follow those of another, also where they have the same name. A body in
/// protobuf has a share in no other format, since it cannot be converted: [`super::Accept::best`] sees to that.
#[must_use]
pub fn merge(parts: Vec<Part>, format: Format) -> Merged {
    merge_with(parts, format, false)
}

/// The same; with `repeats_types` the TYPE line of a counter, histogram or summary stands before the samples of each
/// part that has some, if the format is OpenMetrics.
///
/// A Prometheus that stores start timestamps looks behind each sample for its `_created`, up to the next TYPE line and
/// every time anew. Without one before the end of a block, the time that it needs grows with the square of the number
/// of targets: it took 10 s instead of 0.05 s for 500 pods with 20 counters of two series each. Strict parsers of the
/// specification refuse a TYPE that is repeated: see [`super::Accept::may_read_start_timestamps`].
#[must_use]
pub fn merge_with(parts: Vec<Part>, format: Format, repeats_types: bool) -> Merged {
    let repeats_types = repeats_types && format == Format::OpenMetrics;
    Merged(match format {
        Format::Text | Format::OpenMetrics => {
            Content::Lines(merge::merge(parts, format, repeats_types))
        }
        Format::Protobuf => Content::Protobuf(merge_protobuf(parts)),
    })
}

fn merge_protobuf(parts: Vec<Part>) -> MergedProtobuf {
    let mut merged = MergedProtobuf::new(&parts);
    for part in parts {
        match part.body {
            Some(Body::Protobuf(body)) => merged.push(part.labels, body),
            Some(Body::Lines(exposition)) => {
                let body = ProtobufBody::convert(exposition, &part.labels);
                merged.push(part.labels, body);
            }
            None => {}
        }
    }
    merged
}

/// The body of the response to one request.
///
/// It owns the bodies of its parts; beside them it holds only metadata, the series that report on the targets, and the
/// order.
pub struct Merged(Content);

enum Content {
    Lines(MergedText),
    Protobuf(MergedProtobuf),
}

/// How much of a merged body has been put together; at first nothing.
#[derive(Debug, Default)]
pub struct Position {
    lines: merge::Position,
    protobuf: protobuf::MergedPosition,
}

impl Merged {
    /// Length of the whole body in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Lines(text) => text.len(),
            Content::Protobuf(merged) => merged.len(),
        }
    }

    /// Whether there is nothing, which is so only without parts and never in OpenMetrics.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the body is put together from. Mostly less than its length.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Content::Lines(text) => text.held_bytes(),
            Content::Protobuf(merged) => merged.held_bytes(),
        }
    }

    /// Number of families whose HELP texts differ between targets, and of those whose TYPEs do. Neither matters in
    /// protobuf.
    #[must_use]
    pub fn conflicts(&self) -> (u64, u64) {
        match &self.0 {
            Content::Lines(text) => text.conflicts(),
            Content::Protobuf(_) => (0, 0),
        }
    }

    /// Writes the whole body, in large pieces.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = self.buffer();
        let mut position = Position::default();
        loop {
            buffer.clear();
            self.append(&mut position, &mut buffer);
            if buffer.is_empty() {
                return Ok(());
            }
            out.write_all(&buffer)?;
        }
    }

    /// The body as a reader, which puts it together in large pieces.
    #[must_use]
    pub fn into_reader(self) -> MergedReader {
        MergedReader {
            buffer: self.buffer(),
            read: 0,
            position: Position::default(),
            merged: self,
        }
    }

    /// Room for what [`Merged::append`] appends at once.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        Vec::with_capacity(self.len().min(BUFFER_BYTES + LINE_BYTES))
    }

    /// Whether nothing comes behind this position.
    #[must_use]
    pub fn is_end(&self, position: &Position) -> bool {
        match &self.0 {
            Content::Lines(text) => text.is_end(&position.lines),
            Content::Protobuf(merged) => merged.is_end(&position.protobuf),
        }
    }

    /// Appends what comes behind this position, whole lines or metrics, at least so much that the buffer has its size,
    /// as long as there is so much left.
    pub fn append(&self, position: &mut Position, buffer: &mut Vec<u8>) {
        match &self.0 {
            Content::Lines(text) => text.append(&mut position.lines, buffer, BUFFER_BYTES),
            Content::Protobuf(merged) => {
                merged.append(&mut position.protobuf, buffer, BUFFER_BYTES);
            }
        }
    }
}

/// Without the body itself: it can have gigabytes.
impl fmt::Debug for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Reads a [`Merged`] from front to back.
#[derive(Debug)]
pub struct MergedReader {
    merged: Merged,
    position: Position,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    read: usize,
}

impl BufRead for MergedReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read >= self.buffer.len() {
            self.read = 0;
            self.buffer.clear();
            self.merged.append(&mut self.position, &mut self.buffer);
        }
        Ok(&self.buffer[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount;
    }
}

impl Read for MergedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
