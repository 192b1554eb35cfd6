//! The table of jobs in HTML. Writing into a `String` does not fail.

use std::fmt::{self, Write};

use super::escaped::Escaped;
use super::{Job, View, ago, query_encoded, size};
use crate::server::route::State;

/// Jobs in the table; with more, the filter by name still finds each.
const SHOWN_JOBS_MAX: usize = 500;
/// Units of a bar from end to end, and of its smallest part.
const BAR_WIDTH: usize = 100;
const BAR_PART_MIN: usize = 3;

/// Trouble first, each with its bar and the last request for it.
pub(super) fn jobs(page: &mut String, view: &View<'_>) -> fmt::Result {
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
        None => write!(page, "none")?,
    }
    writeln!(
        page,
        "</td><td><a href=\"{prefix}/metrics?job={query}\">text</a></td></tr>"
    )
}

/// Trouble stands on the left, and a single target of thousands can still be seen. It needs no attribute `style`, which
/// the security policy forbids.
fn bar(page: &mut String, [up, down, unknown]: [usize; State::ALL.len()]) -> fmt::Result {
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
        // What does not fit is cut off, and the last part fills what is left.
        let width = if class == "up" { BAR_WIDTH } else { width };
        if count > 0 {
            write!(
                page,
                "<rect class=\"{class}\" x=\"{left}\" width=\"{width}\" height=\"8\"/>"
            )?;
        }
        left += width;
    }
    write!(page, "</svg>")
}
