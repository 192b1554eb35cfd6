//! The body of a response in any format. It is never in memory as a whole, but assembled while it is sent.

use super::Format;
use super::body::{Body, TargetResult};
use super::merge::{self, MergedText};
use super::protobuf::{self, MergedProtobuf, ProtobufBody};
use std::fmt;
use std::io::{self, BufRead, Read, Write};

/// The size of one assembled chunk.
const BUFFER_BYTES: usize = 256 * 1024;
/// A chunk consists of whole lines or metrics, so it exceeds the size by a part of the last one.
const LINE_BYTES: usize = 4 * 1024;

/// Merges the parts into the body of a response in this format. Bodies of other formats are converted; series, values
/// and timestamps stay the same.
///
/// Rules for text and OpenMetrics:
///
/// * The samples of a family are in the order of `parts`. Its HELP is that of the first part that has one.
/// * A family is `untyped` if it has no TYPE or if its TYPEs differ.
/// * A histogram or summary is also `untyped` if any part has samples of it outside of its TYPE line. The values of
///   `le` and `quantile` are then those that Prometheus would have stored.
/// * A family with only HELP or TYPE is written without samples, because Prometheus stores its metadata.
/// * In OpenMetrics, counters have no `_total` in the name of the family, and `_created` samples are in the block of
///   their family. A counter whose samples lack `_total` is `unknown`.
///
/// In protobuf, each part has its own families, even if their names are the same. A body in protobuf cannot be part of
/// a response in another format; [`super::Accept::best`] makes sure that this does not happen.
#[must_use]
pub fn merge(parts: Vec<TargetResult>, format: Format) -> Merged {
    merge_with(parts, format, false)
}

/// The same as [`merge`]. If the format is OpenMetrics, `repeats_types` repeats the TYPE line of a counter, histogram
/// or summary before the samples of each part.
///
/// A Prometheus that stores start timestamps searches for the `_created` of each sample up to the next TYPE line. With
/// one TYPE line for a whole family, its time grows with the square of the number of targets: 500 pods with 20 counters
/// of two series each took 10 s instead of 0.05 s. Strict parsers of the specification refuse repeated TYPE lines; see
/// [`super::Accept::may_read_start_timestamps`].
#[must_use]
pub fn merge_with(parts: Vec<TargetResult>, format: Format, repeats_types: bool) -> Merged {
    let repeats_types = repeats_types && format == Format::OpenMetrics;
    Merged(match format {
        Format::Text | Format::OpenMetrics => {
            Content::Lines(merge::merge(parts, format, repeats_types))
        }
        Format::Protobuf => Content::Protobuf(merge_protobuf(parts)),
    })
}

fn merge_protobuf(parts: Vec<TargetResult>) -> MergedProtobuf {
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
/// It owns the bodies of its parts. Besides these it has only metadata, the report series, and the order of the parts.
pub struct Merged(Content);

enum Content {
    Lines(MergedText),
    Protobuf(MergedProtobuf),
}

/// How much of a merged body has been assembled; at first nothing.
#[derive(Debug, Default)]
pub struct Position {
    lines: merge::Position,
    protobuf: protobuf::MergedPosition,
}

impl Merged {
    /// The length of the whole body in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Lines(text) => text.len(),
            Content::Protobuf(merged) => merged.len(),
        }
    }

    /// Whether the body is empty. It is so only without parts, and never in OpenMetrics.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory in bytes that the body is assembled from. Mostly less than its length.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Content::Lines(text) => text.held_bytes(),
            Content::Protobuf(merged) => merged.held_bytes(),
        }
    }

    /// The number of families whose HELP texts differ between targets, and the number of those whose TYPEs differ. Both
    /// are 0 in protobuf, where each target has families of its own.
    #[must_use]
    pub fn conflicts(&self) -> (u64, u64) {
        match &self.0 {
            Content::Lines(text) => text.conflicts(),
            Content::Protobuf(_) => (0, 0),
        }
    }

    /// Writes the whole body in large chunks.
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

    /// The body as a reader, which assembles it in large chunks.
    #[must_use]
    pub fn into_reader(self) -> MergedReader {
        MergedReader {
            buffer: self.buffer(),
            read: 0,
            position: Position::default(),
            merged: self,
        }
    }

    /// An empty buffer with the capacity for what [`Merged::append`] appends in one call.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        Vec::with_capacity(self.len().min(BUFFER_BYTES + LINE_BYTES))
    }

    /// Whether this position is the end of the body.
    #[must_use]
    pub fn is_end(&self, position: &Position) -> bool {
        match &self.0 {
            Content::Lines(text) => text.is_end(&position.lines),
            Content::Protobuf(merged) => merged.is_end(&position.protobuf),
        }
    }

    /// Appends whole lines or metrics from this position on, until the buffer has its full size or the body ends.
    pub fn append(&self, position: &mut Position, buffer: &mut Vec<u8>) {
        match &self.0 {
            Content::Lines(text) => text.append(&mut position.lines, buffer, BUFFER_BYTES),
            Content::Protobuf(merged) => {
                merged.append(&mut position.protobuf, buffer, BUFFER_BYTES);
            }
        }
    }
}

/// Without the body itself, which can have gigabytes.
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
    /// How many bytes of the buffer have been read.
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
