//! Which samples of a body are one family.

use super::names::{NameId, Names, Standing};
use super::report::REPORTED;
use super::untyped::{UntypedNames, misplaced};
use super::{Family, MetricType, Run, Span, offset, split_suffix};

/// The families of these names in the order in which their names came, and their runs, family by family and within
/// one in the order of the body.
pub(super) fn group(names: &Names, runs: &[(NameId, Run)]) -> (Vec<Family>, Vec<Run>) {
    let family_of = family_of_names(names);
    let named = families(names, runs, &family_of);
    let (runs, bounds) = sorted(&joined(runs, &family_of), names.list.len());
    let families = named
        .into_iter()
        .map(|id| {
            let name = names.get(id);
            Family {
                name: name.text,
                help: name.help,
                metric_type: name.metric_type,
                runs: Span {
                    start: bounds[id as usize],
                    end: bounds[id as usize + 1],
                },
            }
        })
        .collect();
    (families, runs)
}

/// The families of these names that must be untyped: a histogram or summary that is something else by another TYPE
/// line, that has the name of a reported metric, or that has samples elsewhere than under its TYPE line.
pub(super) fn untyped(names: &Names) -> UntypedNames {
    let ids = || 0..offset(names.list.len());
    let has_children = |id: &NameId| {
        let metric_type = names.get(*id).metric_type;
        metric_type.is_some_and(MetricType::has_children)
    };
    let reported = REPORTED.iter().filter_map(|name| names.find(name));
    let contested = ids().filter(|&id| names.get(id).is_contested);
    let mut untyped: UntypedNames = contested
        .chain(reported.filter(has_children))
        .map(|id| names.text(id).to_vec())
        .collect();
    if untyped.is_empty() {
        let is_in_place = |(id, family)| is_in_place(names, id, family);
        if ids().zip(family_of_names(names)).all(is_in_place) {
            return untyped;
        }
    }
    let types = ids().filter_map(|id| Some((names.text(id), names.get(id).metric_type?)));
    let types = types.filter(|(name, _)| !untyped.contains(*name)).collect();
    let samples = ids().filter_map(|id| match names.get(id).standing {
        Standing::WithoutSamples => None,
        Standing::Under(head, metric_type) => {
            Some((names.text(id), Some((names.text(head), metric_type))))
        }
        Standing::Elsewhere => Some((names.text(id), None)),
    });
    let misplaced = misplaced(types, samples.collect());
    untyped.extend(misplaced);
    untyped
}

/// Whether all samples of this name stand under the TYPE line of their histogram or summary, if they belong to one.
fn is_in_place(names: &Names, id: NameId, family: NameId) -> bool {
    let standing = names.get(id).standing;
    let family_type = names.get(family).metric_type;
    standing == Standing::WithoutSamples
        || family_type
            .filter(|family_type| family_type.has_children())
            .is_none_or(|family_type| standing == Standing::Under(family, family_type))
}

/// For each name the family its samples belong to: itself, or the histogram or summary it is a part of. One that is a
/// histogram or summary itself is no part of another.
fn family_of_names(names: &Names) -> Vec<NameId> {
    let ids = 0..offset(names.list.len());
    ids.map(|id| {
        let own_type = names.get(id).metric_type;
        if own_type.is_some_and(MetricType::has_children) {
            return id;
        }
        let family = split_suffix(names.text(id)).and_then(|(base, suffix)| {
            let base = names.find(base)?;
            let metric_type = names.get(base).metric_type?;
            metric_type.takes(suffix).then_some(base)
        });
        family.unwrap_or(id)
    })
    .collect()
}

/// The names that are families: those with samples and those with a HELP or TYPE line.
fn families(names: &Names, runs: &[(NameId, Run)], family_of: &[NameId]) -> Vec<NameId> {
    let mut has_samples = vec![false; family_of.len()];
    for (name, _) in runs {
        has_samples[family_of[*name as usize] as usize] = true;
    }
    (0..offset(family_of.len()))
        .filter(|&id| {
            let name = names.get(id);
            let is_named = !names.text(id).is_empty();
            is_named
                && (has_samples[id as usize] || name.help.is_some() || name.metric_type.is_some())
        })
        .collect()
}

/// The runs with their families; those of one family that stand behind each other are one.
fn joined(runs: &[(NameId, Run)], family_of: &[NameId]) -> Vec<(NameId, Run)> {
    let mut joined: Vec<(NameId, Run)> = Vec::with_capacity(runs.len());
    for (name, run) in runs {
        let family = family_of[*name as usize];
        match joined.last_mut() {
            Some((last, before)) if *last == family => before.end = run.end,
            _ => joined.push((family, *run)),
        }
    }
    joined
}

/// The runs by family, in their order within one, and for each family where its own start among them, with one more
/// bound at the end.
fn sorted(runs: &[(NameId, Run)], families: usize) -> (Vec<Run>, Vec<u32>) {
    let mut bounds = vec![0_u32; families + 1];
    for (family, _) in runs {
        bounds[*family as usize + 1] += 1;
    }
    for n in 1..bounds.len() {
        bounds[n] += bounds[n - 1];
    }
    let mut next = bounds.clone();
    let unset = Run { start: 0, end: 0 };
    let mut sorted = vec![unset; runs.len()];
    for (family, run) in runs {
        let at = &mut next[*family as usize];
        sorted[*at as usize] = *run;
        *at += 1;
    }
    (sorted, bounds)
}
