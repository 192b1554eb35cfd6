//! Which histograms and summaries are written as `untyped`.
//!
//! Under the TYPE line of a histogram, Prometheus stores `le="1"` as `le="1.0"`. Under that of a summary it does the
//! same with `quantile`, and under any other TYPE line it changes neither. In the merged text a family has one TYPE
//! line. So a family can be a histogram or summary only if all its samples, of all targets, are under this TYPE line in
//! their bodies. Otherwise the family is `untyped`, with the label values that Prometheus would have stored.

use super::layout::TypeLine;
use super::metric_type::{MetricType, split_suffix};
use std::cmp::Reverse;

/// A name, and what decides whether it can be a histogram or summary.
#[derive(Debug)]
pub(super) struct Typed<'n> {
    pub(super) name: &'n [u8],
    pub(super) metric_type: Option<MetricType>,
    /// Its index counts the names of the same list.
    pub(super) type_line: TypeLine,
}

impl Typed<'_> {
    pub(super) fn has_children(&self) -> bool {
        self.metric_type.is_some_and(MetricType::has_children)
    }
}

/// Makes each histogram or summary `untyped` that has a sample outside of its TYPE line. `find` returns the index of a
/// name.
pub(super) fn settle<'n>(names: &mut [Typed<'n>], find: impl Fn(&[u8]) -> Option<usize>) {
    let is_misplaced = |names: &[Typed<'n>], name: usize| {
        let block = block(names, name, &find);
        let Typed { metric_type, .. } = names[block];
        let is_under_it = match (names[name].type_line, metric_type) {
            (TypeLine::NoSamples, _) => true,
            (type_line, Some(metric_type)) if metric_type.has_children() => {
                type_line == TypeLine::Of(super::offset(block), metric_type)
            }
            _ => true,
        };
        (!is_under_it).then_some(block)
    };
    if (0..names.len()).all(|name| is_misplaced(names, name).is_none()) {
        return;
    }
    // A family that becomes untyped can then be part of another histogram, whose name is shorter. So long names come
    // first, and each name is visited once.
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by_key(|&name| Reverse(names[name].name.len()));
    for name in order {
        while let Some(block) = is_misplaced(names, name) {
            names[block].metric_type = Some(MetricType::Untyped);
        }
    }
}

/// The index of the family whose block has the samples of a name: mostly the name itself. A histogram or summary is
/// never part of another family.
pub(super) fn block(
    names: &[Typed<'_>],
    name: usize,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> usize {
    if names[name].has_children() {
        return name;
    }
    let base = split_suffix(names[name].name).and_then(|(base, suffix)| {
        let base = find(base)?;
        let metric_type = names[base].metric_type?;
        metric_type.takes(suffix).then_some(base)
    });
    base.unwrap_or(name)
}
