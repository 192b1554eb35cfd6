//! Histograms and summaries that another target types differently. README: "What is stored"; k8s/prometheus/README.md:
//! "The merged response".
//!
//! Prometheus rewrites `le` under the TYPE line of a histogram, and `quantile` under that of a summary: `1` is stored
//! as `1.0`. The rule is `normalizeFloatsInLabelValues` in its `model/textparse`; `tests/real/bodies` compares bodies
//! of this kind with a real server. The TYPE line of one target must not change the series of another.

use super::open_metrics::check as check_formats;
use super::{check, merge_bodies};
use kubernetes_metrics_aggregator::exposition::Format;

const HISTOGRAM: &str =
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";

/// The buckets of [`HISTOGRAM`] from the target `i="0"`, where the family is not a histogram.
const BUCKETS_0: [&str; 2] = [
    "h_bucket{le=\"1.0\",i=\"0\"} 1",
    "h_bucket{le=\"+Inf\",i=\"0\"} 2",
];

/// The first target sends [`HISTOGRAM`]; the second one this, with the samples `h_bucket{le="1"}` and `h_sum`.
#[track_caller]
fn check_beside(other: &str, head: &[&str], stored_le: &str) {
    for swapped in [false, true] {
        let (histogram, second) = if swapped { ("1", "0") } else { ("0", "1") };
        let bodies = if swapped {
            [other, HISTOGRAM]
        } else {
            [HISTOGRAM, other]
        };
        let buckets = BUCKETS_0.map(|line| line.replace("i=\"0\"", &format!("i=\"{histogram}\"")));
        let other_bucket = format!("h_bucket{{le=\"{stored_le}\",i=\"{second}\"}} 4");
        let sums = [
            format!("h_sum{{i=\"{histogram}\"}} 3"),
            format!("h_sum{{i=\"{second}\"}} 5"),
        ];
        let count = format!("h_count{{i=\"{histogram}\"}} 2");
        let mut expected: Vec<&str> = head.to_vec();
        expected.push("# TYPE h_bucket untyped");
        let buckets = buckets.iter().map(String::as_str);
        if swapped {
            expected.push(&other_bucket);
            expected.extend(buckets);
        } else {
            expected.extend(buckets);
            expected.push(&other_bucket);
        }
        expected.extend(["# TYPE h_count untyped", &count, "# TYPE h_sum untyped"]);
        let mut sums: Vec<&str> = sums.iter().map(String::as_str).collect();
        if swapped {
            sums.reverse();
        }
        expected.extend(sums);
        check(&bodies, &expected);
    }
}

#[test]
fn a_histogram_that_is_another_type_elsewhere_is_untyped() {
    let samples = "h_bucket{le=\"1\"} 4\nh_sum 5\n";
    let untyped = ["# TYPE h untyped"];
    for word in ["summary", "gauge", "counter", "untyped"] {
        let body = format!("# TYPE h {word}\n{samples}");
        check_beside(&body, &untyped, "1");
    }
    // Without any TYPE, and under another family's.
    check_beside(samples, &untyped, "1");
    let body = format!("# TYPE g gauge\n{samples}");
    check_beside(&body, &["# TYPE g gauge", "# TYPE h untyped"], "1");
    // Another histogram's TYPE has Prometheus rewrite it, too.
    let body = format!("# TYPE g histogram\n{samples}");
    check_beside(&body, &["# TYPE g histogram", "# TYPE h untyped"], "1.0");
}

#[test]
fn a_summary_that_is_another_type_elsewhere_is_untyped() {
    let summary =
        "# HELP s x\n# TYPE s summary\ns{quantile=\"0.50\"} 1\ns{quantile=\"1\"} 2\ns_sum 3\n";
    for other in [
        "# TYPE s histogram\n",
        "# TYPE s gauge\n",
        "# TYPE s counter\n",
        "# TYPE s untyped\n",
        "",
    ] {
        check(
            &[summary, &format!("{other}s{{quantile=\"0.50\"}} 4\n")],
            &[
                "# HELP s x",
                "# TYPE s untyped",
                "s{quantile=\"0.5\",i=\"0\"} 1",
                "s{quantile=\"1.0\",i=\"0\"} 2",
                "s{quantile=\"0.50\",i=\"1\"} 4",
                "# TYPE s_sum untyped",
                "s_sum{i=\"0\"} 3",
            ],
        );
    }
}

#[test]
fn the_label_of_each_type_is_rewritten_for_its_target_only() {
    check(
        &[
            "# TYPE l histogram\nl_bucket{le=\"1\",quantile=\"1\"} 1\n",
            "# TYPE l summary\nl{quantile=\"0.50\",le=\"1\"} 1\n",
            "l_bucket{le=\"1\"} 1\nl{quantile=\"1\"} 2\n",
        ],
        &[
            "# TYPE l untyped",
            "l{quantile=\"0.5\",le=\"1\",i=\"1\"} 1",
            "l{quantile=\"1\",i=\"2\"} 2",
            "# TYPE l_bucket untyped",
            "l_bucket{le=\"1.0\",quantile=\"1\",i=\"0\"} 1",
            "l_bucket{le=\"1\",i=\"2\"} 1",
        ],
    );
}

/// A TYPE line without samples can differ too; where all are equal, nothing changes.
#[test]
fn a_type_line_without_samples_counts() {
    check(
        &[HISTOGRAM, "# TYPE h gauge\n"],
        &[
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            BUCKETS_0[0],
            BUCKETS_0[1],
            "# TYPE h_count untyped",
            "h_count{i=\"0\"} 2",
            "# TYPE h_sum untyped",
            "h_sum{i=\"0\"} 3",
        ],
    );
    check(
        &["# TYPE h histogram\n", "h_bucket{le=\"1\"} 1\n"],
        &[
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            "h_bucket{le=\"1\",i=\"1\"} 1",
        ],
    );
    check(
        &[HISTOGRAM, "# TYPE h histogram\n# TYPE g gauge\n"],
        &[
            "# TYPE g gauge",
            "# TYPE h histogram",
            "h_bucket{le=\"1\",i=\"0\"} 1",
            "h_bucket{le=\"+Inf\",i=\"0\"} 2",
            "h_sum{i=\"0\"} 3",
            "h_count{i=\"0\"} 2",
        ],
    );
}

/// Families whose types are equal stay unchanged.
#[test]
fn other_histograms_of_the_target_keep_their_type() {
    check(
        &[
            "# TYPE a histogram\na_bucket{le=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n\
             # TYPE z summary\nz{quantile=\"1\"} 1\n",
            "# TYPE h gauge\nh 2\n# TYPE z summary\nz_count 3\n",
        ],
        &[
            "# TYPE a histogram",
            "a_bucket{le=\"1\",i=\"0\"} 1",
            "# TYPE h untyped",
            "h{i=\"1\"} 2",
            "# TYPE h_bucket untyped",
            "h_bucket{le=\"1.0\",i=\"0\"} 1",
            "# TYPE z summary",
            "z{quantile=\"1\",i=\"0\"} 1",
            "z_count{i=\"1\"} 3",
        ],
    );
}

/// A histogram can be named like a part of another one. If one becomes untyped, its samples can become the other's.
#[test]
fn a_histogram_may_be_named_like_a_part_of_another() {
    // `h_sum_bucket` comes after another TYPE; then `h_sum` is a part of `h`, which has it after another TYPE.
    check(
        &[
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE h_sum histogram\nh_sum{le=\"1\"} 1\n\
             # TYPE z gauge\nh_sum_bucket{le=\"1\"} 1\n",
        ],
        &[
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            "h_bucket{le=\"1.0\",i=\"0\"} 1",
            "# TYPE h_sum untyped",
            "h_sum{le=\"1.0\",i=\"0\"} 1",
            "# TYPE h_sum_bucket untyped",
            "h_sum_bucket{le=\"1\",i=\"0\"} 1",
            "# TYPE z gauge",
        ],
    );
    // The same over two targets: for the first one `h_sum` is a part of `h`.
    check(
        &[
            "# TYPE h histogram\nh_sum 1\nh_bucket{le=\"1\"} 1\n",
            "# TYPE h_sum histogram\nh_sum_bucket{le=\"1\"} 2\n",
        ],
        &[
            "# TYPE h histogram",
            "h_sum{i=\"0\"} 1",
            "h_bucket{le=\"1\",i=\"0\"} 1",
            "# TYPE h_sum_bucket untyped",
            "h_sum_bucket{le=\"1.0\",i=\"1\"} 2",
        ],
    );
}

#[test]
fn rewritten_samples_keep_quotes_escapes_and_timestamps() {
    check(
        &[
            "# HELP \"x.y\" a\\nb\n# TYPE \"x.y\" histogram\n\
             {\"x.y_bucket\",c=\"\\\"\\\\\",le=\"1\"} 1 5\n{\"x.y_sum\"} 7\n",
            "# TYPE \"x.y\" counter\n{\"x.y\",le=\"1\"} 2\n",
        ],
        &[
            "# HELP \"x.y\" a\\nb",
            "# TYPE \"x.y\" untyped",
            "{\"x.y\",le=\"1\",i=\"1\"} 2",
            "# TYPE \"x.y_bucket\" untyped",
            "{\"x.y_bucket\",c=\"\\\"\\\\\",le=\"1.0\",i=\"0\"} 1 5",
            "# TYPE \"x.y_sum\" untyped",
            "{\"x.y_sum\",i=\"0\"} 7",
        ],
    );
}

/// A label `i` of the target's own keeps its new name when its samples are written once more.
#[test]
fn labels_of_rewritten_samples_are_renamed_once() {
    check(
        &[
            "# TYPE h histogram\nh_bucket{i=\"x\",exported_i=\"y\",le=\"1\"} 1\n",
            "# TYPE h gauge\n",
        ],
        &[
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            "h_bucket{exported_exported_i=\"x\",exported_i=\"y\",le=\"1.0\",i=\"0\"} 1",
        ],
    );
}

#[test]
fn conflicts_are_counted() {
    let counted = |bodies: &[&str]| merge_bodies(bodies).conflicts().1;
    assert_eq!(counted(&[HISTOGRAM, HISTOGRAM]), 0);
    assert_eq!(counted(&[HISTOGRAM, "# TYPE h summary\n"]), 1);
    assert_eq!(counted(&[HISTOGRAM, "# TYPE h gauge\n", HISTOGRAM]), 1);
}

/// A body of OpenMetrics and one of text; their TYPE lines are under the same rule.
#[test]
fn types_of_both_formats_are_compared() {
    check_formats(
        Format::Text,
        &[
            (
                Format::OpenMetrics,
                "# TYPE h histogram\nh_bucket{le=\"1\"} 1 2.5 # {a=\"b\"} 1\n# TYPE c counter\nc_total 1\n",
            ),
            (Format::Text, "# TYPE h summary\nh{quantile=\"1\"} 2\n"),
            (
                Format::OpenMetrics,
                "# TYPE h gaugehistogram\nh_bucket{le=\"1\"} 3\n",
            ),
        ],
        &[
            "# TYPE c_total counter",
            "c_total{i=\"0\"} 1",
            "# TYPE h untyped",
            "h{quantile=\"1.0\",i=\"1\"} 2",
            "# TYPE h_bucket untyped",
            "h_bucket{le=\"1.0\",i=\"0\"} 1 2500",
            "h_bucket{le=\"1\",i=\"2\"} 3",
        ],
    );
}
