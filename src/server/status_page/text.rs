//! The status page as plain text: how to ask, then each job with its targets.

use std::fmt::Write;

use super::{Row, View};
use crate::server::route::State;

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
        let targets: usize = job.counts.iter().sum();
        let _ = writeln!(page, "job {}: {targets} targets", job.name.escape_debug());
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

fn state(row: &Row<'_>) -> String {
    match (row.state, &row.last) {
        (State::Up, Some(last)) => {
            let size = match last.samples {
                Some(samples) => format!("{samples} samples"),
                None => format!("{} bytes", last.body_bytes),
            };
            let format = last.format.map(|format| format!(", {format}"));
            let (seconds, format) = (last.duration.as_secs_f64(), format.unwrap_or_default());
            format!("up    {size} in {seconds:.3} s{format}")
        }
        (State::Down, _) => format!("down  {}", row.reason.as_deref().unwrap_or_default()),
        _ => "not scraped yet".to_owned(),
    }
}
