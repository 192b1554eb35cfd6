//! One target of a merge, and the merged text.

use std::time::Duration;

use kubernetes_metrics_aggregator::exposition::{
    Exposition, IdentityLabels, Merged, Report, TargetResult,
};

use super::labelled::REPORTED;

/// The target with this body, which took 1.5 s; `None` for a scrape that failed.
pub(crate) fn part(labels: IdentityLabels, body: Option<Exposition>) -> TargetResult {
    let report = Report {
        up: body.is_some(),
        duration: Duration::from_millis(1500),
        samples_scraped: body.as_ref().map_or(0, Exposition::samples),
    };
    TargetResult {
        labels,
        body: body.map(Into::into),
        report,
    }
}

/// The bytes as they are written, which have to be as many as the merge says.
pub(crate) fn text(merged: &Merged) -> String {
    let mut text = Vec::new();
    merged.write_to(&mut text).unwrap();
    assert_eq!(merged.len(), text.len());
    String::from_utf8(text).unwrap()
}

/// The text without the blocks of the series that report on targets.
pub(crate) fn own_blocks(text: &str) -> String {
    let mut block_is_own = true;
    let mut own = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(head) = line.strip_prefix("# ") {
            let name = head.split(' ').nth(1).unwrap_or_default();
            block_is_own = !REPORTED.contains(&name);
        }
        if block_is_own {
            own.push_str(line);
        }
    }
    own
}
