//! The merged text, which never exists in one place: it is put together from the bodies and identity labels of its
//! parts as it is read.

use super::labels::IdentityLabels;
use super::{Part, Run};
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::ops::Range;

/// What a reader puts together at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Whole lines are put together, so the last one goes beyond that.
const LINE_BYTES: usize = 4 * 1024;

/// What is kept of a part for its sample lines.
#[derive(Debug)]
pub(super) struct Source {
    labels: IdentityLabels,
    text: Vec<u8>,
    splits: Vec<u32>,
    labelled_bytes: usize,
}

impl From<Part> for Source {
    fn from(part: Part) -> Source {
        let exposition = part.exposition.unwrap_or_default();
        Source {
            labels: part.labels,
            text: exposition.text,
            splits: exposition.splits,
            labelled_bytes: exposition.labelled_bytes,
        }
    }
}

impl Source {
    /// Appends the lines of the run from the given one on, until `out` has `limit` bytes; says how many are done now.
    fn append(&self, run: Run, done: usize, out: &mut Vec<u8>, limit: usize) -> usize {
        let splits = &self.splits[run.splits.range()];
        let mut at = match done.checked_sub(1) {
            None => run.text.start as usize,
            Some(last) => self.behind_split(splits[last]),
        };
        for (number, &split) in (done..).zip(&splits[done..]) {
            if out.len() >= limit {
                return number;
            }
            // The end of the line before, and the start of this one.
            out.extend_from_slice(&self.text[at..split as usize]);
            at = self.behind_split(split);
            out.extend_from_slice(if at == split as usize {
                self.labels.alone()
            } else {
                self.labels.behind()
            });
        }
        out.extend_from_slice(&self.text[at..run.text.end as usize]);
        splits.len()
    }

    /// A closing brace is a part of what is put in.
    fn behind_split(&self, split: u32) -> usize {
        let split = split as usize;
        split + usize::from(self.text[split] == b'}')
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
        let samples: usize = sources.iter().map(|source| source.labelled_bytes).sum();
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
        let of_source = |source: &Source| source.text.len() + size_of_val(source.splits.as_slice());
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

    fn buffer(&self) -> Vec<u8> {
        Vec::with_capacity(self.len.min(BUFFER_BYTES + LINE_BYTES))
    }

    /// Appends what comes next, at least so much that the buffer has its size, as long as there is so much left.
    fn append(&self, position: &mut Position, buffer: &mut Vec<u8>) {
        while buffer.len() < BUFFER_BYTES
            && let Some(piece) = self.pieces.list.get(position.piece)
        {
            let is_done = match piece {
                Piece::Beside(range) => {
                    buffer.extend_from_slice(&self.pieces.beside[range.clone()]);
                    true
                }
                Piece::Samples { source, run } => {
                    let source = &self.sources[*source as usize];
                    position.lines = source.append(*run, position.lines, buffer, BUFFER_BYTES);
                    position.lines == run.splits.range().len()
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

/// How much of a merged text has been put together.
#[derive(Debug, Default)]
struct Position {
    /// All pieces before this one.
    piece: usize,
    /// So many lines of it, without the end of the last.
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
