//! What Prometheus stores of a target that it scrapes itself, and of merged text.

use std::collections::BTreeMap;

use super::model::Body;
use super::read::read_blocks;
use super::reference::{
    PlainSample, REPORTED, Types, float_label, kept_samples, report, stored_float,
};

/// What Prometheus stores of a target that it scrapes itself, with the labels of its target: series and timestamps with
/// the value of the first sample.
pub(super) fn stored_directly(body: &Body, number: usize) -> Stored {
    let mut stored = Stored::new();
    // Without any types, all values are written as Prometheus stores them.
    for (_, sample) in kept_samples(body, number, &Types::new(), |name| name) {
        add(sample, &mut stored);
    }
    for (name, _) in REPORTED {
        for sample in report(name, number, Some(body)) {
            add(sample, &mut stored);
        }
    }
    stored
}

/// What Prometheus stores of a merged text.
pub(super) fn stored_of_merged(text: &str) -> Stored {
    let mut stored = Stored::new();
    for block in read_blocks(text) {
        for mut sample in block.samples {
            let rewritten = float_label(&block.metric_type);
            for (name, value) in &mut sample.labels {
                if rewritten == Some(name) {
                    *value = stored_float(value).to_owned();
                }
            }
            add(sample, &mut stored);
        }
    }
    stored
}

/// Name, labels and timestamp, and the value.
pub(super) type Stored = BTreeMap<(String, Vec<(String, String)>, Option<String>), String>;

fn add(mut sample: PlainSample, stored: &mut Stored) {
    sample.labels.sort_unstable();
    stored
        .entry((sample.name, sample.labels, sample.timestamp))
        .or_insert(sample.value);
}
