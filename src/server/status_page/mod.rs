//! The status page: what there is to scrape and how the last scrapes went. HTML for browsers, JSON for programs, plain
//! text for everybody else.
//!
//! Names and errors in it are strangers' text: each format escapes it, and the browser is told to load nothing and run
//! nothing but this server's own two files.

mod escaped;
mod html;
mod job_table;
mod json;
mod target_table;
mod text;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Crc;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Sources;
use super::address::PublicAddress;
use super::response::Response;
use super::route::{Filter, State};
use crate::aggregate::{LastRequest, LastScrape, LastScrapes};
use crate::target::{Target, TargetScope, TargetSet};

/// Targets on one page of HTML.
const PAGE_TARGETS: usize = 200;
/// The browser loads no resource but the two files, from here, and no other page may frame this one. `data:` is for the
/// empty icon, without which browsers ask for one.
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
        view.put_trouble_first();
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

/// What the URL of a file carries as its query, so that a browser does not use the file of another version, which it
/// may keep for an hour.
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

/// What all formats show.
struct View<'a> {
    filter: &'a Filter,
    address: Option<&'a PublicAddress>,
    /// Whether a complete pod list has been read.
    is_ready: bool,
    cache_age: Option<Duration>,
    last_error: Option<String>,
    /// Where the aggregator's own metrics are, if the client may see them.
    own_metrics: Option<&'static str>,
    /// All jobs, whatever the filter is.
    jobs: Vec<Job<'a>>,
    /// What passes the filter.
    rows: Vec<Row<'a>>,
    /// The pods that belong to no job, whatever the filter is.
    without_job: Vec<Row<'a>>,
}

/// A job, its numbers of targets by state, and the last request for it.
struct Job<'a> {
    name: &'a str,
    counts: [usize; State::ALL.len()],
    last_request: Option<LastRequest>,
}

/// A target and how its last scrapes went; state and reason are those of the decisive one.
struct Row<'a> {
    target: &'a Target,
    state: State,
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
            let mut counts = [0; State::ALL.len()];
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

    /// Leaves out what may name things other than the targets that the client may see.
    fn hide_others(&mut self) {
        self.own_metrics = None;
        // It may have been for more than these targets.
        for job in &mut self.jobs {
            job.last_request = None;
        }
        if let Some(error) = &mut self.last_error {
            "the log says why".clone_into(error);
        }
    }

    /// Jobs and targets that are down, then those that were never scraped; each in the order in which they were.
    fn put_trouble_first(&mut self) {
        self.jobs.sort_by_key(|job| {
            let [_, down, unknown] = job.counts;
            (down == 0, unknown == 0)
        });
        self.rows.sort_by_key(|row| match row.state {
            State::Down => 0,
            State::Unknown => 1,
            State::Up => 2,
        });
    }

    /// What stands before every path of a link.
    fn prefix(&self) -> &str {
        self.address.map_or("", |address| &address.prefix)
    }

    /// Number of all targets in this state, whatever the filter is.
    fn count(&self, state: State) -> usize {
        self.jobs.iter().map(|job| job.counts[state as usize]).sum()
    }
}

impl<'a> Row<'a> {
    fn new(target: &'a Target, last: LastScrapes) -> Row<'a> {
        let (state, reason) = match (&target.options, last.decisive()) {
            (Err(error), _) => (State::Down, Some(format!("options: {error}"))),
            (Ok(_), None) => (State::Unknown, None),
            (Ok(_), Some(last)) => match &last.failure {
                Some(failure) => (State::Down, Some(failure.clone())),
                None => (State::Up, None),
            },
        };
        Row {
            target,
            state,
            reason,
            last,
        }
    }

    /// The last scrapes that there were, each with what it was for.
    fn scrapes(&self) -> impl Iterator<Item = (&'static str, &LastScrape)> {
        let merged = self.last.merged.iter().map(|last| ("merged", last));
        merged.chain(self.last.probe.iter().map(|last| ("probe", last)))
    }
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`.
fn query_encoded(text: &str) -> String {
    const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, &UNRESERVED).to_string()
}

/// Bytes in the largest unit of which there is one.
fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// How long ago that was, in the unit in which somebody would say it.
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
