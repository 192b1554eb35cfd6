//! The lines of the text format: which are valid, and how lines of an unusual form are written.
//! README: "What is stored".

use super::{check, check_kind, parse_as, parse_text, samples_of};
use kubernetes_metrics_aggregator::exposition::{Format, LineErrorKind};

#[test]
fn ordinary_lines_are_copied() {
    check(b"a 1\n", "a 1\n");
    check(b"a{b=\"c\"} 1\n", "a{b=\"c\"} 1\n");
    check(
        b"a{b=\"c\",d=\"e\"} 1 1700000000000\n",
        "a{b=\"c\",d=\"e\"} 1 1700000000000\n",
    );
    check(b"a:b_C9{_b9=\"{},= #\"} 1\n", "a:b_C9{_b9=\"{},= #\"} 1\n");
    check(b"a{b=\"\"} 1\n", "a 1\n");
    check("a{b=\"é\"} 1\n".as_bytes(), "a{b=\"é\"} 1\n");
    check(b"a{b=\"a b\tc\"} 1\n", "a{b=\"a b\tc\"} 1\n");
}

#[test]
fn empty_bodies_and_empty_lines_are_valid() {
    for body in [
        "", "\n", "\n\n\n", "   ", " \t\n", "#", "# ", "#\n", "# x", "\0", " \0x y z",
    ] {
        check(body.as_bytes(), "");
    }
    check(b"\n\n  \na 1\n\n\nb 2\n\n", "a 1\nb 2\n");
}

#[test]
fn the_last_newline_may_be_missing() {
    check(b"a 1", "a 1\n");
    check(b"a 1 5", "a 1 5\n");
    check(b"a{b=\"c\"} 1", "a{b=\"c\"} 1\n");
    check(b"a 1\n# HELP a", "a 1\n");
    check(b"a 1\n# TYPE a counter", "a 1\n");
}

/// The first of the two departures from Prometheus, which refuses these.
#[test]
fn crlf_line_ends_are_taken() {
    check(b"a 1\r\nb{c=\"d\"} 2 5\r\n\r\n", "a 1\nb{c=\"d\"} 2 5\n");
    check(
        b"# TYPE a counter\r\n# HELP a x\r\na 1 \r\n# x\r\n",
        "a 1\n",
    );
    check(b"a 1\r", "a 1\n");
    check_kind(LineErrorKind::Number, &[b"a 1\rb 2\n", b"a 1\r\r\n"]);
    check_kind(LineErrorKind::LineStart, &[b"\ra 1\n"]);
}

#[test]
fn blanks_and_tabs_may_separate() {
    check(b"a\t1\n", "a 1\n");
    check(b"a  \t 1 \t 5 \t\n", "a 1 5\n");
    check(b"a{ b = \"c\" ,\td = \"e\" } 1\n", "a{b=\"c\",d=\"e\"} 1\n");
    check(b"a {b=\"c\"} 1\n", "a{b=\"c\"} 1\n");
    check(b"a{}1\n", "a 1\n");
    check(b"a{b=\"c\"}1\n", "a{b=\"c\"} 1\n");
    check(b" {\"a\"} 1\n", "a 1\n");
}

/// Prometheus 3 takes blanks before a name as part of the name.
#[test]
fn blanks_before_a_name_belong_to_it() {
    check(
        b" a 1\n\tb{c=\"d\"} 2\n",
        "{\"\tb\",c=\"d\"} 2\n{\" a\"} 1\n",
    );
}

#[test]
fn braces_may_be_empty_and_commas_left_out() {
    check(b"a{} 1\n", "a 1\n");
    check(b"a{ } 1\n", "a 1\n");
    check(b"a{b=\"c\",} 1\n", "a{b=\"c\"} 1\n");
    check(b"a{b=\"c\" d=\"e\"} 1\n", "a{b=\"c\",d=\"e\"} 1\n");
    check(b"a{b=\"c\"d=\"e\"} 1\n", "a{b=\"c\",d=\"e\"} 1\n");
    check_kind(
        LineErrorKind::LabelName,
        &[
            b"a{,} 1\n",
            b"a{,b=\"c\"} 1\n",
            b"a{b=\"c\",,} 1\n",
            b"a{1b=\"c\"} 1\n",
            b"a{b=\"c\" 1\n",
            b"a{\nb=\"c\"} 1\n",
            "a{é=\"c\"} 1\n".as_bytes(),
            b"a{\"b\0\"=\"c\"} 1\n",
            b"a{",
        ],
    );
    check_kind(
        LineErrorKind::Equals,
        &[b"a{b} 1\n", b"a{b:c=\"d\"} 1\n", b"a{\"b\"\"c\"} 1\n"],
    );
    check_kind(LineErrorKind::Value, &[b"a{b=\"c\"} {1\n", b"a{}{} 1\n"]);
}

#[test]
fn quoted_names_are_taken_within_braces() {
    check(b"{\"a\"} 1\n", "a 1\n");
    check(b"{\"a\",} 1\n", "a 1\n");
    check(b"{b=\"c\",\"a\"} 1\n", "a{b=\"c\"} 1\n");
    check(
        b"{\"my.metric\",b=\"c\"} 1\n",
        "{\"my.metric\",b=\"c\"} 1\n",
    );
    check(b"{\"my metric\"} 1\n", "{\"my metric\"} 1\n");
    check(
        b"a{\"x.y\"=\"z\",\"b\"=\"c\"} 1\n",
        "a{\"x.y\"=\"z\",b=\"c\"} 1\n",
    );
    check(b"{\"a\\\"b\\nc\\\\d\"} 1\n", "{\"a\\\"b\\nc\\\\d\"} 1\n");
    check_kind(
        LineErrorKind::OneMetricName,
        &[b"{\"a\",\"b\"} 1\n", b"a{\"b\"} 1\n"],
    );
    check_kind(
        LineErrorKind::MetricName,
        &[
            b"{} 1\n",
            b"{b=\"c\"} 1\n",
            b"{__name__=\"a\"} 1\n",
            b"{\"\"} 1\n",
        ],
    );
}

/// A line that starts like the quoted name before it means something else.
#[test]
fn a_name_that_needs_quotes_is_not_read_without_them() {
    check(b"{\"a 1\"} 5\na 1 7\n", "a 1 7\n{\"a 1\"} 5\n");
    check(b"# TYPE \"a 1\" gauge\na 1 7\n", "a 1 7\n");
}

#[test]
fn escapes_mean_what_they_mean_to_prometheus() {
    check(b"a{b=\"\\\\ \\\" \\n\"} 1\n", "a{b=\"\\\\ \\\" \\n\"} 1\n");
    // A backslash before any other character is a backslash.
    check(b"a{b=\"\\t\"} 1\n", "a{b=\"\\\\t\"} 1\n");
    // A value may go on in the next line.
    check(b"a{b=\"x\ny\"} 1\n", "a{b=\"x\\ny\"} 1\n");
    check_kind(
        LineErrorKind::LabelValue,
        &[
            b"a{b=\"x\\\ny\"} 1\n",
            b"a{b=\"x",
            b"a{b=\"x\\",
            b"a{b=c} 1\n",
            b"a{b='c'} 1\n",
            b"a{b=",
        ],
    );
}

#[test]
fn numbers_are_those_of_go() {
    let taken = "0 -0 1 -1 +1 1. .5 -.5 +.5 00001 1e5 1E5 1e+5 1e-5 1e308 1.7976931348623157e308 1e-400 \
        Inf +Inf -Inf inf INF infinity +Infinity -iNfInItY NaN nan NAN";
    for number in taken.split_whitespace() {
        check(format!("a {number}\n").as_bytes(), &format!("a {number}\n"));
    }
    let refused = ". - + 1e 1e+ e5 0x1 0x1p-2 0X1P2 0b1 1_000 infi +NaN -nan 1e309 -1e309 1.7976931348623159e308 \
        1,5 1f true 1- ++1 +-1 1.5.5 1# ١ 1e5.0";
    for number in refused.split_whitespace() {
        check_kind(LineErrorKind::Number, &[format!("a {number}\n").as_bytes()]);
    }
    let long = "9".repeat(308);
    check(format!("a {long}\n").as_bytes(), &format!("a {long}\n"));
    check_kind(
        LineErrorKind::Number,
        &[format!("a {}\n", "9".repeat(310)).as_bytes()],
    );
    check_kind(
        LineErrorKind::Value,
        &[b"a\n", b"a \n", b"a1\n", b"a{b=\"c\"}\n", b"a"],
    );
}

#[test]
fn timestamps_are_whole_milliseconds() {
    for timestamp in ["0", "00", "1700000000000", "9223372036854775807"] {
        let line = format!("a 1 {timestamp}\n");
        check(line.as_bytes(), &line);
    }
    check_kind(
        LineErrorKind::Timestamp,
        &[
            b"a 1 +5\n",
            b"a 1 -1\n",
            b"a 1 9223372036854775808\n",
            b"a 1 x\n",
            b"a 1{\n",
            b"a 1 # x\n",
        ],
    );
    check_kind(
        LineErrorKind::LineEnd,
        &[
            b"a 1 1.5\n",
            b"a 1 1e3\n",
            b"a 1 1 2\n",
            b"a 1 5x\n",
            b"a 1 5 # {b=\"c\"} 1\n",
        ],
    );
}

#[test]
fn each_label_name_comes_once() {
    check_kind(
        LineErrorKind::UniqueLabelName,
        &[
            b"a{b=\"x\",b=\"x\"} 1\n",
            b"a{b=\"x\",c=\"y\",\"b\"=\"z\"} 1\n",
            b"a{__name__=\"b\"} 1\n",
            b"a{job=\"x\",job=\"y\"} 1\n",
        ],
    );
    // A name that has an empty value anywhere does not exist.
    check(b"a{b=\"x\",b=\"\"} 1\n", "a 1\n");
    check(b"a{b=\"\",b=\"x\",b=\"x\",c=\"d\"} 1\n", "a{c=\"d\"} 1\n");
    check(b"a{\"\"=\"\"} 1\n", "a 1\n");
    check_kind(LineErrorKind::NonEmptyLabelName, &[b"a{\"\"=\"x\"} 1\n"]);
    check_kind(LineErrorKind::MetricName, &[b"a{__name__=\"\"} 1\n"]);
}

#[test]
fn names_values_and_helps_are_utf8() {
    check_kind(
        LineErrorKind::Utf8,
        &[
            b"a{b=\"\xff\"} 1\n",
            b"a{b=\"\xed\xa0\x80\"} 1\n",
            b"{\"\xff\"} 1\n",
            b"a{\"\xff\"=\"c\"} 1\n",
            b"# HELP a \xff\n",
            // The byte behind the name separates, whatever it is.
            "# HELP aé\n".as_bytes(),
        ],
    );
    check_kind(LineErrorKind::LineStart, &[b"\xef\xbb\xbfa 1\n", b"\xff"]);
    check(b"# \xff\n#\xff\na{b=\"x\"} 1\n", "a{b=\"x\"} 1\n");
    check(
        b"# TYPE \"\xff\" counter\n# HELP \"\xff\" x\na 1\n",
        "a 1\n",
    );
}

#[test]
fn a_nul_byte_ends_the_body_at_a_line_start_only() {
    // At the start of a line, and in a comment without a blank, the body ends.
    check(b"a 1\n\0b x\n", "a 1\n");
    check(b"a 1\n#x\0\nb x\n", "a 1\n");
    check(b"a 1\n# \0\nb x\n", "a 1\n");
    // Elsewhere in comments, in help texts and in label values it is a byte like any other.
    check(b"# x\0y\n# HELP a x\0y\n# HELP \0b x\na 1\n", "a 1\n");
    check(b"a{b=\"c\0d\"} 1\n", "a{b=\"c\0d\"} 1\n");
    check(b"a{b= \0\"c\"} 1\n", "a{b=\"c\"} 1\n");
    check_kind(
        LineErrorKind::HelpText,
        &[b"# HELP a\0 x\n", b"# TYPE a\0 counter\n"],
    );
    check_kind(LineErrorKind::Timestamp, &[b"a 1\0\n", b"a 1 \0\n"]);
    check_kind(LineErrorKind::Value, &[b"a\0 1\n"]);
    check_kind(LineErrorKind::TypeWord, &[b"# TYPE a counter\0\n"]);
}

#[test]
fn valid_help_and_type_lines_are_taken() {
    for line in [
        "# HELP a",
        "# HELP a ",
        "# HELP a   ",
        "# HELP a  x  y ",
        "#\tHELP\ta\tx",
        "  # HELP a x",
        "#HELP 1",
        "# HELP",
        "# HELPx 1",
        "# help 1",
        "# HELP \"a\" x",
        "# HELP \"\" x",
        "# HELP a{x} y",
        "# HELP a x\\q\\",
        "# TYPE a counter",
        "# TYPE a gauge",
        "# TYPE a histogram",
        "# TYPE a summary",
        "# TYPE a untyped",
        "# TYPE \"a b\" counter",
        "# TYPE \"a\"\tcounter",
        "# TYPE a{gauge",
        "#TYPE a x",
        "# TYPE",
        "# EOF",
        "# UNIT a x",
    ] {
        check(format!("{line}\nb 1\n").as_bytes(), "b 1\n");
    }
}

#[test]
fn malformed_help_and_type_lines_are_refused() {
    check_kind(
        LineErrorKind::TypeWord,
        &[
            b"# TYPE a\n",
            b"# TYPE a \n",
            b"# TYPE a counter \n",
            b"# TYPE a  counter\n",
            b"# TYPE a Counter\n",
            b"# TYPE a unknown\n",
            b"# TYPE a info\n",
            b"# TYPE a stateset\n",
            b"# TYPE a gaugehistogram\n",
        ],
    );
    check_kind(
        LineErrorKind::HeadName,
        &[
            b"# HELP \n",
            b"# HELP 1a x\n",
            b"# TYPE \"a\n",
            b"# TYPE \"a\0\" counter\n",
            b"# TYPE \"a\\\n\" counter\n",
        ],
    );
}

#[test]
fn lines_that_start_neither_with_a_name_nor_a_comment_are_refused() {
    check_kind(
        LineErrorKind::LineStart,
        &[
            b"1a 1\n",
            b"-a 1\n",
            b"}\n",
            b"=\n",
            b"\x0b\n",
            "é 1\n".as_bytes(),
            b"<html>\n",
        ],
    );
    check_kind(
        LineErrorKind::Number,
        &[b"a-b 1\n", b"a.b 1\n", b"a b=\"c\"} 1\n", b"a} 1\n"],
    );
}

/// With each name compared with each other one, these lines would keep the test for hours.
#[test]
fn a_line_with_very_many_labels_takes_no_longer_than_many_lines() {
    let labels: String = (0..300_000).map(|n| format!("l{n}=\"1\",")).collect();
    let absent: String = (0..300_000).map(|n| format!("m{n}=\"\",")).collect();
    let line = format!("a{{{labels}{absent}}} 1\n");
    assert_eq!(parse_text(line.as_bytes()).unwrap().samples(), 1);
    let open_metrics = format!("a{{{labels}z=\"1\"}} 1\n# EOF\n");
    let exposition = parse_as(Format::OpenMetrics, open_metrics.as_bytes());
    assert_eq!(exposition.unwrap().samples(), 1);
    for repeated in ["l0", "l63", "l64", "l299999"] {
        let line = format!("a{{{labels}{repeated}=\"2\"}} 1\n");
        let error = parse_text(line.as_bytes()).unwrap_err();
        assert_eq!(error.kind, LineErrorKind::UniqueLabelName, "{repeated}");
    }
}

/// With each line compared with each other one, these bodies would keep the test for hours.
#[test]
fn a_line_that_comes_very_often_takes_no_longer_than_other_lines() {
    let metadata = "# HELP a b\n# TYPE a gauge\n".repeat(300_000);
    assert_eq!(parse_text(metadata.as_bytes()).unwrap().samples(), 0);
    // The second spelling is not that of the first sample of the series.
    let samples = "a{b=\"c\"} 1\na {b=\"c\"} 1\n".repeat(300_000);
    let exposition = parse_text(samples.as_bytes()).unwrap();
    assert_eq!(exposition.duplicates_dropped(), 599_999);
}

/// With each new name compared with each label, this line would take 300 million comparisons.
#[test]
fn a_label_that_clashes_with_a_chain_of_renamed_ones_takes_no_longer_than_many_lines() {
    let chain = |length: usize| format!("{}i", "exported_".repeat(length));
    let renamed: String = (0..1000)
        .map(|n| format!("{}=\"{n}\",", chain(n)))
        .collect();
    let others: String = (0..300_000).map(|n| format!("l{n}=\"1\",")).collect();
    let line = format!("a{{{renamed}{others}}} 1\n");
    let text = samples_of(parse_text(line.as_bytes()).unwrap());
    let expected = format!("a{{{}=\"0\",{}=\"1\",", chain(1000), chain(1));
    assert!(text.starts_with(&expected), "{}", &text[..100]);
}
