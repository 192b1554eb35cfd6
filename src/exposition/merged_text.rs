//! The merged text, which never exists in one place: byte ranges of the parts' texts, in the order of the answer.

use super::Span;
use std::fmt;
use std::io::{self, Read, Write};

/// The number of the text beside the parts' texts in [`Piece::source`].
const BESIDE: u32 = u32::MAX;

/// A byte range of one source.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Number of the part, or [`BESIDE`].
    source: u32,
    start: usize,
    end: usize,
}

/// A merged text in the making: what is written anew, and what is taken from where.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    beside: Vec<u8>,
    list: Vec<Piece>,
}

impl Pieces {
    /// Appends a range of a part's text.
    pub(super) fn copy(&mut self, part: u32, range: Span) {
        let range = range.range();
        self.push(Piece {
            source: part,
            start: range.start,
            end: range.end,
        });
    }

    /// Appends what `write` appends to its buffer.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.beside.len();
        write(&mut self.beside);
        self.push(Piece {
            source: BESIDE,
            start,
            end: self.beside.len(),
        });
    }

    fn push(&mut self, piece: Piece) {
        match self.list.last_mut() {
            Some(last) if last.source == piece.source && last.end == piece.start => {
                last.end = piece.end;
            }
            _ => self.list.push(piece),
        }
    }
}

/// The answer to one request: the merged text of all its targets.
///
/// It owns the texts of the expositions; beside them it holds only HELP and TYPE lines, the reported samples, and
/// the order.
pub struct MergedText {
    texts: Vec<Vec<u8>>,
    pieces: Pieces,
    len: usize,
    help_conflicts: u64,
    type_conflicts: u64,
}

impl MergedText {
    pub(super) fn new(
        pieces: Pieces,
        texts: Vec<Vec<u8>>,
        help_conflicts: u64,
        type_conflicts: u64,
    ) -> MergedText {
        let len = pieces
            .list
            .iter()
            .map(|piece| piece.end - piece.start)
            .sum();
        MergedText {
            texts,
            pieces,
            len,
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

    /// The text as byte slices, in order; none is empty, many are short.
    #[must_use]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks {
            text: self,
            next: 0,
        }
    }

    /// Writes the whole text. The writer should buffer: see [`MergedText::chunks`].
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.chunks().try_for_each(|chunk| out.write_all(chunk))
    }

    /// The text as a reader that fills the whole buffer at each call until the end.
    #[must_use]
    pub fn into_reader(self) -> MergedTextReader {
        MergedTextReader {
            text: self,
            piece: 0,
            offset: 0,
        }
    }

    fn chunk(&self, number: usize) -> Option<&[u8]> {
        let piece = self.pieces.list.get(number)?;
        let source = match piece.source {
            BESIDE => &self.pieces.beside,
            part => &self.texts[part as usize],
        };
        Some(&source[piece.start..piece.end])
    }
}

/// Without the text itself: it can have gigabytes.
impl fmt::Debug for MergedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedText")
            .field("len", &self.len)
            .field("chunks", &self.pieces.list.len())
            .finish_non_exhaustive()
    }
}

/// The chunks of a [`MergedText`], in order.
#[derive(Debug)]
pub struct Chunks<'t> {
    text: &'t MergedText,
    next: usize,
}

impl<'t> Iterator for Chunks<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let chunk = self.text.chunk(self.next)?;
        self.next += 1;
        Some(chunk)
    }
}

/// Reads a [`MergedText`] from front to back.
#[derive(Debug)]
pub struct MergedTextReader {
    text: MergedText,
    piece: usize,
    /// What of the piece has been read.
    offset: usize,
}

impl Read for MergedTextReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len()
            && let Some(chunk) = self.text.chunk(self.piece)
        {
            let rest = &chunk[self.offset..];
            let length = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + length].copy_from_slice(&rest[..length]);
            filled += length;
            if length == rest.len() {
                self.piece += 1;
                self.offset = 0;
            } else {
                self.offset += length;
            }
        }
        Ok(filled)
    }
}
