//! Bodies of text and OpenMetrics, converted: one for each rule.

use super::{target, written, written_for};
use crate::support::client_model::{Exemplar, LabelPair, Metric, MetricFamily, decode};
use crate::support::stored::stored;
use kubernetes_metrics_aggregator::exposition::Format::{OpenMetrics, Text};
use kubernetes_metrics_aggregator::exposition::protobuf::ProtobufBody;
use kubernetes_metrics_aggregator::exposition::{Asked, Format, IdentityLabels, parse};

fn converted_for(target: &IdentityLabels, format: Format, body: &str) -> ProtobufBody {
    let exposition = parse(format, body, target);
    let exposition = exposition.unwrap_or_else(|error| panic!("{error}"));
    ProtobufBody::convert(exposition, target)
}

/// Also checks that it can be read like any other body, and then is the same.
pub(super) fn converted(format: Format, body: &str) -> Vec<MetricFamily> {
    let none = IdentityLabels::default();
    let body = converted_for(&none, format, body);
    let bytes = written_for(&none, &body);
    let read = ProtobufBody::read(bytes.clone(), &none, &Asked::default());
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(written_for(&none, &read), bytes);
    let kept = body.samples() - body.duplicates_dropped();
    assert_eq!((read.samples(), read.duplicates_dropped()), (kept, 0));
    decode(&bytes)
}

/// One line for each family and, indented, for each metric.
#[track_caller]
fn check(format: Format, body: &str, expected: &[&str]) {
    let families = converted(format, body);
    let found: Vec<String> = families.iter().flat_map(lines).collect();
    assert_eq!(found, expected);
}

#[track_caller]
pub(super) fn text(body: &str, expected: &[&str]) {
    check(Text, body, expected);
}

/// Without the end mark.
#[track_caller]
pub(super) fn open_metrics(body: &str, expected: &[&str]) {
    check(OpenMetrics, &format!("{body}# EOF\n"), expected);
}

fn lines(family: &MetricFamily) -> Vec<String> {
    let types = ["counter", "gauge", "summary", "untyped", "histogram"];
    let metric_type = types[usize::try_from(family.r#type.unwrap()).unwrap()];
    let mut head = format!("{metric_type} {}", family.name.as_deref().unwrap());
    if let Some(help) = &family.help {
        head += &format!(" {help:?}");
    }
    if let Some(unit) = &family.unit {
        head += &format!(" in {unit}");
    }
    let metrics = family.metric.iter();
    let metrics = metrics.map(|metric| format!("  {{{}}}{}", pairs(&metric.label), value(metric)));
    std::iter::once(head).chain(metrics).collect()
}

fn pairs(labels: &[LabelPair]) -> String {
    let pair = |pair: &LabelPair| {
        format!(
            "{}={:?}",
            pair.name.as_deref().unwrap(),
            pair.value.as_deref().unwrap()
        )
    };
    labels.iter().map(pair).collect::<Vec<_>>().join(",")
}

fn value(metric: &Metric) -> String {
    let mut shown = String::new();
    if let Some(counter) = &metric.counter {
        shown += &format!(" {}{}", counter.value.unwrap(), exemplar(&counter.exemplar));
    }
    for gauge in metric.gauge.iter().chain(&metric.untyped) {
        shown += &format!(" {}", gauge.value.unwrap());
    }
    if let Some(summary) = &metric.summary {
        let (count, sum) = (summary.sample_count.unwrap(), summary.sample_sum.unwrap());
        shown += &format!(" count {count} sum {sum}");
        for quantile in &summary.quantile {
            shown += &format!(
                " {}: {}",
                quantile.quantile.unwrap(),
                quantile.value.unwrap()
            );
        }
    }
    if let Some(histogram) = &metric.histogram {
        let (count, sum) = (
            histogram.sample_count.unwrap(),
            histogram.sample_sum.unwrap(),
        );
        shown += &format!(" count {count} sum {sum}");
        for bucket in &histogram.bucket {
            let (bound, count) = (
                bucket.upper_bound.unwrap(),
                bucket.cumulative_count.unwrap(),
            );
            shown += &format!(" {bound}: {count}{}", exemplar(&bucket.exemplar));
        }
    }
    if let Some(milliseconds) = metric.timestamp_ms {
        shown += &format!(" at {milliseconds}");
    }
    shown
}

fn exemplar(exemplar: &Option<Exemplar>) -> String {
    let Some(exemplar) = exemplar else {
        return String::new();
    };
    let mut shown = format!(
        " # {{{}}} {}",
        pairs(&exemplar.label),
        exemplar.value.unwrap()
    );
    if let Some(timestamp) = &exemplar.timestamp {
        let (seconds, nanos) = (timestamp.seconds.unwrap(), timestamp.nanos.unwrap());
        shown += &format!(" at {seconds}s {nanos}ns");
    }
    shown
}

#[test]
fn an_empty_body_is_empty() {
    assert!(converted_for(&target(), Text, "").is_empty());
    assert!(converted_for(&target(), OpenMetrics, "# EOF\n").is_empty());
    text("\n# a comment\n", &[]);
}

/// Prometheus skips a family without metrics.
#[test]
fn a_family_without_samples_goes() {
    text("# HELP a x\n# TYPE a gauge\n# TYPE h histogram\n", &[]);
}

#[test]
fn types_of_one_series_stay() {
    text(
        "# TYPE a counter\na 1\n# TYPE b gauge\nb 2\n# TYPE c untyped\nc 3\n",
        &[
            "counter a",
            "  {} 1",
            "gauge b",
            "  {} 2",
            "untyped c",
            "  {} 3",
        ],
    );
}

#[test]
fn a_sample_without_a_type_is_untyped() {
    text(
        "a 1\nb_count 2\n",
        &["untyped a", "  {} 1", "untyped b_count", "  {} 2"],
    );
}

#[test]
fn a_counter_of_open_metrics_is_named_like_its_samples() {
    open_metrics(
        "# TYPE c counter\n# HELP c x\nc_total 1\nc_total{a=\"b\"} 2\n",
        &["counter c_total \"x\"", "  {} 1", "  {a=\"b\"} 2"],
    );
}

#[test]
fn a_counter_without_total_is_untyped() {
    open_metrics("# TYPE c counter\nc 1\n", &["untyped c", "  {} 1"]);
}

#[test]
fn unknown_is_untyped() {
    open_metrics("# TYPE u unknown\nu 1\n", &["untyped u", "  {} 1"]);
}

/// Protobuf does not have these types; their samples are gauges.
#[test]
fn info_and_stateset_are_gauges() {
    open_metrics(
        "# TYPE i info\n# HELP i x\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n",
        &[
            "gauge i_info \"x\"",
            "  {v=\"1\"} 1",
            "gauge s",
            "  {s=\"on\"} 1",
            "  {s=\"off\"} 0",
        ],
    );
}

#[test]
fn helps_are_unescaped() {
    text(
        "# HELP a x \\\\ \\n \\\" \"\na 1\n",
        &["untyped a \"x \\\\ \\n \\\\\\\" \\\"\"", "  {} 1"],
    );
    open_metrics(
        "# HELP a x \\\\ \\n \\\" \"\na 1\n",
        &["untyped a \"x \\\\ \\n \\\" \\\"\"", "  {} 1"],
    );
}

#[test]
fn label_values_are_unescaped() {
    text(
        "a{b=\"\\\\ \\\" \\n =,{}\"} 1\n",
        &["untyped a", "  {b=\"\\\\ \\\" \\n =,{}\"} 1"],
    );
}

#[test]
fn names_in_quotes() {
    text(
        "# TYPE \"a.b\" gauge\n{\"a.b\",\"c=\\\"d\"=\"e\",f=\"g\"} 1\n{\"x y\"} 2\n",
        &[
            "gauge a.b",
            "  {c=\"d=\"e\",f=\"g\"} 1",
            "untyped x y",
            "  {} 2",
        ],
    );
}

#[test]
fn the_labels_of_the_target_come_behind_those_of_the_sample() {
    let body = "a{job=\"x\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    let body = converted_for(&target(), Text, body);
    let families = decode(&written(&body));
    assert_eq!(
        pairs(&families[0].metric[0].label),
        "exported_job=\"x\",instance=\"pod-a\",job=\"shop\""
    );
    assert_eq!(
        pairs(&families[1].metric[0].label),
        "instance=\"pod-a\",job=\"shop\""
    );
}

#[test]
fn all_spellings_of_numbers() {
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

/// From a gauge histogram in protobuf, Prometheus would make `_count` and `_sum`.
#[test]
fn a_gauge_histogram_is_taken_apart() {
    open_metrics(
        "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum 1\n",
        &[
            "untyped g_bucket",
            "  {le=\"1\"} 1",
            "  {le=\"+Inf\"} 1",
            "untyped g_gcount",
            "  {} 1",
            "untyped g_gsum",
            "  {} 1",
        ],
    );
}

/// From a created timestamp in protobuf, Prometheus makes no series.
#[test]
fn created_samples_are_families_of_their_own() {
    open_metrics(
        "# TYPE c counter\nc_total 1\nc_created 1.5e9\n# TYPE s summary\ns_count 1\ns_sum 1\ns_created 1.5e9\n",
        &[
            "counter c_total",
            "  {} 1",
            "untyped c_created",
            "  {} 1500000000",
            "summary s",
            "  {} count 1 sum 1",
            "untyped s_created",
            "  {} 1500000000",
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
fn an_exemplar_behind_a_timestamp() {
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
fn other_exemplars_go() {
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
fn units_stay_where_the_name_ends_with_them() {
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
fn the_pods_own_up_goes() {
    text("up 1\nup{a=\"b\"} 2\n", &["untyped up", "  {a=\"b\"} 2"]);
}

#[test]
fn a_series_that_came_before_goes() {
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
