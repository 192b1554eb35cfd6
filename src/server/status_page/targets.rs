//! The tables of targets in HTML.

use std::fmt::{self, Write};

use super::{Escaped, PAGE_TARGETS, Row, View, ago, query_encoded, size};
use crate::aggregate::LastScrape;
use crate::server::route::TargetState;

/// The pods that have the label but belong to no job. Nothing else shows them.
pub(super) fn pods_without_job(page: &mut String, view: &View<'_>) -> fmt::Result {
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
    left_out(page, view.without_job.len(), PAGE_TARGETS, "")?;
    writeln!(page, "</section>")
}

/// How many rows a table leaves out, and what helps.
pub(super) fn left_out(
    page: &mut String,
    rows: usize,
    shown_max: usize,
    help: &str,
) -> fmt::Result {
    match rows.saturating_sub(shown_max) {
        0 => Ok(()),
        more => writeln!(page, "<p>And {more} more{help}.</p>"),
    }
}

/// The form to filter by, and one page of the targets that pass the filter, those that failed first.
pub(super) fn targets(page: &mut String, view: &View<'_>) -> fmt::Result {
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
        "<div class=\"scroll\"><table class=\"targets\"><thead><tr><th>state</th><th>target</th><th>last</th>\
         <th class=\"n\">seconds</th><th class=\"n\">samples</th><th class=\"n\">body</th><th>format</th>\
         <th class=\"n\">when</th></tr></thead><tbody>"
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
    for state in TargetState::ALL {
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
        TargetState::Unknown => "not yet",
        _ => state,
    };
    let rows = row.scrapes().count().max(1);
    write!(
        page,
        "<tr class=\"{state}\"><td rowspan=\"{rows}\"><span class=\"state {state}\">{shown_state}</span></td>\
         <td class=\"name\" rowspan=\"{rows}\"><a href=\"{prefix}/probe?target={}\">{}</a>\
         <small><span class=\"job\">{}</span> {}</small>",
        query_encoded(&name),
        Escaped(&name),
        Escaped(&row.target.job),
        Escaped(&row.target.pod_ip)
    )?;
    if row.target.terminating {
        write!(page, " <small>terminating</small>")?;
    }
    reasons(page, row)?;
    write!(page, "</td>")?;
    for (number, (kind, last)) in row.scrapes().enumerate() {
        if number > 0 {
            write!(page, "</tr>\n<tr class=\"more\">")?;
        }
        scrape_cells(page, kind, last)?;
    }
    if row.scrapes().next().is_none() {
        write!(page, "<td colspan=\"6\"></td>")?;
    }
    writeln!(page, "</tr>")
}

/// Why the target is down; and why one of its last scrapes failed if the later one succeeded.
fn reasons(page: &mut String, row: &Row<'_>) -> fmt::Result {
    if let Some(reason) = &row.reason {
        write!(page, "<p class=\"reason\">{}</p>", Escaped(reason))?;
    }
    for (kind, last) in row.scrapes() {
        let failure = last.failure.as_ref();
        let other = failure
            .filter(|failure| row.target.options.is_ok() && row.reason.as_ref() != Some(failure));
        if let Some(failure) = other {
            write!(
                page,
                "<p class=\"other reason\">{kind}: {}</p>",
                Escaped(failure)
            )?;
        }
    }
    Ok(())
}

fn scrape_cells(page: &mut String, kind: &str, last: &LastScrape) -> fmt::Result {
    let is_up = last.failure.is_none();
    let class = if is_up {
        TargetState::Up
    } else {
        TargetState::Down
    }
    .name();
    let samples = last.samples.filter(|_| is_up).map(|n| n.to_string());
    let body = is_up.then(|| size(last.body_bytes));
    let format = last.format.map(|format| format.to_string());
    write!(
        page,
        "<td class=\"kind {class}\">{kind}</td><td class=\"n s\">{:.3}</td><td class=\"n samples\">{}</td>\
         <td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td>",
        last.duration.as_secs_f64(),
        samples.unwrap_or_default(),
        body.unwrap_or_default(),
        format.unwrap_or_default(),
        ago(last.at)
    )
}

fn page_links(page: &mut String, view: &View<'_>, number: usize, pages: usize) -> fmt::Result {
    let prefix = view.prefix();
    let job = query_encoded(view.filter.job.as_deref().unwrap_or_default());
    let state = view.filter.state.map_or("", TargetState::name);
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
