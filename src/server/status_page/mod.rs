//! The status page: the jobs and targets, and how the last scrapes went. HTML for browsers, JSON for programs that ask
//! for it, plain text for all others.
//!
//! Names and errors may come from strangers. So each format escapes them, and browsers are told to load and run nothing
//! but the two files of this server.

mod html;
mod json;
mod targets;
mod text;

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Crc;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Sources;
use super::address::PublicAddress;
use super::response::Response;
use super::route::{Filter, TargetState};
use crate::aggregate::{LastRequest, LastScrape, LastScrapes};
use crate::target::{Target, TargetScope, TargetSet};

/// Targets on one page of HTML.
const PAGE_TARGETS: usize = 200;
/// The browser loads nothing but the two files of this server, and no other page may frame this one. `data:` is for the
/// empty icon, without which browsers request one.
const SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; \
                               form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page in the format that `accept` asks for.
pub(super) fn page(
    sources: &Sources,
    scope: &TargetScope,
    filter: &Filter,
    accept: &str,
    address: Option<&PublicAddress>,
) -> Response {
    let set = sources.cache.snapshot().map(|set| set.within(scope));
    let mut view = View::new(sources, set.as_deref(), filter, address);
    if scope.is_limited() {
        view.hide_others();
    }
    let (content_type, body) = if accept.contains("text/html") {
        view.put_failures_first();
        ("text/html; charset=utf-8", html::render(&view))
    } else if accept.contains("application/json") {
        ("application/json", json::render(&view))
    } else {
        ("text/plain; charset=utf-8", text::render(&view))
    };
    let headers = vec![
        ("Content-Type", content_type.to_owned()),
        ("Vary", "Accept, Accept-Encoding".to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        ("Content-Security-Policy", SECURITY_POLICY.to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Referrer-Policy", "no-referrer".to_owned()),
    ];
    Response::bytes(headers, body.into_bytes())
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// The response of [`STYLE_PATH`](super::route::STYLE_PATH).
pub(super) fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}

/// The response of [`SCRIPT_PATH`](super::route::SCRIPT_PATH).
pub(super) fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

/// Part of the URL of a file, because browsers may keep it for an hour: another version of this program gets its own.
fn checksum(file: &str) -> String {
    let mut crc = Crc::new();
    crc.update(file.as_bytes());
    format!("{:08x}", crc.sum())
}

fn file(content_type: &str, text: &str) -> Response {
    let headers = vec![
        ("Content-Type", content_type.to_owned()),
        ("Cache-Control", "max-age=3600".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    Response::bytes(headers, text.as_bytes().to_vec())
}

/// The content of the page in all formats.
struct View<'a> {
    filter: &'a Filter,
    address: Option<&'a PublicAddress>,
    /// Whether a complete pod list has been read.
    is_ready: bool,
    cache_age: Option<Duration>,
    last_error: Option<String>,
    /// Where the aggregator's own metrics are, if the client may see them.
    own_metrics: Option<&'static str>,
    /// All jobs, with any filter.
    jobs: Vec<Job<'a>>,
    /// The targets that pass the filter.
    rows: Vec<Row<'a>>,
    /// The pods that belong to no job, with any filter.
    without_job: Vec<Row<'a>>,
}

/// A job, its numbers of targets by state, and the last request for it.
struct Job<'a> {
    name: &'a str,
    counts: [usize; TargetState::ALL.len()],
    last_request: Option<LastRequest>,
}

/// A target and its last scrapes. State and reason are those of the decisive scrape.
struct Row<'a> {
    target: &'a Target,
    state: TargetState,
    reason: Option<String>,
    last: LastScrapes,
}

impl<'a> View<'a> {
    fn new(
        sources: &Sources,
        set: Option<&'a TargetSet>,
        filter: &'a Filter,
        address: Option<&'a PublicAddress>,
    ) -> View<'a> {
        let mut jobs = Vec::new();
        let mut rows = Vec::new();
        for (name, targets) in set.iter().flat_map(|set| set.jobs()) {
            let mut counts = [0; TargetState::ALL.len()];
            let is_asked = filter.job.as_deref().is_none_or(|job| job == name);
            for target in targets {
                let row = Row::new(target, sources.aggregator.last_scrapes(target));
                counts[row.state as usize] += 1;
                if is_asked && filter.state.is_none_or(|state| state == row.state) {
                    rows.push(row);
                }
            }
            jobs.push(Job {
                name,
                counts,
                last_request: sources.aggregator.last_request(name),
            });
        }
        let without_job = set.iter().flat_map(|set| set.without_job());
        View {
            filter,
            address,
            is_ready: set.is_some(),
            cache_age: sources.cache.last_success().map(|at| at.elapsed()),
            last_error: sources.cache.last_error().map(|error| error.to_string()),
            own_metrics: Some("/-/metrics"),
            jobs,
            rows,
            without_job: without_job
                .map(|pod| Row::new(pod, LastScrapes::default()))
                .collect(),
        }
    }

    /// Removes everything that may name targets that the client must not see.
    fn hide_others(&mut self) {
        self.own_metrics = None;
        // The request may have been for more targets.
        for job in &mut self.jobs {
            job.last_request = None;
        }
        if let Some(error) = &mut self.last_error {
            "the log says why".clone_into(error);
        }
    }

    /// Puts jobs and targets that are down first, and those that were never scraped second.
    fn put_failures_first(&mut self) {
        self.jobs.sort_by_key(|job| {
            let [_, down, unknown] = job.counts;
            (down == 0, unknown == 0)
        });
        self.rows.sort_by_key(|row| match row.state {
            TargetState::Down => 0,
            TargetState::Unknown => 1,
            TargetState::Up => 2,
        });
    }

    /// The start of the path of every link.
    fn prefix(&self) -> &str {
        self.address.map_or("", |address| &address.prefix)
    }

    /// Number of all targets in this state, with any filter.
    fn count(&self, state: TargetState) -> usize {
        self.jobs.iter().map(|job| job.counts[state as usize]).sum()
    }
}

impl<'a> Row<'a> {
    fn new(target: &'a Target, last: LastScrapes) -> Row<'a> {
        let (state, reason) = match (&target.options, last.decisive()) {
            (Err(error), _) => (TargetState::Down, Some(format!("options: {error}"))),
            (Ok(_), None) => (TargetState::Unknown, None),
            (Ok(_), Some(last)) => match &last.failure {
                Some(failure) => (TargetState::Down, Some(failure.clone())),
                None => (TargetState::Up, None),
            },
        };
        Row {
            target,
            state,
            reason,
            last,
        }
    }

    /// The last scrapes, each with the kind of request that it was for.
    fn scrapes(&self) -> impl Iterator<Item = (&'static str, &LastScrape)> {
        let merged = self.last.merged.iter().map(|last| ("merged", last));
        merged.chain(self.last.probe.iter().map(|last| ("probe", last)))
    }
}

/// Text for HTML that cannot be taken for markup, in an element or in a quoted attribute.
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
                // Invisible or not allowed. Some of them change the direction of the text after them.
                c if c.is_control()
                    || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                {
                    f.write_char('\u{fffd}')?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The text with all but the unreserved characters of RFC 3986 as `%XX`.
fn query_encoded(text: &str) -> String {
    const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, &UNRESERVED).to_string()
}

/// A number of bytes, in B, kB or MB.
fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// How long ago the time was, in seconds, minutes or hours.
fn ago(time: SystemTime) -> String {
    match time.elapsed().unwrap_or_default().as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

/// Seconds since the epoch.
fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
