//! The table of all metric families of `/-/metrics`, in the order in which they are written.

use std::collections::BTreeMap;

use super::jobs::JobCounts;
use super::labels::{BodyFormat, Path, Phase, RefreshResult};
use super::text::{Samples, escaped};
use super::{Gauges, ListenerEvent, Telemetry, process};

/// Status codes of the listener's error responses, which are written even if they have not occurred yet.
const LISTENER_STATUSES: [u16; 11] = [400, 401, 403, 408, 413, 414, 417, 431, 500, 503, 505];

/// Writes the samples of a family.
type Write = fn(&mut Samples, &Now<'_>);

/// One metric family.
#[derive(Debug)]
pub struct OwnMetric {
    /// Without the suffixes of a histogram.
    pub name: &'static str,
    /// Its TYPE.
    kind: &'static str,
    /// Its HELP.
    help: &'static str,
    write: Write,
}

/// What a family writes its samples from.
pub(super) struct Now<'a> {
    pub(super) counts: &'a Telemetry,
    pub(super) gauges: &'a Gauges<'a>,
    pub(super) jobs: BTreeMap<String, JobCounts>,
}

impl Now<'_> {
    /// Each job as a label value, and one of its counts.
    fn by_job(&self, count: fn(&JobCounts) -> u64) -> impl Iterator<Item = (String, u64)> {
        self.jobs
            .iter()
            .map(move |(job, counts)| (escaped(job), count(counts)))
    }
}

impl OwnMetric {
    /// Writes the whole family.
    pub(super) fn write(&self, out: &mut Samples, now: &Now<'_>) {
        out.family(self.name, self.kind, self.help);
        (self.write)(out, now);
    }
}

/// The table of the families: TYPE, name, HELP, and what writes the samples.
macro_rules! families {
    ($($kind:ident $name:literal, $help:literal, $write:expr;)+) => {
        /// All families. `k8s/prometheus/README.md` has a row for each, with the same HELP.
        pub const FAMILIES: &[OwnMetric] = &[$(OwnMetric {
            name: $name,
            kind: stringify!($kind),
            help: $help,
            write: $write,
        }),+];
    };
}

families! {
    gauge "metrics_aggregator_build_info",
        "1, with the version of the program as a label.",
        |out, _| out.each("version", [(env!("CARGO_PKG_VERSION"), 1)]);
    counter "metrics_aggregator_requests_total",
        "HTTP requests by path and status code; a request whose head cannot be read counts as other.",
        |out, now| {
            let counts = &now.counts.requests;
            // A path without requests so far has a 0 for status 200.
            for ((path, status), count) in counts.with(Path::ALL.map(|path| (path, 200))) {
                out.labelled(format_args!("path=\"{path}\",code=\"{status}\""), count);
            }
        };
    counter "metrics_aggregator_front_refusals_total",
        "Requests that were rejected before routing (malformed, too large, not authorized), by status code.",
        |out, now| out.each("code", now.counts.listener_errors.with(LISTENER_STATUSES));
    gauge "metrics_aggregator_requests_waiting",
        "Scrape requests that are waiting for a server worker.",
        |out, now| out.sample(now.gauges.requests_waiting);
    histogram "metrics_aggregator_request_wait_seconds",
        "How long scrape requests waited for a server worker.",
        |out, now| out.histogram(&now.counts.request_wait);
    gauge "metrics_aggregator_workers",
        "Worker threads by kind.",
        |out, now| {
            let (client, server) = (now.gauges.client_workers, now.gauges.server_workers);
            out.each("kind", [("client", client), ("server", server)]);
        };
    gauge "metrics_aggregator_workers_busy",
        "Busy worker threads by kind.",
        |out, now| {
            let client = now.counts.busy_client_workers.get();
            let server = now.counts.busy_server_workers.get();
            out.each("kind", [("client", client), ("server", server)]);
        };
    gauge "metrics_aggregator_scrapes_waiting",
        "Requests with targets that are waiting for a client worker.",
        |out, now| out.sample(now.gauges.scrapes_waiting);
    counter "metrics_aggregator_scrapes_total",
        "Scrapes of targets by result.",
        |out, now| {
            let failed = now.counts.scrape_failures.with([]).into_values().sum();
            let ok = now.counts.scrapes.get();
            out.each("result", [("failed", failed), ("ok", ok)]);
        };
    counter "metrics_aggregator_scrape_failures_total",
        "Failed scrapes by the phase in which they failed.",
        |out, now| out.each("phase", now.counts.scrape_failures.with(Phase::ALL));
    histogram "metrics_aggregator_scrape_duration_seconds",
        "How long the scrape of one target took.",
        |out, now| out.histogram(&now.counts.scrape_duration);
    counter "metrics_aggregator_scraped_bytes_total",
        "Bytes of scraped bodies by job.",
        |out, now| out.each("job", now.by_job(|job| job.body_bytes));
    gauge "metrics_aggregator_scraped_max_bytes",
        "Largest scraped body since the start, by job.",
        |out, now| out.each("job", now.by_job(|job| job.body_bytes_max));
    counter "metrics_aggregator_scraped_samples_total",
        "Samples in scraped bodies, duplicates included.",
        |out, now| out.sample(now.counts.samples.get());
    counter "metrics_aggregator_bodies_total",
        "Complete, valid bodies by format.",
        |out, now| out.each("format", now.counts.bodies.with(BodyFormat::ALL));
    counter "metrics_aggregator_merged_responses_total",
        "Merged responses by format.",
        |out, now| out.each("format", now.counts.merged_responses.with(BodyFormat::ALL));
    counter "metrics_aggregator_duplicate_samples_total",
        "Samples that were dropped because their body already had the same series.",
        |out, now| out.sample(now.counts.duplicates.get());
    counter "metrics_aggregator_metadata_conflicts_total",
        "Metric families in merged responses on whose HELP or TYPE targets disagree, by kind.",
        |out, now| {
            let help = now.counts.help_conflicts.get();
            let type_ = now.counts.type_conflicts.get();
            out.each("kind", [("help", help), ("type", type_)]);
        };
    gauge "metrics_aggregator_targets",
        "Targets by job.",
        |out, now| out.each("job", now.by_job(|job| job.targets));
    gauge "metrics_aggregator_invalid_targets",
        "Targets with an invalid option or pod IP, and pods without a usable job name.",
        |out, now| out.sample(now.gauges.invalid_targets);
    gauge "metrics_aggregator_cache_age_seconds",
        "Age of the last complete pod list; absent before the first one.",
        |out, now| out.optional(now.gauges.cache_age.map(|age| age.as_secs_f64()));
    counter "metrics_aggregator_cache_refreshes_total",
        "Requested pod lists by result.",
        |out, now| out.each("result", now.counts.refreshes.with(RefreshResult::ALL));
    gauge "metrics_aggregator_connections",
        "Open client connections.",
        |out, now| {
            let events = &now.counts.events;
            let ended = events.get(ListenerEvent::Ended);
            out.sample(events.get(ListenerEvent::Accepted).saturating_sub(ended));
        };
    counter "metrics_aggregator_connections_total",
        "Accepted client connections.",
        |out, now| out.sample(now.counts.events.get(ListenerEvent::Accepted));
    counter "metrics_aggregator_connections_cut_total",
        "Client connections that the server closed early, by reason.",
        |out, now| {
            let reasons = [
                ("handshake", ListenerEvent::HandshakeFailed),
                ("no_room", ListenerEvent::MadeRoom),
                ("slow_reader", ListenerEvent::SendCutOff),
            ];
            let counts = reasons.map(|(reason, event)| (reason, now.counts.events.get(event)));
            out.each("reason", counts);
        };
    counter "metrics_aggregator_accept_errors_total",
        "Client connections that could not be accepted.",
        |out, now| out.sample(now.counts.events.get(ListenerEvent::AcceptError));
    counter "metrics_aggregator_panics_total",
        "Caught panics: each is a bug and has failed one scrape or one request.",
        |out, now| out.sample(now.counts.panics.get());
    counter "process_cpu_seconds_total",
        "User and system CPU time of the process.",
        |out, _| out.optional(process::cpu_seconds());
    gauge "process_resident_memory_bytes",
        "Resident memory.",
        |out, _| out.optional(process::memory_bytes("VmRSS:"));
    gauge "process_virtual_memory_bytes",
        "Virtual memory.",
        |out, _| out.optional(process::memory_bytes("VmSize:"));
    gauge "process_open_fds",
        "Open file descriptors.",
        |out, _| out.optional(process::open_fds());
    gauge "process_max_fds",
        "Most file descriptors that the process may open.",
        |out, _| out.optional(process::open_files_max());
    gauge "process_threads",
        "Threads of the process.",
        |out, _| out.optional(process::threads());
    gauge "process_start_time_seconds",
        "Start of the process, in seconds since the epoch.",
        |out, _| out.optional(process::start_seconds());
}
