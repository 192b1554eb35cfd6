//! What a body says, its values aside: which names it has, what its HELP and TYPE lines say of them, and where their
//! samples stand.

use super::known_layout::{KnownLayout, Selection};
use super::known_lines::{KnownLines, Means, NONE};
use super::names::NameId;
use super::places::EntryId;
use crate::exposition::Exposition;
use crate::exposition::asked::{AskedNames, Declared};
use crate::exposition::layout::{Layout, Lengths, NameInBody, Run, Standing, TextRef};
use crate::exposition::metric_type::MetricType;
use crate::exposition::offset;
use crate::exposition::report::REPORTED;
use crate::exposition::untyped::{Typed, settle};
use crate::exposition::values::Values;
use std::collections::HashMap;
use std::sync::Arc;

/// So many of the last bodies that differed are compared with a new one: two versions of a program, and some more.
const LAYOUTS_KEPT: usize = 4;

impl KnownLines {
    /// What the body that has been read has of the families that are asked for.
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

    /// Where among `layouts` that of the body stands of which `ids` has the HELP and TYPE lines and the samples that
    /// are kept.
    fn layout(&mut self) -> usize {
        let known = self.layouts.iter().position(|known| known.ids == self.ids);
        if let Some(at) = known {
            return at;
        }
        let in_body = InBody {
            selection: self.asked.as_ref().map(|asked| self.selection(asked)),
            ..InBody::default()
        };
        let (layout, selection) = in_body.layout(self);
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

    /// Which names belong to the families that are asked for, by the TYPE lines of the body; none of its samples yet.
    fn selection(&self, asked: &AskedNames) -> Selection {
        let means = self.ids.iter().map(|id| self.means[*id as usize]);
        let types = means.filter_map(|means| match means {
            Means::Type(Some(name), metric_type, suffix) => Some((name, (metric_type, suffix))),
            _ => None,
        });
        let declared: HashMap<NameId, Declared> = types.collect();
        let declared = |name: &[u8]| declared.get(&self.known_name(name)?).copied();
        let names = (0..offset(self.names.len())).map(|id| self.texts.at(self.names.text(id)));
        Selection::new(names.map(|name| asked.include(name, declared)).collect())
    }
}

/// A layout in the making.
#[derive(Debug, Default)]
struct InBody {
    /// `None`: all of the body is asked for.
    selection: Option<Selection>,
    /// Samples so far, asked for or not.
    samples: u32,
    names: Vec<NameInBody>,
    /// For each known name its index among the names of the body, or [`NONE`].
    index: Vec<u32>,
    ids: Vec<NameId>,
    /// Names of which the TYPE lines differ, and one of them says histogram or summary.
    contested: Vec<u32>,
    /// What the text format has behind names, and OpenMetrics has not.
    suffixes: Vec<(u32, &'static [u8])>,
    /// Under which TYPE line the samples stand.
    standing: Standing,
    series: Vec<TextRef>,
    stored: Vec<(u32, TextRef)>,
    /// With the indexes of their names.
    runs: Vec<(u32, Run)>,
    /// The name of the last run, if the next sample may be one of it.
    run_of: Option<NameId>,
}

impl InBody {
    fn layout(mut self, lines: &mut KnownLines) -> (Layout, Option<Selection>) {
        self.standing = Standing::Elsewhere;
        self.series.reserve_exact(lines.ids.len());
        for at in 0..lines.ids.len() {
            self.add(lines, lines.ids[at]);
        }
        self.append_suffixes(lines);
        lines.texts.seal();
        self.settle(lines);
        let selection = self.selection.take();
        (self.finish(lines), selection)
    }

    fn add(&mut self, lines: &KnownLines, id: EntryId) {
        let means = lines.means[id as usize];
        if !self.selects(means) {
            return;
        }
        match means {
            Means::Sample {
                name,
                written,
                stored,
                has_float_label,
            } => {
                let number = offset(self.series.len());
                match self.runs.last_mut() {
                    Some((_, run)) if self.run_of == Some(name) => run.end += 1,
                    _ => self.start_run(lines, name, number),
                }
                if has_float_label && let Some((name, _)) = self.runs.last() {
                    self.names[*name as usize].has_float_labels = true;
                }
                if stored != written {
                    self.stored.push((number, stored));
                }
                self.series.push(written);
            }
            Means::Reported(_) => {}
            Means::Help(name, text) => {
                let name = self.name(lines, name);
                self.names[name as usize].help = text;
            }
            Means::Unit(name, text) => {
                let name = self.name(lines, name);
                self.names[name as usize].unit = text;
            }
            Means::Type(name, metric_type, suffix) => {
                self.set_type(lines, name, metric_type, suffix)
            }
        }
    }

    /// Whether the next line says something that is asked for.
    fn selects(&mut self, means: Means) -> bool {
        let Some(selection) = &mut self.selection else {
            return true;
        };
        match means {
            Means::Sample { name, .. } => {
                let sample = self.samples;
                self.samples += 1;
                selection.select(name, sample)
            }
            Means::Help(name, _) | Means::Unit(name, _) => selection.has(name),
            // A TYPE line that nobody asked for still ends the one before.
            Means::Reported(_) | Means::Type(..) => true,
        }
    }

    /// The last TYPE line for a name stands.
    fn set_type(
        &mut self,
        lines: &KnownLines,
        name: Option<NameId>,
        metric_type: MetricType,
        suffix: &'static [u8],
    ) {
        // Samples of the same name on both sides of this line stand under different ones.
        self.run_of = None;
        let selection = self.selection.as_ref();
        let is_asked = |name: &NameId| selection.is_none_or(|selection| selection.has(*name));
        let name = name.filter(is_asked);
        let Some(name) = name.map(|name| self.name(lines, name)) else {
            self.standing = Standing::Elsewhere;
            return;
        };
        self.standing = Standing::Under(name, metric_type);
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

    fn start_run(&mut self, lines: &KnownLines, name: NameId, number: u32) {
        self.run_of = Some(name);
        let name = self.name(lines, name);
        self.runs.push((name, number..number + 1));
        let before = &mut self.names[name as usize].standing;
        *before = before.and(self.standing);
    }

    /// The index of a name in this body.
    fn name(&mut self, lines: &KnownLines, id: NameId) -> u32 {
        let known = id as usize;
        if self.index.len() <= known {
            self.index.resize(lines.names.len().max(known + 1), NONE);
        }
        if self.index[known] == NONE {
            self.index[known] = offset(self.names.len());
            self.ids.push(id);
            self.names.push(NameInBody {
                name: lines.names.text(id),
                help: None,
                metric_type: None,
                unit: None,
                has_float_labels: false,
                standing: Standing::WithoutSamples,
                runs: 0..0,
            });
        }
        self.index[known]
    }

    /// Gives HELP, TYPE and UNIT of each name that has a suffix to the name with the suffix.
    fn append_suffixes(&mut self, lines: &mut KnownLines) {
        for (from, suffix) in std::mem::take(&mut self.suffixes) {
            let name = lines.texts.at(self.names[from as usize].name);
            if name.ends_with(suffix) {
                continue;
            }
            let whole = [name, suffix].concat();
            // Without room for the name, it stays with the name without the suffix.
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

    /// Makes `untyped` what cannot be a histogram or summary in a text of its own.
    fn settle(&mut self, lines: &KnownLines) {
        let mut typed: Vec<Typed<'_>> = self
            .names
            .iter()
            .map(|name| Typed {
                name: lines.texts.at(name.name),
                metric_type: name.metric_type,
                standing: name.standing,
            })
            .collect();
        if !typed.iter().any(Typed::has_children) && self.contested.is_empty() {
            return;
        }
        for &name in &self.contested {
            typed[name as usize].metric_type = Some(MetricType::Untyped);
        }
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

    /// Sorts the runs by names, and lets the layout have the texts that it needs.
    fn finish(mut self, lines: &KnownLines) -> Layout {
        self.runs.sort_by_key(|(name, _)| *name);
        let mut start = 0;
        for of_name in self.runs.chunk_by(|a, b| a.0 == b.0) {
            let end = start + offset(of_name.len());
            self.names[of_name[0].0 as usize].runs = start..end;
            start = end;
        }
        let mut shared = SharedTexts::new(lines);
        for name in &mut self.names {
            shared.localize(&mut name.name);
            name.help.iter_mut().for_each(|help| shared.localize(help));
            name.unit.iter_mut().for_each(|unit| shared.localize(unit));
        }
        let mut lengths = Lengths::default();
        for series in &mut self.series {
            shared.localize(series);
            lengths.series += series.len();
            lengths.braces += usize::from(series.needs_brace());
        }
        for (_, stored) in &mut self.stored {
            shared.localize(stored);
        }
        Layout {
            texts: shared.texts,
            series: self.series,
            stored: self.stored,
            names: self.names,
            runs: self.runs.into_iter().map(|(_, run)| run).collect(),
            lengths,
        }
    }
}

/// The texts that a layout has of those of all known lines.
struct SharedTexts<'k> {
    lines: &'k KnownLines,
    texts: Vec<Arc<Vec<u8>>>,
    /// For each text of the known lines its index among those of the layout, or [`NONE`].
    index: Vec<u32>,
}

impl SharedTexts<'_> {
    fn new(lines: &KnownLines) -> SharedTexts<'_> {
        SharedTexts {
            lines,
            texts: Vec::new(),
            index: vec![NONE; lines.texts.count()],
        }
    }

    #[inline]
    fn localize(&mut self, at: &mut TextRef) {
        let index = &mut self.index[at.text as usize];
        if *index == NONE {
            *index = offset(self.texts.len());
            self.texts.push(self.lines.texts.share(at.text));
        }
        at.text = *index;
    }
}
