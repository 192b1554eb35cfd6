//! The table of all metric families that `/-/metrics` has, in the order in which they are written.

/// What a family is in the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric family.
#[derive(Debug)]
pub struct Family {
    /// Without the suffixes of a histogram.
    pub name: &'static str,
    /// Its TYPE.
    pub kind: Kind,
    /// Its HELP; stands in the README too.
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Counter;
    Family { name, kind, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Gauge;
    Family { name, kind, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Histogram;
    Family { name, kind, help }
}

/// All families. A new one needs a row here, a sample in `text.rs`, and a row in the README.
pub const FAMILIES: &[Family] = &[
    gauge(
        "metrics_aggregator_build_info",
        "1, with the version of the program.",
    ),
    counter(
        "metrics_aggregator_requests_total",
        "Requests answered, by path and status code.",
    ),
    counter(
        "metrics_aggregator_front_refusals_total",
        "Requests refused before they were routed, by status code: malformed, too large, without a right.",
    ),
    gauge(
        "metrics_aggregator_requests_waiting",
        "Scrape requests that wait for a server worker.",
    ),
    histogram(
        "metrics_aggregator_request_wait_seconds",
        "Time that scrape requests waited for a server worker.",
    ),
    gauge("metrics_aggregator_workers", "Threads, by kind."),
    gauge(
        "metrics_aggregator_workers_busy",
        "Threads that are at work, by kind.",
    ),
    gauge(
        "metrics_aggregator_scrapes_waiting",
        "Requests with targets that wait for a client worker.",
    ),
    counter(
        "metrics_aggregator_scrapes_total",
        "Scrapes of targets, by result.",
    ),
    counter(
        "metrics_aggregator_scrape_failures_total",
        "Scrapes that failed, by the phase in which they did.",
    ),
    histogram(
        "metrics_aggregator_scrape_duration_seconds",
        "Length of the scrape of one target.",
    ),
    counter(
        "metrics_aggregator_scraped_bytes_total",
        "Bytes of the bodies of targets, by job.",
    ),
    gauge(
        "metrics_aggregator_scraped_max_bytes",
        "Largest body of a target since the start, by job.",
    ),
    counter(
        "metrics_aggregator_scraped_samples_total",
        "Samples in the bodies of targets, duplicates included.",
    ),
    counter(
        "metrics_aggregator_duplicate_samples_total",
        "Samples left out because their target had sent the same series before in the same body.",
    ),
    counter(
        "metrics_aggregator_metadata_conflicts_total",
        "Families in answers on whose HELP or TYPE targets do not agree, by kind.",
    ),
    gauge("metrics_aggregator_targets", "Targets, by job."),
    gauge(
        "metrics_aggregator_cache_age_seconds",
        "Time since the last complete pod list; not there before the first.",
    ),
    counter(
        "metrics_aggregator_cache_refreshes_total",
        "Pod lists asked for, by result.",
    ),
    gauge(
        "metrics_aggregator_connections",
        "Open connections of clients.",
    ),
    counter(
        "metrics_aggregator_connections_total",
        "Connections of clients accepted.",
    ),
    counter(
        "metrics_aggregator_connections_cut_total",
        "Connections ended by the server before their time, by reason.",
    ),
    counter(
        "metrics_aggregator_accept_errors_total",
        "Connections that could not be accepted.",
    ),
    counter(
        "metrics_aggregator_panics_total",
        "Panics caught: each is an error in the program and has cost one scrape or one request.",
    ),
    counter(
        "process_cpu_seconds_total",
        "CPU time of the process, user and system.",
    ),
    gauge("process_resident_memory_bytes", "Resident memory."),
    gauge("process_virtual_memory_bytes", "Virtual memory."),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "File descriptors that may be open."),
    gauge("process_threads", "Threads of the process."),
    gauge(
        "process_start_time_seconds",
        "Start of the process, in seconds since the epoch.",
    ),
];
