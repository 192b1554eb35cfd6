//! What holds for each body and each merge, on generated bodies. README: "What is stored". `PROPTEST_CASES` sets how
//! many; the default keeps the suite quick.
//!
//! * `properties/model.rs`, `vocabulary.rs`, `damage.rs`: generated bodies, and how they are written
//! * `properties/reference.rs`, `direct.rs`: the slow and obvious merge, and what Prometheus stores
//! * `properties/read.rs`: a reader of merged text

use kubernetes_metrics_aggregator::exposition::{Format, IdentityLabels, Merged, merge, parse};
use model::Body;
use proptest::prelude::*;
use reference::Block;

use crate::support::labelled::REPORTED;
use crate::support::merged::{self, part, text};

mod cache;
mod damage;
mod direct;
mod model;
mod open_metrics;
mod protobuf;
mod read;
mod reference;
mod vocabulary;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn identity(number: usize) -> IdentityLabels {
    IdentityLabels::new([("i", number.to_string().as_str()), ("j", "x\"\\\n")])
}

/// The number of a target that was left out stays free: the others keep their labels.
fn merge_bodies(bodies: &[Option<&[u8]>], left_out: Option<usize>) -> Merged {
    let parts = bodies.iter().enumerate().filter_map(|(number, body)| {
        let exposition = body.map(|body| parse(Format::Text, body, &identity(number)).unwrap());
        (left_out != Some(number)).then(|| part(identity(number), exposition))
    });
    merge(parts.collect(), Format::Text)
}

/// A merge of the text alone, without identity labels; only the bare reported samples come on top.
fn merge_again(text: &str) -> String {
    let labels = IdentityLabels::default();
    let exposition = parse(Format::Text, text.as_bytes(), &labels).unwrap();
    assert_eq!(exposition.duplicates_dropped(), 0);
    let again = merged::text(&merge(vec![part(labels, Some(exposition))], Format::Text));
    let bare_reports = REPORTED.map(|name| format!("{name} "));
    let is_bare_report = |line: &str| bare_reports.iter().any(|start| line.starts_with(start));
    again
        .split_inclusive('\n')
        .filter(|line| !is_bare_report(line))
        .collect()
}

fn sample_lines(text: &str) -> Vec<&str> {
    read::statements(text)
        .filter(|line| !line.starts_with("# "))
        .collect()
}

fn as_slices(bodies: &[Option<Vec<u8>>]) -> Vec<Option<&[u8]>> {
    bodies.iter().map(Option::as_deref).collect()
}

proptest! {
    #![proptest_config(config())]

    /// The merge is what the slow and obvious one makes of the same models, to the last sample, in the same order.
    #[test]
    fn the_merge_equals_the_slow_and_obvious_one(models in model::targets()) {
        let bodies: Vec<_> = models.iter().map(|body| body.as_ref().map(Body::write)).collect();
        let merged = merge_bodies(&as_slices(&bodies), None);
        let expected = reference::merge(&models);
        let text = text(&merged);
        let found: Vec<Block> = read::read_blocks(&text);
        prop_assert_eq!(&found, &expected.blocks, "{}", text);
        prop_assert_eq!(merged.conflicts().0, expected.help_conflicts);
        prop_assert_eq!(merged.conflicts().1, expected.type_conflicts);
    }

    #[test]
    fn each_sample_is_written_or_counted_as_a_duplicate(model in model::body()) {
        let exposition = parse(Format::Text, model.write(), &identity(0)).unwrap();
        let (samples, dropped) = (exposition.samples(), exposition.duplicates_dropped());
        prop_assert_eq!(samples, model.samples().count() as u64);
        let merged = text(&merge(vec![part(identity(0), Some(exposition))], Format::Text));
        let reported = 3;
        prop_assert_eq!(samples, sample_lines(&merged).len() as u64 - reported + dropped);
    }

    /// Samples in the plain form mean what the parser for any form makes of them.
    #[test]
    fn blanks_between_tokens_change_nothing(model in model::body()) {
        let read = |body: Vec<u8>| {
            let exposition = parse(Format::Text, body, &identity(0)).unwrap();
            let dropped = exposition.duplicates_dropped();
            (text(&merge(vec![part(identity(0), Some(exposition))], Format::Text)), dropped)
        };
        prop_assert_eq!(read(model.with_blanks().write()), read(model.write()));
    }

    #[test]
    fn merged_text_means_itself(models in model::targets()) {
        let bodies: Vec<_> = models.iter().map(|body| body.as_ref().map(Body::write)).collect();
        let once = text(&merge_bodies(&as_slices(&bodies), None));
        check_means_itself(&once)?;
    }

    /// What Prometheus stores of the merged text is what it stores of each target that it scrapes itself.
    #[test]
    fn the_merged_series_are_those_of_direct_scrapes(models in model::targets()) {
        let bodies: Vec<_> = models.iter().map(|body| body.as_ref().map(Body::write)).collect();
        let text = text(&merge_bodies(&as_slices(&bodies), None));
        let mut found = direct::stored_of_merged(&text);
        for (number, model) in models.iter().enumerate() {
            let Some(model) = model else { continue };
            for (series, value) in direct::stored_directly(model, number) {
                prop_assert_eq!(found.remove(&series), Some(value), "{:?} in {}", series, text);
            }
        }
        // The reports on the targets that failed.
        let failed = models.iter().filter(|model| model.is_none()).count();
        prop_assert_eq!(found.len(), 3 * failed, "{:?} in {}", found, text);
    }

    /// The same bodies give the same bytes, and what one target sends changes no other target's series.
    #[test]
    fn a_target_changes_no_series_of_another(models in model::targets(), choice in any::<prop::sample::Index>()) {
        let bodies: Vec<_> = models.iter().map(|body| body.as_ref().map(Body::write)).collect();
        let all = text(&merge_bodies(&as_slices(&bodies), None));
        prop_assert_eq!(&text(&merge_bodies(&as_slices(&bodies), None)), &all);
        let left_out = choice.index(bodies.len());
        let rest = text(&merge_bodies(&as_slices(&bodies), Some(left_out)));
        let mut expected = direct::stored_of_merged(&all);
        let mark = ("i".to_owned(), left_out.to_string());
        expected.retain(|(_, labels, _), _| !labels.contains(&mark));
        prop_assert_eq!(direct::stored_of_merged(&rest), expected);
    }

    /// OpenMetrics says the same as the text format.
    #[test]
    fn the_same_body_in_openmetrics_means_the_same(model in model::body()) {
        let model = model.common();
        let read = |format, body: &[u8]| {
            let exposition = parse(format, body, &identity(0)).unwrap();
            text(&merge(vec![part(identity(0), Some(exposition))], Format::Text))
        };
        let expected = read(Format::Text, &model.write());
        let found = read(Format::OpenMetrics, &model.write_open_metrics());
        prop_assert_eq!(read::read_blocks(&found), read::read_blocks(&expected));
    }

    /// A body is refused, or it is written so that it means the same again.
    #[test]
    fn any_bytes_are_an_error_or_mean_the_same_again(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check_any(&body)?;
    }

    #[test]
    fn bytes_like_a_body_are_an_error_or_mean_the_same_again(body in damage::tokens()) {
        check_any(&body)?;
    }

    #[test]
    fn damaged_bodies_are_an_error_or_mean_the_same_again(model in model::body(), damages in damage::damages()) {
        let mut body = model.write();
        for damage in &damages {
            damage.apply(&mut body);
        }
        check_any(&body)?;
        let mut body = model.common().write_open_metrics();
        for damage in &damages {
            damage.apply(&mut body);
        }
        check_any(&body)?;
    }
}

/// `fixtures/exposition`: bodies named for a rule, and inputs in which the fuzzers found something.
#[test]
fn the_fixtures_are_an_error_or_mean_the_same_again() {
    for (format, folder) in [(Format::Text, "text"), (Format::OpenMetrics, "openmetrics")] {
        let folder = format!(
            "{}/fixtures/exposition/{folder}",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut valid = 0;
        let mut invalid = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let body = std::fs::read(file.unwrap().path()).unwrap();
            check_any(&body).unwrap();
            match parse(format, body, &identity(0)) {
                Ok(_) => valid += 1,
                Err(_) => invalid += 1,
            }
        }
        assert!(valid > 5 && invalid > 0, "{valid} valid, {invalid} invalid");
    }
}

fn check_any(body: &[u8]) -> Result<(), TestCaseError> {
    let ended = [body, b"# EOF\n"].concat();
    check_format(Format::Text, body)?;
    check_format(Format::OpenMetrics, body)?;
    check_format(Format::OpenMetrics, &ended)
}

fn check_format(format: Format, body: &[u8]) -> Result<(), TestCaseError> {
    let labels = identity(0);
    let Ok(exposition) = parse(format, body, &labels) else {
        return Ok(());
    };
    let (samples, dropped) = (exposition.samples(), exposition.duplicates_dropped());
    let once = text(&merge(vec![part(labels, Some(exposition))], Format::Text));
    let reported = 3;
    let out = sample_lines(&once).len() as u64 - reported;
    prop_assert_eq!(samples, out + dropped, "{}", once);
    check_means_itself(&once)?;
    let exposition = parse(format, body, &identity(0)).unwrap();
    let mut converted = Vec::new();
    let merged = merge(
        vec![part(identity(0), Some(exposition))],
        Format::OpenMetrics,
    );
    merged.write_to(&mut converted).unwrap();
    prop_assert_eq!(merged.len(), converted.len());
    // An exemplar's label names can be anything, as in Prometheus.
    let converted = String::from_utf8_lossy(&converted);
    let samples = sample_lines(&converted)
        .iter()
        .filter(|line| **line != "# EOF")
        .count();
    prop_assert_eq!(samples, sample_lines(&once).len(), "{}", converted);
    open_metrics::check_means_itself(&converted)?;
    protobuf::check_converts(parse(format, body, &identity(0)).unwrap(), &once)
}

/// The text is valid, and its merge says the same in the same order.
fn check_means_itself(once: &str) -> Result<(), TestCaseError> {
    let again = merge_again(once);
    prop_assert_eq!(read::read_blocks(&again), read::read_blocks(once));
    Ok(())
}
