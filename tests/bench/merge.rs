//! How long parsing and merging take, on one core: `cargo bench --bench merge`, or `… -- mixed` for one row.
//!
//! The floor of a row is the least that any merge could do: one scan of the input for line ends, and one copy of the
//! output. It is measured in turns with the rest, so that the ratio says something on a busy machine too. Each figure
//! is that of the quickest of many short rounds: what others do on the machine only makes a round longer.
//!
//! With `once` among the words, each work is done once, in a function of its own: for
//! `valgrind --tool=callgrind --toggle-collect='*known*'`, which counts instructions on a busy machine too.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench, which prints"
)]

use kubernetes_metrics_aggregator::exposition::{
    Body, Format, IdentityLabels, Merged, Report, SeriesCache, TargetResult, merge, parse,
};
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

#[expect(dead_code, reason = "pages of real exporters are for the other bench")]
mod body;
#[path = "../support/client_model.rs"]
#[expect(dead_code, reason = "decoding is for tests")]
mod client_model;
mod corpus;
mod gzip;
mod protobuf_bodies;
mod splicing;

const ROUNDS: usize = 101;
/// Each measurement repeats its work until it takes about this long.
const MEASUREMENT: Duration = Duration::from_millis(1);
/// Among the arguments: each work is done once only.
const ONCE: &str = "once";

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-') && argument != ONCE)
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    println!(
        "ns a sample; cold: each body parsed alone; request: all bodies of the row with one cache, which knows \
         nothing at first; known: bodies whose lines are all known but for their values; half: of which every second \
         one is; write: merge, and write the text"
    );
    println!(
        "{:<16}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "corpus",
        "kB in",
        "samples",
        "floor",
        "cold",
        "x floor",
        "request",
        "known",
        "half",
        "write"
    );
    for (name, bodies) in corpus::all() {
        if is_wanted(name) {
            parsing(name, &bodies);
        }
    }
    gzip::gzip(&is_wanted);
    splicing::splicing(&is_wanted);
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

fn part(number: usize, body: &str) -> TargetResult {
    let labels = identity(number);
    let exposition = parse(Format::Text, body.as_bytes(), &labels).unwrap();
    let report = Report {
        up: true,
        duration: Duration::from_millis(12),
        samples_scraped: exposition.samples(),
    };
    TargetResult {
        labels,
        body: Some(exposition.into()),
        report,
    }
}

/// The bodies of one request, merged.
fn merged(bodies: &[String]) -> Merged {
    let cache = SeriesCache::default();
    let parts = bodies.iter().enumerate().map(|(number, body)| {
        let labels = identity(number);
        let exposition = cache.parse(Format::Text, body.as_bytes(), &labels).unwrap();
        TargetResult {
            body: Some(exposition.into()),
            ..part(number, "")
        }
    });
    merge(parts.collect(), Format::Text)
}

fn parsing(name: &str, bodies: &[String]) {
    let labels: Vec<IdentityLabels> = (0..bodies.len()).map(identity).collect();
    let text = merged(bodies);
    let mut output = Vec::new();
    text.write_to(&mut output).unwrap();
    let mut copy = vec![0; output.len()];
    let others: Vec<String> = bodies.iter().map(|body| half_different(body)).collect();
    let cache = SeriesCache::default();
    read(&cache, bodies, &labels);
    let times = shortest_times([
        &mut || floor(bodies, &output, &mut copy),
        &mut || cold(bodies, &labels),
        &mut || request(bodies, &labels),
        &mut || known(&cache, bodies, &labels),
        // What is learnt here has to be forgotten for the next time.
        &mut || {
            let cache = SeriesCache::default();
            read(&cache, &others, &labels);
            half_known(&cache, bodies, &labels);
        },
        &mut || read(&SeriesCache::default(), &others, &labels),
        &mut || write(&text),
    ]);
    let samples: u64 = bodies
        .iter()
        .map(|body| part(0, body).report.samples_scraped)
        .sum();
    let [floor, cold, request, known, half_known, other, write] =
        times.map(|seconds| seconds * 1e9 / samples as f64);
    println!(
        "{name:<16}{:>8.0}{samples:>9}{floor:>9.1}{cold:>9.1}{:>9.1}{request:>9.1}{known:>9.1}{:>9.1}{write:>9.1}",
        bodies.iter().map(String::len).sum::<usize>() as f64 / 1e3,
        cold / floor,
        half_known - other,
    );
}

#[inline(never)]
fn floor(bodies: &[String], output: &[u8], copy: &mut [u8]) {
    for body in bodies {
        black_box(memchr::memchr_iter(b'\n', black_box(body.as_bytes())).count());
    }
    copy.copy_from_slice(black_box(output));
    black_box(copy);
}

#[inline(never)]
fn cold(bodies: &[String], labels: &[IdentityLabels]) {
    for (body, labels) in bodies.iter().zip(labels) {
        black_box(parse(Format::Text, black_box(body.as_bytes()), labels).unwrap());
    }
}

#[inline(never)]
fn request(bodies: &[String], labels: &[IdentityLabels]) {
    read(&SeriesCache::default(), bodies, labels);
}

#[inline(never)]
fn known(cache: &SeriesCache, bodies: &[String], labels: &[IdentityLabels]) {
    read(cache, bodies, labels);
}

#[inline(never)]
fn half_known(cache: &SeriesCache, bodies: &[String], labels: &[IdentityLabels]) {
    read(cache, bodies, labels);
}

fn read(cache: &SeriesCache, bodies: &[String], labels: &[IdentityLabels]) {
    for (body, labels) in bodies.iter().zip(labels) {
        let body = black_box(body.as_bytes());
        black_box(cache.parse(Format::Text, body, labels).unwrap());
    }
}

#[inline(never)]
fn write(text: &Merged) {
    text.write_to(&mut io::sink()).unwrap();
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

/// Ordering the families of many targets, and writing the text. The parts are made again each time, which is not
/// measured.
fn merging(targets: usize) {
    let body = corpus::mixed_page();
    let families = body
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .count();
    let mut length = 0;
    let (mut ordering, mut writing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let cache = SeriesCache::default();
        let mut parts = vec![part(0, "")];
        for number in 1..targets {
            let labels = identity(number);
            let exposition = cache.parse(Format::Text, body.as_bytes(), &labels).ok();
            let report = parts[0].report;
            parts.push(TargetResult {
                labels,
                body: exposition.map(Body::Lines),
                report,
            });
        }
        let start = Instant::now();
        let text = merge(parts, Format::Text);
        ordering.push(start.elapsed().as_secs_f64());
        length = text.len();
        let start = Instant::now();
        write(&text);
        writing.push(start.elapsed().as_secs_f64());
    }
    let (ordering, writing) = (shortest(ordering), shortest(writing));
    println!(
        "order {families} families: {:.2} ms, {:.0} ns for each family of a target",
        ordering * 1e3,
        ordering * 1e9 / (targets * families) as f64
    );
    println!(
        "write {:.0} MB: {:.1} ms, {:.1} GB/s",
        length as f64 / 1e6,
        writing * 1e3,
        length as f64 / writing / 1e9
    );
}

const FAMILIES: usize = 100_000;

/// The seconds for ordering the families of targets of which one has very many. What it costs must not hang on how many
/// others there are.
fn ordering_many_families(targets: usize) -> f64 {
    let many: String = (0..FAMILIES).map(|n| format!("family_{n} 1\n")).collect();
    let ordering = |_| {
        let others = (1..targets).map(|number| part(number, "one 1\n"));
        let parts: Vec<TargetResult> = [part(0, &many)].into_iter().chain(others).collect();
        let start = Instant::now();
        black_box(merge(parts, Format::Text));
        start.elapsed().as_secs_f64()
    };
    shortest((0..ROUNDS).map(ordering).collect())
}

/// The seconds that each of the works takes, measured in turns.
fn shortest_times<const N: usize>(mut works: [&mut dyn FnMut(); N]) -> [f64; N] {
    if std::env::args().any(|argument| argument == ONCE) {
        return works.map(|work| seconds(1, work));
    }
    let repeats = works.each_mut().map(|work| {
        work();
        let once = Duration::from_secs_f64(seconds(1, work)).max(Duration::from_nanos(1));
        (MEASUREMENT.as_nanos() / once.as_nanos()).clamp(1, 100_000) as u32
    });
    let mut times = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for ((work, repeats), times) in works.iter_mut().zip(repeats).zip(&mut times) {
            times.push(seconds(repeats, work));
        }
    }
    times.map(shortest)
}

/// How long this takes once, if it is done so many times.
fn seconds(repeats: u32, work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        work();
    }
    start.elapsed().as_secs_f64() / f64::from(repeats)
}

fn shortest(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}
