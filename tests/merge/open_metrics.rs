//! Bodies of text and OpenMetrics in one response of either format. README: "Formats"; k8s/prometheus/README.md:
//! "Formats". `exposition/openmetrics.rs` specifies which lines of OpenMetrics are valid.

use super::part;
use kubernetes_metrics_aggregator::exposition::Format::{self, OpenMetrics, Text};
use kubernetes_metrics_aggregator::exposition::{IdentityLabels, merge, merge_with, parse};

use crate::support::merged::{own_blocks, text};

/// The families of these bodies, merged in this order, as they are written in this format. The end mark of OpenMetrics
/// is added to bodies, and must end the text.
#[track_caller]
pub(super) fn check(to: Format, bodies: &[(Format, &str)], expected: &[&str]) {
    let parts = bodies.iter().enumerate().map(|(number, (format, body))| {
        let end = if *format == OpenMetrics {
            "# EOF\n"
        } else {
            ""
        };
        part(*format, number, Some(&format!("{body}{end}")))
    });
    let merged = text(&merge(parts.collect(), to));
    let found = own_blocks(&merged);
    let found: Vec<&str> = found.lines().filter(|line| *line != "# EOF").collect();
    assert_eq!(found, expected, "{merged}");
    assert_eq!(
        merged.matches("# EOF\n").count(),
        usize::from(to == OpenMetrics)
    );
    assert_eq!(merged.ends_with("\n# EOF\n"), to == OpenMetrics);
    // The text is valid, and no sample is lost in it.
    let again = parse(to, merged.as_bytes(), &IdentityLabels::default()).unwrap();
    let samples = merged.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(again.samples(), samples as u64);
}

/// One body of OpenMetrics, written in OpenMetrics.
#[track_caller]
pub(super) fn kept(body: &str, expected: &[&str]) {
    check(OpenMetrics, &[(OpenMetrics, body)], expected);
}

/// One body of the text format, written in OpenMetrics.
#[track_caller]
pub(super) fn from_text(body: &str, expected: &[&str]) {
    check(OpenMetrics, &[(Text, body)], expected);
}

#[test]
fn openmetrics_without_targets_is_the_end_mark() {
    assert_eq!(text(&merge(Vec::new(), OpenMetrics)), "# EOF\n");
}

/// Prometheus looks for start timestamps up to the next TYPE line.
#[test]
fn the_type_is_repeated_for_each_target_if_start_timestamps_may_be_read() {
    let bodies = [
        "# HELP c Help.\n# TYPE c counter\nc_total 1\nc_created 2\n# TYPE g_seconds gauge\n# UNIT g_seconds seconds\n\
            g_seconds 3\n# TYPE s summary\ns_count 4\ns_sum 5\n# EOF\n",
        "# TYPE c counter\nc_total{a=\"b\"} 6\n# TYPE g_seconds gauge\ng_seconds 7\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 8\n# TYPE s summary\ns_count 9\n# EOF\n",
    ];
    let merged = |format, repeats_types| {
        let parts = bodies.iter().enumerate();
        let parts = parts.map(|(number, body)| part(OpenMetrics, number, Some(body)));
        text(&merge_with(parts.collect(), format, repeats_types))
    };
    let repeated = merged(OpenMetrics, true);
    let own = own_blocks(&repeated);
    assert_eq!(
        own.lines().collect::<Vec<_>>(),
        [
            "# HELP c Help.",
            "# TYPE c counter",
            "c_total{i=\"0\"} 1",
            "c_created{i=\"0\"} 2",
            "# TYPE c counter",
            "c_total{a=\"b\",i=\"1\"} 6",
            "# TYPE g_seconds gauge",
            "# UNIT g_seconds seconds",
            "g_seconds{i=\"0\"} 3",
            "g_seconds{i=\"1\"} 7",
            "# TYPE h histogram",
            "# UNIT h ",
            "h_bucket{le=\"1.0\",i=\"2\"} 8",
            "# TYPE s summary",
            "s_count{i=\"0\"} 4",
            "s_sum{i=\"0\"} 5",
            "# TYPE s summary",
            "s_count{i=\"2\"} 9",
            "# EOF",
        ],
        "{repeated}"
    );
    assert_eq!(merged(Text, true), merged(Text, false));
    let again = parse(OpenMetrics, repeated.as_bytes(), &IdentityLabels::default()).unwrap();
    // Nine of the bodies, and three reports on each of three targets.
    assert_eq!(again.samples(), 18);
    let once = merged(OpenMetrics, false);
    let twice = ["# TYPE c counter\n", "# TYPE s summary\n"];
    let repeated_bytes: usize = twice.iter().map(|line| line.len()).sum();
    assert_eq!(repeated.len(), once.len() + repeated_bytes);
}

#[test]
fn a_failed_target_is_reported_in_openmetrics() {
    let part = part(OpenMetrics, 0, None);
    let text = text(&merge(vec![part], OpenMetrics));
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("# TYPE"))
        .collect();
    assert_eq!(
        lines,
        [
            "# HELP scrape_duration_seconds How long the last scrape of the target took.",
            "scrape_duration_seconds{i=\"0\"} 1.5",
            "# HELP scrape_samples_scraped Number of samples in the last scrape of the target.",
            "scrape_samples_scraped{i=\"0\"} 0",
            "# HELP up Whether the last scrape of the target succeeded (1) or failed (0).",
            "up{i=\"0\"} 0",
            "# EOF",
        ]
    );
}

#[test]
fn counters_are_named_without_total() {
    kept(
        "# TYPE c counter\n# HELP c x\nc_total{a=\"b\"} 1\nc_created{a=\"b\"} 1.5\n",
        &[
            "# HELP c x",
            "# TYPE c counter",
            "c_total{a=\"b\",i=\"0\"} 1",
            "c_created{a=\"b\",i=\"0\"} 1.5",
        ],
    );
    from_text(
        "# HELP c_total x\n# TYPE c_total counter\nc_total 1\n",
        &["# HELP c x", "# TYPE c counter", "c_total{i=\"0\"} 1"],
    );
    // Not as the specification has it, but Prometheus reads it.
    kept(
        "# TYPE c_total counter\nc_total 1\n",
        &["# TYPE c counter", "c_total{i=\"0\"} 1"],
    );
    kept(
        "# TYPE \"c.d\" counter\n{\"c.d_total\"} 1\n",
        &["# TYPE \"c.d\" counter", "{\"c.d_total\",i=\"0\"} 1"],
    );
    // The families are in the order of the names that they have here.
    from_text(
        "# TYPE c_total counter\nc_total 1\n# TYPE c_a gauge\nc_a 2\n",
        &[
            "# TYPE c counter",
            "c_total{i=\"0\"} 1",
            "# TYPE c_a gauge",
            "c_a{i=\"0\"} 2",
        ],
    );
}

#[test]
fn a_counter_without_total_is_unknown() {
    from_text(
        "# TYPE c counter\nc 1\n",
        &["# TYPE c unknown", "c{i=\"0\"} 1"],
    );
    from_text(
        "# TYPE _total counter\n_total 1\n",
        &["# TYPE _total unknown", "_total{i=\"0\"} 1"],
    );
    // Without its ending it would have the name of another family.
    from_text(
        "# TYPE c gauge\nc 1\n# TYPE c_total counter\nc_total 2\n",
        &[
            "# TYPE c gauge",
            "c{i=\"0\"} 1",
            "# TYPE c_total unknown",
            "c_total{i=\"0\"} 2",
        ],
    );
    kept(
        "# TYPE b counter\nb 2\n",
        &["# TYPE b unknown", "b{i=\"0\"} 2", "# TYPE b_total unknown"],
    );
    // The last type counts.
    kept(
        "# TYPE b counter\nb_total 2\n# TYPE b gauge\n",
        &[
            "# TYPE b gauge",
            "# TYPE b_total unknown",
            "b_total{i=\"0\"} 2",
        ],
    );
}

#[test]
fn types_that_differ_become_the_nearest_common_type() {
    // `a` cannot be two families.
    check(
        OpenMetrics,
        &[
            (OpenMetrics, "# TYPE a info\na_info 1\n"),
            (OpenMetrics, "# TYPE a counter\na_total 1\n"),
        ],
        &[
            "# TYPE a counter",
            "a_total{i=\"1\"} 1",
            "# TYPE a_info gauge",
            "a_info{i=\"0\"} 1",
        ],
    );
    // Pods of two versions, of which one says less.
    check(
        OpenMetrics,
        &[
            (
                OpenMetrics,
                "# TYPE a info\na_info 1\n# TYPE s stateset\ns{s=\"x\"} 1\n",
            ),
            (
                Text,
                "# TYPE a_info gauge\na_info 1\n# TYPE s gauge\ns{s=\"x\"} 0\n",
            ),
        ],
        &[
            "# TYPE a_info gauge",
            "a_info{i=\"0\"} 1",
            "a_info{i=\"1\"} 1",
            "# TYPE s gauge",
            "s{s=\"x\",i=\"0\"} 1",
            "s{s=\"x\",i=\"1\"} 0",
        ],
    );
}

#[test]
fn created_samples_are_in_the_block_of_their_family() {
    kept(
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\nh_created 3\n",
        &[
            "# TYPE h histogram",
            "h_bucket{le=\"+Inf\",i=\"0\"} 1",
            "h_count{i=\"0\"} 1",
            "h_sum{i=\"0\"} 2",
            "h_created{i=\"0\"} 3",
        ],
    );
    from_text(
        "# TYPE s summary\ns_count 1\ns_sum 2\n# TYPE s_created gauge\ns_created 3\n",
        &[
            "# TYPE s summary",
            "s_count{i=\"0\"} 1",
            "s_sum{i=\"0\"} 2",
            "s_created{i=\"0\"} 3",
        ],
    );
    // Only counters, histograms and summaries have a time of creation.
    kept(
        "# TYPE g gauge\ng 1\ng_created 2\n",
        &[
            "# TYPE g gauge",
            "g{i=\"0\"} 1",
            "# TYPE g_created unknown",
            "g_created{i=\"0\"} 2",
        ],
    );
    // After the TYPE of the histogram Prometheus would rewrite this label; where the sample is, it does not.
    from_text(
        "# TYPE h histogram\nh_count 1\n# TYPE h_created gauge\nh_created{le=\"1\"} 3\n",
        &[
            "# TYPE h histogram",
            "h_count{i=\"0\"} 1",
            "# TYPE h_created gauge",
            "h_created{le=\"1\",i=\"0\"} 3",
        ],
    );
}
