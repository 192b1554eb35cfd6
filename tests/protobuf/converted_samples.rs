//! Bodies of text and OpenMetrics, converted to protobuf: values, timestamps, exemplars, units and duplicates.
//! k8s/prometheus/README.md: "Formats".

use super::converted::{converted, converted_for, open_metrics, text};
use super::target;
use crate::support::stored::stored;
use kubernetes_metrics_aggregator::exposition::Format::{OpenMetrics, Text};

#[test]
fn each_spelling_of_a_number_is_the_nearest_float() {
    for (spelled, float) in [
        ("+1", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1E3", 1000.0),
        ("-inf", f64::NEG_INFINITY),
        ("Infinity", f64::INFINITY),
        ("0.1234567890123456789012345", 0.123_456_789_012_345_68),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("179769313486231570000000000000000000000e270", f64::MAX),
        // Not taken apart by the rounding of 2^53 + 1 to an even number.
        ("9007199254740993", 9_007_199_254_740_992.0),
    ] {
        let families = converted(Text, &format!("a {spelled}\n"));
        let value = families[0].metric[0].untyped.as_ref().unwrap().value;
        assert_eq!(
            value.map(f64::to_bits),
            Some(f64::to_bits(float)),
            "{spelled}"
        );
    }
    let families = converted(Text, "a -0\n");
    let value = families[0].metric[0].untyped.as_ref().unwrap().value;
    assert_eq!(value.map(f64::to_bits), Some(f64::to_bits(-0.0)));
}

/// The bits that the text parsers of Prometheus give it; others could mean that a series ends.
#[test]
fn nan_has_the_bits_of_an_ordinary_nan() {
    for (format, body) in [
        (Text, "a NaN\n# TYPE c counter\nc nan\n"),
        (
            OpenMetrics,
            "a NaN\n# TYPE c counter\nc_total nan # {} nan\n# EOF\n",
        ),
    ] {
        let families = converted(format, body);
        for sample in stored(&families) {
            assert_eq!(sample.value.to_bits(), 0x7ff8_0000_0000_0001);
            if let Some(exemplar) = sample.exemplar {
                assert_eq!(exemplar.value.to_bits(), 0x7ff8_0000_0000_0001);
            }
        }
    }
}

#[test]
fn timestamps_are_milliseconds() {
    text(
        "a 1 1700000000123\nb 1 05\nc 1 9223372036854775807\n",
        &[
            "untyped a",
            "  {} 1 at 1700000000123",
            "untyped b",
            "  {} 1 at 5",
            "untyped c",
            "  {} 1 at 9223372036854775807",
        ],
    );
    open_metrics(
        "a 1 1700000000.123\nb 1 1.0019\nc 1 5e-3\nd 1 1.001\n",
        &[
            "untyped a",
            "  {} 1 at 1700000000123",
            "untyped b",
            "  {} 1 at 1001",
            "untyped c",
            "  {} 1 at 5",
            // As floats, 1000 times 1.001 is a little less than 1001, and Prometheus cuts off what is less than one.
            "untyped d",
            "  {} 1 at 1000",
        ],
    );
}

/// 0 would mean the time of the scrape: a sample of 1970 would become one of today.
#[test]
fn the_timestamp_0_becomes_one_before_it() {
    text("a 1 0\n", &["untyped a", "  {} 1 at -1"]);
    open_metrics(
        "a 1 0\nb 1 -5\n",
        &["untyped a", "  {} 1 at -1", "untyped b", "  {} 1 at -1"],
    );
    text(
        "a 1 0\na 2 1\n",
        &["untyped a", "  {} 1 at -1", "  {} 2 at 1"],
    );
}

#[test]
fn one_series_at_several_times_stays() {
    text(
        "a 1 5\nb 1\na 2 4\na 3\na 4 5\n",
        &[
            "untyped a",
            "  {} 1 at 5",
            "  {} 2 at 4",
            "  {} 3",
            "untyped b",
            "  {} 1",
        ],
    );
}

#[test]
fn exemplars_of_counters_and_buckets_stay() {
    open_metrics(
        "# TYPE c counter
c_total 1 # {a=\"b\",c=\"d\"} 0.5 1700000000.5
# TYPE h histogram
h_bucket{le=\"1\"} 1 # {} 2
h_bucket{le=\"+Inf\"} 1 # {a=\"x\"} -Inf -1.5
h_sum 1
h_count 1
",
        &[
            "counter c_total",
            "  {} 1 # {a=\"b\",c=\"d\"} 0.5 at 1700000000s 500000000ns",
            "histogram h",
            "  {} count 1 sum 1 1: 1 # {} 2 inf: 1 # {a=\"x\"} -inf at -2s 500000000ns",
        ],
    );
}

#[test]
fn an_exemplar_after_a_timestamp_stays() {
    open_metrics(
        "# TYPE c counter\nc_total 1 5 # {a=\"b\"} 1 6\n",
        &["counter c_total", "  {} 1 # {a=\"b\"} 1 at 6s 0ns at 5000"],
    );
}

/// Prometheus 3 stores the labels of an exemplar as they are written.
#[test]
fn exemplars_keep_their_escapes() {
    open_metrics(
        "# TYPE c counter\nc_total 1 # {a=\"\\\\ \\\" \\n # {\",\"b.\\\\c\"=\"\"} 1\n",
        &[
            "counter c_total",
            "  {} 1 # {a=\"\\\\\\\\ \\\\\\\" \\\\n # {\",b.\\\\c=\"\"} 1",
        ],
    );
}

/// Only counters and buckets have room for them in protobuf.
#[test]
fn exemplars_of_other_samples_are_left_out() {
    open_metrics(
        "# TYPE g gauge
g 1 # {a=\"b\"} 1
# TYPE h histogram
h_bucket{le=\"+Inf\"} 1
h_sum 1 # {a=\"b\"} 1
h_count 1 # {a=\"b\"} 1
",
        &[
            "gauge g",
            "  {} 1",
            "histogram h",
            "  {} count 1 sum 1 inf: 1",
        ],
    );
}

#[test]
fn units_stay_if_the_name_ends_with_them() {
    open_metrics(
        "# TYPE c_seconds counter
# UNIT c_seconds seconds
c_seconds_total 1
# TYPE g_bytes gauge
# UNIT g_bytes bytes
g_bytes 1
# TYPE h_seconds histogram
# UNIT h_seconds seconds
h_seconds_bucket{le=\"+Inf\"} 1
h_seconds_sum 1
h_seconds_count 1
# TYPE i_x info
# UNIT i_x x
i_x_info 1
",
        &[
            "counter c_seconds_total in seconds",
            "  {} 1",
            "gauge g_bytes in bytes",
            "  {} 1",
            "histogram h_seconds in seconds",
            "  {} count 1 sum 1 inf: 1",
            // Prometheus would refuse it: the name ends with something else.
            "gauge i_x_info",
            "  {} 1",
        ],
    );
}

#[test]
fn the_pods_own_up_is_left_out() {
    text("up 1\nup{a=\"b\"} 2\n", &["untyped up", "  {a=\"b\"} 2"]);
}

#[test]
fn a_series_sent_twice_is_kept_once() {
    text(
        "a 1\na 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\n",
        &[
            "untyped a",
            "  {} 1",
            "untyped h_bucket",
            "  {le=\"1.0\"} 1",
        ],
    );
    let body = converted_for(&target(), Text, "a 1\na 2\n");
    assert_eq!((body.samples(), body.duplicates_dropped()), (2, 1));
}
