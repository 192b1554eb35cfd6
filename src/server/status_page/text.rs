//! The status page as plain text: the paths, then each job with its targets.

use std::fmt::Write;

use super::{Job, Row, View, ago, size};
use crate::aggregate::LastScrape;

/// The whole page.
pub(super) fn render(view: &View<'_>) -> String {
    let mut page = concat!(
        "kubernetes-metrics-aggregator ",
        env!("CARGO_PKG_VERSION"),
        "\n\n/metrics?job=NAME  all targets of a job, merged\n",
        "/probe?target=NAMESPACE/POD:PORT  one target as it is\n",
        "/sd/jobs  /sd/pods  discovery for Prometheus\n",
        "/-/healthy  /-/ready  "
    )
    .to_owned();
    page.push_str(view.own_metrics.unwrap_or_default());
    page.push_str("\n\n");
    // Writing into a String does not fail, here and below.
    if let Some(error) = &view.last_error {
        let _ = writeln!(page, "the last pod list failed: {error}\n");
    }
    if !view.is_ready {
        page.push_str("no complete pod list from the API server yet\n");
        return page;
    }
    if let Some(age) = view.cache_age {
        let _ = writeln!(page, "pod list of {:.0} s ago\n", age.as_secs_f64());
    }
    let mut rows = view.rows.iter().peekable();
    for job in &view.jobs {
        let _ = writeln!(page, "job {}", summary(job));
        while let Some(row) = rows.next_if(|row| row.target.job == job.name) {
            let name = row.target.to_string();
            let _ = writeln!(
                page,
                "  {}  {}  {}",
                name.escape_debug(),
                row.target.pod_ip.escape_debug(),
                state(row)
            );
        }
    }
    if !view.without_job.is_empty() {
        page.push_str("pods without a usable job name\n");
    }
    for row in &view.without_job {
        let name = row.target.to_string();
        let _ = writeln!(page, "  {}  {}", name.escape_debug(), state(row));
    }
    page
}

/// The name and numbers of a job, and the last request for it.
fn summary(job: &Job<'_>) -> String {
    let [up, down, unknown] = job.counts;
    let (name, targets) = (job.name.escape_debug(), up + down + unknown);
    let counts = format!("{name}: {targets} targets, {down} down, {unknown} not scraped yet");
    let Some(last) = &job.last_request else {
        return counts;
    };
    let (size, seconds) = (size(last.bytes), last.duration.as_secs_f64());
    let (ago, format) = (ago(last.at), last.format);
    format!("{counts}; last request {ago}: {size} {format} in {seconds:.3} s")
}

/// The state of a target by its last scrapes.
fn state(row: &Row<'_>) -> String {
    if let (Err(_), Some(reason)) = (&row.target.options, &row.reason) {
        return format!("down  {reason}");
    }
    let scrapes: Vec<String> = row.scrapes().map(outcome).collect();
    if scrapes.is_empty() {
        return "not scraped yet".to_owned();
    }
    scrapes.join("; ")
}

fn outcome((kind, last): (&str, &LastScrape)) -> String {
    let kind = if kind == "probe" { "probe " } else { "" };
    if let Some(failure) = &last.failure {
        return format!("{kind}down  {failure}");
    }
    let samples = last.samples.map(|samples| {
        let plural = if samples == 1 { "" } else { "s" };
        format!("{samples} sample{plural}, ")
    });
    let format = last.format.map(|format| format!(" {format}"));
    format!(
        "{kind}up    {}{}{} in {:.3} s",
        samples.unwrap_or_default(),
        size(last.body_bytes),
        format.unwrap_or_default(),
        last.duration.as_secs_f64()
    )
}
