//! `name[]`: the metric families that are left of a body. k8s/prometheus/README.md: "Some families of a job".

use kubernetes_metrics_aggregator::exposition::Format::{self, OpenMetrics, Text};
use kubernetes_metrics_aggregator::exposition::{
    Accept, Asked, AskedFamilies, IdentityLabels, SeriesCache, merge,
};

use crate::support::merged::{own_blocks, part, text};

/// Two pods send this body, and one sends `other` between them. Checks what is written of the families with these
/// names, and how many samples of the body are counted.
#[track_caller]
fn check_with(
    accept: &str,
    (format, body): (Format, &str),
    names: &[&str],
    expected: &[&str],
    samples: u64,
) {
    let end = if format == OpenMetrics { "# EOF\n" } else { "" };
    let body = format!("{body}{end}");
    let other = format!("other 1\n{end}");
    let cache = SeriesCache::new(
        Asked {
            accept: Accept::parse(accept),
            families: AskedFamilies::new(names.iter().map(|name| (*name).to_owned()).collect()),
        },
        u64::MAX,
        1,
    );
    let labels = IdentityLabels::default();
    let parts = [&body, &other, &body].map(|body| {
        let exposition = cache.parse(format, body.as_bytes(), &labels).unwrap();
        part(labels.clone(), Some(exposition))
    });
    let counted = parts.each_ref().map(|part| part.report.samples_scraped);
    assert_eq!(counted, [samples, 0, samples], "{names:?}");
    let [part, ..] = parts;
    let found = own_blocks(&text(&merge(vec![part], format)));
    let found: Vec<&str> = found.lines().filter(|line| *line != "# EOF").collect();
    assert_eq!(found, expected, "{names:?}");
}

#[track_caller]
fn check(body: (Format, &str), names: &[&str], expected: &[&str], samples: u64) {
    check_with("", body, names, expected, samples);
}

const BODY: &str = "\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code=\"200\"} 7
requests_total{code=\"500\"} 1
# TYPE latency_seconds histogram
latency_seconds_bucket{le=\"1\"} 3
latency_seconds_bucket{le=\"+Inf\"} 4
latency_seconds_sum 2.5
latency_seconds_count 4
# TYPE size_bytes summary
size_bytes{quantile=\"0.5\"} 10
size_bytes_sum 99
size_bytes_count 4
# TYPE size_bytes_max gauge
size_bytes_max 50
plain 1
plain_total 2
";

#[test]
fn families_are_selected_by_either_name_of_a_counter() {
    let requests = [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        "requests_total{code=\"200\"} 7",
        "requests_total{code=\"500\"} 1",
    ];
    let latency = [
        "# TYPE latency_seconds histogram",
        "latency_seconds_bucket{le=\"1\"} 3",
        "latency_seconds_bucket{le=\"+Inf\"} 4",
        "latency_seconds_sum 2.5",
        "latency_seconds_count 4",
    ];
    let size = [
        "# TYPE size_bytes summary",
        "size_bytes{quantile=\"0.5\"} 10",
        "size_bytes_sum 99",
        "size_bytes_count 4",
    ];
    let body = (Text, BODY);
    check(body, &["requests_total"], &requests, 2);
    // As OpenMetrics names it.
    check(body, &["requests"], &requests, 2);
    check(body, &["latency_seconds"], &latency, 4);
    check(body, &["size_bytes"], &size, 3);
    let both = [&latency[..], &requests[..]].concat();
    check(body, &["requests_total", "latency_seconds"], &both, 6);
    check(body, &["requests", "nothing", "requests"], &requests, 2);
    let max = ["# TYPE size_bytes_max gauge", "size_bytes_max 50"];
    check(body, &["size_bytes_max"], &max, 1);
    // Without a TYPE line `plain_total` is not a counter, so it is a family of its own.
    check(body, &["plain"], &["# TYPE plain untyped", "plain 1"], 1);
    check(body, &["PLAIN"], &[], 0);
    check(body, &[""], &[], 0);
}

/// Python's client library compares the names of samples.
#[test]
fn a_part_of_a_family_can_be_selected_by_the_name_of_its_samples() {
    let body = (Text, BODY);
    let sum = [
        "# TYPE latency_seconds_sum untyped",
        "latency_seconds_sum 2.5",
    ];
    check(body, &["latency_seconds_sum"], &sum, 1);
    let names = ["size_bytes_sum", "size_bytes_count"];
    let apart = [
        "# TYPE size_bytes_count untyped",
        "size_bytes_count 4",
        "# TYPE size_bytes_sum untyped",
        "size_bytes_sum 99",
    ];
    check(body, &names, &apart, 2);
}

const OPEN_METRICS: &str = "\
# TYPE requests counter
# HELP requests Requests.
requests_total 7 # {trace=\"x\"} 1
requests_created 1.5
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
latency_seconds_bucket{le=\"+Inf\"} 4
latency_seconds_count 4
latency_seconds_sum 2.5
latency_seconds_created 1.5
# TYPE depth gaugehistogram
depth_bucket{le=\"+Inf\"} 4
depth_gcount 4
depth_gsum 2.5
# TYPE build info
build_info{version=\"1\"} 1
# TYPE mode stateset
mode{mode=\"a\"} 1
";

#[test]
fn openmetrics_families_are_selected_with_their_metadata() {
    let body = (OpenMetrics, OPEN_METRICS);
    let requests = [
        "# HELP requests Requests.",
        "# TYPE requests counter",
        "requests_total 7 # {trace=\"x\"} 1",
        "requests_created 1.5",
    ];
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";
    for name in ["requests", "requests_total"] {
        check_with(accept, body, &[name], &requests, 2);
    }
    let latency = [
        "# TYPE latency_seconds histogram",
        "# UNIT latency_seconds seconds",
        "latency_seconds_bucket{le=\"+Inf\"} 4",
        "latency_seconds_count 4",
        "latency_seconds_sum 2.5",
        "latency_seconds_created 1.5",
    ];
    check(body, &["latency_seconds"], &latency, 4);
    let depth = [
        "# TYPE depth gaugehistogram",
        "depth_bucket{le=\"+Inf\"} 4",
        "depth_gcount 4",
        "depth_gsum 2.5",
    ];
    check(body, &["depth"], &depth, 3);
    let build = ["# TYPE build info", "build_info{version=\"1\"} 1"];
    for name in ["build", "build_info"] {
        check(body, &[name], &build, 1);
    }
    check(
        body,
        &["mode"],
        &["# TYPE mode stateset", "mode{mode=\"a\"} 1"],
        1,
    );
    check(body, &["latency"], &[], 0);
}

/// All TYPE lines first, as nginx-module-vts writes them, or samples that come again later.
#[test]
fn lines_may_come_in_any_order() {
    let types_first = "# TYPE a histogram\n# TYPE b gauge\na_bucket{le=\"1\"} 1\nb 2\na_count 1\na_sum 1\nb_count 5\n";
    let expected = [
        "# TYPE a untyped",
        "# TYPE a_bucket untyped",
        "a_bucket{le=\"1\"} 1",
        "# TYPE a_count untyped",
        "a_count 1",
        "# TYPE a_sum untyped",
        "a_sum 1",
    ];
    check((Text, types_first), &["a"], &expected, 3);
    // The `le` of the second sample is not under the TYPE of `a`: Prometheus leaves it as it is.
    let interrupted =
        "# TYPE a histogram\na_bucket{le=\"1\"} 1\n# TYPE b gauge\na_bucket{le=\"2\"} 2\n";
    let expected = [
        "# TYPE a untyped",
        "# TYPE a_bucket untyped",
        "a_bucket{le=\"1.0\"} 1",
        "a_bucket{le=\"2\"} 2",
    ];
    check((Text, interrupted), &["a"], &expected, 2);
}

#[test]
fn duplicates_are_counted_only_in_selected_families() {
    let body = "a 1\na 2\nb 1\nb 2\nb 3\nup 5\nup 6\n";
    check((Text, body), &["a"], &["# TYPE a untyped", "a 1"], 2);
    check((Text, body), &["b"], &["# TYPE b untyped", "b 1"], 3);
    // Dropped, because it is reported for every target.
    check((Text, body), &["up"], &[], 2);
}

#[test]
fn timestamps_and_long_values_stay() {
    let long = format!("0.{}", "1".repeat(300));
    let body = format!("a 1 5\nb 2 6\na 3 7\nc {long}\nb 4\n");
    let expected = ["# TYPE a untyped", "a 1 5", "a 3 7"];
    check((Text, &body), &["a"], &expected, 2);
    let c = format!("c {long}");
    check((Text, &body), &["c"], &["# TYPE c untyped", &c], 1);
}

/// The names of the request are those that the pod's program has; what comes is escaped as the scraper wants it.
#[test]
fn names_are_selected_as_the_pod_has_them_or_escaped() {
    let body = (Text, "{\"http.requests\"} 1\n{\"a.b\"} 2\n");
    let escaped = ["# TYPE http_requests untyped", "http_requests 1"];
    for name in ["http.requests", "http_requests"] {
        let accept = "text/plain;version=1.0.0;escaping=underscores";
        check_with(accept, body, &[name], &escaped, 1);
    }
    let accept = "text/plain;version=1.0.0;escaping=allow-utf-8";
    let quoted = ["# TYPE \"http.requests\" untyped", "{\"http.requests\"} 1"];
    check_with(accept, body, &["http.requests"], &quoted, 1);
    check_with(accept, body, &["http_requests"], &[], 0);
}
