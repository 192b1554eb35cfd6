//! The slow and obvious merge of models, written from the documentation alone: README: "What is stored",
//! k8s/prometheus/README.md: "The merged response".

use super::model::{Body, Line, Sample};
use super::vocabulary::EXEMPLAR;
use std::collections::{BTreeMap, BTreeSet};

/// One family of a merged text.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    pub(super) name: String,
    pub(super) help: Option<String>,
    pub(super) metric_type: String,
    /// In OpenMetrics.
    pub(super) unit: Option<String>,
    pub(super) samples: Vec<PlainSample>,
}

/// A sample, unescaped, without labels that have no value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlainSample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: String,
    pub(super) timestamp: Option<String>,
    /// In OpenMetrics, with the blank before it.
    pub(super) exemplar: Option<String>,
}

pub(crate) struct Merged {
    pub(crate) blocks: Vec<Block>,
    pub(crate) help_conflicts: u64,
    pub(crate) type_conflicts: u64,
}

pub(super) const REPORTED: [(&str, &str); 3] = [
    (
        "up",
        "Whether the last scrape of the target succeeded (1) or failed (0).",
    ),
    (
        "scrape_duration_seconds",
        "How long the last scrape of the target took.",
    ),
    (
        "scrape_samples_scraped",
        "Number of samples in the last scrape of the target.",
    ),
];

pub(crate) fn merge(targets: &[Option<Body>]) -> Merged {
    let mut merged = merge_with(targets, |_, _, _| None);
    for sample in merged
        .blocks
        .iter_mut()
        .flat_map(|block| &mut block.samples)
    {
        sample.exemplar = None;
    }
    merged
}

/// The same, with some names in the block of another one: as `joins` says, given the name, all names and all types.
pub(super) fn merge_with(
    targets: &[Option<Body>],
    joins: impl Fn(&'static str, &BTreeSet<&'static str>, &Types) -> Option<&'static str>,
) -> Merged {
    let (names, helps, types) = heads(targets);
    let mut joint = types
        .iter()
        .map(|(name, words)| (*name, joint_type(words)))
        .collect();
    settle(
        &mut joint,
        &targets.iter().flatten().flat_map(stood).collect::<Vec<_>>(),
    );
    let block = |name: &'static str| match block_of(name, &joint) {
        own if own == name => joins(name, &names, &joint).unwrap_or(name),
        other => other,
    };
    let is_block = |name: &&&'static str| block(name) == **name;
    let blocks = names.iter().filter(is_block).map(|name| Block {
        name: (*name).to_owned(),
        help: helps.get(name).map(|helps| helps[0].to_owned()),
        metric_type: joint.get(name).copied().unwrap_or("untyped").to_owned(),
        unit: None,
        samples: (0..)
            .zip(targets)
            .flat_map(|(number, body)| {
                let mut samples = report(name, number, body.as_ref());
                let own = body
                    .iter()
                    .flat_map(|body| kept_samples(body, number, &joint, block));
                let here = own.filter(|(own, _)| block(own) == *name);
                samples.extend(here.map(|(_, sample)| sample));
                samples
            })
            .collect(),
    });
    Merged {
        blocks: blocks.collect(),
        help_conflicts: differing(&helps),
        type_conflicts: differing(&types),
    }
}

impl PlainSample {
    /// The value of a label that it has.
    pub(super) fn label(&self, name: &str) -> &str {
        let label = self.labels.iter().find(|(own, _)| own == name);
        &label.unwrap().1
    }

    /// Whether it reports on a target without identity labels.
    pub(super) fn is_bare_report(&self) -> bool {
        self.labels.is_empty() && REPORTED.iter().any(|(name, _)| *name == self.name)
    }
}

/// For each name what the targets say of it, in their order.
type Said = BTreeMap<&'static str, Vec<&'static str>>;

fn differing(said: &Said) -> u64 {
    let differ = |values: &&Vec<&str>| values.iter().any(|value| *value != values[0]);
    said.values().filter(differ).count() as u64
}

/// All names, the HELPs and the TYPEs.
fn heads(targets: &[Option<Body>]) -> (BTreeSet<&'static str>, Said, Said) {
    let mut names: BTreeSet<&str> = REPORTED.iter().map(|(name, _)| *name).collect();
    let mut helps: Said = REPORTED
        .iter()
        .map(|(name, help)| (*name, vec![*help]))
        .collect();
    let mut types: Said = REPORTED
        .iter()
        .map(|(name, _)| (*name, vec!["untyped"]))
        .collect();
    for body in targets.iter().flatten() {
        for (name, help) in helps_of(body) {
            helps.entry(name).or_default().push(help);
        }
        for (name, word) in types_of(body) {
            types.entry(name).or_default().push(word);
        }
        let kept = kept_samples(body, 0, &Types::new(), |name| name);
        names.extend(kept.iter().map(|(name, _)| *name));
    }
    names.extend(helps.keys().chain(types.keys()));
    (names, helps, types)
}

/// All names that any target has.
pub(super) fn names(targets: &[Option<Body>]) -> BTreeSet<&'static str> {
    heads(targets).0
}

/// The last HELP of each name; one without a text takes away those before it.
fn helps_of(body: &Body) -> BTreeMap<&'static str, &'static str> {
    let mut helps = BTreeMap::new();
    for line in &body.lines {
        if let Line::Help(name, text) = line {
            helps.remove(name);
            if !text.is_empty() {
                helps.insert(*name, *text);
            }
        }
    }
    helps
}

pub(super) fn has_parts(word: &str) -> bool {
    word == "histogram" || word == "summary"
}

/// The last TYPE of each name; where TYPEs differ and one of them has parts, it is untyped, and so is what has samples
/// elsewhere than under its TYPE line, or has the name of a reported series.
fn types_of(body: &Body) -> Types {
    let mut types = Types::new();
    let mut differing = BTreeSet::new();
    for line in &body.lines {
        if let Line::Type(name, word) = line
            && let Some(before) = types.insert(*name, *word)
            && before != *word
            && (has_parts(before) || has_parts(word))
        {
            differing.insert(*name);
        }
    }
    for (name, word) in &mut types {
        let is_reported = REPORTED.iter().any(|(reported, _)| reported == name);
        if differing.contains(name) || is_reported && has_parts(word) {
            *word = "untyped";
        }
    }
    settle(&mut types, &stood(body));
    types
}

pub(super) type Types = BTreeMap<&'static str, &'static str>;
/// Name and word of a TYPE line.
pub(super) type TypeLine = (&'static str, &'static str);

/// The samples of a body that are kept, and the last TYPE line before each.
pub(super) fn kept(body: &Body) -> Vec<(&Sample, Option<TypeLine>)> {
    let mut last_type = None;
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for line in &body.lines {
        match line {
            Line::Type(name, word) => last_type = Some((*name, *word)),
            Line::Sample(sample) => {
                let mut series = own_labels(sample, last_type, None);
                series.sort_unstable();
                let is_reported =
                    series.is_empty() && REPORTED.iter().any(|(name, _)| *name == sample.name);
                let milliseconds: Option<i64> = sample.timestamp.and_then(|text| text.parse().ok());
                if !is_reported && seen.insert((sample.name, series, milliseconds)) {
                    kept.push((sample, last_type));
                }
            }
            _ => {}
        }
    }
    kept
}

/// The names of these samples.
fn stood(body: &Body) -> Vec<(&'static str, Option<TypeLine>)> {
    let kept = kept(body).into_iter();
    kept.map(|(sample, stood)| (sample.name, stood)).collect()
}

/// A family with parts becomes untyped if it has a sample elsewhere than under its TYPE line.
fn settle(types: &mut Types, samples: &[(&'static str, Option<TypeLine>)]) {
    loop {
        let misplaced = samples.iter().find_map(|(name, stood)| {
            let block = block_of(name, types);
            let word = types.get(block).copied().filter(|word| has_parts(word))?;
            (*stood != Some((block, word))).then_some(block)
        });
        match misplaced {
            Some(block) => types.insert(block, "untyped"),
            None => return,
        };
    }
}

fn joint_type(words: &[&'static str]) -> &'static str {
    if words.iter().all(|word| *word == words[0]) {
        words[0]
    } else {
        "untyped"
    }
}

fn parts(word: Option<&str>) -> &'static [&'static str] {
    match word {
        Some("histogram") => &["_bucket", "_sum", "_count"],
        Some("summary") => &["_sum", "_count"],
        _ => &[],
    }
}

/// The label whose values Prometheus rewrites under this type.
pub(super) fn float_label(word: &str) -> Option<&'static str> {
    match word {
        "histogram" => Some("le"),
        "summary" => Some("quantile"),
        _ => None,
    }
}

fn block_of(name: &'static str, types: &Types) -> &'static str {
    let type_of = |name: &str| types.get(name).copied();
    if type_of(name).is_some_and(has_parts) {
        return name;
    }
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|end| Some((name.strip_suffix(end)?, end)))
        .find(|(base, end)| parts(type_of(base)).contains(end))
        .map_or(name, |(base, _)| base)
}

/// The samples of a body as they have to be written, with the names of their series, given the written types and the
/// block of each name.
pub(super) fn kept_samples(
    body: &Body,
    number: usize,
    written: &Types,
    block: impl Fn(&'static str) -> &'static str,
) -> Vec<(&'static str, PlainSample)> {
    let kept = kept(body).into_iter().map(|(sample, stood)| {
        let block = block(sample.name);
        let will_stand = written.get(block).map(|word| (block, *word));
        let labels = own_labels(sample, stood, will_stand);
        (sample.name, with_identity(sample, labels, number))
    });
    kept.collect()
}

/// Values that Prometheus rewrites only in the body itself are written as it stores them, others are left to it.
fn own_labels(
    sample: &Sample,
    stood: Option<TypeLine>,
    will_stand: Option<TypeLine>,
) -> Vec<(String, String)> {
    let rewritten = stood
        .filter(|_| stood != will_stand)
        .and_then(|(_, word)| float_label(word));
    let mut labels: Vec<(String, String)> = sample
        .labels
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let value = if rewritten == Some(*name) {
                stored_float(value)
            } else {
                value
            };
            ((*name).to_owned(), value.to_owned())
        })
        .collect();
    rename(&mut labels);
    labels
}

/// How Prometheus 3.5.3 stores these values of `le` in a histogram.
pub(super) fn stored_float(value: &str) -> &str {
    match value {
        "1" | "1e0" => "1.0",
        "0.50" | ".5" => "0.5",
        "1e6" => "1e+06",
        "inf" => "+Inf",
        "nan" => "NaN",
        other => other,
    }
}

/// `i` and `j` are the identity labels.
fn rename(labels: &mut [(String, String)]) {
    for identity in ["i", "j"] {
        if let Some(at) = labels.iter().position(|(name, _)| name == identity) {
            let mut name = format!("exported_{identity}");
            while labels.iter().any(|(taken, _)| *taken == name) {
                name.insert_str(0, "exported_");
            }
            labels[at].0 = name;
        }
    }
}

fn identity(number: usize) -> [(String, String); 2] {
    [
        ("i".to_owned(), number.to_string()),
        ("j".to_owned(), "x\"\\\n".to_owned()),
    ]
}

fn with_identity(sample: &Sample, mut labels: Vec<(String, String)>, number: usize) -> PlainSample {
    labels.extend(identity(number));
    PlainSample {
        name: sample.name.to_owned(),
        labels,
        value: sample.value.to_owned(),
        timestamp: sample.timestamp.map(str::to_owned),
        exemplar: sample.has_exemplar().then(|| EXEMPLAR.to_owned()),
    }
}

/// The reported sample of this name, if it is one of those.
pub(super) fn report(name: &str, number: usize, body: Option<&Body>) -> Vec<PlainSample> {
    let value = match name {
        "up" => usize::from(body.is_some()).to_string(),
        "scrape_duration_seconds" => "1.5".to_owned(),
        "scrape_samples_scraped" => body.map_or(0, |body| body.samples().count()).to_string(),
        _ => return Vec::new(),
    };
    vec![PlainSample {
        name: name.to_owned(),
        labels: identity(number).to_vec(),
        value,
        timestamp: None,
        exemplar: None,
    }]
}
