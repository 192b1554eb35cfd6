//! The status page: what there is to scrape and how the last scrapes went, for people.

use std::fmt::Write;

use super::Sources;

/// The page as plain text: how to ask, then each job with its targets.
pub(super) fn render(sources: &Sources) -> String {
    let mut page = concat!(
        "kubernetes-metrics-aggregator ",
        env!("CARGO_PKG_VERSION"),
        "\n\n/metrics?job=NAME  all targets of a job, merged\n/-/healthy  /-/ready\n\n"
    )
    .to_owned();
    let Some(set) = sources.cache.snapshot() else {
        page.push_str("no complete pod list from the API server yet\n");
        return page;
    };
    for (job, targets) in set.jobs() {
        // Writing into a String does not fail, here and below.
        let _ = writeln!(page, "job {job}: {} targets", targets.len());
        for target in targets {
            let state = match (&target.options, sources.aggregator.last_scrape(target)) {
                (Err(error), _) => format!("down  options: {error}"),
                (Ok(_), None) => "not scraped yet".to_owned(),
                (Ok(_), Some(last)) => last.failure.map_or_else(
                    || {
                        format!(
                            "up    {} samples in {:.3} s",
                            last.samples,
                            last.duration.as_secs_f64()
                        )
                    },
                    |failure| format!("down  {failure}"),
                ),
            };
            let _ = writeln!(page, "  {target}  {}  {state}", target.pod_ip);
        }
    }
    page
}
