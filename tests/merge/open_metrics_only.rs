//! What only OpenMetrics has: info, stateset and gaugehistogram, exemplars and units. They stay in OpenMetrics.
//! k8s/prometheus/README.md: "Formats".

use super::open_metrics::{check, kept};
use kubernetes_metrics_aggregator::exposition::Format::{OpenMetrics, Text};

#[test]
fn types_that_only_openmetrics_has_stay() {
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
fn units_stay() {
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
    // In Prometheus' parser, a unit holds until the next one.
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
    // The last one counts.
    kept(
        "# TYPE a_s gauge\n# UNIT a_s s\n# UNIT a_s \na_s 1\n",
        &["# TYPE a_s gauge", "a_s{i=\"0\"} 1"],
    );
}

#[test]
fn units_without_a_valid_place_are_left_out() {
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
