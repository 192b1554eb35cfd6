//! The merged text, which never exists in one place: it is put together from the bodies and identity labels of its
//! parts as it is read.

use super::labels::IdentityLabels;
use super::values::{Values, push_short};
use super::{Exposition, Part, Run};
use std::collections::HashSet;
use std::fmt;
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::ops::Range;
use std::sync::Arc;

/// What is put together at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// So many pieces are looked at before they are needed.
const AHEAD: usize = 8;
const CACHE_LINE_BYTES: usize = 64;
/// Whole lines are put together, so the last one goes beyond that.
const LINE_BYTES: usize = 4 * 1024;

/// What is kept of a part for its sample lines.
#[derive(Debug)]
pub(super) struct Source {
    labels: IdentityLabels,
    exposition: Exposition,
}

impl From<Part> for Source {
    fn from(part: Part) -> Source {
        Source {
            labels: part.labels,
            exposition: part.exposition.unwrap_or_default(),
        }
    }
}

impl Source {
    /// Length of all its sample lines.
    fn len(&self) -> usize {
        let Exposition {
            layout,
            own,
            values,
        } = &self.exposition;
        let lengths = own.as_ref().map_or(layout.lengths, |own| own.lengths);
        let lines = self.exposition.lines().len();
        let braces = lengths.braces * self.labels.behind().len();
        let others = (lines - lengths.braces) * self.labels.alone().len();
        let values = values.as_ref().map_or(lengths.values, Values::len);
        lengths.series + braces + others + values + lines
    }

    /// Bytes of memory beside the layout, about.
    fn held_bytes(&self) -> usize {
        let own = self.exposition.own.as_ref();
        let own = own.map_or(0, |own| own.text.len() + size_of_val(own.lines.as_slice()));
        own + self
            .exposition
            .values
            .as_ref()
            .map_or(0, Values::held_bytes)
    }

    /// Appends the lines of these samples until `out` has `limit` bytes; says which one is next.
    fn append(&self, samples: Range<usize>, out: &mut Vec<u8>, limit: usize) -> usize {
        match &self.exposition.values {
            Some(values) => {
                let ranges = values.ranges(samples.clone());
                self.append_lines(samples, values.text(), ranges, out, limit)
            }
            None => {
                let lines = self.exposition.lines()[samples.clone()].iter();
                let ranges = lines.map(|line| line.value as usize..line.end as usize);
                self.append_lines(samples, &self.exposition.layout.text, ranges, out, limit)
            }
        }
    }

    /// The values stand in these ranges of `values`.
    fn append_lines(
        &self,
        samples: Range<usize>,
        values: &[u8],
        ranges: impl Iterator<Item = Range<usize>>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> usize {
        let Exposition { layout, own, .. } = &self.exposition;
        let end = samples.end;
        let lines = self.exposition.lines()[samples.clone()].iter();
        for ((number, line), value) in samples.zip(lines).zip(ranges) {
            if out.len() >= limit {
                return number;
            }
            let (start, split) = (line.start as usize, line.split as usize);
            let behind_layout = start.checked_sub(layout.text.len());
            let (text, start, split) = match (behind_layout, own) {
                (Some(own_start), Some(own)) => (&own.text, own_start, own_start + split - start),
                _ => (&layout.text, start, split),
            };
            out.extend_from_slice(&text[start..split]);
            // A closing brace is a part of what is put in.
            out.extend_from_slice(if text.get(split) == Some(&b'}') {
                self.labels.behind()
            } else {
                self.labels.alone()
            });
            push_short(out, values, value);
            out.push(b'\n');
        }
        end
    }
}

/// What follows in the text.
#[derive(Debug, Clone)]
enum Piece {
    /// Of the text beside the sources.
    Beside(Range<usize>),
    Samples {
        source: u32,
        run: Run,
    },
}

/// A merged text in the making: what is written anew, and what is taken from where.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    beside: Vec<u8>,
    list: Vec<Piece>,
}

impl Pieces {
    /// Appends the samples of a run of a part.
    pub(super) fn push_run(&mut self, part: u32, run: Run) {
        self.list.push(Piece::Samples { source: part, run });
    }

    /// Appends what `write` appends to its buffer.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.beside.len();
        write(&mut self.beside);
        let end = self.beside.len();
        match self.list.last_mut() {
            Some(Piece::Beside(range)) => range.end = end,
            _ => self.list.push(Piece::Beside(start..end)),
        }
    }
}

/// The answer to one request: the merged text of all its targets.
///
/// It owns the bodies of the expositions; beside them it holds only HELP and TYPE lines, the reported samples, and
/// the order.
pub struct MergedText {
    sources: Vec<Source>,
    pieces: Pieces,
    len: usize,
    help_conflicts: u64,
    type_conflicts: u64,
}

impl MergedText {
    /// The pieces have to hold each sample of the sources once.
    pub(super) fn new(
        pieces: Pieces,
        sources: Vec<Source>,
        help_conflicts: u64,
        type_conflicts: u64,
    ) -> MergedText {
        let samples: usize = sources.iter().map(Source::len).sum();
        MergedText {
            len: pieces.beside.len() + samples,
            sources,
            pieces,
            help_conflicts,
            type_conflicts,
        }
    }

    /// Length of the whole text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no text, which is so only without parts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the text is put together from. Mostly less than its length, but the bodies have comments
    /// and duplicates too.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let mut layouts = HashSet::new();
        let of_source = |source: &Source| {
            let layout = &source.exposition.layout;
            let is_new = layouts.insert(Arc::as_ptr(layout));
            source.held_bytes() + if is_new { layout.held_bytes() } else { 0 }
        };
        let sources: usize = self.sources.iter().map(of_source).sum();
        sources + self.pieces.beside.len() + size_of_val(self.pieces.list.as_slice())
    }

    /// Number of families whose HELP texts differ between targets.
    #[must_use]
    pub fn help_conflicts(&self) -> u64 {
        self.help_conflicts
    }

    /// Number of families whose TYPEs differ between targets.
    #[must_use]
    pub fn type_conflicts(&self) -> u64 {
        self.type_conflicts
    }

    /// Writes the whole text, in large pieces.
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

    /// The text as a reader, which puts it together in large pieces.
    #[must_use]
    pub fn into_reader(self) -> MergedTextReader {
        MergedTextReader {
            buffer: self.buffer(),
            read: 0,
            position: Position::default(),
            text: self,
        }
    }

    /// Room for what [`MergedText::append`] appends at once.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        Vec::with_capacity(self.len.min(BUFFER_BYTES + LINE_BYTES))
    }

    /// Whether nothing comes behind this position.
    #[must_use]
    pub fn is_end(&self, position: &Position) -> bool {
        position.piece == self.pieces.list.len()
    }

    /// Reads a little of the values of the next pieces. Each of them stands somewhere else in memory, and to wait for
    /// several at once takes less time than for one after the other: so first it is read where all of them are, and then
    /// from each as many bytes, whatever it has, or else the processor would have to wait before it knows how to go on.
    fn touch(&self, piece: usize) {
        let mut next: [&[u8]; AHEAD] = Default::default();
        for (piece, next) in self.pieces.list[piece..].iter().zip(&mut next) {
            if let Piece::Samples { source, run } = piece
                && let Some(values) = &self.sources[*source as usize].exposition.values
            {
                *next = &values.text()[values.start(run.start as usize)..];
            }
        }
        let first_bytes = next.iter().flat_map(|text| {
            let lines = [0, 1, 2].map(|line| line * CACHE_LINE_BYTES);
            lines.map(|at| text.get(at).copied().unwrap_or(0))
        });
        black_box(first_bytes.fold(0, |a, b| a ^ b));
    }

    /// Appends what comes behind this position, whole lines, at least so much that the buffer has its size, as long as
    /// there is so much left.
    pub fn append(&self, position: &mut Position, buffer: &mut Vec<u8>) {
        while buffer.len() < BUFFER_BYTES
            && let Some(piece) = self.pieces.list.get(position.piece)
        {
            if position.lines == 0 && position.piece.is_multiple_of(AHEAD) {
                self.touch(position.piece);
            }
            let is_done = match piece {
                Piece::Beside(range) => {
                    buffer.extend_from_slice(&self.pieces.beside[range.clone()]);
                    true
                }
                Piece::Samples { source, run } => {
                    let source = &self.sources[*source as usize];
                    let samples = run.range();
                    let next = source.append(
                        samples.start + position.lines..samples.end,
                        buffer,
                        BUFFER_BYTES,
                    );
                    position.lines = next - samples.start;
                    next == samples.end
                }
            };
            if is_done {
                position.piece += 1;
                position.lines = 0;
            }
        }
    }
}

/// Without the text itself: it can have gigabytes.
impl fmt::Debug for MergedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedText")
            .field("len", &self.len)
            .field("pieces", &self.pieces.list.len())
            .finish_non_exhaustive()
    }
}

/// How much of a merged text has been put together; at first nothing.
#[derive(Debug, Default)]
pub struct Position {
    /// All pieces before this one.
    piece: usize,
    /// So many lines of it.
    lines: usize,
}

/// Reads a [`MergedText`] from front to back.
#[derive(Debug)]
pub struct MergedTextReader {
    text: MergedText,
    position: Position,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    read: usize,
}

impl BufRead for MergedTextReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read >= self.buffer.len() {
            self.read = 0;
            self.buffer.clear();
            self.text.append(&mut self.position, &mut self.buffer);
        }
        Ok(&self.buffer[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount;
    }
}

impl Read for MergedTextReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
