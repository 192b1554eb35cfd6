//! The figures as a markdown table.

use std::fmt::Write;
use std::fs;
use std::thread;
use std::time::Duration;

use crate::measure::{Figures, SubjectFigures, count};

const COLUMNS: [&str; 13] = [
    "workload",
    "rounds",
    "fetch ms",
    "relay ms",
    "server ms",
    "server/fetch",
    "server/relay",
    "relay CPU ms",
    "server CPU ms",
    "CPU ratio",
    "relay RSS MiB",
    "server RSS MiB",
    "fetched, response MB",
];

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}

/// The two lines above the rows.
pub(crate) fn head() -> String {
    let columns = COLUMNS.join(" | ");
    let line = "|---".repeat(COLUMNS.len());
    format!(
        "Wall: median (shortest–longest). CPU: mean, user and system.\n\n| {columns} |\n{line}|"
    )
}

/// One row.
pub(crate) fn row(figures: &Figures) -> Option<String> {
    let [fetch, relay, .., server] = &figures.subjects[..] else {
        return None;
    };
    let cells = [
        figures.workload.name.to_owned(),
        figures.rounds.to_string(),
        spread(fetch),
        spread(relay),
        spread(server),
        ratio(server.median(), fetch.median()),
        ratio(server.median(), relay.median()),
        milliseconds(relay.cpu),
        milliseconds(server.cpu),
        ratio(server.cpu, relay.cpu),
        mebibytes(relay.peak_rss_kib),
        mebibytes(server.peak_rss_kib),
        format!(
            "{}, {}",
            megabytes(figures.fetched_bytes),
            megabytes(server.bytes)
        ),
    ];
    Some(format!("| {} |", cells.join(" | ")))
}

/// What the row of a workload does not say.
pub(crate) fn note(figures: &Figures) -> Option<String> {
    let name = figures.workload.name;
    let mut note = String::new();
    if let [_, _, identity, gzip] = &figures.subjects[..] {
        write!(
            note,
            "{name}: gzip / identity: wall {}, CPU {}, bytes 1/{:.1}",
            ratio(gzip.median(), identity.median()),
            ratio(gzip.cpu, identity.cpu),
            count(identity.bytes) / count(gzip.bytes),
        )
        .ok()?;
    }
    if figures.workload.hanging > 0 {
        let longest = *figures.subjects.last()?.walls.last()?;
        write!(
            note,
            "{name}: {} pods hang; of the {} others there were {:?} in the first responses, and all in each one after \
             that, the latest after {:.2} s",
            figures.workload.hanging,
            figures.workload.pods - figures.workload.hanging,
            figures.first_up,
            longest.as_secs_f64(),
        )
        .ok()?;
    }
    (!note.is_empty()).then_some(note)
}

fn spread(figures: &SubjectFigures) -> String {
    let end = |wall: Option<&Duration>| milliseconds(wall.copied().unwrap_or_default());
    format!(
        "{} ({}–{})",
        milliseconds(figures.median()),
        end(figures.walls.first()),
        end(figures.walls.last())
    )
}

/// Three digits.
pub(crate) fn milliseconds(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1e3;
    match milliseconds {
        ..9.995 => format!("{milliseconds:.2}"),
        ..99.95 => format!("{milliseconds:.1}"),
        _ => format!("{milliseconds:.0}"),
    }
}

pub(crate) fn ratio(a: Duration, b: Duration) -> String {
    if b.is_zero() {
        return "–".to_owned();
    }
    format!("{:.2}", a.as_secs_f64() / b.as_secs_f64())
}

pub(crate) fn mebibytes(kib: u64) -> String {
    format!(
        "{:.1}",
        Duration::from_millis(kib).as_secs_f64() * 1000.0 / 1024.0
    )
}

fn megabytes(bytes: usize) -> String {
    format!("{:.2}", count(bytes) / 1e6)
}
