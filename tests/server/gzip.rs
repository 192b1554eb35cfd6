//! Gzipped responses: one gzip member with the same text as the plain response, whatever its size and the level.
//! README: "What you get", `GZIP_LEVEL`.

use crate::support::fake_pod::FakePod;
use crate::support::program::{Program, pod_at};

/// So many samples, each with a label of its own. Merged they have some hundred bytes each.
fn samples(number: usize) -> String {
    (0..number)
        .map(|n| format!("a{{b=\"{}\"}} {n}\n", n * n))
        .collect()
}

/// Samples with labels that cannot be made much smaller: 57 characters in random order.
fn random_samples(number: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [random, ..] = state.to_be_bytes();
        char::from(b'#' + random % 57)
    };
    (0..number)
        .map(|n| {
            let label: String = (0..200).map(|_| next()).collect();
            format!("a{{b=\"{label}{n}\"}} {n}\n")
        })
        .collect()
}

/// The lines of a text but for the durations, which no two scrapes have in common.
fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| !line.starts_with("scrape_duration_seconds{"))
        .collect()
}

#[test]
fn a_gzipped_response_is_one_member_with_the_plain_text() {
    let bodies = [
        ("small", samples(1)),
        ("large", samples(20_000)),
        ("random", random_samples(3_000)),
    ];
    let fakes = bodies.map(|(job, body)| (job, FakePod::serving(body)));
    let pods = fakes
        .each_ref()
        .map(|(job, fake)| pod_at("n", job, job, fake.address));
    for level in ["1", "6", "9"] {
        let program = Program::scraping(&pods, &[("GZIP_LEVEL", level)]);
        for job in ["none", "small", "large", "random"] {
            let url = format!("/metrics?job={job}&absent=ok");
            let plain = program.get(&url);
            let gzipped = program.get_with(&url, &[("Accept-Encoding", "gzip")]);
            let gzipped = gzipped.gunzip();
            assert!(
                lines(gzipped.text()) == lines(plain.text()),
                "{job} at {level}"
            );
            assert_eq!(plain.up(job), (job != "none").then_some(true));
        }
    }
}
