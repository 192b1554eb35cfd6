//! The merged text, which never exists in one place: it is put together from the bodies and identity labels of its
//! parts as it is read.

use crate::exposition::labels::IdentityLabels;
use crate::exposition::layout::{Layout, Run, TextRef};
use crate::exposition::timestamp::push_converted;
use crate::exposition::values::push_short;
use crate::exposition::{Body, Exposition, Format, Part};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// What is kept of a part for its sample lines.
#[derive(Debug)]
pub(super) struct Source {
    labels: IdentityLabels,
    exposition: Exposition,
}

impl Source {
    /// With the values as this format has them. Only what follows a number is said in another way.
    pub(super) fn new(part: Part, format: Format) -> Source {
        let mut exposition = match part.body {
            Some(Body::Lines(exposition)) => exposition,
            _ => Exposition::default(),
        };
        let from = exposition.format;
        if from != format && memchr::memchr(b' ', exposition.values.text()).is_some() {
            let convert = |value: &[u8], out: &mut Vec<u8>| push_converted(out, value, from);
            exposition.values = exposition.values.each(convert);
        }
        Source {
            labels: part.labels,
            exposition,
        }
    }

    /// Length of all its sample lines, with series as they are written.
    fn len(&self) -> usize {
        let Exposition { layout, values, .. } = &self.exposition;
        let lines = layout.series.len();
        let braces = layout.lengths.braces * self.labels.behind().len();
        let others = (lines - layout.lengths.braces) * self.labels.alone().len();
        layout.lengths.series + braces + others + values.len() + lines
    }

    /// Appends the lines of these samples until `out` has `limit` bytes; says which one is next.
    fn append(&self, samples: Range<usize>, out: &mut Vec<u8>, limit: usize) -> usize {
        let series = &self.exposition.layout.series[samples.clone()];
        self.append_lines(samples, series.iter().copied(), out, limit)
    }

    /// The same, with each series as Prometheus stores it.
    fn append_stored(&self, samples: Range<usize>, out: &mut Vec<u8>, limit: usize) -> usize {
        let layout = &self.exposition.layout;
        let mut stored = layout.stored_of(&samples).iter().peekable();
        let series = samples.clone().map(|sample| {
            let stored = stored.next_if(|(number, _)| *number as usize == sample);
            stored.map_or(layout.series[sample], |(_, text)| *text)
        });
        self.append_lines(samples, series, out, limit)
    }

    #[inline(always)]
    fn append_lines(
        &self,
        samples: Range<usize>,
        series: impl Iterator<Item = TextRef>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> usize {
        let Exposition { layout, values, .. } = &self.exposition;
        let end = samples.end;
        for ((number, series), value) in samples.clone().zip(series).zip(values.ranges(samples)) {
            if out.len() >= limit {
                return number;
            }
            out.extend_from_slice(layout.text(series));
            out.extend_from_slice(if series.needs_brace() {
                self.labels.behind()
            } else {
                self.labels.alone()
            });
            push_short(out, values.text(), value);
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
        /// Whether series are written as Prometheus stores them, because the TYPE line makes it rewrite none.
        is_stored: bool,
    },
}

/// A merged text in the making: what is written anew, and what is taken from where.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    beside: Vec<u8>,
    list: Vec<Piece>,
    /// How much longer the text is than what it is put together from, since series are written as Prometheus stores
    /// them and lines are repeated, and how much shorter.
    longer: usize,
    shorter: usize,
}

impl Pieces {
    /// Appends the samples of a run of a part.
    pub(super) fn push_run(&mut self, part: u32, run: Run) {
        self.list.push(Piece::Samples {
            source: part,
            run,
            is_stored: false,
        });
    }

    /// The same, with each series as Prometheus stores it.
    pub(super) fn push_stored_run(&mut self, part: u32, run: Run, layout: &Layout) {
        let samples = run.start as usize..run.end as usize;
        let stored = layout.stored_of(&samples);
        for (sample, text) in stored {
            self.longer += text.len();
            self.shorter += layout.series[*sample as usize].len();
        }
        self.list.push(Piece::Samples {
            source: part,
            run,
            is_stored: !stored.is_empty(),
        });
    }

    /// Appends what `write` appends to its buffer. Says where in the buffer that is, for [`Pieces::repeat`].
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.beside.len();
        write(&mut self.beside);
        let end = self.beside.len();
        match self.list.last_mut() {
            Some(Piece::Beside(range)) if range.end == start => range.end = end,
            _ => self.list.push(Piece::Beside(start..end)),
        }
        start..end
    }

    /// Appends once more what was written before.
    pub(super) fn repeat(&mut self, written: &Range<usize>) {
        self.longer += written.len();
        self.list.push(Piece::Beside(written.clone()));
    }
}

/// The text of all parts. Beside their bodies it holds only HELP, TYPE and UNIT lines, the reported samples, and the
/// order.
#[derive(Debug)]
pub(in crate::exposition) struct MergedText {
    sources: Vec<Source>,
    pieces: Pieces,
    len: usize,
    conflicts: (u64, u64),
}

impl MergedText {
    /// The pieces have to hold each sample of the sources once.
    pub(super) fn new(pieces: Pieces, sources: Vec<Source>, conflicts: (u64, u64)) -> MergedText {
        let samples: usize = sources.iter().map(Source::len).sum();
        MergedText {
            len: pieces.beside.len() + samples + pieces.longer - pieces.shorter,
            sources,
            pieces,
            conflicts,
        }
    }

    /// Length of the whole text in bytes.
    pub(in crate::exposition) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that the text is put together from. Mostly less than its length.
    pub(in crate::exposition) fn held_bytes(&self) -> usize {
        let (mut layouts, mut texts) = (HashSet::new(), HashSet::new());
        let mut held = self.pieces.beside.len() + size_of_val(self.pieces.list.as_slice());
        for Source { exposition, .. } in &self.sources {
            held += exposition.values.held_bytes();
            if layouts.insert(Arc::as_ptr(&exposition.layout)) {
                held += exposition.layout.held_bytes();
                let new = exposition.layout.texts.iter();
                let new = new.filter(|text| texts.insert(Arc::as_ptr(text)));
                held += new.map(|text| text.len()).sum::<usize>();
            }
        }
        held
    }

    /// Number of families whose HELP texts differ between targets, and of those whose TYPEs do.
    pub(in crate::exposition) fn conflicts(&self) -> (u64, u64) {
        self.conflicts
    }

    /// Whether nothing comes behind this position.
    pub(in crate::exposition) fn is_end(&self, position: &Position) -> bool {
        position.piece == self.pieces.list.len()
    }

    /// Appends what comes behind this position, whole lines, until the buffer has at least `enough` bytes or nothing is
    /// left.
    pub(in crate::exposition) fn append(
        &self,
        position: &mut Position,
        buffer: &mut Vec<u8>,
        enough: usize,
    ) {
        while buffer.len() < enough
            && let Some(piece) = self.pieces.list.get(position.piece)
        {
            let is_done = match piece {
                Piece::Beside(range) => {
                    buffer.extend_from_slice(&self.pieces.beside[range.clone()]);
                    true
                }
                Piece::Samples {
                    source,
                    run,
                    is_stored,
                } => {
                    let source = &self.sources[*source as usize];
                    let (start, end) = (run.start as usize, run.end as usize);
                    let left = start + position.lines..end;
                    let next = if *is_stored {
                        source.append_stored(left, buffer, enough)
                    } else {
                        source.append(left, buffer, enough)
                    };
                    position.lines = next - start;
                    next == end
                }
            };
            if is_done {
                position.piece += 1;
                position.lines = 0;
            }
        }
    }
}

/// How much of a merged text has been put together; at first nothing.
#[derive(Debug, Default)]
pub(in crate::exposition) struct Position {
    /// All pieces before this one.
    piece: usize,
    /// So many lines of it.
    lines: usize,
}
