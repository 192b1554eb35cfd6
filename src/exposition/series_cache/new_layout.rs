//! Makes the layout of a body: its names, what the HELP, TYPE and UNIT lines say of them, and where the samples are.

use super::known_lines::{KnownLayout, KnownLines, Means, NONE, Selection};
use super::names::NameId;
use super::places::EntryId;
use crate::exposition::Exposition;
use crate::exposition::asked::{AskedNames, Declared};
use crate::exposition::layout::{Layout, Lengths, NameInBody, Run, TextRef, TypeLine};
use crate::exposition::metric_type::MetricType;
use crate::exposition::offset;
use crate::exposition::report::REPORTED;
use crate::exposition::untyped::{Typed, settle};
use crate::exposition::values::Values;
use std::collections::HashMap;
use std::sync::Arc;

/// A new body is compared with this many of the last ones that differed: two versions of a program, and some more.
const LAYOUTS_KEPT: usize = 4;

impl KnownLines {
    /// The body that has been read, with the families that are asked for.
    pub(super) fn exposition(
        &mut self,
        mut values: Values,
        mut dropped: Vec<EntryId>,
    ) -> Exposition {
        let at = self.layout();
        let KnownLayout {
            layout, selection, ..
        } = &self.layouts[at];
        if let Some(selection) = selection {
            values = values.only(&selection.samples);
            dropped.retain(|id| match self.means[*id as usize] {
                Means::Sample { name, .. } | Means::Reported(name) => selection.has(name),
                _ => false,
            });
        }
        values.shrink();
        Exposition {
            format: self.format,
            layout: Arc::clone(layout),
            samples: (values.count() + dropped.len()) as u64,
            values,
            duplicates_dropped: dropped.len() as u64,
        }
    }

    /// The index in `layouts` of the layout of the body whose HELP and TYPE lines and kept samples are in `ids`.
    fn layout(&mut self) -> usize {
        let known = self.layouts.iter().position(|known| known.ids == self.ids);
        if let Some(at) = known {
            return at;
        }
        let new = NewLayout {
            selection: self.asked.as_ref().map(|asked| self.selection(asked)),
            ..NewLayout::default()
        };
        let (layout, selection) = new.layout(self);
        // One of lines that are about to be forgotten is forgotten with them.
        if self.layouts.len() >= LAYOUTS_KEPT && self.are_worth_keeping() {
            self.layouts.remove(0);
        }
        self.layouts.push(KnownLayout {
            ids: self.ids.clone(),
            layout: Arc::new(layout),
            selection,
        });
        self.layouts.len() - 1
    }

    /// The names that belong to the families that are asked for, by the TYPE lines of the body; no sample yet.
    fn selection(&self, asked: &AskedNames) -> Selection {
        let means = self.ids.iter().map(|id| self.means[*id as usize]);
        let types = means.filter_map(|means| match means {
            Means::Type(Some(name), metric_type, suffix) => Some((name, (metric_type, suffix))),
            _ => None,
        });
        let declared: HashMap<NameId, Declared> = types.collect();
        let declared = |name: &[u8]| declared.get(&self.known_name(name)?).copied();
        let names = (0..offset(self.names.len())).map(|id| self.texts.at(self.names.text(id)));
        Selection {
            names: names.map(|name| asked.include(name, declared)).collect(),
            samples: Vec::new(),
        }
    }
}

/// A layout in the making.
#[derive(Debug, Default)]
struct NewLayout {
    /// `None` if all of the body is asked for.
    selection: Option<Selection>,
    names: Vec<NameInBody>,
    /// For each known name its index among the names of the body, or [`NONE`].
    index: Vec<u32>,
    /// Names with different TYPE lines, one of which says histogram or summary.
    contested: Vec<u32>,
    /// The suffixes that names have in the text format, but not in OpenMetrics.
    suffixes: Vec<(u32, &'static [u8])>,
    /// The TYPE line above the current line.
    type_line: TypeLine,
    /// Samples so far, asked for or not.
    samples: u32,
    series: Vec<TextRef>,
    stored: Vec<(u32, TextRef)>,
    lengths: Lengths,
    /// Each with the index of its name.
    runs: Vec<(u32, Run)>,
    run: Option<OpenRun>,
}

/// A run to which the next sample may belong.
#[derive(Debug)]
struct OpenRun {
    name: NameId,
    /// `None` if it is not asked for.
    index: Option<u32>,
    /// The number of its first sample in the body, and among the samples that are asked for.
    in_body: u32,
    in_layout: u32,
    has_float_labels: bool,
}

impl NewLayout {
    fn layout(mut self, lines: &mut KnownLines) -> (Layout, Option<Selection>) {
        self.type_line = TypeLine::Other;
        self.series.reserve_exact(lines.ids.len());
        for &id in &lines.ids {
            match &lines.means[id as usize] {
                Means::Sample {
                    name,
                    written,
                    stored,
                    has_float_label,
                } => {
                    if self.run.as_ref().is_none_or(|run| run.name != *name) {
                        self.start_run(lines, *name);
                    }
                    self.add_sample(*written, *stored, *has_float_label);
                }
                head => self.add_head(lines, *head),
            }
        }
        self.end_run();
        self.append_suffixes(lines);
        lines.texts.seal();
        self.settle(lines);
        let selection = self.selection.take();
        (self.finish(lines), selection)
    }

    /// Adds a sample to the open run.
    #[inline(always)]
    fn add_sample(&mut self, written: TextRef, stored: TextRef, has_float_label: bool) {
        self.samples += 1;
        let Some(run) = &mut self.run else { return };
        if run.index.is_none() {
            return;
        }
        run.has_float_labels |= has_float_label;
        if stored != written {
            self.stored.push((offset(self.series.len()), stored));
        }
        self.lengths.series += written.len();
        self.lengths.braces += usize::from(written.needs_brace());
        self.series.push(written);
    }

    fn start_run(&mut self, lines: &KnownLines, name: NameId) {
        self.end_run();
        let index = self.is_asked(name).then(|| self.name(lines, name));
        if let Some(index) = index {
            let before = &mut self.names[index as usize].type_line;
            *before = before.and(self.type_line);
        }
        self.run = Some(OpenRun {
            name,
            index,
            in_body: self.samples,
            in_layout: offset(self.series.len()),
            has_float_labels: false,
        });
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let Some(index) = run.index else { return };
        self.names[index as usize].has_float_labels |= run.has_float_labels;
        let end = offset(self.series.len());
        self.runs.push((index, run.in_layout..end));
        if let Some(selection) = &mut self.selection {
            selection.samples.push(run.in_body..self.samples);
        }
    }

    fn is_asked(&self, name: NameId) -> bool {
        let selection = self.selection.as_ref();
        selection.is_none_or(|selection| selection.has(name))
    }

    /// Adds a HELP, TYPE or UNIT line, if it is asked for. Any TYPE line ends the one before.
    fn add_head(&mut self, lines: &KnownLines, means: Means) {
        match means {
            Means::Help(name, text) if self.is_asked(name) => {
                let name = self.name(lines, name);
                self.names[name as usize].help = text;
            }
            Means::Unit(name, text) if self.is_asked(name) => {
                let name = self.name(lines, name);
                self.names[name as usize].unit = text;
            }
            Means::Type(name, metric_type, suffix) => {
                self.set_type(lines, name, metric_type, suffix);
            }
            _ => {}
        }
    }

    /// The last TYPE line of a name counts.
    fn set_type(
        &mut self,
        lines: &KnownLines,
        name: Option<NameId>,
        metric_type: MetricType,
        suffix: &'static [u8],
    ) {
        // Samples of the same name before and behind this line are under different ones.
        self.end_run();
        let Some(name) = name.filter(|name| self.is_asked(*name)) else {
            self.type_line = TypeLine::Other;
            return;
        };
        let name = self.name(lines, name);
        self.type_line = TypeLine::Of(name, metric_type);
        let before = self.names[name as usize].metric_type.replace(metric_type);
        let is_contested = before.is_some_and(|before| {
            before != metric_type && (before.has_children() || metric_type.has_children())
        });
        if is_contested {
            self.contested.push(name);
        }
        self.suffixes.retain(|(typed, _)| *typed != name);
        if !suffix.is_empty() {
            self.suffixes.push((name, suffix));
        }
    }

    /// The index of a name in this body.
    fn name(&mut self, lines: &KnownLines, id: NameId) -> u32 {
        let known = id as usize;
        if self.index.len() <= known {
            self.index.resize(lines.names.len().max(known + 1), NONE);
        }
        if self.index[known] == NONE {
            self.index[known] = offset(self.names.len());
            self.names.push(NameInBody {
                name: lines.names.text(id),
                help: None,
                metric_type: None,
                unit: None,
                has_float_labels: false,
                type_line: TypeLine::NoSamples,
                runs: 0..0,
            });
        }
        self.index[known]
    }

    /// Moves HELP, TYPE and UNIT of each name that has a suffix to the name with the suffix.
    fn append_suffixes(&mut self, lines: &mut KnownLines) {
        for (from, suffix) in std::mem::take(&mut self.suffixes) {
            let name = lines.texts.at(self.names[from as usize].name);
            if name.ends_with(suffix) {
                continue;
            }
            let whole = [name, suffix].concat();
            // If the text becomes too long, they stay with the name without the suffix.
            let Ok(whole) = lines.name(&whole) else {
                continue;
            };
            let to = self.name(lines, whole);
            let from = &mut self.names[from as usize];
            let (help, metric_type, unit) =
                (from.help.take(), from.metric_type.take(), from.unit.take());
            let to = &mut self.names[to as usize];
            to.help = to.help.or(help);
            to.metric_type = to.metric_type.or(metric_type);
            to.unit = to.unit.or(unit);
        }
    }

    /// Makes histograms and summaries `untyped` that cannot be one in a text of their own.
    fn settle(&mut self, lines: &KnownLines) {
        let has_children =
            |name: &NameInBody| name.metric_type.is_some_and(MetricType::has_children);
        if !self.names.iter().any(has_children) && self.contested.is_empty() {
            return;
        }
        for &name in &self.contested {
            self.names[name as usize].metric_type = Some(MetricType::Untyped);
        }
        let typed = self.names.iter().map(|name| Typed {
            name: lines.texts.at(name.name),
            metric_type: name.metric_type,
            type_line: name.type_line,
        });
        let mut typed: Vec<Typed<'_>> = typed.collect();
        for typed in &mut typed {
            if typed.has_children() && REPORTED.contains(&typed.name) {
                typed.metric_type = Some(MetricType::Untyped);
            }
        }
        settle(&mut typed, |name| {
            let index = *self.index.get(lines.known_name(name)? as usize)?;
            (index != NONE).then_some(index as usize)
        });
        let types: Vec<_> = typed.iter().map(|typed| typed.metric_type).collect();
        for (name, metric_type) in self.names.iter_mut().zip(types) {
            name.metric_type = metric_type;
        }
    }

    /// Sorts the runs by names.
    fn finish(mut self, lines: &KnownLines) -> Layout {
        self.runs.sort_by_key(|(name, _)| *name);
        let mut start = 0;
        for of_name in self.runs.chunk_by(|a, b| a.0 == b.0) {
            let end = start + offset(of_name.len());
            self.names[of_name[0].0 as usize].runs = start..end;
            start = end;
        }
        Layout {
            texts: lines.texts.share(),
            series: self.series,
            stored: self.stored,
            names: self.names,
            runs: self.runs.into_iter().map(|(_, run)| run).collect(),
            lengths: self.lengths,
        }
    }
}
