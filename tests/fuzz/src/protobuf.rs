//! Bodies in protobuf: those that come so, held against another decoder, and those that are converted.

#[path = "../../support/client_model.rs"]
mod client_model;
#[path = "../../support/labelled.rs"]
mod labelled;
#[path = "../../support/stored.rs"]
mod stored;

use crate::{merged, parse, part, targets};
use client_model::{decode, encode, try_decode};
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody, ProtobufError};
use kubernetes_metrics_aggregator::exposition::{
    Accept, Asked, Body, Exposition, Format, IdentityLabels, SeriesCache,
};
use labelled::labelled;
use std::collections::BTreeSet;
use stored::stored;

const TARGET: [(&str, &str); 2] = [("i", "0"), ("job", "x\"\\\n")];

/// A body with the labels of a target can be read again and has the same samples; and if the other decoder can read it,
/// splicing and then decoding equals decoding and then labelling. Or there is an error of one short line.
///
/// # Panics
/// Where that is not so.
pub fn check_protobuf(bytes: &[u8]) {
    let target = IdentityLabels::new(TARGET);
    let body = match read(bytes, &target) {
        Ok(body) => body,
        Err(error) => {
            let text = error.to_string();
            let is_one_line = !text.chars().any(char::is_control);
            assert!(is_one_line && text.len() < 1000, "{text:?}");
            return;
        }
    };
    let spliced = written(&body, &target);
    let again = read(&spliced, &IdentityLabels::default());
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    // Of what has several series nothing is dropped.
    let kept = body.samples() - body.duplicates_dropped();
    assert_eq!(again.samples(), kept);
    if let Ok(families) = try_decode(bytes) {
        // Their bytes, for NaN does not equal itself.
        assert_eq!(
            encode(&decode(&spliced)),
            encode(&labelled(&families, &TARGET))
        );
    }
    check_same_series(bytes, &target);
}

/// A valid body in which one bit is changed: if it is recognized as one with the same series, the result is the same as
/// that of reading it alone.
fn check_same_series(bytes: &[u8], target: &IdentityLabels) {
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                  encoding=delimited";
    let asked = Asked {
        accept: Accept::parse(accept),
        ..Asked::default()
    };
    let cache = SeriesCache::new(asked, u64::MAX, 1);
    let _ = Body::protobuf(bytes.to_vec(), target, &cache);
    for at in [1, 3, 5, 7, 9].map(|part| bytes.len() * part / 10) {
        let mut other = bytes.to_vec();
        let Some(byte) = other.get_mut(at) else {
            return;
        };
        *byte ^= 1;
        let Some(same) = Body::known_protobuf(&other, target, &cache) else {
            continue;
        };
        let Ok(Body::Protobuf(same)) = same else {
            panic!("{same:?}");
        };
        let alone = ProtobufBody::read(other, target, cache.asked());
        let alone = alone.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(written(&same, target), written(&alone, target));
        let counts = |body: &ProtobufBody| (body.samples(), body.duplicates_dropped());
        assert_eq!(counts(&same), counts(&alone));
    }
}

/// The bodies of some targets, converted: what comes out can be read again and has the same samples, and Prometheus
/// stores of it what it stores of the text that is made of the body.
///
/// # Panics
/// Where that is not so.
pub fn check_to_protobuf(format: Format, bodies: &[u8]) {
    for body in targets(bodies) {
        let (target, none) = (IdentityLabels::new(TARGET), IdentityLabels::default());
        let exposition = || parse(format, body, &target).ok();
        let (Some(one), Some(same)) = (exposition(), exposition()) else {
            continue;
        };
        let found = convert(one, &target);
        let text = merged(vec![part(target, Some(same))], Format::Text);
        let text = parse(Format::Text, &text, &none).unwrap_or_else(|error| panic!("{error}"));
        // The names of labels of an exemplar need not be UTF-8.
        if let Ok(families) = try_decode(&found) {
            let of_text = decode(&convert(text, &none));
            assert_eq!(samples(&families), samples(&of_text));
        }
    }
}

fn read(bytes: &[u8], target: &IdentityLabels) -> Result<ProtobufBody, ProtobufError> {
    ProtobufBody::read(bytes.to_vec(), target, &Asked::default())
}

fn convert(exposition: Exposition, target: &IdentityLabels) -> Vec<u8> {
    let kept = exposition.samples() - exposition.duplicates_dropped();
    let bytes = written(&ProtobufBody::convert(exposition, target), target);
    let none = IdentityLabels::default();
    let read = read(&bytes, &none).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((read.samples(), read.duplicates_dropped()), (kept, 0));
    assert_eq!(written(&read, &none), bytes);
    bytes
}

/// What Prometheus stores, without exemplars and without the reports on the target.
fn samples(families: &[client_model::MetricFamily]) -> BTreeSet<String> {
    let samples = stored(families).into_iter().filter(|sample| {
        let is_reported = labelled::REPORTED.contains(&sample.name.as_str());
        !(is_reported && sample.labels.len() == TARGET.len())
    });
    let samples = samples.map(|sample| {
        let bits = sample.value.to_bits();
        let (name, labels) = (sample.name, sample.labels);
        format!("{name} {labels:?} {bits} {:?}", sample.milliseconds)
    });
    samples.collect()
}

/// It does not matter in how many steps a body is written.
fn written(body: &ProtobufBody, target: &IdentityLabels) -> Vec<u8> {
    let (mut whole, mut position) = (Vec::new(), Position::default());
    assert!(!body.write(target, &mut position, &mut whole, usize::MAX));
    assert_eq!(whole.len() as u64, body.len());
    let (mut steps, mut position) = (Vec::new(), Position::default());
    let mut enough = 1;
    while body.write(target, &mut position, &mut steps, enough) {
        enough = steps.len() + 1;
    }
    assert_eq!(steps, whole);
    whole
}
