//! What scrapers send as `Accept`, and what the pods are asked for then. README: "Formats";
//! k8s/prometheus/README.md: "Formats".

mod responses;

use kubernetes_metrics_aggregator::exposition::{
    Accept, Asked, Escaping, Exposition, Format, IdentityLabels, SeriesCache, merge,
};

use crate::support::merged::{part, text};

/// What pods are asked for a scraper that says nothing about formats that can be merged.
const TEXT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
/// The same, as the type of the response.
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Prometheus 3 with its defaults.
const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// Prometheus 3 with `metric_name_escaping_scheme: underscores`.
const PROMETHEUS_3_LEGACY: &str = "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

#[track_caller]
fn check(header: &str, for_pods: &str, content_type: &str) {
    let accept = Accept::parse(header);
    assert_eq!(accept.for_pods(), for_pods);
    assert_eq!(accept.content_type(Format::Text), content_type);
    let again = Accept::parse(&accept.for_pods());
    assert_eq!(again.for_pods(), for_pods, "what is written can be read");
}

#[test]
fn prometheus_3_gets_openmetrics_and_utf8_names() {
    check(
        PROMETHEUS_3,
        PROMETHEUS_3,
        "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    );
    let accept = Accept::parse(PROMETHEUS_3);
    assert_eq!(accept.escaping(Format::Text), Escaping::AllowUtf8);
    assert_eq!(accept.escaping(Format::OpenMetrics), Escaping::AllowUtf8);
}

/// As Prometheus 3 asks with one protocol in `scrape_protocols`: a pod that sends another one is not escaped.
#[test]
fn a_format_taken_by_a_wildcard_has_names_that_the_scraper_can_read() {
    for (header, other) in [
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5",
            Format::OpenMetrics,
        ),
        (
            "application/openmetrics-text;escaping=allow-utf-8,*/*;q=0.1",
            Format::Text,
        ),
    ] {
        assert_eq!(Accept::parse(header).escaping(other), Escaping::AllowUtf8);
    }
    let legacy = Accept::parse("application/openmetrics-text;escaping=dots,*/*;q=0.1");
    assert_eq!(legacy.escaping(Format::Text), Escaping::Dots);
    let silent = Accept::parse("application/openmetrics-text,*/*;q=0.1");
    assert_eq!(silent.escaping(Format::Text), Escaping::Underscores);
}

/// Pods get nothing that is copied from the header.
#[test]
fn a_wildcard_has_no_version() {
    check(
        "text/plain,*/*;version=\u{e4} x;q=0.5",
        "text/plain;q=1,*/*;q=0.5",
        TEXT_TYPE,
    );
}

#[test]
fn a_prometheus_with_legacy_names_gets_legacy_names() {
    check(PROMETHEUS_3_LEGACY, PROMETHEUS_3_LEGACY, TEXT_TYPE);
    let accept = Accept::parse(PROMETHEUS_3_LEGACY);
    assert_eq!(accept.escaping(Format::Text), Escaping::Underscores);
    assert_eq!(accept.escaping(Format::OpenMetrics), Escaping::Underscores);
}

#[test]
fn prometheus_2_gets_escaped_names() {
    let header = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    check(
        header,
        &header.replacen("1.0.0,", "1.0.0;q=1,", 1),
        TEXT_TYPE,
    );
    assert_eq!(
        Accept::parse(header).escaping(Format::OpenMetrics),
        Escaping::Underscores
    );
}

/// Native histograms: protobuf first, and it carries no `escaping`.
const PROTOBUF_FIRST: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
    application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
    text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
const PROTOBUF_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

#[test]
fn pods_are_asked_for_protobuf_only_if_the_scraper_names_it() {
    check(
        PROTOBUF_FIRST,
        PROTOBUF_FIRST,
        "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    );
    let accept = Accept::parse(PROTOBUF_FIRST);
    assert_eq!(accept.content_type(Format::Protobuf), PROTOBUF_TYPE);
    assert!(accept.takes(Format::Protobuf));
    // The escaping that the other formats name holds for this one too.
    assert_eq!(accept.escaping(Format::Protobuf), Escaping::AllowUtf8);
    let underscores = PROTOBUF_FIRST.replace("allow-utf-8", "underscores");
    let accept = Accept::parse(&underscores);
    assert_eq!(accept.escaping(Format::Protobuf), Escaping::Underscores);
    let alone = "application/vnd.google.protobuf; Proto=io.prometheus.client.MetricFamily ;encoding=\"delimited\"; \
        escaping=dots";
    let accept = Accept::parse(alone);
    assert_eq!(
        accept.content_type(Format::Protobuf),
        format!("{PROTOBUF_TYPE}; escaping=dots")
    );
}

/// The same header is sent for native histograms and for start timestamps.
#[test]
fn a_scraper_of_protobuf_and_openmetrics_may_read_start_timestamps() {
    let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (header, may_read) in [
        (PROTOBUF_FIRST, true),
        (PROMETHEUS_3, false),
        (telegraf, false),
        ("*/*", false),
        ("", false),
    ] {
        assert_eq!(
            Accept::parse(header).may_read_start_timestamps(),
            may_read,
            "{header}"
        );
    }
}

/// Messages and encodings that are not merged, and `*/*`, which many scrapers send that cannot read protobuf.
#[test]
fn other_kinds_of_protobuf_are_not_asked_for() {
    let protobuf = "application/vnd.google.protobuf";
    let message = "proto=io.prometheus.client.MetricFamily";
    for range in [
        format!("{protobuf};{message};encoding=compact-text"),
        format!("{protobuf};{message}"),
        format!("{protobuf};encoding=delimited"),
        format!("{protobuf};proto=io.prometheus.write.v2.Request;encoding=delimited"),
        format!("{protobuf};{message};encoding=delimited;q=0"),
        protobuf.to_owned(),
    ] {
        let header = format!("{range},text/plain;version=0.0.4;q=0.3,*/*;q=0.1");
        let rest = "text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        check(&header, rest, TEXT_TYPE);
        assert!(!Accept::parse(&header).takes(Format::Protobuf), "{range}");
        check(&range, TEXT, TEXT_TYPE);
    }
    for header in ["*/*", "", PROMETHEUS_3] {
        assert!(!Accept::parse(header).takes(Format::Protobuf), "{header}");
    }
}

#[test]
fn pods_of_a_text_scraper_are_asked_for_text() {
    // vmagent
    check(TEXT, TEXT, TEXT_TYPE);
    // Datadog
    check("text/plain", "text/plain;q=1", TEXT_TYPE);
    // curl, a browser, nothing at all
    check("*/*", TEXT, TEXT_TYPE);
    check(
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        TEXT,
        TEXT_TYPE,
    );
    check("", TEXT, TEXT_TYPE);
    assert_eq!(
        Accept::parse("").escaping(Format::Text),
        Escaping::AllowUtf8
    );
}

/// Python's client takes the first range that it knows, and would respond with 2.0.0, whatever its weight.
#[test]
fn formats_that_cannot_be_merged_are_not_asked_for() {
    check(
        "application/openmetrics-text;version=2.0.0,application/openmetrics-text; version=1.0.0;q=0.5,\
        application/json,text/plain;version=secret;q=0.4,text/plain;q=0,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
        TEXT_TYPE,
    );
    check("application/json", TEXT, TEXT_TYPE);
}

#[test]
fn an_odd_spelling_is_understood() {
    check(
        " TEXT/Plain ; Version = \"0.0.4\" ;charset=\"a,b;c\\\"d\"; Q=0.25 , , */* ;q=.1;;",
        "text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
        TEXT_TYPE,
    );
    for (weight, written) in [
        ("1.000", "1"),
        ("7", "1"),
        ("many", "1"),
        ("0.1239", "0.123"),
        ("0.020", "0.02"),
    ] {
        let accept = Accept::parse(&format!("text/plain;q={weight}"));
        assert_eq!(accept.for_pods(), format!("text/plain;q={written}"));
    }
    // The range of a format with the highest weight counts, the first one of equals.
    let two = "text/plain;escaping=dots;q=0.5,text/plain;escaping=values;q=0.5,text/plain;q=0.1";
    assert_eq!(Accept::parse(two).escaping(Format::Text), Escaping::Dots);
}

#[test]
fn the_spelling_of_the_documentation_counts_as_that_of_the_code() {
    let header = "text/plain;version=1.0.0;escaping=allow-utf8";
    assert_eq!(
        Accept::parse(header).for_pods(),
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=1"
    );
}

/// So nothing in a header can break the requests to the pods.
#[test]
fn the_header_for_pods_is_bounded_and_never_copied() {
    let many = vec!["text/plain;version=0.0.4"; 10_000].join(",");
    assert!(Accept::parse(&many).for_pods().len() < 1000);
    let version = format!("text/plain;version={}", "1.".repeat(20_000));
    assert_eq!(Accept::parse(&version).for_pods(), TEXT);
    let injected = "text/plain;version=0.0.4\r\nX-Evil: 1;escaping=\r\nx";
    assert_eq!(Accept::parse(injected).for_pods(), TEXT);
}

/// Without the series that report on the target.
fn merged(labels: &IdentityLabels, exposition: Exposition) -> String {
    let text = text(&merge(
        vec![part(labels.clone(), Some(exposition))],
        Format::Text,
    ));
    let (own, _) = text.split_once("# HELP scrape_duration_seconds").unwrap();
    own.to_owned()
}

/// What is stored of a body of a pod that ignores the escaping that it was asked for.
fn series(accept: &str, body: &str) -> Result<String, String> {
    let labels = IdentityLabels::new([("instance", "a")]);
    let asked = Asked {
        accept: Accept::parse(accept),
        ..Asked::default()
    };
    let cache = SeriesCache::new(asked, u64::MAX, 1);
    // Twice: the second body is read with what is known from the first.
    let texts = [(); 2].map(|()| {
        let exposition = cache.parse(Format::Text, body.as_bytes(), &labels);
        exposition.map(|exposition| merged(&labels, exposition))
    });
    let [first, second] = texts;
    assert_eq!(first, second);
    first.map_err(|error| error.to_string())
}

#[test]
fn names_are_escaped_for_a_scraper_that_cannot_read_them() {
    let body = "# HELP \"http.requests\" All.\n# TYPE \"http.requests\" counter\n\
        {\"http.requests\",\"net.host\"=\"b\"} 1\n";
    let as_it_is = "# HELP \"http.requests\" All.\n# TYPE \"http.requests\" counter\n\
        {\"http.requests\",\"net.host\"=\"b\",instance=\"a\"} 1\n";
    let underscores = "# HELP http_requests All.\n# TYPE http_requests counter\n\
        http_requests{net_host=\"b\",instance=\"a\"} 1\n";
    assert_eq!(series(PROMETHEUS_3, body).unwrap(), as_it_is);
    assert_eq!(series("", body).unwrap(), as_it_is);
    assert_eq!(series(PROMETHEUS_3_LEGACY, body).unwrap(), underscores);
    assert_eq!(series(TEXT, body).unwrap(), underscores);
}

/// Such a label set would fail the scrape of all pods.
#[test]
fn labels_that_become_one_by_escaping_fail_their_pod() {
    let body = "a{\"b.c\"=\"1\",b_c=\"2\"} 1\n";
    assert!(series(PROMETHEUS_3, body).is_ok());
    let error = series(PROMETHEUS_3_LEGACY, body).unwrap_err();
    assert!(
        error.starts_with("line 1: expected every label name once"),
        "{error}"
    );
}

/// Two names that become one are one series, of which the first sample stays.
#[test]
fn series_that_become_one_by_escaping_are_duplicates() {
    let body = "{\"a.b\"} 1\na_b 2\n";
    let text = series(PROMETHEUS_3_LEGACY, body).unwrap();
    assert_eq!(text, "# TYPE a_b untyped\na_b{instance=\"a\"} 1\n");
}

#[test]
fn the_response_has_the_received_format_that_the_scraper_prefers() {
    use Format::{OpenMetrics, Protobuf, Text};
    let protobuf_last = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4,\
        application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.3";
    let protobuf_only = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    for (accept, came, best) in [
        (PROMETHEUS_3, vec![Text, OpenMetrics, Text], OpenMetrics),
        (PROMETHEUS_3, vec![Text], Text),
        (PROMETHEUS_3, vec![], Text),
        ("", vec![Text, OpenMetrics], Text),
        // A scraper that accepts anything gets what came.
        ("*/*", vec![OpenMetrics], OpenMetrics),
        ("text/plain", vec![OpenMetrics], Text),
        (
            "text/plain;q=0.5,application/openmetrics-text;q=0.5",
            vec![OpenMetrics, Text],
            Text,
        ),
        (
            "application/openmetrics-text;q=0.5,text/plain;q=0.5",
            vec![Text, OpenMetrics],
            OpenMetrics,
        ),
        (PROTOBUF_FIRST, vec![Text, Protobuf, OpenMetrics], Protobuf),
        (PROTOBUF_FIRST, vec![Text, OpenMetrics], OpenMetrics),
        (PROTOBUF_FIRST, vec![Text], Text),
        (PROTOBUF_FIRST, vec![], Text),
        // It cannot be converted to what is ranked higher.
        (protobuf_last, vec![OpenMetrics, Protobuf], Protobuf),
        (protobuf_last, vec![OpenMetrics, Text], OpenMetrics),
        // No format that came is accepted: bodies are converted to one that is.
        ("application/openmetrics-text", vec![Text], OpenMetrics),
        (protobuf_only, vec![Text, OpenMetrics], Protobuf),
        (protobuf_only, vec![], Protobuf),
    ] {
        assert_eq!(
            Accept::parse(accept).best(came.clone()),
            best,
            "{accept} {came:?}"
        );
    }
}
