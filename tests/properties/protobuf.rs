//! Bodies of text and OpenMetrics, converted to protobuf: Prometheus stores the same of them.

use super::direct::stored_directly;
use super::model::{self, Body};
use super::{config, identity};
use crate::support::client_model::{MetricFamily, decode, try_decode};
use crate::support::stored::{StoredExemplar, StoredSample, stored};
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody};
use kubernetes_metrics_aggregator::exposition::{Asked, Exposition, Format, IdentityLabels, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::collections::BTreeMap;

fn converted(format: Format, body: impl AsRef<[u8]>) -> Vec<MetricFamily> {
    let target = identity(0);
    let exposition = parse(format, body, &target).unwrap();
    decode(&written(
        &target,
        &ProtobufBody::convert(exposition, &target),
    ))
}

fn written(target: &IdentityLabels, body: &ProtobufBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(!body.write(target, &mut Position::default(), &mut bytes, usize::MAX));
    assert_eq!(bytes.len() as u64, body.len());
    bytes
}

/// Name, labels and timestamp, and the bits of the value.
type Stored = BTreeMap<(String, Vec<(String, String)>, Option<i64>), u64>;

fn stored_of(samples: impl IntoIterator<Item = StoredSample>) -> Stored {
    let mut stored = Stored::new();
    for sample in samples {
        let series = (sample.name, sample.labels, sample.milliseconds);
        stored
            .entry(series)
            .or_insert_with(|| sample.value.to_bits());
    }
    stored
}

/// Without the reports on the target.
fn stored_of_model(body: &Body) -> Stored {
    let samples = stored_directly(body, 0).into_iter();
    let samples = samples.filter(|((name, labels, _), _)| !is_report(name, labels));
    let samples = samples.map(|((name, labels, timestamp), value)| {
        // In protobuf, 0 is no timestamp.
        let milliseconds = timestamp.map(|text| text.parse::<i64>().unwrap());
        let milliseconds = milliseconds.map(|it| if it == 0 { -1 } else { it });
        ((name, labels, milliseconds), float(&value).to_bits())
    });
    samples.collect()
}

/// NaN as the parsers of Prometheus make it.
fn float(value: &str) -> f64 {
    let float: f64 = value.parse().unwrap();
    if float.is_nan() {
        f64::from_bits(0x7ff8_0000_0000_0001)
    } else {
        float
    }
}

/// A family, sample by sample, all of them after its TYPE line.
#[derive(Debug, Clone)]
struct Family {
    word: &'static str,
    samples: Vec<Line>,
    /// Whether protobuf can say it as what it is.
    is_whole: bool,
}

#[derive(Debug, Clone)]
struct Line {
    /// Behind the name of the family.
    suffix: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    /// How it is written, and how it is stored; that of a histogram or summary.
    bound: Option<(&'static str, &'static str)>,
    value: &'static str,
    milliseconds: Option<u16>,
    has_exemplar: bool,
}

const LABEL_SETS: &[&[(&str, &str)]] = &[
    &[],
    &[("a", "1")],
    &[("a", "2"), ("b", "x\\\"y")],
    &[("b", "é"), ("job", "")],
];
const BOUNDS: &[(&str, &str)] = &[
    ("0.5", "0.5"),
    (".25", "0.25"),
    ("1", "1.0"),
    ("1e6", "1e+06"),
    ("0x1p-20", "9.5367431640625e-07"),
];
const BOUNDS_TO: &[Option<(&str, &str)>] = &[None, Some(("many", "many")), Some(("2", "2.0"))];
const COUNTS: &[&str] = &["0", "3", "1e3", "18446744073709551615"];
const SUMS: &[&str] = &["0", "-1.5", "NaN", "+Inf", "1e-320"];
/// With the blank before it.
const EXEMPLAR: &str = " # {t=\"\\\\n\"} 0.25 1.5";

/// What makes a family another one than it was.
#[derive(Debug, Clone)]
enum Change {
    Swap(Index, Index),
    Remove(Index),
    Value(Index, &'static str),
    Bound(Index, Option<(&'static str, &'static str)>),
    Time(Index, Option<u16>),
    Labels(Index, &'static [(&'static str, &'static str)]),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => at().prop_map(Change::Remove),
        1 => (at(), select(vec!["1.5", "-0", "-3", "NaN", "7"])).prop_map(|(at, to)| Change::Value(at, to)),
        1 => (at(), select(BOUNDS_TO)).prop_map(|(at, to)| Change::Bound(at, to)),
        1 => (at(), select(vec![None, Some(5), Some(6)])).prop_map(|(at, to)| Change::Time(at, to)),
        1 => (at(), select(LABEL_SETS)).prop_map(|(at, to)| Change::Labels(at, to)),
    ]
}

prop_compose! {
    /// The samples of one Metric.
    fn metric(is_summary: bool)(
        labels in select(LABEL_SETS),
        milliseconds in select(vec![None, None, Some(5), Some(6)]),
        bounds in subsequence(BOUNDS, 0..=BOUNDS.len()),
        last in select(vec!["+Inf", "inf", "Infinity"]),
        counts in vec(select(COUNTS), BOUNDS.len() + 2),
        sums in vec(select(SUMS), BOUNDS.len() + 1),
        has_exemplar in any::<bool>(),
    ) -> Vec<Line> {
        let line = |suffix, bound, value| Line {
            suffix,
            labels: labels.to_vec(),
            bound,
            value,
            milliseconds,
            has_exemplar,
        };
        let mut lines = Vec::new();
        for (n, bound) in bounds.into_iter().enumerate() {
            lines.push(match is_summary {
                true => line("", Some(bound), sums[n + 1]),
                false => line("_bucket", Some(bound), counts[n]),
            });
        }
        if !is_summary {
            lines.push(line("_bucket", Some((last, "+Inf")), counts[BOUNDS.len()]));
        }
        lines.push(line("_sum", None, sums[0]));
        lines.push(line("_count", None, counts[BOUNDS.len() + 1]));
        lines
    }
}

fn family() -> impl Strategy<Value = Family> {
    let grouped = any::<bool>().prop_flat_map(|is_summary| {
        let word = if is_summary { "summary" } else { "histogram" };
        (
            Just(word),
            vec(metric(is_summary), 0..4),
            vec(change(), 0..5),
        )
    });
    grouped.prop_map(|(word, metrics, changes)| {
        let mut family = Family {
            word,
            samples: metrics.concat(),
            is_whole: true,
        };
        for change in changes {
            family.change(&change);
        }
        family
    })
}

impl Family {
    fn change(&mut self, change: &Change) {
        let lines = &mut self.samples;
        if lines.is_empty() {
            return;
        }
        let len = lines.len();
        self.is_whole &= matches!(change, Change::Swap(..));
        match change {
            Change::Swap(a, b) => lines.swap(a.index(len), b.index(len)),
            Change::Remove(at) => drop(lines.remove(at.index(len))),
            Change::Value(at, to) => lines[at.index(len)].value = to,
            Change::Bound(at, to) => lines[at.index(len)].bound = *to,
            Change::Time(at, to) => lines[at.index(len)].milliseconds = *to,
            Change::Labels(at, to) => lines[at.index(len)].labels = to.to_vec(),
        }
    }

    fn bound_label(&self) -> &'static str {
        if self.word == "summary" {
            "quantile"
        } else {
            "le"
        }
    }

    fn write(&self, format: Format) -> String {
        let mut text = format!("# TYPE f {}\n", self.word);
        for line in &self.samples {
            let bound = line.bound.map(|(written, _)| (self.bound_label(), written));
            let labels = line.labels.iter().copied().chain(bound);
            let labels: Vec<_> = labels
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            text += &format!("f{}{{{}}} {}", line.suffix, labels.join(","), line.value);
            match (line.milliseconds, format) {
                (Some(milliseconds), Format::OpenMetrics) => {
                    text += &format!(" 0.00{milliseconds}")
                }
                (Some(milliseconds), _) => text += &format!(" {milliseconds}"),
                (None, _) => {}
            }
            if line.has_exemplar && format == Format::OpenMetrics {
                text += EXEMPLAR;
            }
            text.push('\n');
        }
        text + if format == Format::OpenMetrics {
            "# EOF\n"
        } else {
            ""
        }
    }

    /// What Prometheus stores of it, were it scraped directly; of series that come again only the first.
    fn stored(&self, format: Format) -> Vec<StoredSample> {
        let mut stored: Vec<StoredSample> = Vec::new();
        for line in &self.samples {
            let bound = line.bound.map(|(_, stored)| (self.bound_label(), stored));
            let labels = line.labels.iter().copied().chain(bound);
            let labels = labels.chain([("i", "0"), ("j", "x\"\\\n")]);
            let mut labels: Vec<(String, String)> = labels
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value.replace("\\\"", "\"")))
                .collect();
            labels.sort();
            let sample = StoredSample {
                name: format!("f{}", line.suffix),
                labels,
                value: float(line.value),
                milliseconds: line.milliseconds.map(i64::from),
                exemplar: (line.has_exemplar && format == Format::OpenMetrics).then(exemplar),
            };
            if !stored.iter().any(|other| is_same_series(other, &sample)) {
                stored.push(sample);
            }
        }
        stored
    }
}

/// What comes out can be read like any other body, and then has the same samples; and Prometheus stores of it what it
/// stores of the text that is made of the same body.
pub(super) fn check_converts(exposition: Exposition, text: &str) -> Result<(), TestCaseError> {
    let kept = exposition.samples() - exposition.duplicates_dropped();
    let (target, none) = (identity(0), IdentityLabels::default());
    let bytes = written(&target, &ProtobufBody::convert(exposition, &target));
    let read = ProtobufBody::read(bytes.clone(), &none, &Asked::default());
    let read = read.map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!((read.samples(), read.duplicates_dropped()), (kept, 0));
    prop_assert_eq!(written(&none, &read), bytes.clone());
    let of_text = parse(Format::Text, text, &none).unwrap();
    let of_text = written(&none, &ProtobufBody::convert(of_text, &none));
    // The names of labels of an exemplar need not be UTF-8.
    if let Ok(families) = try_decode(&bytes) {
        let mut expected = stored_of(stored(&decode(&of_text)));
        expected.retain(|(name, labels, _), _| !is_report(name, labels));
        prop_assert_eq!(stored_of(stored(&families)), expected, "{}", text);
    }
    Ok(())
}

/// Only the reports on the target have no labels but its two.
fn is_report(name: &str, labels: &[(String, String)]) -> bool {
    ["up", "scrape_duration_seconds", "scrape_samples_scraped"].contains(&name) && labels.len() == 2
}

/// That of [`EXEMPLAR`].
fn exemplar() -> StoredExemplar {
    StoredExemplar {
        labels: vec![("t".to_owned(), "\\\\n".to_owned())],
        value: 0.25,
        milliseconds: Some(1500),
    }
}

/// And the same timestamp.
fn is_same_series(a: &StoredSample, b: &StoredSample) -> bool {
    (&a.name, &a.labels, a.milliseconds) == (&b.name, &b.labels, b.milliseconds)
}

fn any_format() -> impl Strategy<Value = Format> {
    select(vec![Format::Text, Format::OpenMetrics])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn converted_bodies_are_stored_like_direct_ones(body in model::body(), format in any_format()) {
        let (body, written) = match format {
            Format::OpenMetrics => (body.common(), body.common().write_open_metrics()),
            _ => (body.clone(), body.write()),
        };
        let families = converted(format, written);
        let samples = stored(&families);
        prop_assert_eq!(samples.len(), stored_of(samples.clone()).len(), "a series twice in {:?}", families);
        prop_assert_eq!(stored_of(samples), stored_of_model(&body), "{:?}", families);
    }

    #[test]
    fn converted_histograms_and_summaries_are_stored_like_direct_ones(family in family(), format in any_format()) {
        let families = converted(format, family.write(format));
        let (found, direct) = (stored(&families), family.stored(format));
        prop_assert_eq!(found.len(), direct.len(), "{:?}", families);
        prop_assert_eq!(stored_of(found.clone()), stored_of(direct.clone()), "{:?}", families);
        // Series that come again with another value can spoil what was whole.
        if family.is_whole && direct.len() == family.samples.len() && !direct.is_empty() {
            let number = if family.word == "summary" { 2 } else { 4 };
            prop_assert_eq!(families.len(), 1);
            prop_assert_eq!(families[0].r#type, Some(number));
        }
        for sample in found {
            let direct = direct.iter().find(|direct| is_same_series(direct, &sample)).unwrap();
            let is_bucket_of_histogram = families[0].r#type == Some(4) && sample.name == "f_bucket";
            let expected = direct.exemplar.clone().filter(|_| is_bucket_of_histogram);
            prop_assert_eq!(sample.exemplar, expected, "{:?}", families);
        }
    }
}
