//! Many bodies in one text. README: "What is stored"; k8s/prometheus/README.md: "The merged response".
use std::io::Read;
use std::time::Duration;

use kubernetes_metrics_aggregator::exposition::{
    Format, IdentityLabels, Merged, TargetResult, merge, parse,
};

use crate::support::merged::{self, own_blocks, text};

mod asked;
mod both_ways;
mod conversions;
mod misplaced;
mod open_metrics;
mod open_metrics_only;
mod types;

/// The target with the identity label `i="<number>"`; `None` for a scrape that failed.
fn part(format: Format, number: usize, body: Option<&str>) -> TargetResult {
    let labels = IdentityLabels::new([("i", &*number.to_string())]);
    let body = body.map(|body| parse(format, body.as_bytes(), &labels).unwrap());
    merged::part(labels, body)
}

fn merge_bodies(bodies: &[&str]) -> Merged {
    let bodies = bodies.iter().enumerate();
    let parts = bodies.map(|(number, body)| part(Format::Text, number, Some(body)));
    merge(parts.collect(), Format::Text)
}

/// The families of the bodies, merged in this order, as they are written.
#[track_caller]
fn check(bodies: &[&str], expected: &[&str]) {
    let found = own_blocks(&text(&merge_bodies(bodies)));
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{found}");
}

#[test]
fn families_are_in_name_order_each_in_one_block() {
    check(
        &[
            "# TYPE b gauge\nb 1\n# TYPE a counter\n# HELP a x\na 2\n",
            "a 3\nc 4\nb 5\n",
        ],
        &[
            "# HELP a x",
            "# TYPE a counter",
            "a{i=\"0\"} 2",
            "a{i=\"1\"} 3",
            "# TYPE b gauge",
            "b{i=\"0\"} 1",
            "b{i=\"1\"} 5",
            "# TYPE c untyped",
            "c{i=\"1\"} 4",
        ],
    );
}

#[test]
fn samples_keep_the_order_of_their_body() {
    check(
        &["a{n=\"2\"} 1\nb 1\na{n=\"1\"} 1\nb{x=\"y\"} 1\na{n=\"3\"} 1\n"],
        &[
            "# TYPE a untyped",
            "a{n=\"2\",i=\"0\"} 1",
            "a{n=\"1\",i=\"0\"} 1",
            "a{n=\"3\",i=\"0\"} 1",
            "# TYPE b untyped",
            "b{i=\"0\"} 1",
            "b{x=\"y\",i=\"0\"} 1",
        ],
    );
}

#[test]
fn parts_of_a_histogram_or_summary_are_in_its_block() {
    check(
        &[
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\nh_count_total 5\n\
             h_bucket{le=\"+Inf\",a=\"b\"} 1\n",
        ],
        &[
            "# TYPE h histogram",
            "h_bucket{le=\"+Inf\",i=\"0\"} 1",
            "h_sum{i=\"0\"} 2",
            "h_count{i=\"0\"} 1",
            "h_bucket{le=\"+Inf\",a=\"b\",i=\"0\"} 1",
            "# TYPE h_count_total untyped",
            "h_count_total{i=\"0\"} 5",
        ],
    );
    check(
        &["# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_bucket 3\n"],
        &[
            "# TYPE s summary",
            "s{quantile=\"0.5\",i=\"0\"} 1",
            "s_sum{i=\"0\"} 2",
            "# TYPE s_bucket untyped",
            "s_bucket{i=\"0\"} 3",
        ],
    );
}

#[test]
fn a_part_may_have_a_type_line_of_its_own() {
    check(
        &["# TYPE h_sum counter\n# TYPE h histogram\nh_sum{a=\"b\"} 2\n"],
        &["# TYPE h histogram", "h_sum{a=\"b\",i=\"0\"} 2"],
    );
    // A histogram is no part of another one: it may have parts of its own. Found by the fuzzer.
    check(
        &["# TYPE h histogram\nh_count 3\n# TYPE h_sum histogram\nh_sum 1\nh_sum_count 2\n"],
        &[
            "# TYPE h histogram",
            "h_count{i=\"0\"} 3",
            "# TYPE h_sum histogram",
            "h_sum{i=\"0\"} 1",
            "h_sum_count{i=\"0\"} 2",
        ],
    );
    // A counter has no parts.
    check(
        &["# TYPE c counter\nc_sum 1\n"],
        &[
            "# TYPE c counter",
            "# TYPE c_sum untyped",
            "c_sum{i=\"0\"} 1",
        ],
    );
}

#[test]
fn an_untyped_sample_joins_the_family_that_another_target_typed() {
    check(
        &[
            "c{a=\"b\"} 1\nc 2\n",
            "# HELP c x\n# TYPE c counter\nc 3\n",
            "# TYPE z gauge\nc 4\n",
        ],
        &[
            "# HELP c x",
            "# TYPE c counter",
            "c{a=\"b\",i=\"0\"} 1",
            "c{i=\"0\"} 2",
            "c{i=\"1\"} 3",
            "c{i=\"2\"} 4",
            "# TYPE z gauge",
        ],
    );
}

#[test]
fn types_that_differ_become_untyped_and_are_counted() {
    #[track_caller]
    fn check_type(types: &[&str], expected: &str, conflicts: u64) {
        let bodies: Vec<String> = types
            .iter()
            .map(|word| format!("# TYPE a {word}\n"))
            .collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let merged = merge_bodies(&bodies);
        assert_eq!(
            own_blocks(&text(&merged)),
            format!("# TYPE a {expected}\n"),
            "{types:?}"
        );
        assert_eq!(merged.conflicts(), (0, conflicts), "{types:?}");
    }
    check_type(&["counter", "counter"], "counter", 0);
    check_type(&["counter", "gauge"], "untyped", 1);
    check_type(&["counter", "gauge", "counter"], "untyped", 1);
    check_type(&["untyped", "counter"], "untyped", 1);
    check_type(&["counter", "histogram", "gauge"], "untyped", 1);
    check_type(&["summary", "gauge"], "untyped", 1);
    check_type(&["summary", "histogram"], "untyped", 1);
    // Within one body.
    check(&["# TYPE a counter\n# TYPE a gauge\n"], &["# TYPE a gauge"]);
    check(
        &["# TYPE a summary\n# TYPE a gauge\n"],
        &["# TYPE a untyped"],
    );
}

#[test]
fn of_helps_that_differ_the_first_is_written() {
    let merged = merge_bodies(&[
        "# HELP b \na 1\n",
        "# HELP a x\\n\\\\ \"y\n# HELP b z\n",
        "# HELP a w\n",
    ]);
    assert_eq!(merged.conflicts(), (1, 0));
    assert_eq!(
        own_blocks(&text(&merged)),
        "# HELP a x\\n\\\\ \"y\n# TYPE a untyped\na{i=\"0\"} 1\n# HELP b z\n# TYPE b untyped\n"
    );
    // The last one of a body, and with blanks at both ends.
    check(
        &["# HELP a x\n# HELP a   y \n"],
        &["# HELP a   y ", "# TYPE a untyped"],
    );
}

#[test]
fn names_that_need_quotes_have_them_in_help_and_type() {
    check(
        &[
            "# TYPE \"a.b\" counter\n# HELP \"a.b\" x\n{\"a.b\",c=\"d\"} 1\n",
            "# TYPE \"a\" gauge\n",
        ],
        &[
            "# TYPE a gauge",
            "# HELP \"a.b\" x",
            "# TYPE \"a.b\" counter",
            "{\"a.b\",c=\"d\",i=\"0\"} 1",
        ],
    );
}

/// The families of one body with these identity labels.
fn merged_with(labels: IdentityLabels, body: &[u8]) -> String {
    let body = parse(Format::Text, body, &labels).unwrap();
    let part = merged::part(labels, Some(body));
    own_blocks(&text(&merge(vec![part], Format::Text)))
}

#[test]
fn identity_labels_come_after_those_of_the_pod() {
    #[track_caller]
    fn check_labels(labels: &[(&str, &str)], expected: &str) {
        let labels = IdentityLabels::new(labels.iter().copied());
        let body = b"a 1\na{b=\"c\"} 1\n{\"a.b\"} 1\n";
        assert_eq!(merged_with(labels, body), expected);
    }
    check_labels(
        &[("instance", "p"), ("pod-ip", "::1")],
        "# TYPE a untyped\na{instance=\"p\",\"pod-ip\"=\"::1\"} 1\na{b=\"c\",instance=\"p\",\"pod-ip\"=\"::1\"} 1\n\
         # TYPE \"a.b\" untyped\n{\"a.b\",instance=\"p\",\"pod-ip\"=\"::1\"} 1\n",
    );
    check_labels(
        &[("x", "a\\b\"c\nd"), ("y", "")],
        "# TYPE a untyped\na{x=\"a\\\\b\\\"c\\nd\"} 1\na{b=\"c\",x=\"a\\\\b\\\"c\\nd\"} 1\n\
         # TYPE \"a.b\" untyped\n{\"a.b\",x=\"a\\\\b\\\"c\\nd\"} 1\n",
    );
    check_labels(
        &[],
        "# TYPE a untyped\na 1\na{b=\"c\"} 1\n# TYPE \"a.b\" untyped\n{\"a.b\"} 1\n",
    );
}

/// Shorter names first: `job` gets `exported_job` before `exported_job` is renamed itself.
#[test]
fn labels_that_clash_are_exported_shorter_names_first() {
    let labels = IdentityLabels::new([("job", "j"), ("exported_job", "k"), ("pod-ip", "1")]);
    let body = b"a{exported_job=\"x\",job=\"y\",\"pod-ip\"=\"z\"} 1\n";
    assert_eq!(
        merged_with(labels, body),
        "# TYPE a untyped\na{exported_exported_exported_job=\"x\",exported_exported_job=\"y\",\
         \"exported_pod-ip\"=\"z\",job=\"j\",exported_job=\"k\",\"pod-ip\"=\"1\"} 1\n"
    );
}

#[test]
fn each_target_has_up_duration_and_samples() {
    let merged = merge(
        vec![
            part(
                Format::Text,
                0,
                Some("up{a=\"b\"} 5\nup 6\n# HELP up mine\n"),
            ),
            part(Format::Text, 1, None),
            part(Format::Text, 2, Some("up{c=\"d\"} 7\n")),
        ],
        Format::Text,
    );
    assert_eq!(
        text(&merged),
        "# HELP scrape_duration_seconds How long the last scrape of the target took.\n\
         # TYPE scrape_duration_seconds untyped\n\
         scrape_duration_seconds{i=\"0\"} 1.5\n\
         scrape_duration_seconds{i=\"1\"} 1.5\n\
         scrape_duration_seconds{i=\"2\"} 1.5\n\
         # HELP scrape_samples_scraped Number of samples in the last scrape of the target.\n\
         # TYPE scrape_samples_scraped untyped\n\
         scrape_samples_scraped{i=\"0\"} 2\n\
         scrape_samples_scraped{i=\"1\"} 0\n\
         scrape_samples_scraped{i=\"2\"} 1\n\
         # HELP up Whether the last scrape of the target succeeded (1) or failed (0).\n\
         # TYPE up untyped\n\
         up{i=\"0\"} 1\n\
         up{a=\"b\",i=\"0\"} 5\n\
         up{i=\"1\"} 0\n\
         up{i=\"2\"} 1\n\
         up{c=\"d\",i=\"2\"} 7\n"
    );
    assert_eq!(merged.conflicts().0, 1);
}

#[test]
fn durations_are_plain_decimal_numbers() {
    #[track_caller]
    fn check_duration(duration: Duration, expected: &str) {
        let mut part = part(Format::Text, 0, None);
        part.report.duration = duration;
        let text = text(&merge(vec![part], Format::Text));
        let line = text
            .lines()
            .find(|line| line.starts_with("scrape_duration_seconds{"))
            .unwrap();
        assert_eq!(
            line,
            format!("scrape_duration_seconds{{i=\"0\"}} {expected}")
        );
    }
    check_duration(Duration::ZERO, "0");
    check_duration(Duration::from_secs(100), "100");
    check_duration(Duration::from_nanos(1), "0.000000001");
    check_duration(Duration::from_micros(1_234_500), "1.2345");
}

#[test]
fn a_merge_of_no_targets_is_empty() {
    let merged = merge(Vec::new(), Format::Text);
    assert!(merged.is_empty());
    assert!(text(&merged).is_empty());
}

#[test]
fn what_is_read_in_pieces_is_what_is_written() {
    let bodies: Vec<String> = (0..20)
        .map(|n| (0..50).map(|m| format!("a{} {n}\n", m * n % 70)).collect())
        .collect();
    let merge_all = || merge_bodies(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let whole = text(&merge_all());
    assert_eq!(merge_all().len(), whole.len());
    for buffer_size in [1, 7, 4096, 1 << 20] {
        let mut reader = merge_all().into_reader();
        let mut read = Vec::new();
        let mut buffer = vec![0; buffer_size];
        loop {
            let length = reader.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            // Every call fills the buffer, except the last.
            assert!(length == buffer_size || read.len() + length == whole.len());
            read.extend_from_slice(&buffer[..length]);
        }
        assert_eq!(read, whole.as_bytes());
    }
}
