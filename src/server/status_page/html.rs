//! The status page as HTML, whole without a script. Every text that is not of this file goes through [`Escaped`].

use std::fmt::{self, Write};

use super::{Job, PAGE_TARGETS, Row, View, query_encoded};
use crate::server::route::State;

/// Jobs in the table; with more, the filter by name still finds each.
const SHOWN_JOBS_MAX: usize = 500;

/// Text that can neither end nor begin markup, in an element or in a quoted attribute.
struct Escaped<T>(T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Neither shown nor allowed, and some of them turn the direction of what follows.
                c if c.is_control()
                    || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                {
                    write!(f, "\u{fffd}")?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

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
         <link rel=\"stylesheet\" href=\"{prefix}/-/style.css\">\n\
         <script src=\"{prefix}/-/page.js\" defer></script>\n</head>\n<body>"
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
    tiles(page, view)
}

fn tiles(page: &mut String, view: &View<'_>) -> fmt::Result {
    let prefix = view.prefix();
    write!(page, "<dl class=\"tiles\">")?;
    let targets: usize = State::ALL.map(|state| view.count(state)).iter().sum();
    tile(page, "", "jobs", view.jobs.len())?;
    tile(page, "", "targets", targets)?;
    for (state, name) in [
        (State::Up, "up"),
        (State::Down, "down"),
        (State::Unknown, "not scraped yet"),
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
    if let Some(age) = view.cache_age {
        tile(
            page,
            "",
            "since the pod list",
            format_args!("{:.0} s", age.as_secs_f64()),
        )?;
    }
    writeln!(page, "</dl>")
}

fn tile(page: &mut String, class: &str, name: &str, value: impl fmt::Display) -> fmt::Result {
    write!(
        page,
        "<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>"
    )
}

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
        "<div class=\"scroll jobs\"><table><thead><tr><th>job</th><th class=\"n\">targets</th><th class=\"n\">up</th>\
         <th class=\"n\">down</th><th class=\"n\">not yet</th><th>merged</th></tr></thead><tbody>"
    )?;
    for job in view.jobs.iter().take(SHOWN_JOBS_MAX) {
        job_row(page, view.prefix(), job)?;
    }
    writeln!(page, "</tbody></table></div>")?;
    if let Some(more) = view.jobs.len().checked_sub(SHOWN_JOBS_MAX + 1) {
        writeln!(page, "<p>And {} more: filter by name.</p>", more + 1)?;
    }
    writeln!(page, "</section>")
}

fn job_row(page: &mut String, prefix: &str, job: &Job<'_>) -> fmt::Result {
    let [up, down, unknown] = job.counts;
    let query = query_encoded(job.name);
    let down_link = match down {
        0 => "0".to_owned(),
        _ => format!("<a class=\"down\" href=\"{prefix}/?job={query}&amp;state=down\">{down}</a>"),
    };
    writeln!(
        page,
        "<tr><td><a href=\"{prefix}/?job={query}\">{}</a></td><td class=\"n\">{}</td><td class=\"n\">{up}</td>\
         <td class=\"n\">{down_link}</td><td class=\"n\">{unknown}</td>\
         <td><a href=\"{prefix}/metrics?job={query}\">text</a></td></tr>",
        Escaped(job.name),
        up + down + unknown
    )
}

/// The pods that carry the label but belong to no job: nothing else shows them.
fn pods_without_job(page: &mut String, view: &View<'_>) -> fmt::Result {
    if view.without_job.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<section><h2>Pods without a usable job name</h2>\n<p>They carry the label but are never scraped.</p>\n\
         <div class=\"scroll\"><table class=\"targets\"><thead><tr><th>pod</th></tr></thead><tbody>"
    )?;
    for row in view.without_job.iter().take(PAGE_TARGETS) {
        writeln!(
            page,
            "<tr class=\"down\"><td class=\"name\">{}<p class=\"reason\">{}</p></td></tr>",
            Escaped(row.target),
            Escaped(row.reason.as_deref().unwrap_or_default())
        )?;
    }
    writeln!(page, "</tbody></table></div>")?;
    if let Some(more) = view.without_job.len().checked_sub(PAGE_TARGETS + 1) {
        writeln!(page, "<p>And {} more.</p>", more + 1)?;
    }
    writeln!(page, "</section>")
}

fn targets(page: &mut String, view: &View<'_>) -> fmt::Result {
    if view.jobs.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Targets</h2>")?;
    filter_form(page, view)?;
    let pages = view.rows.len().div_ceil(PAGE_TARGETS).max(1);
    let number = view.filter.page.min(pages - 1);
    let shown = view.rows.iter().skip(number * PAGE_TARGETS);
    if view.rows.is_empty() {
        return writeln!(page, "<p>None.</p></section>");
    }
    writeln!(
        page,
        "<div class=\"scroll\"><table class=\"targets\"><thead><tr><th>state</th><th>target</th><th>job</th><th>IP</th>\
         <th class=\"n\">seconds</th><th class=\"n\">samples</th><th class=\"n\">bytes</th>\
         <th>format</th><th class=\"n\">when</th></tr></thead><tbody>"
    )?;
    for row in shown.take(PAGE_TARGETS) {
        target_row(page, view.prefix(), row)?;
    }
    writeln!(page, "</tbody></table></div>")?;
    if pages > 1 {
        page_links(page, view, number, pages)?;
    }
    writeln!(page, "</section>")
}

fn filter_form(page: &mut String, view: &View<'_>) -> fmt::Result {
    let (prefix, filter) = (view.prefix(), view.filter);
    write!(
        page,
        "<form action=\"{prefix}/\" method=\"get\">\
         <label>job <input name=\"job\" value=\"{}\" autocomplete=\"off\"></label>\
         <label>state <select name=\"state\"><option value=\"\">all</option>",
        Escaped(filter.job.as_deref().unwrap_or_default())
    )?;
    for state in State::ALL {
        let selected = if filter.state == Some(state) {
            " selected"
        } else {
            ""
        };
        let name = state.name();
        write!(page, "<option value=\"{name}\"{selected}>{name}</option>")?;
    }
    writeln!(
        page,
        "</select></label><button>Filter</button> <a href=\"{prefix}/\">all targets</a></form>"
    )
}

fn target_row(page: &mut String, prefix: &str, row: &Row<'_>) -> fmt::Result {
    let name = row.target.to_string();
    let state = row.state.name();
    let shown_state = match row.state {
        State::Unknown => "not yet",
        _ => state,
    };
    write!(
        page,
        "<tr class=\"{state}\"><td><span class=\"state {state}\">{shown_state}</span></td>\
         <td class=\"name\"><a href=\"{prefix}/probe?target={}\">{}</a>",
        query_encoded(&name),
        Escaped(&name)
    )?;
    if row.target.terminating {
        write!(page, " <small>terminating</small>")?;
    }
    if let Some(reason) = &row.reason {
        write!(page, "<p class=\"reason\">{}</p>", Escaped(reason))?;
    }
    write!(
        page,
        "</td><td>{}</td><td>{}</td>",
        Escaped(&row.target.job),
        Escaped(&row.target.pod_ip)
    )?;
    let Some(last) = &row.last else {
        return writeln!(page, "<td></td><td></td><td></td><td></td><td></td></tr>");
    };
    let is_up = row.state == State::Up;
    let samples = last.samples.filter(|_| is_up).map(|n| n.to_string());
    let bytes = is_up.then(|| last.body_bytes.to_string());
    writeln!(
        page,
        "<td class=\"n\">{:.3}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
         <td class=\"n\">{} ago</td></tr>",
        last.duration.as_secs_f64(),
        samples.unwrap_or_default(),
        bytes.unwrap_or_default(),
        last.format
            .map_or(String::new(), |format| format.to_string()),
        ago(last.at.elapsed().unwrap_or_default().as_secs())
    )
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

fn page_links(page: &mut String, view: &View<'_>, number: usize, pages: usize) -> fmt::Result {
    let prefix = view.prefix();
    let job = query_encoded(view.filter.job.as_deref().unwrap_or_default());
    let state = view.filter.state.map_or("", State::name);
    let link = |to: usize, text: &str| {
        format!("<a href=\"{prefix}/?job={job}&amp;state={state}&amp;page={to}\">{text}</a>")
    };
    write!(
        page,
        "<p class=\"pages\">Page {} of {pages}, {} targets.",
        number + 1,
        view.rows.len()
    )?;
    if number > 0 {
        write!(page, " {}", link(number - 1, "previous"))?;
    }
    if number + 1 < pages {
        write!(page, " {}", link(number + 1, "next"))?;
    }
    writeln!(page, "</p>")
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
