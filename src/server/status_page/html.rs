//! The status page as HTML: the summary, the table of jobs, and what to paste for Prometheus. It is complete without
//! its script. All text from outside goes through [`Escaped`].

use std::fmt::{self, Write};

use super::targets::{left_out, pods_without_job, targets};
use super::{Escaped, Job, SCRIPT, STYLE, View, ago, checksum, query_encoded, size};
use crate::server::route::{SCRIPT_PATH, STYLE_PATH, TargetState};

/// Jobs in the table. If there are more, the filter by name still finds each.
const SHOWN_JOBS_MAX: usize = 500;
/// The width of a bar, and of its smallest part.
const BAR_WIDTH: usize = 100;
const BAR_PART_MIN: usize = 3;

/// The whole page.
pub(super) fn render(view: &View<'_>) -> String {
    let mut page = String::with_capacity(64 * 1024);
    write_page(&mut page, view).expect("writing into a String does not fail");
    page
}

fn write_page(page: &mut String, view: &View<'_>) -> fmt::Result {
    let prefix = view.prefix();
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Kubernetes metrics aggregator</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"{prefix}{STYLE_PATH}?v={}\">\n\
         <script src=\"{prefix}{SCRIPT_PATH}?v={}\" defer></script>\n</head>\n<body>",
        checksum(STYLE),
        checksum(SCRIPT)
    )?;
    head(page, view)?;
    jobs(page, view)?;
    pods_without_job(page, view)?;
    targets(page, view)?;
    prometheus(page, view)?;
    page.write_str("</main>\n</body>\n</html>\n")
}

fn head(page: &mut String, view: &View<'_>) -> fmt::Result {
    let prefix = view.prefix();
    write!(
        page,
        "<header><h1><a href=\"{prefix}/\">Kubernetes metrics aggregator</a> <small>{}</small></h1>\n<nav>",
        env!("CARGO_PKG_VERSION")
    )?;
    let (sd, health) = (["/sd/jobs", "/sd/pods"], ["/-/healthy", "/-/ready"]);
    for path in sd.into_iter().chain(view.own_metrics).chain(health) {
        write!(page, "<a href=\"{prefix}{path}\">{path}</a> ")?;
    }
    writeln!(page, "</nav></header>\n<main>")?;
    if let Some(error) = &view.last_error {
        writeln!(
            page,
            "<p class=\"notice bad\"><strong>The last pod list failed:</strong> {}</p>",
            Escaped(error)
        )?;
    }
    if !view.is_ready {
        return writeln!(
            page,
            "<p class=\"notice bad\">No complete pod list from the API server yet.</p>"
        );
    }
    summary(page, view)
}

/// One sentence on how the targets are, then the numbers.
fn summary(page: &mut String, view: &View<'_>) -> fmt::Result {
    let prefix = view.prefix();
    let counts = TargetState::ALL.map(|state| view.count(state));
    let targets: usize = counts.iter().sum();
    let (class, verdict) = match counts {
        [0, 0, 0] => ("unknown", "There is no target.".to_owned()),
        [_, 0, 0] => ("up", "All targets are up.".to_owned()),
        [_, 0, unknown] => (
            "unknown",
            format!("No target is down, {unknown} not scraped yet."),
        ),
        [_, 1, _] => ("down", format!("1 of {targets} targets is down.")),
        [_, down, _] => ("down", format!("{down} of {targets} targets are down.")),
    };
    writeln!(page, "<p class=\"verdict {class}\">{verdict}</p>")?;
    page.write_str("<dl class=\"tiles\">")?;
    for (state, name) in [
        (TargetState::Down, "down"),
        (TargetState::Unknown, "not scraped yet"),
        (TargetState::Up, "up"),
    ] {
        match view.count(state) {
            0 => tile(page, "", name, 0)?,
            count => {
                let class = state.name();
                let link = format_args!("<a href=\"{prefix}/?state={class}\">{count}</a>");
                tile(page, class, name, link)?;
            }
        }
    }
    tile(page, "", "targets", targets)?;
    tile(page, "", "jobs", view.jobs.len())?;
    if let Some(age) = view.cache_age {
        let age = format_args!("{:.0} s", age.as_secs_f64());
        tile(page, "", "pod list age", age)?;
    }
    writeln!(page, "</dl>")
}

fn tile(page: &mut String, class: &str, name: &str, value: impl fmt::Display) -> fmt::Result {
    write!(
        page,
        "<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>"
    )
}

/// The table of jobs, those with failing targets first.
fn jobs(page: &mut String, view: &View<'_>) -> fmt::Result {
    if !view.is_ready {
        return Ok(());
    }
    writeln!(page, "<section><h2>Jobs</h2>")?;
    if view.jobs.is_empty() {
        return writeln!(
            page,
            "<p>No pod has the label <code>metrics-aggregator.apawel.me/job-name</code>.</p></section>"
        );
    }
    writeln!(
        page,
        "<div class=\"scroll low\"><table class=\"jobs\"><thead><tr><th>job</th><th></th>\
         <th class=\"n\">down</th><th class=\"n\">not yet</th><th class=\"n\">up</th>\
         <th>last request</th><th>merged</th></tr></thead><tbody>"
    )?;
    for job in view.jobs.iter().take(SHOWN_JOBS_MAX) {
        job_row(page, view.prefix(), job)?;
    }
    writeln!(page, "</tbody></table></div>")?;
    left_out(page, view.jobs.len(), SHOWN_JOBS_MAX, ": filter by name")?;
    writeln!(page, "</section>")
}

fn job_row(page: &mut String, prefix: &str, job: &Job<'_>) -> fmt::Result {
    let [up, down, unknown] = job.counts;
    let query = query_encoded(job.name);
    let down_link = match down {
        0 => "0".to_owned(),
        _ => format!("<a class=\"down\" href=\"{prefix}/?job={query}&amp;state=down\">{down}</a>"),
    };
    write!(
        page,
        "<tr><td class=\"name\"><a href=\"{prefix}/?job={query}\">{}</a></td><td class=\"share\">",
        Escaped(job.name)
    )?;
    bar(page, job.counts)?;
    write!(
        page,
        "</td><td class=\"n\">{down_link}</td><td class=\"n\">{unknown}</td>\
         <td class=\"n\">{up}</td><td class=\"last\">"
    )?;
    match &job.last_request {
        Some(last) => write!(
            page,
            "{}, {:.3} s, {} {}",
            ago(last.at),
            last.duration.as_secs_f64(),
            size(last.bytes),
            last.format
        )?,
        None => page.write_str("none")?,
    }
    writeln!(
        page,
        "</td><td><a href=\"{prefix}/metrics?job={query}\">text</a></td></tr>"
    )
}

/// The shares of the states as a bar, in which a single target of thousands can still be seen. It has no attribute
/// `style`, which the security policy forbids.
fn bar(page: &mut String, [up, down, unknown]: [usize; TargetState::ALL.len()]) -> fmt::Result {
    let all = up + down + unknown;
    write!(
        page,
        "<svg class=\"bar\" viewBox=\"0 0 {BAR_WIDTH} 8\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{down} down, {unknown} not scraped yet, {up} up\">"
    )?;
    let mut left = 0;
    for (class, count) in [("down", down), ("unknown", unknown), ("up", up)] {
        let width = match count * BAR_WIDTH / all.max(1) {
            0..BAR_PART_MIN if count > 0 => BAR_PART_MIN,
            width => width,
        };
        // The last part fills the rest. What does not fit is cut off by the browser.
        let width = if class == "up" { BAR_WIDTH } else { width };
        if count > 0 {
            write!(
                page,
                "<rect class=\"{class}\" x=\"{left}\" width=\"{width}\" height=\"8\"/>"
            )?;
        }
        left += width;
    }
    page.write_str("</svg>")
}

/// What to paste so that Prometheus scrapes every pod through this address.
fn prometheus(page: &mut String, view: &View<'_>) -> fmt::Result {
    let Some(address) = view.address else {
        return Ok(());
    };
    let url = Escaped(address.url());
    writeln!(
        page,
        r#"<section><h2>For Prometheus</h2>
<p>Each pod is a target of its own, with Prometheus' own <code>up</code>; pods are followed as they come and go:</p>
<pre>scrape_configs:
  - job_name: kubernetes-pods
    http_sd_configs:
      - url: {url}/sd/pods
        refresh_interval: 10s</pre>
<p>Or one target for each job, with all its pods in one response:</p>
<pre>scrape_configs:
  - job_name: kubernetes-jobs
    honor_labels: true
    http_sd_configs:
      - url: {url}/sd/jobs
        refresh_interval: 10s</pre>
</section>"#
    )
}
