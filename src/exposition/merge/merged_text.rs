//! The merged text. It never exists as a whole: it is put together from the bodies and the identity labels of the
//! targets while it is read.

use crate::exposition::labels::IdentityLabels;
use crate::exposition::layout::{Layout, Run, TextRef};
use crate::exposition::timestamp::push_converted;
use crate::exposition::values::push_short;
use crate::exposition::{Body, Exposition, Format, TargetResult};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// The samples of one target and its labels.
#[derive(Debug)]
pub(super) struct TargetSamples {
    labels: IdentityLabels,
    exposition: Exposition,
}

impl TargetSamples {
    /// Converts the values to this format, in which only timestamps and exemplars differ. A target without a body of
    /// lines has no samples.
    pub(super) fn new(part: TargetResult, format: Format) -> TargetSamples {
        let mut exposition = match part.body {
            Some(Body::Lines(exposition)) => exposition,
            _ => Exposition::default(),
        };
        let from = exposition.format;
        if from != format && memchr::memchr(b' ', exposition.values.text()).is_some() {
            let convert = |value: &[u8], out: &mut Vec<u8>| push_converted(out, value, from);
            exposition.values = exposition.values.each(convert);
        }
        TargetSamples {
            labels: part.labels,
            exposition,
        }
    }

    /// The length in bytes of all its sample lines, with series as the pod wrote them.
    fn len(&self) -> usize {
        let Exposition { layout, values, .. } = &self.exposition;
        let lines = layout.series.len();
        let braces = layout.lengths.braces * self.labels.behind().len();
        let others = (lines - layout.lengths.braces) * self.labels.alone().len();
        layout.lengths.series + braces + others + values.len() + lines
    }

    /// Appends the lines of these samples until `out` has `limit` bytes. Returns the number of the next sample.
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

/// A part of the merged text.
#[derive(Debug, Clone)]
enum Segment {
    /// A range of the text that is written here.
    Written(Range<usize>),
    Samples {
        target: u32,
        run: Run,
        /// Whether series are written as Prometheus stores them, because under the merged TYPE line it rewrites none.
        is_stored: bool,
    },
}

/// The order of a merged text: lines that are written here, and samples of targets.
#[derive(Debug, Default)]
pub(super) struct Segments {
    written: Vec<u8>,
    list: Vec<Segment>,
    /// By how many bytes the text is longer, and shorter, than its source: some series are written as Prometheus stores
    /// them, and some lines are repeated.
    longer: usize,
    shorter: usize,
}

impl Segments {
    /// Appends the samples of a run of a target.
    pub(super) fn push_run(&mut self, part: u32, run: Run) {
        self.list.push(Segment::Samples {
            target: part,
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
        self.list.push(Segment::Samples {
            target: part,
            run,
            is_stored: !stored.is_empty(),
        });
    }

    /// Appends the text that `write` appends to its buffer. Returns its range there, for [`Segments::repeat`].
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.written.len();
        write(&mut self.written);
        let end = self.written.len();
        match self.list.last_mut() {
            Some(Segment::Written(range)) if range.end == start => range.end = end,
            _ => self.list.push(Segment::Written(start..end)),
        }
        start..end
    }

    /// Appends a text again.
    pub(super) fn repeat(&mut self, written: &Range<usize>) {
        self.longer += written.len();
        self.list.push(Segment::Written(written.clone()));
    }
}

/// The text of all targets. It holds their bodies, the HELP, TYPE and UNIT lines, the reported samples, and the order.
#[derive(Debug)]
pub(in crate::exposition) struct MergedText {
    targets: Vec<TargetSamples>,
    segments: Segments,
    len: usize,
    conflicts: (u64, u64),
}

impl MergedText {
    /// The segments must contain each sample of the targets once.
    pub(super) fn new(
        segments: Segments,
        targets: Vec<TargetSamples>,
        conflicts: (u64, u64),
    ) -> MergedText {
        let samples: usize = targets.iter().map(TargetSamples::len).sum();
        MergedText {
            len: segments.written.len() + samples + segments.longer - segments.shorter,
            targets,
            segments,
            conflicts,
        }
    }

    /// Length of the whole text in bytes.
    pub(in crate::exposition) fn len(&self) -> usize {
        self.len
    }

    /// The memory in bytes that the text is put together from, mostly less than its length.
    pub(in crate::exposition) fn held_bytes(&self) -> usize {
        let (mut layouts, mut texts) = (HashSet::new(), HashSet::new());
        let mut held = self.segments.written.len() + size_of_val(self.segments.list.as_slice());
        for TargetSamples { exposition, .. } in &self.targets {
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

    /// The number of families whose HELP texts differ between targets, and of those whose TYPEs differ.
    pub(in crate::exposition) fn conflicts(&self) -> (u64, u64) {
        self.conflicts
    }

    /// Whether this position is the end of the text.
    pub(in crate::exposition) fn is_end(&self, position: &Position) -> bool {
        position.segment == self.segments.list.len()
    }

    /// Appends whole lines from this position on, until the buffer has at least `enough` bytes or the text ends.
    pub(in crate::exposition) fn append(
        &self,
        position: &mut Position,
        buffer: &mut Vec<u8>,
        enough: usize,
    ) {
        while buffer.len() < enough
            && let Some(segment) = self.segments.list.get(position.segment)
        {
            let is_done = match segment {
                Segment::Written(range) => {
                    buffer.extend_from_slice(&self.segments.written[range.clone()]);
                    true
                }
                Segment::Samples {
                    target,
                    run,
                    is_stored,
                } => {
                    let target = &self.targets[*target as usize];
                    let (start, end) = (run.start as usize, run.end as usize);
                    let left = start + position.lines..end;
                    let next = if *is_stored {
                        target.append_stored(left, buffer, enough)
                    } else {
                        target.append(left, buffer, enough)
                    };
                    position.lines = next - start;
                    next == end
                }
            };
            if is_done {
                position.segment += 1;
                position.lines = 0;
            }
        }
    }
}

/// A position in a merged text, at first its start.
#[derive(Debug, Default)]
pub(in crate::exposition) struct Position {
    /// The index of the segment.
    segment: usize,
    /// The number of its lines before the position.
    lines: usize,
}
