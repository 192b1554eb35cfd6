//! What the fuzz targets check: bodies of lines here, those in protobuf in `protobuf.rs`, requests in
//! `request.rs`, gzip in `gzip.rs`.
//!
//! Each check panics where something does not hold, which is what the fuzzer looks for. None of them says what a body
//! means: `tests/properties.rs` compares with a slow merge, and `tests/real/bodies` with Prometheus.

mod gzip;
mod protobuf;
mod request;

pub use gzip::check_gzip;
pub use protobuf::{check_protobuf, check_to_protobuf};
pub use request::{check_accept, check_request};

use std::time::Duration;

use kubernetes_metrics_aggregator::exposition::{
    Body, Exposition, Format, IdentityLabels, LineError, Report, SeriesCache, TargetResult, merge,
};

/// Between the bodies of several targets in one input: a line that hardly any valid body has.
pub const NEXT_TARGET: &[u8] = b"\n=\n";
/// Most targets of one input.
const TARGETS_MAX: usize = 4;
/// Reported for each target.
const REPORTED_SAMPLES: u64 = 3;
/// Names of these, with the blank before the value: how they are written for a target without identity labels.
const BARE_REPORTS: [&str; 3] = ["up ", "scrape_duration_seconds ", "scrape_samples_scraped "];

/// The one place that calls the parser.
fn parse(format: Format, body: &[u8], labels: &IdentityLabels) -> Result<Exposition, LineError> {
    kubernetes_metrics_aggregator::exposition::parse(format, body, labels)
}

/// What came out of a body, whatever it was: numbers that fit together, or an error of one short line.
///
/// # Panics
/// Where that is not so.
pub fn check_parse(format: Format, body: &[u8]) {
    match parse(format, body, &identity(0)) {
        Ok(exposition) => assert!(exposition.duplicates_dropped() <= exposition.samples()),
        Err(error) => {
            let text = error.to_string();
            let is_one_line = !text.chars().any(char::is_control);
            assert!(is_one_line && text.len() < 1000, "{text:?}");
            let newlines = body.iter().filter(|&&byte| byte == b'\n').count();
            assert!(
                usize::try_from(error.line).is_ok_and(|line| line <= newlines + 1),
                "{text:?}"
            );
        }
    }
}

/// Bodies that are read one after the other with what is known of lines mean what they mean by themselves.
///
/// # Panics
/// Where one does not.
pub fn check_cache(format: Format, bodies: &[u8]) {
    let labels = identity(0);
    let seen = |read: Result<Exposition, LineError>| {
        read.map(|exposition| {
            let counts = (exposition.samples(), exposition.duplicates_dropped());
            (
                merged(vec![part(identity(0), Some(exposition))], Format::Text),
                counts,
            )
        })
    };
    let cache = SeriesCache::default();
    for body in targets(bodies) {
        let known = cache.parse(format, body, &labels);
        assert_eq!(seen(known), seen(parse(format, body, &labels)));
    }
}

/// The bodies of some targets, those that are valid, in one text of another format or the same: it is valid, has all
/// samples that were not counted as dropped, and its own merge has the same lines again. Not always in the same order:
/// where one target types `a` as a histogram and another one `a_sum`, the first one's `a_sum` is in the block of `a`.
///
/// # Panics
/// Where that is not so.
pub fn check_round_trip(from: Format, to: Format, bodies: &[u8]) {
    let mut parts = Vec::new();
    let mut samples = 0;
    for (number, body) in targets(bodies).enumerate() {
        let exposition = parse(from, body, &identity(number)).ok();
        if let Some(exposition) = &exposition {
            samples += exposition.samples() - exposition.duplicates_dropped();
        }
        samples += REPORTED_SAMPLES;
        parts.push(part(identity(number), exposition));
    }
    let once = merged(parts, to);
    let text = readable(&once);
    let again = parse(to, &once, &IdentityLabels::default())
        .unwrap_or_else(|error| panic!("{error}:\n{text}"));
    assert_eq!(again.duplicates_dropped(), 0, "{text}");
    assert_eq!(again.samples(), samples, "{text}");
    let again = merged(vec![part(IdentityLabels::default(), Some(again))], to);
    assert_eq!(lines_without_bare_reports(&readable(&again)), lines(&text));
}

fn targets(bodies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bodies);
    let next = move || {
        let bodies = rest?;
        let at = bodies
            .windows(NEXT_TARGET.len())
            .position(|window| window == NEXT_TARGET);
        // The line end before the mark belongs to the body.
        rest = at.map(|at| &bodies[at + NEXT_TARGET.len()..]);
        Some(at.map_or(bodies, |at| &bodies[..=at]))
    };
    std::iter::from_fn(next).take(TARGETS_MAX)
}

/// A name and a value that bodies soon have too, and one that has to be escaped.
fn identity(number: usize) -> IdentityLabels {
    IdentityLabels::new([("i", number.to_string().as_str()), ("job", "x\"\\\n")])
}

fn part(labels: IdentityLabels, exposition: Option<Exposition>) -> TargetResult {
    let report = Report {
        up: exposition.is_some(),
        duration: Duration::from_millis(250),
        samples_scraped: exposition.as_ref().map_or(0, Exposition::samples),
    };
    TargetResult {
        labels,
        body: exposition.map(Body::Lines),
        report,
    }
}

fn merged(parts: Vec<TargetResult>, to: Format) -> Vec<u8> {
    let merged = merge(parts, to);
    let mut text = Vec::new();
    merged.write_to(&mut text).expect("a Vec takes everything");
    assert_eq!(text.len(), merged.len());
    text
}

/// The names of labels of an exemplar need not be UTF-8.
fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// In an order of their own, and without labels that have no value: those of a line that needs no care stay in it.
fn lines(text: &str) -> Vec<String> {
    let lines = text.split_inclusive('\n').map(without_empty_labels);
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines
}

fn lines_without_bare_reports(text: &str) -> Vec<String> {
    let mut lines = lines(text);
    lines.retain(|line| !BARE_REPORTS.iter().any(|start| line.starts_with(start)));
    lines
}

fn without_empty_labels(line: &str) -> String {
    let (false, Some(brace)) = (line.starts_with('#'), line.find('{')) else {
        return line.to_owned();
    };
    let mut kept = vec![];
    let (mut start, mut is_quoted, mut is_escaped) = (brace + 1, false, false);
    for (at, byte) in line.bytes().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' | b'}' if !is_quoted => {
                let label = &line[start..at];
                if !label.ends_with("=\"\"") {
                    kept.push(label);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    format!("{}{}{}", &line[..=brace], kept.join(","), &line[start..])
}
