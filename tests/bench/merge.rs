//! How long parsing and merging take, on one core: `cargo bench --bench merge`, or `… -- mixed` for one row.
//!
//! The floor of a row is the least that any merge could do: one scan of the input for line ends, and one copy of the
//! output. It is measured in turns with the rest, so that the ratio says something on a busy machine too. Each figure
//! is that of the quickest of many short rounds: what others do on the machine only makes a round longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench, which prints"
)]

use kubernetes_metrics_aggregator::exposition::{
    Body, Format, IdentityLabels, Merged, Part, Report, SeriesCache, merge, parse,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

#[path = "../support/client_model.rs"]
#[expect(dead_code, reason = "decoding is for tests")]
mod client_model;
mod corpus;
mod splicing;

const ROUNDS: usize = 101;
/// Each measurement repeats its work until it takes about this long.
const MEASUREMENT: Duration = Duration::from_millis(1);

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    println!(
        "parse: validate, group, find where labels go; whole: parse, merge, write with labels"
    );
    println!(
        "known: ns a sample of a body whose lines are all known but for their values; half: of which every second \
         one is"
    );
    println!(
        "{:<16}{:>8}{:>9}{:>12}{:>9}{:>11}{:>9}{:>9}{:>11}{:>9}{:>9}{:>9}",
        "corpus",
        "kB in",
        "samples",
        "floor GB/s",
        "parse MB/s",
        "ns/sample",
        "x floor",
        "whole MB/s",
        "ns/sample",
        "x floor",
        "known",
        "half"
    );
    for (name, bodies) in corpus::all() {
        if is_wanted(name) {
            parsing(name, &bodies);
        }
    }
    if is_wanted("protobuf") {
        splicing::splicing();
    }
    if is_wanted("merging") {
        println!("\nthe thread of the request: 500 targets of the mixed page");
        merging(500);
        println!(
            "order {FAMILIES} families of one target: {:.1} ms; beside 499 targets of one family: {:.1} ms",
            ordering_many_families(1) * 1e3,
            ordering_many_families(500) * 1e3
        );
    }
}

fn identity(number: usize) -> IdentityLabels {
    let (instance, ip) = (
        format!("memcached-7d9c5b7f4-{number:05}"),
        format!("10.244.{}.{}", number / 250, number % 250 + 1),
    );
    IdentityLabels::new([
        ("instance", instance.as_str()),
        ("job", "memcached"),
        ("pod_namespace", "production"),
        ("pod_ip", ip.as_str()),
    ])
}

fn part(number: usize, body: &str) -> Part {
    let labels = identity(number);
    let exposition = parse(Format::Text, body.as_bytes(), &labels).unwrap();
    let report = Report {
        up: true,
        duration: Duration::from_millis(12),
        samples_scraped: exposition.samples(),
    };
    Part {
        labels,
        body: Some(exposition.into()),
        report,
    }
}

fn parts(bodies: &[String]) -> impl Iterator<Item = Part> {
    bodies
        .iter()
        .enumerate()
        .map(|(number, body)| part(number, body))
}

fn merged(bodies: &[String]) -> Merged {
    merge(parts(bodies).collect(), Format::Text)
}

fn parsing(name: &str, bodies: &[String]) {
    let labels: Vec<IdentityLabels> = (0..bodies.len()).map(identity).collect();
    let mut output = Vec::new();
    merged(bodies).write_to(&mut output).unwrap();
    let mut copy = vec![0; output.len()];
    let mut samples = 0;
    let mut floor = || {
        for body in bodies {
            black_box(memchr::memchr_iter(b'\n', black_box(body.as_bytes())).count());
        }
        copy.copy_from_slice(black_box(&output));
        black_box(&copy);
    };
    let mut parse_all = || {
        samples = 0;
        for (body, labels) in bodies.iter().zip(&labels) {
            let exposition = parse(Format::Text, black_box(body.as_bytes()), labels).unwrap();
            samples += exposition.samples();
            black_box(exposition);
        }
    };
    let mut whole = Vec::with_capacity(output.len());
    let mut merge_all = || {
        whole.clear();
        merged(black_box(bodies)).write_to(&mut whole).unwrap();
        black_box(&whole);
    };
    let [floor, parse_all, merge_all] =
        shortest_times([&mut floor, &mut parse_all, &mut merge_all]);
    let [known, half_known] = known(bodies, &labels);
    let bytes = bodies.iter().map(String::len).sum::<usize>() as f64;
    println!(
        "{name:<16}{:>8.0}{:>9}{:>12.1}{:>9.0}{:>11.1}{:>9.1}{:>9.0}{:>11.1}{:>9.1}{:>9.1}{:>9.1}",
        bytes / 1e3,
        samples,
        bytes / floor / 1e9,
        bytes / parse_all / 1e6,
        parse_all * 1e9 / samples as f64,
        parse_all / floor,
        bytes / merge_all / 1e6,
        merge_all * 1e9 / samples as f64,
        merge_all / floor,
        known * 1e9 / samples as f64,
        half_known * 1e9 / samples as f64
    );
}

/// The seconds for bodies of which the lines are known but for their values, and for those of which every second sample
/// has another series than what is known.
fn known(bodies: &[String], labels: &[IdentityLabels]) -> [f64; 2] {
    let others: Vec<String> = bodies.iter().map(|body| half_different(body)).collect();
    let read = |cache: &SeriesCache, bodies: &[String]| {
        for (body, labels) in bodies.iter().zip(labels) {
            let body = black_box(body.as_bytes());
            black_box(cache.parse(Format::Text, body, labels).unwrap());
        }
    };
    let known = SeriesCache::default();
    read(&known, bodies);
    let [known, half, other] = shortest_times([
        &mut || read(&known, bodies),
        // What is learnt here has to be forgotten for the next time.
        &mut || {
            let cache = SeriesCache::default();
            read(&cache, &others);
            read(&cache, bodies);
        },
        &mut || read(&SeriesCache::default(), &others),
    ]);
    [known, half - other]
}

/// The body with one label more in every second sample.
fn half_different(body: &str) -> String {
    let mut number = 0;
    let lines = body.split_inclusive('\n').map(|line| {
        number += 1;
        if line.starts_with('#') || number % 2 == 0 {
            return line.to_owned();
        }
        match line.split_once("} ") {
            Some((series, value)) => format!("{series},other=\"1\"}} {value}"),
            None => line.replacen(' ', "{other=\"1\"} ", 1),
        }
    });
    lines.collect()
}

/// Ordering the families of many targets, and writing the text. The parts are made anew each time, unmeasured.
fn merging(targets: usize) {
    let body = corpus::mixed_page();
    let families = body
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .count();
    let mut output = Vec::new();
    let (mut ordering, mut writing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let cache = SeriesCache::default();
        let mut parts = vec![part(0, "")];
        for number in 1..targets {
            let labels = identity(number);
            let exposition = cache.parse(Format::Text, body.as_bytes(), &labels).ok();
            let report = parts[0].report;
            parts.push(Part {
                labels,
                body: exposition.map(Body::Lines),
                report,
            });
        }
        let start = Instant::now();
        let text = merge(parts, Format::Text);
        ordering.push(start.elapsed().as_secs_f64());
        output.clear();
        output.reserve(text.len());
        let start = Instant::now();
        text.write_to(&mut output).unwrap();
        writing.push(start.elapsed().as_secs_f64());
        black_box(&output);
    }
    let (ordering, writing) = (shortest(ordering), shortest(writing));
    println!(
        "order {families} families: {:.2} ms, {:.0} ns for each family of a target",
        ordering * 1e3,
        ordering * 1e9 / (targets * families) as f64
    );
    println!(
        "write {:.0} MB: {:.1} ms, {:.1} GB/s",
        output.len() as f64 / 1e6,
        writing * 1e3,
        output.len() as f64 / writing / 1e9
    );
}

const FAMILIES: usize = 100_000;

/// The seconds for ordering the families of targets of which one has very many. What it costs must not hang on how many
/// others there are.
fn ordering_many_families(targets: usize) -> f64 {
    let many: String = (0..FAMILIES).map(|n| format!("family_{n} 1\n")).collect();
    let ordering = |_| {
        let others = (1..targets).map(|number| part(number, "one 1\n"));
        let parts: Vec<Part> = [part(0, &many)].into_iter().chain(others).collect();
        let start = Instant::now();
        black_box(merge(parts, Format::Text));
        start.elapsed().as_secs_f64()
    };
    shortest((0..ROUNDS).map(ordering).collect())
}

/// The seconds that each of the works takes, measured in turns.
fn shortest_times<const N: usize>(mut works: [&mut dyn FnMut(); N]) -> [f64; N] {
    let repeats = works.each_mut().map(|work| {
        work();
        let start = Instant::now();
        work();
        let once = start.elapsed().max(Duration::from_nanos(1));
        (MEASUREMENT.as_nanos() / once.as_nanos()).clamp(1, 100_000) as u32
    });
    let mut times = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for ((work, repeats), times) in works.iter_mut().zip(repeats).zip(&mut times) {
            let start = Instant::now();
            for _ in 0..repeats {
                work();
            }
            times.push(start.elapsed().as_secs_f64() / f64::from(repeats));
        }
    }
    times.map(shortest)
}

fn shortest(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}
