//! One body: what its samples become with the labels of the target, and what an error says.
//! README: "What is stored". `exposition/lines.rs` specifies the valid lines of the text format, and
//! `exposition/openmetrics.rs` those of OpenMetrics.
//!
//! Unless a row says otherwise, Prometheus 3.5.3 decided what is valid and which series it means: it scraped the body,
//! and its `up`, its `scrape_samples_scraped` and the series it stored were read. Its rules are in
//! `model/textparse/promlex.l`, `promparse.go` and `scrape/scrape.go`.

use kubernetes_metrics_aggregator::exposition::{
    ContentTypeError, Exposition, Format, IdentityLabels, LineError, LineErrorKind, merge, parse,
};

use crate::support::labelled::REPORTED;
use crate::support::merged::{part, text};

mod lines;
mod openmetrics;
mod openmetrics_metadata;
mod series_cache;

fn parse_as(format: Format, body: &[u8]) -> Result<Exposition, LineError> {
    parse(format, body, &IdentityLabels::new([("i", "1")]))
}

fn parse_text(body: &[u8]) -> Result<Exposition, LineError> {
    parse_as(Format::Text, body)
}

/// The whole response for one target with the identity label `i="1"`.
fn merged_text(exposition: Exposition) -> String {
    let part = part(IdentityLabels::new([("i", "1")]), Some(exposition));
    text(&merge(vec![part], Format::Text))
}

/// The sample lines of a body with the identity label `i="1"`, without HELP, TYPE and the reported series.
fn samples_of(exposition: Exposition) -> String {
    let reported = REPORTED.map(|name| format!("{name}{{i=\"1\"}} "));
    let is_own = |line: &&str| {
        !line.starts_with("# ") && !reported.iter().any(|start| line.starts_with(start))
    };
    let text = merged_text(exposition);
    text.split_inclusive('\n').filter(is_own).collect()
}

/// The body is valid and means these samples, here written without the identity label.
#[track_caller]
fn check(body: &[u8], expected: &str) {
    check_as(Format::Text, body, expected);
}

#[track_caller]
fn check_as(format: Format, body: &[u8], expected: &str) {
    let exposition = parse_as(format, body)
        .unwrap_or_else(|error| panic!("{} is refused: {error}", body.escape_ascii()));
    let found = samples_of(exposition)
        .replace("{i=\"1\"}", "")
        .replace(",i=\"1\"}", "}");
    assert_eq!(found, expected, "{}", body.escape_ascii());
}

/// The body is refused, with this error and this number of scraped samples.
#[track_caller]
fn check_error(body: &[u8], expected: &str, samples_before: u64) {
    let error = parse_text(body).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.samples_before, samples_before, "{expected}");
}

/// All of these are refused with an error of this kind.
#[track_caller]
fn check_kind(kind: LineErrorKind, bodies: &[&[u8]]) {
    for body in bodies {
        check_kind_as(Format::Text, kind, body);
    }
}

#[track_caller]
fn check_kind_as(format: Format, kind: LineErrorKind, body: &[u8]) {
    match parse_as(format, body) {
        Err(error) => assert_eq!(error.kind, kind, "{}", body.escape_ascii()),
        Ok(_) => panic!("{} is taken", body.escape_ascii()),
    }
}

/// A pod's own label of the name of an identity label, here `i`: `resolveConflictingExposedLabels` in Prometheus.
#[test]
fn clashing_labels_are_exported() {
    check(b"a{i=\"x\"} 1\n", "a{exported_i=\"x\"} 1\n");
    check(
        b"a{b=\"c\",i=\"x\",d=\"e\"} 1\n",
        "a{b=\"c\",exported_i=\"x\",d=\"e\"} 1\n",
    );
    check(b"a{\"i\"=\"x\"} 1\n", "a{exported_i=\"x\"} 1\n");
    check(b"a{exported_i=\"x\"} 1\n", "a{exported_i=\"x\"} 1\n");
    check(
        b"a{i=\"x\",exported_i=\"y\"} 1\n",
        "a{exported_exported_i=\"x\",exported_i=\"y\"} 1\n",
    );
    // Without a value a label does not exist, so nothing clashes and the name is free.
    check(b"a{i=\"\"} 1\n", "a 1\n");
    check(b"a{i=\"x\",exported_i=\"\"} 1\n", "a{exported_i=\"x\"} 1\n");
}

#[test]
fn a_series_sent_twice_is_kept_once() {
    #[track_caller]
    fn check_dropped(body: &str, expected: &str, dropped: u64) {
        let exposition = parse_text(body.as_bytes()).unwrap();
        assert_eq!(exposition.samples(), body.lines().count() as u64);
        assert_eq!(exposition.duplicates_dropped(), dropped, "{body}");
        check(body.as_bytes(), expected);
    }
    check_dropped("a 1\na 2\n", "a 1\n", 1);
    check_dropped("a 1\nb 1\na 2\n", "a 1\nb 1\n", 1);
    check_dropped("a{} 1\n{\"a\"} 2\na{b=\"\"} 3\n", "a 1\n", 2);
    check_dropped(
        "a{b=\"c\",d=\"e\"} 1\na{d=\"e\",b=\"c\"} 2\n",
        "a{b=\"c\",d=\"e\"} 1\n",
        1,
    );
    check_dropped(
        "a{b=\"\\\\t\"} 1\na{b=\"\\t\"} 2\n",
        "a{b=\"\\\\t\"} 1\n",
        1,
    );
    check_dropped(
        "a{i=\"x\"} 1\na{exported_i=\"x\"} 2\n",
        "a{exported_i=\"x\"} 1\n",
        1,
    );
    check_dropped("a 1 5\na 2 05\n", "a 1 5\n", 1);
    // Other timestamps, other samples.
    check_dropped(
        "a 1 5\na 2 6\na 3 4\na 4\n",
        "a 1 5\na 2 6\na 3 4\na 4\n",
        0,
    );
    check_dropped(
        "a{b=\"c\"} 1\na{b=\"d\"} 1\na{c=\"c\"} 1\n",
        "a{b=\"c\"} 1\na{b=\"d\"} 1\na{c=\"c\"} 1\n",
        0,
    );
}

/// More series than the table has room for at first, half of them twice.
#[test]
fn thousands_of_series_are_told_apart() {
    let line = |n: u32| format!("a{{n=\"{n}\"}} 1\n");
    let once: String = (0..5000).map(line).collect();
    let again: String = (2500..7500).map(line).collect();
    let exposition = parse_text((once + &again).as_bytes()).unwrap();
    assert_eq!(exposition.samples(), 10_000);
    assert_eq!(exposition.duplicates_dropped(), 2500);
    assert_eq!(samples_of(exposition).lines().count(), 7500);
}

#[test]
fn a_reported_series_of_the_pod_is_dropped() {
    check(
        b"up 5\nscrape_samples_scraped 6 7\nscrape_duration_seconds{x=\"\"} 1\n",
        "",
    );
    check(
        b"up{a=\"b\"} 5\nup{i=\"2\"} 6\n",
        "up{a=\"b\"} 5\nup{exported_i=\"2\"} 6\n",
    );
}

/// After a TYPE line, Prometheus also rewrites `le` and `quantile` of samples that do not belong to it. The merged text
/// has them elsewhere, so the stored values are written.
#[test]
fn bounds_under_the_type_of_another_family_are_written_as_stored() {
    check(b"# TYPE h histogram\nx{le=\"1\"} 1\n", "x{le=\"1.0\"} 1\n");
    check(
        b"# TYPE h histogram\n# HELP x y\nx{b=\"c\",le=\"1e6\"} 1\n",
        "x{b=\"c\",le=\"1e+06\"} 1\n",
    );
    check(
        b"# TYPE h histogram\nx{le=\"many\"} 1\n",
        "x{le=\"many\"} 1\n",
    );
    check(
        b"# TYPE h histogram\nx{quantile=\"1\"} 1\n",
        "x{quantile=\"1\"} 1\n",
    );
    check(
        b"# TYPE s summary\nx{quantile=\"0.50\"} 1\n",
        "x{quantile=\"0.5\"} 1\n",
    );
    check(
        b"# TYPE s summary\ns_bucket{quantile=\"1\"} 1\n",
        "s_bucket{quantile=\"1.0\"} 1\n",
    );
    check(
        b"# TYPE \"\" histogram\n_bucket{le=\"1\"} 1\n",
        "_bucket{le=\"1.0\"} 1\n",
    );
    // In its own family, and under a later TYPE line, it is left to Prometheus.
    check(
        b"# TYPE h histogram\nh_bucket{le=\"1\"} 1\n",
        "h_bucket{le=\"1\"} 1\n",
    );
    check(
        b"# TYPE h histogram\n# TYPE x gauge\nx{le=\"1\"} 1\n",
        "x{le=\"1\"} 1\n",
    );
}

#[test]
fn an_error_has_line_expectation_and_excerpt() {
    check_error(
        b"a 1\nfoo{a=\"b\"} abc\n",
        "line 2: expected a number as value, found \"abc\" in \"foo{a=\\\"b\\\"} abc\"",
        1,
    );
    check_error(
        b"a\n",
        "line 1: expected a value, found the end of the line in \"a\"",
        0,
    );
    check_error(
        b"# TYPE a x\n",
        "line 1: expected counter, gauge, histogram, summary or untyped as type, found \"x\" in \"# TYPE a x\"",
        0,
    );
    // Lines are counted where a value goes over several.
    check_error(
        b"a{b=\"x\n\"} 1\nb \xff\n",
        "line 3: expected a number as value, found \"\\xff\" in \"b \\xff\"",
        1,
    );
    // A well-formed line with wrong names counts as scraped.
    check_error(
        b"a 1\na{b=\"c\",b=\"d\"} 2\n",
        "line 2: expected every label name once, found \"a{b=\\\"c\\\",b=\\\"d\\\"}\" \
         in \"a{b=\\\"c\\\",b=\\\"d\\\"} 2\"",
        2,
    );
}

#[test]
fn an_excerpt_is_short_wherever_the_fault_is() {
    for before in [0, 50, 100, 1000] {
        let body = format!("a{{b=\"{}\"}} {}\n", "x".repeat(before), "é".repeat(1000));
        let error = parse_text(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind, LineErrorKind::Number);
        assert!(error.excerpt.len() <= 80, "{error}");
        assert!(error.excerpt.contains("\\xc3\\xa9"), "{error}");
        assert!(error.to_string().is_ascii(), "{error}");
    }
}

#[test]
fn a_content_type_means_a_format_or_an_error() {
    let check = |value: &str, expected: Result<Format, fn(String) -> ContentTypeError>| {
        let expected = expected.map_err(|error| error(value.to_owned()));
        assert_eq!(Format::from_content_type(Some(value)), expected, "{value}");
    };
    // The second of the two departures from Prometheus.
    assert_eq!(Format::from_content_type(None), Ok(Format::Text));
    for value in [
        "text/plain",
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        " TEXT/Plain ;charset=\"utf-8\"",
        "text/plain;",
        "text/plain; version=1; version=1",
    ] {
        check(value, Ok(Format::Text));
    }
    check(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Ok(Format::OpenMetrics),
    );
    for value in [
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        "application/vnd.google.protobuf; Encoding=\"delimited\"; x=y",
        "application/vnd.google.protobuf",
    ] {
        check(value, Ok(Format::Protobuf));
    }
    for value in [
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
        "application/vnd.google.protobuf; proto=io.prometheus.write.v2.Request",
    ] {
        check(value, Err(ContentTypeError::Encoding));
    }
    for value in ["text/html", "application/json", "text/plain2", "text"] {
        check(value, Err(ContentTypeError::Unsupported));
    }
    for value in [
        "",
        "text/",
        "/plain",
        "text/plain; version",
        "text/plain version=1",
        "text/plain; a=\"",
        "text/plain; a=1; a=2",
    ] {
        check(value, Err(ContentTypeError::Malformed));
    }
}
