//! How long it takes to put the labels of a target into bodies in protobuf, and to convert bodies to it, on one core,
//! for `merge.rs`.
//!
//! The floor is one copy of the bytes that come out.

use super::protobuf_bodies::{bodies, other_last_series};
use super::{corpus, identity, shortest_times};
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody};
use kubernetes_metrics_aggregator::exposition::{
    Accept, Asked, Body, Format, IdentityLabels, SeriesCache, parse,
};
use std::hint::black_box;

/// Prints a row for each kind of body whose name has one of the words.
pub(crate) fn splicing(is_wanted: &dyn Fn(&str) -> bool) {
    println!(
        "\nns a series: read a body, write it with labels, both, and to a copy of what comes out"
    );
    for (name, body) in bodies() {
        let name = format!("protobuf {name}");
        if is_wanted(&name) {
            spliced(&name, &body, &body);
        }
    }
    let name = "protobuf other last series";
    if is_wanted(name) {
        let [body, other] = other_last_series();
        spliced(name, &body, &other);
    }
    println!("\nns a sample: convert a parsed body to protobuf, write it with labels");
    for (name, bodies) in corpus::all() {
        let name = format!("to protobuf {name}");
        if is_wanted(&name) {
            converted(&name, &bodies[0]);
        }
    }
}

/// `before` is the body that is known.
fn spliced(name: &str, body: &[u8], before: &[u8]) {
    let target = identity(1);
    let spliced = read(body, &target);
    let length = usize::try_from(spliced.len()).unwrap();
    let series = spliced.samples() as f64;
    let cache = SeriesCache::new(
        Asked {
            accept: Accept::parse(PROTOBUF),
            ..Asked::default()
        },
        u64::MAX,
        1,
    );
    Body::protobuf(before.to_vec(), &target, &cache).unwrap();
    let same = known(body, &target, &cache);
    let is_known = same.is_some();
    let same = same.unwrap_or_else(|| read(body, &target));
    let [mut out, mut other, mut copy] = [(); 3].map(|()| Vec::with_capacity(length));
    write(&spliced, &target, &mut copy);
    let result = copy.clone();
    let [floor, reading, writing, known, writing_known] = shortest_times([
        &mut || {
            copy.clear();
            copy.extend_from_slice(black_box(&result));
            black_box(&copy);
        },
        &mut || drop(black_box(read(body, &target))),
        &mut || write(&spliced, &target, &mut other),
        &mut || drop(black_box(known(body, &target, &cache))),
        &mut || write(&same, &target, &mut out),
    ]);
    let [floor, reading, writing, known, writing_known] =
        [floor, reading, writing, known, writing_known].map(|seconds| seconds * 1e9 / series);
    print!(
        "{name:<32}{:>5} kB in{:>5} kB out{floor:>7.1}{reading:>7.1}{writing:>7.1}{:>7.1}",
        body.len() / 1000,
        length / 1000,
        reading + writing,
    );
    match is_known {
        true => println!(
            "{known:>7.1}{writing_known:>7.1}{:>7.1}",
            known + writing_known
        ),
        false => println!("{known:>7.1}"),
    }
}

const PROTOBUF: &str = "application/vnd.google.protobuf;\
    proto=io.prometheus.client.MetricFamily;encoding=delimited";

#[inline(never)]
fn known(body: &[u8], target: &IdentityLabels, cache: &SeriesCache) -> Option<ProtobufBody> {
    match Body::known_protobuf(black_box(body), target, cache)? {
        Ok(Body::Protobuf(body)) => Some(body),
        _ => None,
    }
}

fn converted(name: &str, body: &str) {
    let target = identity(1);
    let exposition = || parse(Format::Text, body.as_bytes(), &target).unwrap();
    let samples = exposition().samples() as f64;
    let read = ProtobufBody::convert(exposition(), &target);
    let mut out = Vec::with_capacity(usize::try_from(read.len()).unwrap());
    let [parsing, both, writing] = shortest_times([
        &mut || drop(black_box(exposition())),
        &mut || drop(black_box(ProtobufBody::convert(exposition(), &target))),
        &mut || write(&read, &target, &mut out),
    ]);
    println!(
        "{name:<40}{:>6} kB in{:>8.1}{:>8.1}",
        body.len() / 1000,
        (both - parsing) * 1e9 / samples,
        writing * 1e9 / samples
    );
}

#[inline(never)]
fn read(body: &[u8], target: &IdentityLabels) -> ProtobufBody {
    ProtobufBody::read(black_box(body).to_vec(), target, &Asked::default()).unwrap()
}

#[inline(never)]
fn write(body: &ProtobufBody, target: &IdentityLabels, out: &mut Vec<u8>) {
    out.clear();
    body.write(target, &mut Position::default(), out, usize::MAX);
    black_box(out);
}
