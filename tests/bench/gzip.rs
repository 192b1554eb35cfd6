//! How long it takes to compress merged texts, on one core, and how small they become, for `merge.rs`.

use super::{corpus, merged, shortest_times};
use flate2::Compression;
use flate2::write::GzEncoder;
use kubernetes_metrics_aggregator::exposition::Merged;
use kubernetes_metrics_aggregator::gzip::LineGzip;
use std::hint::black_box;

/// Levels of zlib-rs that are compared.
const LEVELS: [u32; 3] = [1, 3, 6];
/// Of each corpus: more take longer, and nothing else.
const PODS_MAX: usize = 16;

/// Prints a row for each corpus whose name has one of the words.
pub(crate) fn gzip(is_wanted: &dyn Fn(&str) -> bool) {
    println!(
        "\nps a byte of text, and bytes of gzip in 1,000 bytes: by lines, and by zlib-rs at {LEVELS:?}"
    );
    for (name, bodies) in corpus::all() {
        let row = format!("gzip {name}");
        if is_wanted(&row) {
            compressed(&row, &merged(&bodies[..bodies.len().min(PODS_MAX)]));
        }
    }
}

fn compressed(row: &str, text: &Merged) {
    let [fast, medium, slow] = LEVELS;
    let seconds = shortest_times([
        &mut || drop(black_box(by_lines(text))),
        &mut || drop(black_box(by_zlib(text, fast))),
        &mut || drop(black_box(by_zlib(text, medium))),
        &mut || drop(black_box(by_zlib(text, slow))),
    ]);
    let [fast, medium, slow] = LEVELS.map(|level| by_zlib(text, level));
    print!("{row:<22}");
    for (gzip, seconds) in [by_lines(text), fast, medium, slow].iter().zip(seconds) {
        let length = text.len() as f64;
        let (time, size) = (seconds * 1e12 / length, gzip.len() as f64 * 1e3 / length);
        print!("{time:>8.0} {size:>4.0}");
    }
    println!();
}

#[inline(never)]
fn by_lines(text: &Merged) -> Vec<u8> {
    let mut gzip = LineGzip::default();
    text.write_to(&mut gzip).unwrap();
    gzip.finish()
}

#[inline(never)]
fn by_zlib(text: &Merged, level: u32) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(level));
    text.write_to(&mut gzip).unwrap();
    gzip.finish().unwrap()
}
