//! The status page as HTML, whole without a script. Every text that is not of this file goes through [`Escaped`].

use std::fmt::{self, Write};

use super::escaped::Escaped;
use super::job_table::jobs;
use super::target_table::{pods_without_job, targets};
use super::{SCRIPT, STYLE, View, checksum};
use crate::server::route::{SCRIPT_PATH, STYLE_PATH, State};

pub(super) fn render(view: &View<'_>) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let prefix = view.prefix();
    // Writing into a String does not fail; no result of it is looked at in this file.
    let _ = writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Kubernetes metrics aggregator</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"{prefix}{STYLE_PATH}?v={}\">\n\
         <script src=\"{prefix}{SCRIPT_PATH}?v={}\" defer></script>\n</head>\n<body>",
        checksum(STYLE),
        checksum(SCRIPT)
    );
    let _ = head(&mut page, view);
    let _ = jobs(&mut page, view);
    let _ = pods_without_job(&mut page, view);
    let _ = targets(&mut page, view);
    let _ = prometheus(&mut page, view);
    page.push_str("</body>\n</html>\n");
    page
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

/// The one sentence that most readers came for, then the numbers.
fn summary(page: &mut String, view: &View<'_>) -> fmt::Result {
    let prefix = view.prefix();
    let counts = State::ALL.map(|state| view.count(state));
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
    write!(page, "<dl class=\"tiles\">")?;
    for (state, name) in [
        (State::Down, "down"),
        (State::Unknown, "not scraped yet"),
        (State::Up, "up"),
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
        tile(page, "", "since the pod list", age)?;
    }
    writeln!(page, "</dl>")
}

fn tile(page: &mut String, class: &str, name: &str, value: impl fmt::Display) -> fmt::Result {
    write!(
        page,
        "<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>"
    )
}

/// What to paste so that Prometheus scrapes every pod through this address.
fn prometheus(page: &mut String, view: &View<'_>) -> fmt::Result {
    let Some(address) = view.address else {
        return writeln!(page, "</main>");
    };
    let url = address.url();
    let url = Escaped(&url);
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
</section>
</main>"#
    )
}
