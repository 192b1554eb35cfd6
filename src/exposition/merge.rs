//! Many expositions become one text: families in name order, each in one block, and the series that report on the
//! targets themselves.
//!
//! Only byte ranges are put in order here; no sample is read or copied.

use super::labels::{IdentityLabels, is_metric_name, push_quoted};
use super::merged_text::{MergedText, Pieces, Source};
use super::reparse::{untyped_over_targets, with_untyped};
use super::report::{REPORTED, REPORTED_HELP, Report};
use super::untyped::UntypedNames;
use super::{Exposition, Family, Layout, MetricType, Span, offset, split_suffix};
use std::collections::HashMap;
use std::sync::Arc;

/// The share of one target in a merged text.
#[derive(Debug)]
pub struct Part {
    /// The same as were given to [`super::parse`].
    pub labels: IdentityLabels,
    /// `None` if the scrape failed.
    pub exposition: Option<Exposition>,
    /// Written for every target, with the identity labels alone.
    pub report: Report,
}

/// Merges the parts; within a family their samples stand in the order of `parts`.
///
/// HELP is that of the first part that has one. Where TYPEs differ, `untyped` is written, as for a family without a
/// TYPE; also for a histogram or summary of which any part has samples that did not stand under its TYPE line: the
/// values of `le` and `quantile` are then those that Prometheus would have stored. A family that has only HELP or TYPE
/// is written without samples: Prometheus keeps its metadata.
#[must_use]
pub fn merge(mut parts: Vec<Part>) -> MergedText {
    let merger = Merger::new(&parts);
    let conflicts = |is_conflict: fn(&MergedFamily<'_>) -> bool| {
        let families = merger.families.iter();
        families.filter(|family| is_conflict(family)).count() as u64
    };
    let help_conflicts = conflicts(|family| family.helps_differ);
    let type_conflicts = conflicts(|family| family.types_differ);
    let untyped = merger.untyped();
    let pieces = if untyped.is_empty() {
        merger.write()
    } else {
        for part in &mut parts {
            let exposition = part.exposition.as_ref();
            if let Some(anew) = exposition.and_then(|old| with_untyped(old, &part.labels, &untyped))
            {
                part.exposition = Some(anew);
            }
        }
        Merger::new(&parts).write()
    };
    let sources = parts.into_iter().map(Source::from).collect();
    MergedText::new(pieces, sources, help_conflicts, type_conflicts)
}

type FamilyId = u32;

/// A family of the merged text.
struct MergedFamily<'p> {
    name: &'p [u8],
    help: Option<&'p [u8]>,
    metric_type: Option<MetricType>,
    helps_differ: bool,
    types_differ: bool,
    /// Whether one of the types that differ is histogram or summary.
    is_contested: bool,
    /// Whether a target has samples of it that it does not say to be of a histogram or summary.
    has_plain_samples: bool,
    /// The family that came after this one in the last part that has it: the first guess for the next.
    follower: FamilyId,
}

impl MergedFamily<'_> {
    fn add_type(&mut self, metric_type: MetricType) {
        let Some(known) = self.metric_type else {
            self.metric_type = Some(metric_type);
            return;
        };
        if known == metric_type {
            return;
        }
        self.types_differ = true;
        self.is_contested |= known.has_children() || metric_type.has_children();
        self.metric_type = Some(MetricType::Untyped);
    }
}

/// One family of one layout.
struct Entry<'p> {
    family: FamilyId,
    number: LayoutId,
    layout: &'p Layout,
    /// Numbers of runs.
    runs: Span,
}

/// Number of a layout among those that the parts have, in the order of parts.
type LayoutId = usize;

struct Merger<'p> {
    parts: &'p [Part],
    /// For each part that is up its layout: pods that send much the same share one.
    layouts: Vec<Option<(&'p Exposition, LayoutId)>>,
    families: Vec<MergedFamily<'p>>,
    by_name: HashMap<&'p [u8], FamilyId>,
    /// In the order of layouts.
    entries: Vec<Entry<'p>>,
}

impl<'p> Merger<'p> {
    fn new(parts: &'p [Part]) -> Merger<'p> {
        let mut merger = Merger {
            parts,
            layouts: Vec::with_capacity(parts.len()),
            families: Vec::new(),
            by_name: HashMap::new(),
            entries: Vec::new(),
        };
        for (name, help) in REPORTED.into_iter().zip(REPORTED_HELP) {
            let id = merger.family(name, 0);
            let family = &mut merger.families[id as usize];
            family.help = Some(help.as_bytes());
            family.metric_type = Some(MetricType::Gauge);
        }
        merger.collect();
        merger
    }

    /// Finds the family of every family of every layout, and settles their HELPs and TYPEs.
    fn collect(&mut self) {
        let mut known = HashMap::new();
        for part in self.parts {
            let layout = part.exposition.as_ref().map(|exposition| {
                let layout = &exposition.layout;
                let new = known.len();
                let id = *known.entry(Arc::as_ptr(layout)).or_insert(new);
                if id == new {
                    self.collect_layout(id, layout);
                }
                (exposition, id)
            });
            self.layouts.push(layout);
        }
    }

    fn collect_layout(&mut self, number: LayoutId, layout: &'p Layout) {
        let mut last = 0;
        for family in &layout.families {
            let id = self.family(layout.name(family), last);
            self.families[last as usize].follower = id;
            last = id;
            self.add(id, number, layout, family);
        }
    }

    /// The family of this name, new or known. Pods of a job have the same families in the same order, so mostly the one
    /// that followed `last` in an earlier part is the right one.
    fn family(&mut self, name: &'p [u8], last: FamilyId) -> FamilyId {
        if let Some(last) = self.families.get(last as usize)
            && self.families[last.follower as usize].name == name
        {
            return last.follower;
        }
        *self.by_name.entry(name).or_insert_with(|| {
            let id = offset(self.families.len());
            self.families.push(MergedFamily {
                name,
                help: None,
                metric_type: None,
                helps_differ: false,
                types_differ: false,
                is_contested: false,
                has_plain_samples: false,
                follower: id,
            });
            id
        })
    }

    fn add(&mut self, id: FamilyId, number: LayoutId, layout: &'p Layout, family: &Family) {
        let merged = &mut self.families[id as usize];
        if let Some(help) = layout.help(family) {
            let first = *merged.help.get_or_insert(help);
            merged.helps_differ |= first != help;
        }
        if let Some(metric_type) = family.metric_type {
            merged.add_type(metric_type);
        }
        if !family.runs.range().is_empty() {
            merged.has_plain_samples |= !family.metric_type.is_some_and(MetricType::has_children);
            self.entries.push(Entry {
                family: id,
                number,
                layout,
                runs: family.runs,
            });
        }
    }

    /// For each family the histogram or summary in whose block its samples stand: mostly itself.
    fn blocks(&self) -> Vec<FamilyId> {
        let block = |(id, family): (FamilyId, &MergedFamily<'p>)| {
            if family.metric_type.is_some_and(MetricType::has_children) {
                return id;
            }
            self.base(family).unwrap_or(id)
        };
        (0..).zip(&self.families).map(block).collect()
    }

    /// The histogram or summary that has parts of this name.
    fn base(&self, family: &MergedFamily<'p>) -> Option<FamilyId> {
        let (base, suffix) = split_suffix(family.name)?;
        let base = *self.by_name.get(base)?;
        let metric_type = self.families[base as usize].metric_type?;
        metric_type.takes(suffix).then_some(base)
    }

    /// The families that some part has as a histogram or summary, and that must not be one in the merged text.
    fn untyped(&self) -> UntypedNames {
        let is_doubtful = |family: &MergedFamily<'p>| {
            let has_children = family.metric_type.is_some_and(MetricType::has_children);
            let has_base = || self.base(family).is_some();
            family.is_contested
                || has_children && (family.has_plain_samples || has_base())
                || family.has_plain_samples && has_base()
        };
        if !self.families.iter().any(is_doubtful) {
            return UntypedNames::new();
        }
        let types = self.families.iter();
        let types = types.filter_map(|family| Some((family.name, family.metric_type?)));
        let expositions = self
            .parts
            .iter()
            .filter_map(|part| part.exposition.as_ref());
        let mut untyped = untyped_over_targets(expositions, types.collect());
        let contested = self.families.iter().filter(|family| family.is_contested);
        untyped.extend(contested.map(|family| family.name.to_vec()));
        untyped
    }

    /// The whole text as pieces of the parts' texts and of what is written beside them.
    fn write(&self) -> Pieces {
        let blocks = self.blocks();
        let mut by_block: Vec<Vec<&Entry<'_>>> = vec![Vec::new(); self.families.len()];
        for entry in &self.entries {
            by_block[blocks[entry.family as usize] as usize].push(entry);
        }
        let mut order: Vec<FamilyId> = (0..offset(self.families.len()))
            .filter(|&id| blocks[id as usize] == id)
            .collect();
        order.sort_unstable_by_key(|&id| self.families[id as usize].name);
        let mut pieces = Pieces::default();
        if self.parts.is_empty() {
            return pieces;
        }
        let all: Vec<u32> = (0..offset(self.parts.len())).collect();
        let mut block = Block::new(self.parts_of_layouts());
        for id in order {
            let family = &self.families[id as usize];
            write_head(&mut pieces, family);
            block.set(&by_block[id as usize]);
            let reported = REPORTED.iter().position(|name| *name == family.name);
            let parts = reported.map_or(&block.parts, |_| &all);
            for &number in parts {
                let part = number as usize;
                if let Some(reported) = reported {
                    write_reported(&mut pieces, reported, &self.parts[part]);
                }
                let Some((exposition, layout)) = self.layouts[part] else {
                    continue;
                };
                for &run in block.runs_of(layout) {
                    pieces.push_run(number, exposition.runs()[run as usize]);
                }
            }
        }
        pieces
    }

    /// For each layout the parts that have it.
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

/// Whose samples stand in a block, and which. One for all blocks, so that a block costs no more than its own entries.
struct Block {
    /// For each layout the parts that have it.
    parts_of: Vec<Vec<u32>>,
    /// Those of the block, in order.
    parts: Vec<u32>,
    layouts: Vec<LayoutId>,
    /// Numbers of runs.
    runs: Vec<u32>,
    /// For each layout where in `runs` its own stand; nowhere unless it is one of the block.
    by_layout: Vec<Span>,
}

const NOWHERE: Span = Span { start: 0, end: 0 };

impl Block {
    fn new(parts_of: Vec<Vec<u32>>) -> Block {
        Block {
            by_layout: vec![NOWHERE; parts_of.len()],
            parts_of,
            parts: Vec::new(),
            layouts: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Forgets the block before. The entries are in the order of layouts; those of the same layout, which are families
    /// of their own there, are woven together in the order of its body.
    fn set(&mut self, entries: &[&Entry<'_>]) {
        for layout in self.layouts.drain(..) {
            self.by_layout[layout] = NOWHERE;
        }
        self.runs.clear();
        self.parts.clear();
        for of_layout in entries.chunk_by(|a, b| a.number == b.number) {
            let Entry { number, layout, .. } = of_layout[0];
            let start = self.runs.len();
            let runs = of_layout.iter().map(|entry| entry.runs);
            self.runs.extend(runs.flat_map(|runs| runs.start..runs.end));
            if of_layout.len() > 1 {
                self.runs[start..].sort_unstable_by_key(|run| layout.runs[*run as usize].start);
            }
            self.by_layout[*number] = Span::new(start, self.runs.len());
            self.layouts.push(*number);
            self.parts.extend_from_slice(&self.parts_of[*number]);
        }
        if self.layouts.len() > 1 {
            self.parts.sort_unstable();
        }
    }

    fn runs_of(&self, layout: LayoutId) -> &[u32] {
        &self.runs[self.by_layout[layout].range()]
    }
}

/// The reported sample of a part; its own samples of that name follow.
fn write_reported(pieces: &mut Pieces, reported: usize, part: &Part) {
    pieces.write(|out| {
        out.extend_from_slice(REPORTED[reported]);
        out.extend_from_slice(part.labels.alone());
        out.extend_from_slice(part.report.value(reported).as_bytes());
        out.push(b'\n');
    });
}

fn write_head(pieces: &mut Pieces, family: &MergedFamily<'_>) {
    let name = |out: &mut Vec<u8>| {
        if is_metric_name(family.name) {
            out.extend_from_slice(family.name);
        } else {
            push_quoted(out, family.name);
        }
    };
    let metric_type = family.metric_type.unwrap_or(MetricType::Untyped);
    pieces.write(|out| {
        if let Some(help) = family.help {
            out.extend_from_slice(b"# HELP ");
            name(out);
            out.push(b' ');
            out.extend_from_slice(help);
            out.push(b'\n');
        }
        out.extend_from_slice(b"# TYPE ");
        name(out);
        out.push(b' ');
        out.extend_from_slice(metric_type.word().as_bytes());
        out.push(b'\n');
    });
}
