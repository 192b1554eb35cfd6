//! Families that are histograms or summaries for some targets and something else for others: their samples are
//! written as Prometheus would have stored them for each target. See `untyped.rs` for the rule.
//!
//! This is rare, so it may take its time: what a target sent is written down as a body and parsed again.

use super::labels::{IdentityLabels, is_metric_name, push_quoted};
use super::parse::parse_untyped;
use super::untyped::{Stood, UntypedNames, misplaced};
use super::{Exposition, Family, Format, MetricType, sample_line};
use std::collections::{HashMap, HashSet};

/// The families that have to be untyped because a target has samples of them elsewhere than under their TYPE line.
/// `types` are those on which the targets agree.
pub(super) fn untyped_over_targets<'e>(
    expositions: impl Iterator<Item = &'e Exposition>,
    types: HashMap<&[u8], MetricType>,
) -> UntypedNames {
    let mut samples: HashSet<(Vec<u8>, Stood<'_>)> = HashSet::new();
    for exposition in expositions {
        for family in &exposition.layout.families {
            let name = exposition.layout.name(family);
            match family.metric_type {
                Some(own_type) if own_type.has_children() => samples.extend(
                    sample_names(exposition, family).map(|part| (part, Some((name, own_type)))),
                ),
                _ if lines(exposition, family).next().is_some() => {
                    samples.insert((name.to_vec(), None));
                }
                _ => {}
            }
        }
    }
    let samples = samples
        .iter()
        .map(|(name, stood)| (name.as_slice(), *stood));
    misplaced(types, samples.collect())
}

/// Where the samples of a family stand.
fn lines(exposition: &Exposition, family: &Family) -> impl Iterator<Item = usize> {
    let runs = &exposition.runs()[family.runs.range()];
    runs.iter().flat_map(|run| run.range())
}

/// The names of the samples of a family.
fn sample_names(exposition: &Exposition, family: &Family) -> impl Iterator<Item = Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for line in lines(exposition, family) {
        let series = exposition.series(line);
        let length = series.iter().position(|byte| *byte == b'{');
        let bare = &series[..length.unwrap_or(series.len())];
        if bare.is_empty() {
            // The name stands within the braces.
            let sample = sample_line::read(&[series, b" 0"].concat(), 0);
            names.extend(sample.map(|sample| sample.name));
        } else if names.last().is_none_or(|last| last != bare) {
            names.push(bare.to_vec());
        }
    }
    names.into_iter()
}

/// What the exposition becomes where these families are untyped; `None` if nothing changes.
pub(super) fn with_untyped(
    exposition: &Exposition,
    labels: &IdentityLabels,
    untyped: &UntypedNames,
) -> Option<Exposition> {
    let layout = &exposition.layout;
    let is_affected = |family: &Family| {
        family.metric_type.is_some_and(MetricType::has_children)
            && untyped.contains(layout.name(family))
    };
    if !layout.families.iter().any(is_affected) {
        return None;
    }
    // What was valid before is valid now.
    parse_untyped(Format::Text, body(exposition), labels, untyped.clone()).ok()
}

/// The exposition as a body, each family behind its HELP and TYPE. Those without a TYPE come first, so that none stands
/// under another family's.
fn body(exposition: &Exposition) -> Vec<u8> {
    let mut body = Vec::new();
    let families = || exposition.layout.families.iter();
    for family in families().filter(|family| family.metric_type.is_none()) {
        push_family(&mut body, exposition, family);
    }
    for family in families().filter(|family| family.metric_type.is_some()) {
        push_family(&mut body, exposition, family);
    }
    body
}

fn push_family(body: &mut Vec<u8>, exposition: &Exposition, family: &Family) {
    let name = exposition.layout.name(family);
    let help = exposition.layout.help(family);
    let word = family
        .metric_type
        .map(|own_type| own_type.word().as_bytes());
    for (keyword, text) in [(b"# HELP ", help), (b"# TYPE ", word)] {
        let Some(text) = text else {
            continue;
        };
        body.extend_from_slice(keyword);
        if is_metric_name(name) {
            body.extend_from_slice(name);
        } else {
            push_quoted(body, name);
        }
        body.push(b' ');
        body.extend_from_slice(text);
        body.push(b'\n');
    }
    for line in lines(exposition, family) {
        body.extend_from_slice(exposition.series(line));
        body.push(b' ');
        body.extend_from_slice(exposition.value(line));
        body.push(b'\n');
    }
}
