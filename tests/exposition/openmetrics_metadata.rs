//! HELP, TYPE and UNIT of OpenMetrics: which are valid, and the families of the text format that they become.
//! k8s/prometheus/README.md: "Formats".

use super::openmetrics::{check, check_body_kind, check_kind};
use super::{merged_text, parse_as};
use kubernetes_metrics_aggregator::exposition::{Format, LineErrorKind};

/// The blocks of the text, without those of the reported metrics, whose names come behind these here.
#[track_caller]
fn check_blocks(lines: &str, expected: &[&str]) {
    let exposition = parse_as(Format::OpenMetrics, format!("{lines}# EOF\n").as_bytes()).unwrap();
    let text = merged_text(exposition);
    let found: Vec<&str> = text
        .lines()
        .take_while(|line| !line.contains("scrape_duration_seconds"))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn families_get_the_names_and_types_of_the_text_format() {
    check_blocks(
        "# TYPE c counter\n# HELP c x\\n\\\\ \\\"y\\\"\nc_total 1\nc_created 1.5\n",
        &[
            "# TYPE c_created untyped",
            "c_created{i=\"1\"} 1.5",
            "# HELP c_total x\\n\\\\ \"y\"",
            "# TYPE c_total counter",
            "c_total{i=\"1\"} 1",
        ],
    );
    check_blocks(
        "# HELP a x\n# TYPE a info\na_info{b=\"c\"} 1\n",
        &[
            "# HELP a_info x",
            "# TYPE a_info gauge",
            "a_info{b=\"c\",i=\"1\"} 1",
        ],
    );
    check_blocks(
        "# TYPE a_s stateset\n# UNIT a_s s\na_s{a_s=\"x\"} 1\n# TYPE b unknown\nb 2\n",
        &[
            "# TYPE a_s gauge",
            "a_s{a_s=\"x\",i=\"1\"} 1",
            "# TYPE b untyped",
            "b{i=\"1\"} 2",
        ],
    );
    check_blocks(
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {b=\"c\"} 1\nh_count 1\nh_sum 2\nh_created 3\n",
        &[
            "# TYPE h histogram",
            "h_bucket{le=\"+Inf\",i=\"1\"} 1",
            "h_count{i=\"1\"} 1",
            "h_sum{i=\"1\"} 2",
            "# TYPE h_created untyped",
            "h_created{i=\"1\"} 3",
        ],
    );
}

#[test]
fn families_that_text_cannot_say_become_untyped() {
    // Under the type `histogram`, Prometheus would rewrite the `le`.
    check_blocks(
        "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\n",
        &[
            "# TYPE g untyped",
            "# TYPE g_bucket untyped",
            "g_bucket{le=\"1\",i=\"1\"} 1",
        ],
    );
    // Names that have the ending already, and samples that lack it.
    check_blocks(
        "# TYPE a_total counter\na_total 1\n# TYPE b counter\nb 2\n",
        &[
            "# TYPE a_total counter",
            "a_total{i=\"1\"} 1",
            "# TYPE b untyped",
            "b{i=\"1\"} 2",
            "# TYPE b_total counter",
        ],
    );
    // A carriage return that ends a help text would be a part of the line end.
    check_blocks("# HELP a x\r\n", &["# HELP a x", "# TYPE a untyped"]);
    // The last type counts.
    check_blocks(
        "# TYPE a counter\n# TYPE a gauge\na 1\n",
        &["# TYPE a gauge", "a{i=\"1\"} 1"],
    );
}

#[test]
fn bounds_under_the_type_of_another_family_are_written_as_stored() {
    check(
        "# TYPE h histogram\n# UNIT z_s s\nx{le=\"1\"} 1\n",
        "x{le=\"1.0\"} 1\n",
    );
    check(
        "# TYPE h histogram\n# TYPE g gaugehistogram\nx{le=\"1\"} 1\n",
        "x{le=\"1\"} 1\n",
    );
}

#[test]
fn valid_metadata_is_taken() {
    for line in [
        "# HELP a ",
        "# HELP a  x ",
        "# HELP \"a.b\" x",
        "# HELP \"\" x",
        "# HELP a x\r",
        "# HELP a \0x\0",
        "# HELP \0a x",
        "# HEL\0P a x",
        "# UNIT a_s s",
        "# UNIT a_s ",
        "# UNIT \"a_s\" s",
        "# UNIT a_s_s s_s",
        "# UNIT _s s",
        "# TYPE \"a b\" counter",
        "# TYPE \"\" gauge",
    ] {
        check(&format!("{line}\nb 1\n"), "b 1\n");
    }
}

#[test]
fn malformed_metadata_is_refused() {
    for word in [
        "untyped",
        "Counter",
        "",
        "counter ",
        " counter",
        "counter\0",
        "counter\r",
    ] {
        check_kind(
            LineErrorKind::OpenMetricsType,
            &[&format!("# TYPE a {word}\n")],
        );
    }
    check_kind(
        LineErrorKind::HeadText,
        &[
            "# HELP a\n",
            "# TYPE a\n",
            "# HELP a\tx\n",
            "# TYPE \"a\"counter\n",
            "# TYPE a{ counter\n",
            "# HELP a\0 x\n",
        ],
    );
    check_body_kind(LineErrorKind::HeadText, b"# HELP a x");
    check_kind(
        LineErrorKind::HeadName,
        &[
            "# TYPE  a counter\n",
            "# TYPE 1 counter\n",
            "# TYPE \"a counter\n",
            "# TYPE \"a\0b\" counter\n",
        ],
    );
    check_kind(
        LineErrorKind::Unit,
        &[
            "# UNIT s s\n",
            "# UNIT as s\n",
            "# UNIT a_s x\n",
            "# UNIT a_s s \n",
        ],
    );
    check_body_kind(LineErrorKind::Utf8, b"# HELP a \xff\n# EOF\n");
}
