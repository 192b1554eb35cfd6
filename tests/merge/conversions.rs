//! Timestamps, help texts and label values, which the two formats write differently; jobs whose pods send both.
//! k8s/prometheus/README.md: "Formats".

use super::open_metrics::{check, from_text, kept};
use kubernetes_metrics_aggregator::exposition::Format::{OpenMetrics, Text};

#[test]
fn timestamps_are_in_the_unit_of_the_format() {
    // Timestamps that need no conversion stay as they are written.
    for seconds in ["1.7e9", "0", "5.00001", "-1.5", "+5"] {
        kept(
            &format!("a 1 {seconds}\n"),
            &["# TYPE a unknown", &format!("a{{i=\"0\"}} 1 {seconds}")],
        );
    }
    for (milliseconds, seconds) in [
        ("0", "0.000"),
        ("5", "0.005"),
        ("05", "0.005"),
        ("1700000000123", "1700000000.123"),
        // As floats, 1000 times 1.001 is a little less than 1001, and Prometheus cuts off what is less than one.
        ("1001", "1.0015"),
    ] {
        from_text(
            &format!("a 1 {milliseconds}\n"),
            &["# TYPE a unknown", &format!("a{{i=\"0\"}} 1 {seconds}")],
        );
    }
    // A sample is dropped if its timestamp is the same in milliseconds.
    kept(
        "a 1 5\na 2 5.0001\na 3 6\n",
        &["# TYPE a unknown", "a{i=\"0\"} 1 5", "a{i=\"0\"} 3 6"],
    );
    kept(
        "a 1 # {} 1\na 2 5 # {} 1\na 3 # {} 2\n",
        &[
            "# TYPE a unknown",
            "a{i=\"0\"} 1 # {} 1",
            "a{i=\"0\"} 2 5 # {} 1",
        ],
    );
}

#[test]
fn helps_are_escaped_as_the_format_wants() {
    let open_metrics = "# HELP a \\\"x\\\" \\\\ \\n \\\\\\\"";
    let text = "# HELP a \"x\" \\\\ \\n \\\\\"";
    kept(
        &format!("{open_metrics}\na 1\n"),
        &[open_metrics, "# TYPE a unknown", "a{i=\"0\"} 1"],
    );
    from_text(
        &format!("{text}\na 1\n"),
        &[open_metrics, "# TYPE a unknown", "a{i=\"0\"} 1"],
    );
    check(
        Text,
        &[(OpenMetrics, &format!("{open_metrics}\na 1\n"))],
        &[text, "# TYPE a untyped", "a{i=\"0\"} 1"],
    );
    // A backslash that escapes nothing in the text format would escape the quote here.
    from_text(
        "# HELP a \\\"\n",
        &["# HELP a \\\\\\\"", "# TYPE a unknown"],
    );
}

#[test]
fn labels_have_no_raw_line_breaks() {
    from_text(
        "a{b=\"x\ny\"} 1\n",
        &["# TYPE a unknown", "a{b=\"x\\ny\",i=\"0\"} 1"],
    );
}

/// Prometheus rewrites `le` and `quantile` under the same TYPE lines in both formats.
#[test]
fn bounds_are_written_as_stored() {
    from_text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n",
        &["# TYPE h histogram", "h_bucket{le=\"1\",i=\"0\"} 1"],
    );
    // One of the pods has it under another type: so what Prometheus would have stored is written.
    check(
        OpenMetrics,
        &[
            (Text, "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"),
            (
                OpenMetrics,
                "# TYPE h gaugehistogram\nh_bucket{le=\"1\"} 1\n",
            ),
        ],
        &[
            "# TYPE h unknown",
            "# TYPE h_bucket unknown",
            "h_bucket{le=\"1.0\",i=\"0\"} 1",
            "h_bucket{le=\"1\",i=\"1\"} 1",
        ],
    );
    kept(
        "# TYPE s summary\ns{quantile=\"0.50\"} 1\nx{quantile=\"0.50\"} 1\n",
        &[
            "# TYPE s summary",
            "s{quantile=\"0.50\",i=\"0\"} 1",
            "# TYPE x unknown",
            "x{quantile=\"0.5\",i=\"0\"} 1",
        ],
    );
}

#[test]
fn pods_of_both_formats_are_one_job() {
    let bodies = [
        (
            Text,
            "# TYPE c_total counter\nc_total{a=\"b\"} 1 5000\n# TYPE u untyped\nu 1\n",
        ),
        (
            OpenMetrics,
            "# TYPE c counter\nc_total{a=\"b\"} 2 6 # {x=\"y\"} 1\n# TYPE u unknown\nu 2\n",
        ),
    ];
    check(
        OpenMetrics,
        &bodies,
        &[
            "# TYPE c counter",
            "c_total{a=\"b\",i=\"0\"} 1 5.000",
            "c_total{a=\"b\",i=\"1\"} 2 6 # {x=\"y\"} 1",
            "# TYPE u unknown",
            "u{i=\"0\"} 1",
            "u{i=\"1\"} 2",
        ],
    );
    check(
        Text,
        &bodies,
        &[
            "# TYPE c_total counter",
            "c_total{a=\"b\",i=\"0\"} 1 5000",
            "c_total{a=\"b\",i=\"1\"} 2 6000",
            "# TYPE u untyped",
            "u{i=\"0\"} 1",
            "u{i=\"1\"} 2",
        ],
    );
}
