//! OpenMetrics bodies: which are valid, and what becomes of them. Settled as everything here, with the Content-Type
//! `application/openmetrics-text`; the rules stand in Prometheus' `model/textparse/openmetricslex.l` and
//! `openmetricsparse.go`.

use super::{check_as, check_kind_as, merged_text, parse_as};
use kubernetes_metrics_aggregator::exposition::{Format, LineErrorKind};

/// The lines and the end mark after them are valid and mean these samples, here written without the identity label.
#[track_caller]
fn check(lines: &str, expected: &str) {
    check_bytes(format!("{lines}# EOF\n").as_bytes(), expected);
}

#[track_caller]
fn check_bytes(body: &[u8], expected: &str) {
    check_as(Format::OpenMetrics, body, expected);
}

/// All of these, with the end mark after them, are refused with an error of this kind.
#[track_caller]
fn check_kind(kind: LineErrorKind, lines: &[&str]) {
    for lines in lines {
        check_body_kind(kind, format!("{lines}# EOF\n").as_bytes());
    }
}

#[track_caller]
fn check_body_kind(kind: LineErrorKind, body: &[u8]) {
    check_kind_as(Format::OpenMetrics, kind, body);
}

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
fn the_end_mark() {
    for body in [
        "",
        "# EOF",
        "# EOF\n",
        "# EOF\0",
        "# EOF\n\0",
        "# E\0OF\0\n",
    ] {
        check_bytes(body.as_bytes(), "");
    }
    check_bytes(b"a 1\n# EOF", "a 1\n");
    for body in [
        "a 1\n",
        "a 1",
        "\u{61} 1 # {b=\"c\"} 1",
        "# TYPE a gauge\na 1\n",
    ] {
        check_body_kind(LineErrorKind::EndMark, body.as_bytes());
    }
    for body in [
        "# EOF\n\n",
        "# EOF\na 1\n",
        "# EOF x\n",
        "# EOF\r\n",
        "# EOFx\n",
        "# EOF# EOF",
    ] {
        check_body_kind(LineErrorKind::AfterEndMark, body.as_bytes());
    }
    let error = parse_as(Format::OpenMetrics, b"a 1\nb 2\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: expected # EOF at the end of the body, found the end of the body"
    );
    assert_eq!(error.samples_before, 2);
}

#[test]
fn no_other_lines() {
    check_kind(
        LineErrorKind::OpenMetricsLine,
        &[
            "\n",
            "a 1\n\n",
            "# x\n",
            "#\n",
            "#x\n",
            " a 1\n",
            "#  TYPE a counter\n",
            "#EOF\n",
            "# EO\n",
            "# UNITx\n",
            "\0\n",
            "1 1\n",
            "# \0\n",
            "# \0EOF\n",
            "# help a x\n",
        ],
    );
}

#[test]
fn samples() {
    check("a 1\n", "a 1\n");
    check("a{} 1\n", "a 1\n");
    check("a{b=\"c\"} 1\n", "a{b=\"c\"} 1\n");
    check("a{b=\"c\",} 1\n", "a{b=\"c\"} 1\n");
    check("{\"a.b\",c=\"d\"} 1\n", "{\"a.b\",c=\"d\"} 1\n");
    check("{c=\"d\",\"a.b\"} 1\n", "{\"a.b\",c=\"d\"} 1\n");
    check("{\"a\nb\"} 1\n", "{\"a\\nb\"} 1\n");
    check(
        "a{b=\"x\\ny\\\"\\\\\\t\"} 1\n",
        "a{b=\"x\\ny\\\"\\\\\\\\t\"} 1\n",
    );
    check("a{b=\"\",b=\"d\"} 1\n", "a 1\n");
    check("a{i=\"x\"} 1\n", "a{exported_i=\"x\"} 1\n");
    check("a 1\na 2\n", "a 1\n");
    check("up 5\nup{b=\"c\"} 5\n", "up{b=\"c\"} 5\n");
    check(
        "a{b=\"c\0d\"} 1\na{b=\"c\"\0} 1\n",
        "a{b=\"c\0d\"} 1\na{b=\"c\\\"\"} 1\n",
    );
}

#[test]
fn malformed_samples() {
    check_kind(
        LineErrorKind::LabelName,
        &[
            "a{,} 1\n",
            "a{ b=\"c\"} 1\n",
            "a{b=\"c\",,c=\"d\"} 1\n",
            "{\"a\0\"} 1\n",
            "a{\0b=\"c\"} 1\n",
        ],
    );
    check_kind(
        LineErrorKind::LabelEnd,
        &["a{b=\"c\" } 1\n", "a{b=\"c\"c=\"d\"} 1\n"],
    );
    check_kind(LineErrorKind::Equals, &["a{b =\"c\"} 1\n"]);
    check_kind(
        LineErrorKind::LabelValue,
        &[
            "a{b= \"c\"} 1\n",
            "a{b=\"x\ny\"} 1\n",
            "a{b=\"x\\\ny\"} 1\n",
            "a{b=\0\"c\"} 1\n",
            "a{b=\"c\n",
        ],
    );
    check_kind(
        LineErrorKind::MetricName,
        &["{} 1\n", "{b=\"c\"} 1\n", "{\"\"} 1\n"],
    );
    check_kind(
        LineErrorKind::OneMetricName,
        &["{\"a\",\"b\"} 1\n", "a{\"b\"} 1\n", "a{b} 1\n"],
    );
    check_kind(LineErrorKind::UniqueLabelName, &["a{b=\"c\",b=\"d\"} 1\n"]);
    check_body_kind(LineErrorKind::Utf8, b"a{b=\"\xff\"} 1\n# EOF\n");
    check_body_kind(LineErrorKind::Utf8, b"{\"\xff\"} 1\n# EOF\n");
}

/// The departure from Prometheus 3.5.3, which stores `b` for the first of these and stops working at the second.
#[test]
fn an_unquoted_name_within_braces() {
    check_kind(LineErrorKind::OneMetricName, &["{abc} 1\n", "{a} 1\n"]);
}

#[test]
fn values() {
    for number in "1 -1 +1 1. .5 1e5 Inf +Inf -inf infinity NaN nan 1e-400".split(' ') {
        check(&format!("a {number}\n"), &format!("a {number}\n"));
    }
    for number in ". 0x1p-2 1_000 +NaN 1e309 1,5 1{ # #x true 1\t \t1 {} 1\r".split(' ') {
        check_kind(LineErrorKind::Number, &[&format!("a {number}\n")]);
    }
    check_kind(
        LineErrorKind::Value,
        &[
            "a  1\n",
            "a\t1\n",
            "a{}1\n",
            "a\n",
            "a \n",
            "a\0 1\n",
            "a{b=\"c\"}{d=\"e\"} 1\n",
        ],
    );
}

/// Seconds become milliseconds as Prometheus rounds them: towards zero, after the multiplication of floats.
#[test]
fn timestamps() {
    #[track_caller]
    fn check_time(seconds: &str, milliseconds: &str) {
        check(
            &format!("a 1 {seconds}\n"),
            &format!("a 1 {milliseconds}\n"),
        );
    }
    check_time("0", "0");
    check_time("1700000000", "1700000000000");
    check_time("1700000000.123", "1700000000123");
    check_time("1700000000.1239", "1700000000123");
    check_time("+1.7e9", "1700000000000");
    check_time("4.35", "4350");
    // As floats, 1000 times 1.001 is a little less than 1001.
    check_time("8.2", "8200");
    check_time("1.001", "1000");
    check_time("0.57", "570");
    check_time("-1.5", "0");
    for seconds in ["NaN", "Inf", "-inf"] {
        check_kind(LineErrorKind::Seconds, &[&format!("a 1 {seconds}\n")]);
    }
    for seconds in "1e400 0x1p4 1_0 x # #x 5\t".split(' ') {
        check_kind(LineErrorKind::Number, &[&format!("a 1 {seconds}\n")]);
    }
    check_kind(
        LineErrorKind::Seconds,
        &[
            "a 1 \n",
            "a 1  5\n",
            "a 1 5 \n",
            "a 1 5 6\n",
            "a 1\0\n",
            "a 1 5\0\n",
            "a 1 # x\n",
        ],
    );
    check("a 1 5\na 2 5.0001\na 3 6\n", "a 1 5000\na 3 6000\n");
}

/// Prometheus counts a sample before it finds that something wrong follows its value.
#[test]
fn what_counts_as_scraped() {
    for (lines, samples) in [
        ("a 1 \n", 1),
        ("a 1 # x\n", 1),
        ("a 1  # {b=\"c\"} 1\n", 1),
        ("a 1 #\n", 0),
        ("a 1 5 \n", 0),
        ("a 1 # {b=\"c\"} 1 \n", 0),
        ("a{b=\"c\",b=\"d\"} 1\n", 1),
    ] {
        let error =
            parse_as(Format::OpenMetrics, format!("{lines}# EOF\n").as_bytes()).unwrap_err();
        assert_eq!(error.samples_before, samples, "{lines}");
    }
}

#[test]
fn exemplars_go() {
    for exemplar in [
        "{} 1",
        "{b=\"c\"} 1",
        "{b=\"c\"} 1 5.5",
        "{b=\"c\"} NaN -5",
        "{b=\"c\",} 1",
        "{\"b.c\"=\"d\",e=\"f\"} 1",
        "{b=\"c\\\"\"} 1",
        "{b=\"c\",b=\"\"} 1",
    ] {
        check(&format!("a 1 # {exemplar}\n"), "a 1\n");
        check(
            &format!("a{{b=\"c\"}} 1 5 # {exemplar}\n"),
            "a{b=\"c\"} 1 5000\n",
        );
    }
    for (kind, exemplar) in [
        (LineErrorKind::Number, "{b=\"c\"} x"),
        (LineErrorKind::Number, "{b=\"c\"} 1 x"),
        (LineErrorKind::Number, "{b=\"c\"} 1 # {b=\"c\"} 1"),
        (LineErrorKind::Seconds, "{b=\"c\"} 1 NaN"),
        (LineErrorKind::Seconds, "{b=\"c\"} 1 5 6"),
        (LineErrorKind::Seconds, "{b=\"c\"} 1 "),
        (LineErrorKind::Value, "{b=\"c\"}"),
        (LineErrorKind::Value, "{b=\"c\"} "),
        (LineErrorKind::Value, "{b=\"c\"}1"),
        (LineErrorKind::LabelName, "{,} 1"),
        (LineErrorKind::LabelName, "{ b=\"c\"} 1"),
        (LineErrorKind::LabelName, "{\"b\nc\"=\"d\"} 1"),
        (LineErrorKind::OneMetricName, "{\"b\"} 1"),
        (LineErrorKind::LabelEnd, "{b=\"c\"d=\"e\"} 1"),
        (LineErrorKind::LabelValue, "{b=\"c\0d\"} 1"),
    ] {
        check_kind(kind, &[&format!("a 1 # {exemplar}\n")]);
    }
    check_kind(LineErrorKind::Number, &["a 1 #{b=\"c\"} 1\n"]);
}

#[test]
fn families_as_the_text_format_names_them() {
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
fn families_that_the_text_format_has_not() {
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
    // The last type stands.
    check_blocks(
        "# TYPE a counter\n# TYPE a gauge\na 1\n",
        &["# TYPE a gauge", "a{i=\"1\"} 1"],
    );
}

#[test]
fn float_labels_under_the_type_of_another_family() {
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
fn heads() {
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
fn malformed_heads() {
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
