//! Bodies that are read with the layout of another body mean what they mean without it.

use super::{config, identity, part, text};
use crate::properties::model;
use kubernetes_metrics_aggregator::exposition::{Exposition, Format, LineError, merge, parse};
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
    /// What stands behind the last blank of a line becomes something else.
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

/// All that can be seen of it.
fn seen(read: Result<Exposition, LineError>) -> Result<(String, u64, u64), LineError> {
    read.map(|exposition| {
        let counts = (exposition.samples(), exposition.duplicates_dropped());
        let merged = merge(vec![part(identity(0), Some(exposition))]);
        let text = text(&merged);
        assert_eq!(merged.len(), text.len());
        (text, counts.0, counts.1)
    })
}

/// Reads the body with the layout of the first one; says whether that was done.
fn check(first: &[u8], body: &[u8]) -> Result<bool, TestCaseError> {
    let labels = identity(0);
    let read = parse(Format::Text, first, &labels)
        .ok()
        .and_then(|first| first.layout().read(body, &labels));
    let Some(read) = read else {
        return Ok(false);
    };
    let alone = seen(parse(Format::Text, body, &labels));
    prop_assert_eq!(&seen(Ok(read)), &alone);
    Ok(true)
}

/// What bodies of one program are made of, in this order.
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
    fn bodies_of_one_program_can_be_read_alike(
        first in some_lines(),
        body in some_lines(),
        changes in vec(change(), 0..3),
    ) {
        let mut body = body;
        for change in &changes {
            change.apply(&mut body, &first);
        }
        check(&first.concat(), &body.concat())?;
        check(&body.concat(), &first.concat())?;
    }

    #[test]
    fn the_layout_of_another_body_changes_nothing(
        first in model::body(),
        other in model::body(),
        changes in vec(change(), 0..6),
        damages in prop::option::weighted(0.2, model::damages()),
    ) {
        let first = first.write();
        let mut changed = lines(&first);
        for change in &changes {
            change.apply(&mut changed, &lines(&other.write()));
        }
        let mut changed = changed.concat();
        for damage in damages.iter().flatten() {
            damage.apply(&mut changed);
        }
        check(&first, &changed)?;
        check(&changed, &first)?;
        check(&first, &other.write())?;
    }
}
