//! The series cache changes nothing of what a body means, on generated bodies.

use super::{config, damage, identity, part};
use crate::properties::model;
use kubernetes_metrics_aggregator::exposition::{
    Exposition, Format, IdentityLabels, LineError, SeriesCache, merge, parse,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What makes one body from another. Lines are cut at their `\n`.
#[derive(Debug, Clone)]
enum Change {
    Remove(Index),
    /// A line is written once more, before another one.
    Repeat(Index, Index),
    /// A line of a third body is written before one.
    Insert(Index, Index),
    /// The text after the last blank of a line is replaced.
    Value(Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let values = vec![
        "0",
        "17",
        "1.5e3",
        "-0.25",
        "NaN",
        "1 1700000000000",
        "x",
        "1 2 3",
        "",
    ];
    prop_oneof![
        any::<Index>().prop_map(Change::Remove),
        any::<(Index, Index)>().prop_map(|(line, to)| Change::Repeat(line, to)),
        any::<(Index, Index)>().prop_map(|(line, to)| Change::Insert(line, to)),
        (any::<Index>(), select(values)).prop_map(|(line, value)| Change::Value(line, value)),
    ]
}

impl Change {
    fn apply(&self, lines: &mut Vec<Vec<u8>>, others: &[Vec<u8>]) {
        if lines.is_empty() || others.is_empty() {
            return;
        }
        match self {
            Change::Remove(line) => drop(lines.remove(line.index(lines.len()))),
            Change::Repeat(line, to) => {
                let line = lines[line.index(lines.len())].clone();
                lines.insert(to.index(lines.len()), line);
            }
            Change::Insert(line, to) => {
                lines.insert(
                    to.index(lines.len()),
                    others[line.index(others.len())].clone(),
                );
            }
            Change::Value(line, value) => {
                let number = line.index(lines.len());
                let line = &mut lines[number];
                let start = line
                    .iter()
                    .rposition(|byte| *byte == b' ')
                    .map_or(0, |at| at + 1);
                line.splice(start.., value.bytes().chain(*b"\n"));
            }
        }
    }
}

fn lines(body: &[u8]) -> Vec<Vec<u8>> {
    body.split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

/// The merged text of a request, the counts or the error of each body, and the conflicts.
type Seen = (Vec<u8>, Vec<Result<(u64, u64), LineError>>, (u64, u64));

/// The bodies of the targets of one request, each read with this.
fn merged(
    bodies: &[Vec<u8>],
    read: impl Fn(&[u8], &IdentityLabels) -> Result<Exposition, LineError>,
) -> Seen {
    let expositions = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| read(body, &identity(number)));
    let expositions: Vec<_> = expositions.collect();
    let counts = |read: &Result<Exposition, LineError>| match read {
        Ok(exposition) => Ok((exposition.samples(), exposition.duplicates_dropped())),
        Err(error) => Err(error.clone()),
    };
    let counted = expositions.iter().map(counts).collect();
    let parts = expositions.into_iter().enumerate();
    let merged = merge(
        parts
            .map(|(number, read)| part(identity(number), read.ok()))
            .collect(),
        Format::Text,
    );
    let mut text = Vec::new();
    merged.write_to(&mut text).unwrap();
    assert_eq!(merged.len(), text.len());
    (text, counted, merged.conflicts())
}

/// A request in which every body is parsed alone gives the same bytes as one with a cache.
fn check(format: Format, bodies: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let cache = SeriesCache::default();
    let known = merged(bodies, |body, labels| cache.parse(format, body, labels));
    let alone = merged(bodies, |body, labels| parse(format, body, labels));
    prop_assert_eq!(
        (String::from_utf8_lossy(&known.0), &known.1, known.2),
        (String::from_utf8_lossy(&alone.0), &alone.1, alone.2)
    );
    Ok(())
}

/// The lines of which bodies of one program consist, in this order.
const LINES: &[&str] = &[
    "# TYPE a counter\n",
    "a{b=\"0\"} 1\n",
    "a{b=\"1\"} 1\n",
    "a{b=\"2\"} 1\n",
    "a{b=\"2\",c=\"0\"} 1\n",
    "a{c=\"0\",b=\"2\"} 1\n",
    "a 1\n",
    "# HELP d x\n",
    "d{e=\"0\"} 1\n",
    "d{e=\"1\"} 1\n",
    "# a comment\n",
    "d{e=\"2\"} 1\n",
    "f 1\n",
    "g{b=\"0\",} 1\n",
    "g{b=\"1\"} 1\n",
    "up{b=\"1\"} 1\n",
    "# TYPE h histogram\n",
    "h_bucket{le=\"1\"} 1\n",
    "h_bucket{le=\"2\"} 1\n",
    "h_bucket{le=\"+Inf\"} 1\n",
    "h_sum 1\n",
    "h_count 1\n",
    "h_bucket{i=\"0\",le=\"1\"} 1\n",
    "\n",
];

/// Most of the lines.
fn some_lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(prop::bool::weighted(0.85), LINES.len()).prop_map(|kept| {
        let kept = LINES.iter().zip(kept).filter(|(_, is_kept)| *is_kept);
        kept.map(|(line, _)| line.as_bytes().to_vec()).collect()
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bodies_of_one_program(
        bodies in vec((some_lines(), vec(change(), 0..3)), 1..6),
        others in some_lines(),
    ) {
        let bodies = bodies.into_iter().map(|(mut body, changes)| {
            changes.iter().for_each(|change| change.apply(&mut body, &others));
            body.concat()
        });
        check(Format::Text, &bodies.collect::<Vec<_>>())?;
    }

    /// Pods that differ from the first in every way that the format allows, and in some that it does not.
    #[test]
    fn bodies_that_differ(
        first in model::body(),
        others in vec((model::body(), vec(change(), 0..6), prop::option::weighted(0.2, damage::damages())), 1..5),
    ) {
        let mut bodies = vec![first.write()];
        for (other, changes, damages) in &others {
            let mut changed = lines(&bodies[0]);
            for change in changes {
                change.apply(&mut changed, &lines(&other.write()));
            }
            let mut changed = changed.concat();
            for damage in damages.iter().flatten() {
                damage.apply(&mut changed);
            }
            bodies.push(changed);
            bodies.push(other.write());
        }
        check(Format::Text, &bodies)?;
    }

    #[test]
    fn bodies_in_open_metrics(
        first in model::body(),
        others in vec((model::body(), vec(change(), 0..4), prop::option::weighted(0.2, damage::damages())), 1..5),
    ) {
        let mut bodies = vec![first.common().write_open_metrics()];
        for (other, changes, damages) in &others {
            let other = other.common().write_open_metrics();
            let mut changed = lines(&bodies[0]);
            for change in changes {
                change.apply(&mut changed, &lines(&other));
            }
            let mut changed = changed.concat();
            for damage in damages.iter().flatten() {
                damage.apply(&mut changed);
            }
            bodies.push(changed);
            bodies.push(other);
        }
        check(Format::OpenMetrics, &bodies)?;
    }
}
