//! Merges expositions into one text: the families in the order of their names, each in one block, and the report series
//! of each target.
//!
//! Only ranges of samples are sorted here; samples are neither read nor copied.

mod families;
mod merged_text;

use super::layout::{Layout, Run, TypeLine};
use super::metric_type::MetricType;
use super::report::{REPORTED, REPORTED_HELP};
use super::untyped::{Typed, block, settle};
use super::{Format, TargetResult, offset};
use families::{MergedFamily, Written};
use foldhash::fast::RandomState;
pub(super) use merged_text::{MergedText, Position};
use merged_text::{Segments, TargetSamples};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Merges the parts into a text of this format; see [`crate::exposition::merge_with`].
pub(super) fn merge(parts: Vec<TargetResult>, format: Format, repeats_types: bool) -> MergedText {
    let merger = Merger::new(&parts);
    let conflicts = |is_conflict: fn(&MergedFamily<'_>) -> bool| {
        let families = merger.families.iter();
        families.filter(|family| is_conflict(family)).count() as u64
    };
    let conflicts = (
        conflicts(|family| family.helps_differ),
        conflicts(|family| family.types_differ),
    );
    let segments = merger.write(format, repeats_types);
    let targets = parts
        .into_iter()
        .map(|part| TargetSamples::new(part, format));
    MergedText::new(segments, targets.collect(), conflicts)
}

type FamilyId = u32;

/// The samples of one family in one layout.
struct Entry<'p> {
    family: FamilyId,
    number: LayoutId,
    runs: &'p [Run],
}

/// The index of a layout among those of the parts, in the order in which they first occur.
type LayoutId = usize;

struct Merger<'p> {
    parts: &'p [TargetResult],
    /// The layout of each part that is up. Pods that send the same series share one.
    layouts: Vec<Option<(&'p Layout, LayoutId)>>,
    families: Vec<MergedFamily<'p>>,
    by_name: HashMap<&'p [u8], FamilyId, RandomState>,
    /// In the order of layouts.
    entries: Vec<Entry<'p>>,
}

impl<'p> Merger<'p> {
    fn new(parts: &'p [TargetResult]) -> Merger<'p> {
        let mut merger = Merger {
            parts,
            layouts: Vec::with_capacity(parts.len()),
            families: Vec::new(),
            by_name: HashMap::default(),
            entries: Vec::new(),
        };
        for (name, help) in REPORTED.into_iter().zip(REPORTED_HELP) {
            let id = merger.family(name);
            let family = &mut merger.families[id as usize];
            family.help = Some(help.as_bytes());
            // Prometheus has no type for its own series of these names. With its feature `type-and-unit-labels`, any
            // other type would add a label `__type__` to ours.
            family.metric_type = Some(MetricType::Untyped);
        }
        merger.collect();
        merger
    }

    /// Finds the family of each name of each layout, and collects its metadata.
    fn collect(&mut self) {
        let mut known = HashMap::new();
        for part in self.parts {
            let layout = part.exposition().map(|exposition| {
                let layout = &exposition.layout;
                let new = known.len();
                let id = *known.entry(Arc::as_ptr(layout)).or_insert(new);
                if id == new {
                    self.collect_layout(id, layout);
                }
                (&**layout, id)
            });
            self.layouts.push(layout);
        }
    }

    fn collect_layout(&mut self, number: LayoutId, layout: &'p Layout) {
        let ids = layout.names.iter().map(|said| match said.says_something() {
            true => self.family(layout.text(said.name)),
            false => FamilyId::MAX,
        });
        let ids: Vec<FamilyId> = ids.collect();
        for (said, &family) in layout.names.iter().zip(&ids) {
            if !said.says_something() {
                continue;
            }
            let type_line = match said.type_line {
                TypeLine::Of(name, metric_type) => TypeLine::Of(ids[name as usize], metric_type),
                type_line => type_line,
            };
            self.families[family as usize].add(layout, said, type_line);
            let runs = &layout.runs[said.runs.start as usize..said.runs.end as usize];
            if !runs.is_empty() {
                self.entries.push(Entry {
                    family,
                    number,
                    runs,
                });
            }
        }
    }

    /// The family of this name, which is added if it is new.
    fn family(&mut self, name: &'p [u8]) -> FamilyId {
        *self.by_name.entry(name).or_insert_with(|| {
            let id = offset(self.families.len());
            self.families.push(MergedFamily::new(name));
            id
        })
    }

    /// How each family is written in the merged text.
    fn settled(&self, format: Format) -> Vec<Written<'p>> {
        let typed = self.families.iter().map(|family| Typed {
            name: family.name,
            metric_type: family.metric_type,
            type_line: family.type_line,
        });
        let mut typed: Vec<Typed<'_>> = typed.collect();
        let find = |name: &[u8]| self.by_name.get(name).map(|id| *id as usize);
        settle(&mut typed, find);
        let written = (0..typed.len()).map(|family| Written {
            name: self.families[family].name,
            metric_type: typed[family].metric_type.unwrap_or(MetricType::Untyped),
            block: block(&typed, family, find),
        });
        let mut written: Vec<Written<'_>> = written.collect();
        if format == Format::OpenMetrics {
            families::arrange_open_metrics(&mut written, &self.families, find);
        }
        written
    }

    /// The whole text, as ranges of the parts' samples and of the text written for metadata.
    fn write(&self, format: Format, repeats_types: bool) -> Segments {
        let mut segments = Segments::default();
        if !self.parts.is_empty() {
            self.write_families(&mut segments, format, repeats_types);
        }
        if format == Format::OpenMetrics {
            segments.write(|out| out.extend_from_slice(b"# EOF\n"));
        }
        segments
    }

    fn write_families(&self, segments: &mut Segments, format: Format, repeats_types: bool) {
        let written = self.settled(format);
        let mut by_block: Vec<Vec<&Entry<'_>>> = vec![Vec::new(); self.families.len()];
        for entry in &self.entries {
            by_block[written[entry.family as usize].block].push(entry);
        }
        let is_block = |id: &usize| written[*id].block == *id;
        let mut order: Vec<usize> = (0..written.len()).filter(is_block).collect();
        order.sort_unstable_by_key(|&id| written[id].name);
        let all: Vec<u32> = (0..offset(self.parts.len())).collect();
        let mut block = Block::new(self.parts_of_layouts());
        let mut unit_stands = false;
        for id in order {
            let family = &self.families[id];
            let metric_type = written[id].metric_type;
            segments.write(|out| written[id].push_help(out, family, format));
            let type_line = segments.write(|out| written[id].push_type(out, format));
            if format == Format::OpenMetrics {
                segments.write(|out| written[id].push_unit(out, family, &mut unit_stands));
            }
            let repeats_type = repeats_types && metric_type.has_start_timestamps();
            block.set(&by_block[id]);
            let reported = REPORTED.iter().position(|name| *name == family.name);
            let parts = reported.map_or(&block.parts, |_| &all);
            for (place, &part) in parts.iter().enumerate() {
                if repeats_type && place > 0 {
                    segments.repeat(&type_line);
                }
                if let Some(reported) = reported {
                    write_reported(segments, reported, &self.parts[part as usize]);
                }
                self.write_samples(segments, part, &block, metric_type);
            }
        }
    }

    /// Writes the samples that a part has in a block.
    fn write_samples(
        &self,
        segments: &mut Segments,
        part: u32,
        block: &Block,
        metric_type: MetricType,
    ) {
        let Some((layout, layout_id)) = self.layouts[part as usize] else {
            return;
        };
        for run in block.runs_of(layout_id) {
            if metric_type.has_children() {
                segments.push_run(part, run.clone());
            } else {
                segments.push_stored_run(part, run.clone(), layout);
            }
        }
    }

    /// The parts of each layout.
    fn parts_of_layouts(&self) -> Vec<Vec<u32>> {
        let mut parts = Vec::new();
        for (number, layout) in (0..).zip(&self.layouts) {
            if let Some((_, layout)) = layout {
                parts.resize_with(parts.len().max(layout + 1), Vec::new);
                parts[*layout].push(number);
            }
        }
        parts
    }
}

/// The samples of one block, and the parts that they belong to. It is used again for each block, so that the time for a
/// block depends only on its own entries.
struct Block {
    /// The parts of each layout.
    parts_of: Vec<Vec<u32>>,
    /// The parts of the block, in order.
    parts: Vec<u32>,
    layouts: Vec<LayoutId>,
    runs: Vec<Run>,
    /// The range of each layout in `runs`; empty for layouts without samples in the block.
    by_layout: Vec<Range<usize>>,
}

impl Block {
    fn new(parts_of: Vec<Vec<u32>>) -> Block {
        Block {
            by_layout: vec![0..0; parts_of.len()],
            parts_of,
            parts: Vec::new(),
            layouts: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Replaces the last block. The entries must be in the order of layouts. Entries of one layout have different
    /// names; their samples are sorted in the order of the body.
    fn set(&mut self, entries: &[&Entry<'_>]) {
        for layout in self.layouts.drain(..) {
            self.by_layout[layout] = 0..0;
        }
        self.runs.clear();
        self.parts.clear();
        for of_layout in entries.chunk_by(|a, b| a.number == b.number) {
            let number = of_layout[0].number;
            let start = self.runs.len();
            let runs = of_layout.iter().flat_map(|entry| entry.runs);
            self.runs.extend(runs.cloned());
            if of_layout.len() > 1 {
                self.runs[start..].sort_unstable_by_key(|run| run.start);
            }
            self.by_layout[number] = start..self.runs.len();
            self.layouts.push(number);
            self.parts.extend_from_slice(&self.parts_of[number]);
        }
        if self.layouts.len() > 1 {
            self.parts.sort_unstable();
        }
    }

    fn runs_of(&self, layout: LayoutId) -> &[Run] {
        &self.runs[self.by_layout[layout].clone()]
    }
}

/// Writes the report sample of a part. Its own samples of that name follow.
fn write_reported(segments: &mut Segments, reported: usize, part: &TargetResult) {
    segments.write(|out| {
        out.extend_from_slice(REPORTED[reported]);
        out.extend_from_slice(part.labels.alone());
        out.extend_from_slice(part.report.value(reported).as_bytes());
        out.push(b'\n');
    });
}
