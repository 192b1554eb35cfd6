//! Histograms and summaries in text and OpenMetrics, converted: one for each rule.

use super::UNTYPED;
use super::converted::{converted, text};
use crate::support::stored::stored;
use kubernetes_metrics_aggregator::exposition::Format::Text;

const HISTOGRAM: &str = "# TYPE h histogram\n";

#[test]
fn a_whole_histogram_is_one_metric() {
    text(
        "# HELP h x
# TYPE h histogram
h_bucket{le=\"0.5\"} 1
h_bucket{le=\"1\"} 2
h_bucket{le=\"+Inf\"} 3
h_sum 4.5
h_count 3
",
        &[
            "histogram h \"x\"",
            "  {} count 3 sum 4.5 0.5: 1 1: 2 inf: 3",
        ],
    );
}

#[test]
fn each_label_set_is_a_metric() {
    text(
        "# TYPE h histogram
h_bucket{a=\"1\",le=\"+Inf\"} 1
h_sum{a=\"1\"} 1
h_count{a=\"1\"} 1
h_bucket{a=\"2\",le=\"+Inf\"} 2
h_sum{a=\"2\"} 2
h_count{a=\"2\"} 2
",
        &[
            "histogram h",
            "  {a=\"1\"} count 1 sum 1 inf: 1",
            "  {a=\"2\"} count 2 sum 2 inf: 2",
        ],
    );
}

/// As programs write them that sort their lines.
#[test]
fn the_samples_of_a_metric_need_not_stand_together() {
    text(
        "# TYPE h histogram
h_bucket{a=\"1\",le=\"+Inf\"} 3
h_bucket{a=\"1\",le=\"0.5\"} 1
h_bucket{le=\"+Inf\",b=\"y\",a=\"2\"} 4
h_count{a=\"1\"} 3
h_count{a=\"2\",b=\"y\"} 4
h_sum{b=\"y\",a=\"2\"} 6
h_sum{a=\"1\"} 5
",
        &[
            "histogram h",
            "  {a=\"1\"} count 3 sum 5 0.5: 1 inf: 3",
            "  {a=\"2\",b=\"y\"} count 4 sum 6 inf: 4",
        ],
    );
}

#[test]
fn each_timestamp_is_a_metric() {
    text(
        "# TYPE h histogram
h_bucket{le=\"+Inf\"} 1 5
h_sum 1 5
h_count 1 5
h_bucket{le=\"+Inf\"} 2 6
h_sum 2 6
h_count 2 6
",
        &[
            "histogram h",
            "  {} count 1 sum 1 inf: 1 at 5",
            "  {} count 2 sum 2 inf: 2 at 6",
        ],
    );
}

/// Prometheus stores `1` as `1.0` under the TYPE of a histogram, and so does it with the bound of a bucket.
#[test]
fn bounds_in_whatever_spelling() {
    let body = format!(
        "{HISTOGRAM}h_bucket{{le=\"1e-5\"}} 1
h_bucket{{le=\"0x1p-2\"}} 1
h_bucket{{le=\"1_000_000\"}} 1
h_bucket{{le=\"inf\"}} 1
h_sum 1
h_count 1
"
    );
    text(
        &body,
        &[
            "histogram h",
            "  {} count 1 sum 1 0.00001: 1 0.25: 1 1000000: 1 inf: 1",
        ],
    );
    let bounds: Vec<String> = stored(&converted(Text, &body))
        .into_iter()
        .filter(|sample| sample.name == "h_bucket")
        .map(|sample| sample.labels[0].1.clone())
        .collect();
    assert_eq!(bounds, ["1e-05", "0.25", "1e+06", "+Inf"]);
}

/// Each sample becomes untyped, with the labels that Prometheus would have stored.
#[track_caller]
fn taken_apart(lines: &str, expected: &[&str]) {
    text(&format!("# HELP h x\n{HISTOGRAM}{lines}"), expected);
}

#[test]
fn a_histogram_without_a_last_bucket_is_taken_apart() {
    taken_apart(
        "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        &[
            "untyped h_bucket",
            "  {le=\"1.0\"} 1",
            "untyped h_sum",
            "  {} 1",
            "untyped h_count",
            "  {} 1",
        ],
    );
}

#[test]
fn a_histogram_without_sum_or_count_is_taken_apart() {
    taken_apart(
        "h_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        &[
            "untyped h_bucket",
            "  {le=\"+Inf\"} 1",
            "untyped h_count",
            "  {} 1",
        ],
    );
    taken_apart(
        "h_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
        &[
            "untyped h_bucket",
            "  {le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {} 1",
        ],
    );
}

#[test]
fn a_histogram_with_a_sample_of_its_own_name_is_taken_apart() {
    taken_apart(
        "h{a=\"b\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        &[
            "untyped h \"x\"",
            "  {a=\"b\"} 1",
            "untyped h_bucket",
            "  {le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {} 1",
            "untyped h_count",
            "  {} 1",
        ],
    );
}

#[test]
fn a_bound_that_is_no_number_takes_a_histogram_apart() {
    taken_apart(
        "h_bucket{le=\"many\"} 1\nh_bucket{le=\"inf\"} 1\nh_sum 1\nh_count 1\n",
        &[
            "untyped h_bucket",
            "  {le=\"many\"} 1",
            "  {le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {} 1",
            "untyped h_count",
            "  {} 1",
        ],
    );
}

#[test]
fn a_bucket_without_a_bound_takes_a_histogram_apart() {
    taken_apart(
        "h_bucket 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        &[
            "untyped h_bucket",
            "  {} 1",
            "  {le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {} 1",
            "untyped h_count",
            "  {} 1",
        ],
    );
}

/// Prometheus refuses a metric that has the label which it adds itself.
#[test]
fn a_count_with_a_bound_takes_a_histogram_apart() {
    taken_apart(
        "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count{le=\"2\"} 1\n",
        &[
            "untyped h_bucket",
            "  {le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {} 1",
            "untyped h_count",
            "  {le=\"2.0\"} 1",
        ],
    );
}

#[test]
fn counts_that_are_no_whole_numbers_take_a_histogram_apart() {
    for count in ["1.5", "-1", "-0", "NaN", "+Inf", "36893488147419103232"] {
        let body = format!("{HISTOGRAM}h_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count {count}\n");
        let types: Vec<_> = converted(Text, &body)
            .iter()
            .map(|family| family.r#type)
            .collect();
        assert_eq!(types, [Some(UNTYPED); 3], "{count}");
    }
    // The largest float that such a count can have.
    let body = format!(
        "{HISTOGRAM}h_bucket{{le=\"+Inf\"}} 18446744073709551615\nh_sum -Inf\nh_count 1e19\n"
    );
    text(
        &body,
        &[
            "histogram h",
            "  {} count 10000000000000000000 sum -inf inf: 18446744073709551615",
        ],
    );
}

#[test]
fn samples_of_other_times_take_a_histogram_apart() {
    taken_apart(
        "h_bucket{le=\"+Inf\"} 1 5\nh_sum 1 5\nh_count 1\n",
        &[
            "untyped h_bucket",
            "  {le=\"+Inf\"} 1 at 5",
            "untyped h_sum",
            "  {} 1 at 5",
            "untyped h_count",
            "  {} 1",
        ],
    );
}

#[test]
fn one_metric_takes_all_of_its_family_apart() {
    let whole = "h_bucket{a=\"1\",le=\"+Inf\"} 1\nh_sum{a=\"1\"} 1\nh_count{a=\"1\"} 1\n";
    taken_apart(
        &format!("{whole}h_sum 1\n"),
        &[
            "untyped h_bucket",
            "  {a=\"1\",le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {a=\"1\"} 1",
            "  {} 1",
            "untyped h_count",
            "  {a=\"1\"} 1",
        ],
    );
}

#[test]
fn other_families_stay_as_they_are() {
    text(
        "# TYPE h histogram\nh_sum 1\n# TYPE g histogram\ng_bucket{le=\"+Inf\"} 1\ng_sum 1\ng_count 1\n",
        &[
            "untyped h_sum",
            "  {} 1",
            "histogram g",
            "  {} count 1 sum 1 inf: 1",
        ],
    );
}

/// All TYPE lines first, then all samples: Prometheus rewrites only values under their own TYPE.
#[test]
fn a_histogram_elsewhere_than_under_its_type_is_taken_apart() {
    text(
        "# TYPE h histogram\n# TYPE g gauge\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\ng 1\n",
        &[
            "gauge g",
            "  {} 1",
            "untyped h_bucket",
            "  {le=\"1\"} 1",
            "  {le=\"+Inf\"} 1",
            "untyped h_sum",
            "  {} 1",
            "untyped h_count",
            "  {} 1",
        ],
    );
}

/// Under a TYPE that is not its own, a value is rewritten as that TYPE wants it.
#[test]
fn bounds_of_samples_that_belong_to_none_are_as_prometheus_stores_them() {
    text(
        "# TYPE h histogram\nx{le=\"1\"} 1\n",
        &["untyped x", "  {le=\"1.0\"} 1"],
    );
}

#[test]
fn a_whole_summary_is_one_metric() {
    text(
        "# HELP s x\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.99\"} NaN\ns_sum -4\ns_count 2\n",
        &["summary s \"x\"", "  {} count 2 sum -4 0.5: 1 0.99: NaN"],
    );
}

#[test]
fn a_summary_may_have_no_quantiles() {
    text(
        "# TYPE s summary\ns_count 2\ns_sum 4\n",
        &["summary s", "  {} count 2 sum 4"],
    );
}

#[test]
fn a_summary_that_is_not_whole_is_taken_apart() {
    for (lines, expected) in [
        (
            "s{quantile=\"0.50\"} 1\n",
            ["untyped s", "  {quantile=\"0.5\"} 1"],
        ),
        (
            "s{quantile=\"half\"} 1\n",
            ["untyped s", "  {quantile=\"half\"} 1"],
        ),
        ("s 1\n", ["untyped s", "  {} 1"]),
        ("s_count 1\n", ["untyped s_count", "  {} 1"]),
        (
            "s_sum{quantile=\"1\"} 1\n",
            ["untyped s_sum", "  {quantile=\"1.0\"} 1"],
        ),
    ] {
        text(&format!("# TYPE s summary\n{lines}"), &expected);
    }
}

/// A label of the other type is one like any other.
#[test]
fn le_in_a_summary_and_quantile_in_a_histogram() {
    text(
        "# TYPE s summary\ns_count{le=\"1\"} 2\ns_sum{le=\"1\"} 4\n",
        &["summary s", "  {le=\"1\"} count 2 sum 4"],
    );
    text(
        "# TYPE h histogram
h_bucket{quantile=\"1\",le=\"+Inf\"} 2
h_sum{quantile=\"1\"} 4
h_count{quantile=\"1\"} 2
",
        &["histogram h", "  {quantile=\"1\"} count 2 sum 4 inf: 2"],
    );
}

/// `h_sum` comes after the TYPE of the histogram, so it is no summary.
#[test]
fn a_summary_named_like_a_part_of_a_histogram() {
    text(
        "# TYPE h histogram
h_bucket{le=\"+Inf\"} 1
h_sum 1
h_count 1
# TYPE h_sum summary
h_sum_sum 1
h_sum_count 1
",
        &[
            "histogram h",
            "  {} count 1 sum 1 inf: 1",
            "untyped h_sum_sum",
            "  {} 1",
            "untyped h_sum_count",
            "  {} 1",
        ],
    );
}
