//! Samples and end mark of OpenMetrics: which are valid, and what they mean. README: "What is stored".
//!
//! As in `exposition.rs`, Prometheus 3.5.3 decided, with the Content-Type `application/openmetrics-text`; its rules are
//! in `model/textparse/openmetricslex.l` and `openmetricsparse.go`.

use super::{check_as, check_kind_as, parse_as};
use kubernetes_metrics_aggregator::exposition::{Format, LineErrorKind};

/// The lines and the end mark after them are valid and mean these samples, here written without the identity label.
#[track_caller]
pub(super) fn check(lines: &str, expected: &str) {
    check_bytes(format!("{lines}# EOF\n").as_bytes(), expected);
}

#[track_caller]
fn check_bytes(body: &[u8], expected: &str) {
    check_as(Format::OpenMetrics, body, expected);
}

/// All of these, with the end mark after them, are refused with an error of this kind.
#[track_caller]
pub(super) fn check_kind(kind: LineErrorKind, lines: &[&str]) {
    for lines in lines {
        check_body_kind(kind, format!("{lines}# EOF\n").as_bytes());
    }
}

#[track_caller]
pub(super) fn check_body_kind(kind: LineErrorKind, body: &[u8]) {
    check_kind_as(Format::OpenMetrics, kind, body);
}

#[test]
fn the_end_mark_is_required_and_last() {
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
fn only_samples_metadata_and_the_end_mark_are_lines() {
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
fn valid_samples_are_taken() {
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
fn malformed_samples_are_refused() {
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
fn an_unquoted_name_within_braces_is_refused() {
    check_kind(LineErrorKind::OneMetricName, &["{abc} 1\n", "{a} 1\n"]);
}

#[test]
fn values_are_plain_decimal_numbers() {
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
fn timestamps_become_milliseconds() {
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
fn a_sample_counts_as_scraped_once_its_value_is_read() {
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
fn exemplars_are_validated_and_left_out_of_text() {
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
