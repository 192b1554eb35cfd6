//! All metrics as one text in Prometheus' format.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::families::FAMILIES;
use super::histogram::Durations;
use super::process::Process;
use super::{FrontEvent, PATHS, REFRESH_RESULTS, SCRAPE_PHASES, STATUSES, Telemetry, load};

/// What the counters do not know: the state of things at this moment.
#[derive(Debug, Default)]
pub struct Gauges<'a> {
    /// Jobs and their numbers of targets.
    pub targets: Vec<(&'a str, usize)>,
    /// Time since the last complete pod list.
    pub cache_age: Option<Duration>,
    /// Scrape requests in the queue of the server workers.
    pub requests_waiting: usize,
    /// Requests in the queue of the client workers.
    pub scrapes_waiting: usize,
    /// Threads that answer scrape requests.
    pub server_workers: usize,
    /// Threads that scrape.
    pub client_workers: usize,
}

/// Writes families in the order of the table.
struct Text {
    text: String,
    name: &'static str,
}

impl Text {
    /// Begins the family: what follows are its samples.
    fn family(&mut self, name: &'static str) -> &mut Text {
        let family = FAMILIES
            .iter()
            .find(|family| family.name == name)
            .expect("every family that is written has a row");
        self.name = name;
        // Writing into a String does not fail, here and below.
        let _ = write!(
            self.text,
            "# HELP {name} {}\n# TYPE {name} {}\n",
            family.help,
            family.kind.name()
        );
        self
    }

    fn sample(&mut self, value: impl Display) {
        let _ = writeln!(self.text, "{} {value}", self.name);
    }

    fn labelled(&mut self, label: &str, label_value: impl Display, value: impl Display) {
        let _ = writeln!(
            self.text,
            "{}{{{label}=\"{label_value}\"}} {value}",
            self.name
        );
    }

    fn optional(&mut self, name: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.family(name).sample(value);
        }
    }

    fn histogram(&mut self, name: &'static str, durations: &Durations) {
        self.family(name);
        let mut count = 0;
        for (bound, cumulated) in durations.buckets() {
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {cumulated}");
            count = cumulated;
        }
        let _ = writeln!(
            self.text,
            "{name}_sum {}\n{name}_count {count}",
            durations.sum()
        );
    }
}

impl Telemetry {
    /// The text of `/-/metrics`.
    #[must_use]
    pub fn text(&self, gauges: &Gauges<'_>) -> String {
        let mut text = Text {
            text: String::with_capacity(16 * 1024),
            name: "",
        };
        text.family("metrics_aggregator_build_info").labelled(
            "version",
            env!("CARGO_PKG_VERSION"),
            1,
        );
        self.write_requests(&mut text, gauges);
        self.write_scrapes(&mut text, gauges);
        self.write_cache(&mut text, gauges);
        self.write_connections(&mut text);
        write_process(&mut text, &Process::read());
        text.text
    }

    fn write_requests(&self, text: &mut Text, gauges: &Gauges<'_>) {
        text.family("metrics_aggregator_requests_total");
        for (path, counts) in PATHS.iter().zip(&self.requests) {
            for (status, count) in STATUSES.iter().zip(counts) {
                let count = load(count);
                // A path without a request so far has its 0 for the status that is hoped for.
                if count > 0 || *status == 200 {
                    let _ = writeln!(
                        text.text,
                        "{}{{path=\"{path}\",code=\"{status}\"}} {count}",
                        text.name
                    );
                }
            }
        }
        text.family("metrics_aggregator_front_refusals_total");
        for (status, count) in self.front_refusals() {
            text.labelled("code", status, count);
        }
        text.family("metrics_aggregator_requests_waiting")
            .sample(gauges.requests_waiting);
        text.histogram(
            "metrics_aggregator_request_wait_seconds",
            &self.request_wait,
        );
        text.family("metrics_aggregator_workers");
        text.labelled("kind", "client", gauges.client_workers);
        text.labelled("kind", "server", gauges.server_workers);
        text.family("metrics_aggregator_workers_busy");
        text.labelled("kind", "client", load(&self.busy_client_workers));
        text.labelled("kind", "server", load(&self.busy_server_workers));
    }

    fn write_scrapes(&self, text: &mut Text, gauges: &Gauges<'_>) {
        text.family("metrics_aggregator_scrapes_waiting")
            .sample(gauges.scrapes_waiting);
        let failures: u64 = self.scrape_failures.iter().map(load).sum();
        text.family("metrics_aggregator_scrapes_total");
        text.labelled("result", "failed", failures);
        text.labelled("result", "ok", load(&self.scrapes));
        text.family("metrics_aggregator_scrape_failures_total");
        for (phase, count) in SCRAPE_PHASES.iter().zip(&self.scrape_failures) {
            text.labelled("phase", phase, load(count));
        }
        text.histogram(
            "metrics_aggregator_scrape_duration_seconds",
            &self.scrape_duration,
        );
        let jobs = self.jobs.with_targets(gauges.targets.iter().copied());
        text.family("metrics_aggregator_scraped_bytes_total");
        for (job, counts) in &jobs {
            text.labelled("job", escaped(job), counts.body_bytes);
        }
        text.family("metrics_aggregator_scraped_max_bytes");
        for (job, counts) in &jobs {
            text.labelled("job", escaped(job), counts.body_bytes_max);
        }
        text.family("metrics_aggregator_scraped_samples_total")
            .sample(load(&self.samples));
        text.family("metrics_aggregator_duplicate_samples_total")
            .sample(load(&self.duplicates));
        text.family("metrics_aggregator_metadata_conflicts_total");
        text.labelled("kind", "help", load(&self.help_conflicts));
        text.labelled("kind", "type", load(&self.type_conflicts));
        text.family("metrics_aggregator_targets");
        for (job, counts) in &jobs {
            text.labelled("job", escaped(job), counts.targets);
        }
    }

    fn write_cache(&self, text: &mut Text, gauges: &Gauges<'_>) {
        text.optional(
            "metrics_aggregator_cache_age_seconds",
            gauges.cache_age.map(|age| age.as_secs_f64()),
        );
        text.family("metrics_aggregator_cache_refreshes_total");
        for (result, name) in REFRESH_RESULTS {
            text.labelled("result", name, self.refreshes(result));
        }
    }

    fn write_connections(&self, text: &mut Text) {
        let (accepted, ended) = (
            self.front(FrontEvent::Accepted),
            self.front(FrontEvent::Ended),
        );
        text.family("metrics_aggregator_connections")
            .sample(accepted.saturating_sub(ended));
        text.family("metrics_aggregator_connections_total")
            .sample(accepted);
        text.family("metrics_aggregator_connections_cut_total");
        for (reason, event) in [
            ("handshake", FrontEvent::HandshakeFailed),
            ("no_room", FrontEvent::MadeRoom),
            ("slow_reader", FrontEvent::SendCutOff),
        ] {
            text.labelled("reason", reason, self.front(event));
        }
        text.family("metrics_aggregator_accept_errors_total")
            .sample(self.front(FrontEvent::AcceptError));
        text.family("metrics_aggregator_panics_total")
            .sample(self.panics.load(Ordering::Relaxed));
    }
}

fn write_process(text: &mut Text, process: &Process) {
    text.optional("process_cpu_seconds_total", process.cpu_seconds);
    text.optional("process_resident_memory_bytes", process.resident_bytes);
    text.optional("process_virtual_memory_bytes", process.virtual_bytes);
    text.optional("process_open_fds", process.open_fds);
    text.optional("process_max_fds", process.max_fds);
    text.optional("process_threads", process.threads);
    text.optional("process_start_time_seconds", process.start_seconds);
}

/// A label value as the format writes it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
