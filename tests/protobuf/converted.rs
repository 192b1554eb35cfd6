//! Bodies of text and OpenMetrics, converted to protobuf: families, types, names and labels.
//! k8s/prometheus/README.md: "Formats". `grouped.rs` has histograms and summaries.

use super::{decode, target, written, written_for};
use crate::support::client_model::{Exemplar, LabelPair, Metric, MetricFamily};
use kubernetes_metrics_aggregator::exposition::Format::{OpenMetrics, Text};
use kubernetes_metrics_aggregator::exposition::protobuf::ProtobufBody;
use kubernetes_metrics_aggregator::exposition::{Asked, Format, IdentityLabels, parse};

pub(super) fn converted_for(target: &IdentityLabels, format: Format, body: &str) -> ProtobufBody {
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
fn a_family_without_samples_is_left_out() {
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
fn names_are_unquoted() {
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
fn the_labels_of_the_target_come_last() {
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
