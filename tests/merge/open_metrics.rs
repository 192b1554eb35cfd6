//! Bodies of both formats in one text of either. Which lines of OpenMetrics are valid is tested in
//! `exposition/openmetrics.rs`; here, what is written of them.

use super::{own_blocks, part_as, text};
use kubernetes_metrics_aggregator::exposition::Format::{self, OpenMetrics, Text};
use kubernetes_metrics_aggregator::exposition::{
    IdentityLabels, Part, Report, merge, merge_with, parse,
};
use std::time::Duration;

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
        part_as(*format, number, Some(&format!("{body}{end}")))
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
fn a_text_without_targets() {
    assert_eq!(text(&merge(Vec::new(), OpenMetrics)), "# EOF\n");
}

/// Prometheus looks for start timestamps up to the next TYPE line.
#[test]
fn types_stand_before_each_target_if_start_timestamps_may_be_read() {
    let bodies = [
        "# HELP c Help.\n# TYPE c counter\nc_total 1\nc_created 2\n# TYPE g_seconds gauge\n# UNIT g_seconds seconds\n\
            g_seconds 3\n# TYPE s summary\ns_count 4\ns_sum 5\n# EOF\n",
        "# TYPE c counter\nc_total{a=\"b\"} 6\n# TYPE g_seconds gauge\ng_seconds 7\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 8\n# TYPE s summary\ns_count 9\n# EOF\n",
    ];
    let merged = |format, repeats_types| {
        let parts = bodies.iter().enumerate();
        let parts = parts.map(|(number, body)| part_as(OpenMetrics, number, Some(body)));
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
fn the_reports_on_targets() {
    let part = Part {
        labels: IdentityLabels::new([("i", "0")]),
        body: None,
        report: Report {
            up: false,
            duration: Duration::from_millis(1500),
            samples_scraped: 0,
        },
    };
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
    // Not as it should be, but so it is understood.
    kept(
        "# TYPE c_total counter\nc_total 1\n",
        &["# TYPE c counter", "c_total{i=\"0\"} 1"],
    );
    kept(
        "# TYPE \"c.d\" counter\n{\"c.d_total\"} 1\n",
        &["# TYPE \"c.d\" counter", "{\"c.d_total\",i=\"0\"} 1"],
    );
    // The families stand in the order of the names that they have here.
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
fn what_cannot_be_a_counter_is_unknown() {
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
    // The last type stands.
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
fn types_that_only_open_metrics_has() {
    kept(
        "# TYPE a info\n# HELP a x\na_info{b=\"c\"} 1\n",
        &["# HELP a x", "# TYPE a info", "a_info{b=\"c\",i=\"0\"} 1"],
    );
    kept(
        "# TYPE s stateset\ns{s=\"x\"} 1\ns{s=\"y\"} 0\n",
        &[
            "# TYPE s stateset",
            "s{s=\"x\",i=\"0\"} 1",
            "s{s=\"y\",i=\"0\"} 0",
        ],
    );
    kept(
        "# TYPE u unknown\nu 1\n",
        &["# TYPE u unknown", "u{i=\"0\"} 1"],
    );
    kept("u 1\n", &["# TYPE u unknown", "u{i=\"0\"} 1"]);
    // Its `le` values stay as they are, for Prometheus rewrites them under histograms only.
    kept(
        "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum 2\n",
        &[
            "# TYPE g gaugehistogram",
            "g_bucket{le=\"1\",i=\"0\"} 1",
            "g_bucket{le=\"+Inf\",i=\"0\"} 1",
            "g_gcount{i=\"0\"} 1",
            "g_gsum{i=\"0\"} 2",
        ],
    );
}

#[test]
fn types_that_pods_do_not_agree_on() {
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
fn created_samples_stand_in_the_block_of_their_family() {
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
    // Of what is no counter, histogram or summary, nothing can be the time of creation.
    kept(
        "# TYPE g gauge\ng 1\ng_created 2\n",
        &[
            "# TYPE g gauge",
            "g{i=\"0\"} 1",
            "# TYPE g_created unknown",
            "g_created{i=\"0\"} 2",
        ],
    );
    // Under the histogram, Prometheus would rewrite this label, which it does not where the sample stands.
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

#[test]
fn exemplars_stay_as_they_are() {
    for exemplar in [
        "# {} 1",
        "# {trace_id=\"a,b} # {\"} 0.5 1700000000.25",
        "# {a=\"b\",} 1",
        "# {\"a.b\"=\"c\\n\"} NaN -5",
    ] {
        kept(
            &format!("# TYPE c counter\nc_total 1 {exemplar}\n"),
            &[
                "# TYPE c counter",
                &format!("c_total{{i=\"0\"}} 1 {exemplar}"),
            ],
        );
        kept(
            &format!("a{{b=\"c\"}} 1 5.5 {exemplar}\na{{b=\"d\"}} 2\n"),
            &[
                "# TYPE a unknown",
                &format!("a{{b=\"c\",i=\"0\"}} 1 5.5 {exemplar}"),
                "a{b=\"d\",i=\"0\"} 2",
            ],
        );
    }
    // The text format has none.
    check(
        Text,
        &[(OpenMetrics, "a 1 5.5 # {b=\"c\"} 1 5\nd 1 # {b=\"c\"} 1\n")],
        &[
            "# TYPE a untyped",
            "a{i=\"0\"} 1 5500",
            "# TYPE d untyped",
            "d{i=\"0\"} 1",
        ],
    );
}

#[test]
fn units() {
    kept(
        "# TYPE a_s gauge\n# UNIT a_s s\n# HELP a_s x\na_s 1\n",
        &[
            "# HELP a_s x",
            "# TYPE a_s gauge",
            "# UNIT a_s s",
            "a_s{i=\"0\"} 1",
        ],
    );
    // The unit is the end of a counter's name in OpenMetrics.
    kept(
        "# TYPE a_s counter\n# UNIT a_s s\na_s_total 1\n",
        &["# TYPE a_s counter", "# UNIT a_s s", "a_s_total{i=\"0\"} 1"],
    );
    kept(
        "# TYPE \"a.b_s\" gauge\n# UNIT \"a.b_s\" s\n{\"a.b_s\"} 1\n",
        &[
            "# TYPE \"a.b_s\" gauge",
            "# UNIT \"a.b_s\" s",
            "{\"a.b_s\",i=\"0\"} 1",
        ],
    );
    // In Prometheus' parser, a unit stands until the next one.
    check(
        OpenMetrics,
        &[
            (
                OpenMetrics,
                "# TYPE a_s gauge\n# UNIT a_s s\na_s 1\nb 1\nc 1\n",
            ),
            (Text, "a_s 2\n"),
        ],
        &[
            "# TYPE a_s gauge",
            "# UNIT a_s s",
            "a_s{i=\"0\"} 1",
            "a_s{i=\"1\"} 2",
            "# TYPE b unknown",
            "# UNIT b ",
            "b{i=\"0\"} 1",
            "# TYPE c unknown",
            "c{i=\"0\"} 1",
        ],
    );
    // The last one stands.
    kept(
        "# TYPE a_s gauge\n# UNIT a_s s\n# UNIT a_s \na_s 1\n",
        &["# TYPE a_s gauge", "a_s{i=\"0\"} 1"],
    );
}

#[test]
fn units_that_are_not_written() {
    // Where a counter keeps its name, the unit is not the end of it.
    check(
        OpenMetrics,
        &[
            (
                OpenMetrics,
                "# TYPE a_s counter\n# UNIT a_s s\na_s_total 1\n",
            ),
            (Text, "# TYPE a_s gauge\na_s 1\n"),
        ],
        &[
            "# TYPE a_s gauge",
            "a_s{i=\"1\"} 1",
            "# TYPE a_s_total unknown",
            "a_s_total{i=\"0\"} 1",
        ],
    );
    // Its name is written with an escape, so that it would have to be compared with that.
    kept(
        "# TYPE \"a\\\\_s\" gauge\n# UNIT \"a\\\\_s\" s\n{\"a\\\\_s\"} 1\n",
        &["# TYPE \"a\\\\_s\" gauge", "{\"a\\\\_s\",i=\"0\"} 1"],
    );
    // A unit alone says nothing of any series, and the text format has none.
    kept("# UNIT a_s s\nb 1\n", &["# TYPE b unknown", "b{i=\"0\"} 1"]);
    check(
        Text,
        &[(OpenMetrics, "# TYPE a_s gauge\n# UNIT a_s s\na_s 1\n")],
        &["# TYPE a_s gauge", "a_s{i=\"0\"} 1"],
    );
}
