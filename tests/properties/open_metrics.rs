//! The merge in OpenMetrics, of bodies of either format, and in the text format of bodies of both.

use super::direct::{self, Stored};
use super::reference::{self, Block, PlainSample, Types, has_parts};
use super::{config, identity, part, read, text};
use crate::properties::model::{self, Body};
use kubernetes_metrics_aggregator::exposition::{Format, IdentityLabels, merge, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What a target has to say, in which format.
type Target = Option<(Format, Body)>;

fn targets() -> impl Strategy<Value = Vec<Target>> {
    let target = (any::<bool>(), model::body()).prop_map(|(is_text, body)| {
        if is_text {
            (Format::Text, body)
        } else {
            (Format::OpenMetrics, body.common())
        }
    });
    vec(prop::option::weighted(0.9, target), 1..5)
}

fn merged(targets: &[Target], to: Format) -> String {
    let parts = targets.iter().enumerate().map(|(number, target)| {
        let exposition = target.as_ref().map(|(format, body)| {
            let body = match format {
                Format::Text => body.write(),
                _ => body.write_open_metrics(),
            };
            parse(*format, body, &identity(number)).unwrap()
        });
        part(identity(number), exposition)
    });
    text(&merge(parts.collect(), to))
}

fn bodies(targets: &[Target]) -> Vec<Option<Body>> {
    let body = |target: &Target| target.as_ref().map(|(_, body)| body.clone());
    targets.iter().map(body).collect()
}

/// The slow and obvious merge in OpenMetrics, with timestamps in milliseconds.
fn expected(targets: &[Target]) -> Vec<Block> {
    let bodies = bodies(targets);
    let joins = |name: &'static str, names: &BTreeSet<&'static str>, types: &Types| {
        let base = name.strip_suffix("_created")?;
        let word = types.get(base).copied().unwrap_or("untyped");
        if types.get(name).is_some_and(|word| has_parts(word)) {
            return None;
        }
        if has_parts(word) {
            return stays_as_it_is(&bodies, name, (base, word)).then_some(base);
        }
        let counter = names
            .iter()
            .find(|counter| counter.strip_suffix("_total") == Some(base))?;
        (types.get(counter) == Some(&"counter") && !names.contains(base)).then_some(*counter)
    };
    let mut blocks = reference::merge_with(&bodies, joins).blocks;
    let names: BTreeSet<String> = {
        let text_names = reference::names(&bodies);
        text_names.into_iter().map(str::to_owned).collect()
    };
    for block in &mut blocks {
        if block.metric_type == "counter" {
            match block.name.strip_suffix("_total") {
                Some(base) if !names.contains(base) => block.name = base.to_owned(),
                _ => block.metric_type = "unknown".to_owned(),
            }
        }
        if block.metric_type == "untyped" {
            block.metric_type = "unknown".to_owned();
        }
        block.help = block.help.as_ref().map(|help| escaped_help(help));
        for sample in &mut block.samples {
            sample.timestamp = sample.timestamp.as_ref().map(|text| {
                let milliseconds: i64 = text.parse().unwrap();
                milliseconds.to_string()
            });
            if !was_open_metrics(targets, sample) {
                sample.exemplar = None;
            }
        }
    }
    blocks.sort_by(|a, b| a.name.cmp(&b.name));
    blocks
}

/// Whether Prometheus rewrites the samples of this name after this TYPE line as it does in their bodies.
fn stays_as_it_is(
    bodies: &[Option<Body>],
    name: &str,
    type_line: (&'static str, &'static str),
) -> bool {
    let samples = || {
        let bodies = bodies.iter().flatten();
        bodies.flat_map(reference::kept)
    };
    let of_name = || samples().filter(|(sample, _)| sample.name == name);
    let is_float =
        |(name, value): &(&str, &str)| ["le", "quantile"].contains(name) && !value.is_empty();
    of_name().all(|(sample, _)| !sample.labels.iter().any(is_float))
        || of_name().all(|(_, stood)| stood == Some(type_line))
}

/// In the text format a quote is not escaped.
fn escaped_help(help: &str) -> String {
    let mut escaped = String::new();
    let mut chars = help.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ ('\\' | 'n'))) => {
                escaped.extend(['\\', *next]);
                chars.next();
            }
            ('\\' | '"', _) => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn was_open_metrics(targets: &[Target], sample: &PlainSample) -> bool {
    let number: usize = sample.label("i").parse().unwrap();
    matches!(targets[number], Some((Format::OpenMetrics, _)))
}

#[expect(clippy::cast_possible_truncation, reason = "as Prometheus does")]
fn in_milliseconds(seconds: &str) -> String {
    let seconds: f64 = seconds.parse().unwrap();
    ((seconds * 1000.0) as i64).to_string()
}

/// With timestamps in milliseconds.
fn read_blocks(text: &str) -> Vec<Block> {
    let mut blocks = read::read_blocks(text);
    for sample in blocks.iter_mut().flat_map(|block| &mut block.samples) {
        sample.timestamp = sample.timestamp.as_deref().map(in_milliseconds);
    }
    blocks
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_merge_in_open_metrics_is_the_obvious_one(targets in targets()) {
        let text = merged(&targets, Format::OpenMetrics);
        prop_assert_eq!(read_blocks(&text), expected(&targets), "{}", text);
        prop_assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn bodies_of_both_formats_in_the_text_format(targets in targets()) {
        let text = merged(&targets, Format::Text);
        let expected = reference::merge(&bodies(&targets)).blocks;
        prop_assert_eq!(read::read_blocks(&text), expected, "{}", text);
    }

    /// What Prometheus stores of the text is what it stores of each target that it scrapes itself.
    #[test]
    fn the_series_in_open_metrics_are_those_of_direct_scrapes(targets in targets()) {
        let text = merged(&targets, Format::OpenMetrics);
        let mut found = with_milliseconds(direct::stored_of_merged(&text), in_milliseconds);
        let plain = |milliseconds: &str| milliseconds.parse::<i64>().unwrap().to_string();
        for (number, target) in targets.iter().enumerate() {
            let Some((_, body)) = target else { continue };
            for (series, value) in with_milliseconds(direct::stored_directly(body, number), plain) {
                prop_assert_eq!(found.remove(&series), Some(value), "{:?} in {}", series, text);
            }
        }
        let failed = targets.iter().filter(|target| target.is_none()).count();
        prop_assert_eq!(found.len(), 3 * failed, "{:?} in {}", found, text);
    }

    /// Our own reader finds in it the same series, values, timestamps and exemplars.
    #[test]
    fn what_is_written_in_open_metrics_means_itself(targets in targets()) {
        check_means_itself(&merged(&targets, Format::OpenMetrics))?;
    }
}

/// The spelling may differ, the meaning may not.
fn with_milliseconds(stored: Stored, milliseconds: impl Fn(&str) -> String) -> Stored {
    let stored = stored
        .into_iter()
        .map(|((name, labels, timestamp), value)| {
            (
                (name, labels, timestamp.as_deref().map(&milliseconds)),
                value,
            )
        });
    stored.collect()
}

/// The text of this OpenMetrics merge is valid, and its merge says the same in the same order.
pub(super) fn check_means_itself(once: &str) -> Result<(), TestCaseError> {
    let labels = IdentityLabels::default();
    let exposition = parse(Format::OpenMetrics, once.as_bytes(), &labels).unwrap();
    prop_assert_eq!(exposition.duplicates_dropped(), 0, "{}", once);
    let again = merge(vec![part(labels, Some(exposition))], Format::OpenMetrics);
    let mut again_bytes = Vec::new();
    again.write_to(&mut again_bytes).unwrap();
    let again = String::from_utf8_lossy(&again_bytes);
    let mut blocks = read::read_blocks(&again);
    for block in &mut blocks {
        block.samples.retain(|sample| !sample.is_bare_report());
    }
    prop_assert_eq!(blocks, read::read_blocks(once), "{}", once);
    Ok(())
}
