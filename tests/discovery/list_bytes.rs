//! Pod lists as bytes: in any layout, in reads of any size, cut off anywhere, and malformed. README: "When something
//! fails" (a partial list is never used).

use std::io::{self, Read};
use std::sync::Arc;

use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::kubernetes::pod_list::read_pod_list;
use kubernetes_metrics_aggregator::target::Target;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::support::fake_api;

/// Returns at most so many bytes for each read.
struct SlowReader<'a>(&'a [u8], usize);

impl Read for SlowReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.1.min(buffer.len());
        self.0.read(&mut buffer[..bytes])
    }
}

fn read_in_pieces(
    list: impl AsRef<[u8]>,
    bytes: usize,
) -> Result<Vec<Arc<Target>>, serde_json::Error> {
    let mut targets = Vec::new();
    read_pod_list(SlowReader(list.as_ref(), bytes), &mut targets)?;
    Ok(targets)
}

fn read(list: impl AsRef<[u8]>) -> Result<Vec<Arc<Target>>, serde_json::Error> {
    read_in_pieces(list, usize::MAX)
}

fn pod(name: &str) -> Value {
    fake_api::pod("ns", name, "a", "10.0.0.1")
}

fn pods(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| pod(name)).collect()
}

fn list_of(pods: &[Value]) -> String {
    json!({"kind": "PodList", "items": pods}).to_string()
}

/// The pods of the list by name, for reads of any size.
#[track_caller]
fn check(list: &str, expected: &[&str]) {
    for bytes in [1, 7, 1_000, usize::MAX] {
        let targets = read_in_pieces(list, bytes).unwrap();
        let names: Vec<&str> = targets.iter().map(|target| &*target.pod).collect();
        assert_eq!(names, expected, "{bytes} bytes at a time");
    }
}

#[test]
fn a_list_is_read_in_any_layout() {
    let compact = list_of(&pods(&["1", "2", "3"]));
    let value: Value = serde_json::from_str(&compact).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    for list in [
        &compact,
        &pretty,
        &pretty.replace('\n', "\r\n"),
        &pretty.replace("    },", "    }\n\t ,"),
        &compact.replace("PodList", "List"),
        &compact.replace("\"items\":", "\"items\" :\n "),
        // The same key with an escape, which no server writes.
        &compact.replace("\"items\":", "\"\\u0069tems\":"),
        // Text like the key within a string and another object.
        &compact.replacen(
            '{',
            r#"{"a":"\"items\":[","b":{"items":[{}]},"c":["\\"],"#,
            1,
        ),
    ] {
        check(list, &["1", "2", "3"]);
    }
}

#[test]
fn items_that_are_no_pods_are_skipped() {
    let mut items = pods(&["1", "2"]);
    items.insert(1, json!({"kind": "Service", "metadata": {"name": "s"}}));
    items.insert(2, Value::Null);
    items.insert(3, json!({}));
    check(&list_of(&items), &["1", "2"]);
    // A pod outside `items` is ignored.
    let [a, b] = ["1", "2"].map(|name| pod(name).to_string());
    let elsewhere = format!(r#"{{"x":[{a},{b}],"kind":"PodList","items":[{b}]}}"#);
    check(&elsewhere, &["2"]);
}

#[test]
fn pods_larger_than_the_read_buffer_are_read() {
    for (key, bytes) in [("a", 150_000), ("z", 150_000), ("a", 2_100_000)] {
        let mut large = pod("large");
        large[key] = json!("x\\\"}".repeat(bytes / 4));
        let list = list_of(&[pod("1"), large, pod("2")]);
        check(&list, &["1", "large", "2"]);
    }
}

/// As `kubectl` writes them: hundreds of lines for each pod, thousands of pods.
#[test]
fn bytes_inside_pods_do_not_count_as_bytes_besides_them() {
    let lines = "\n".repeat(5 * 1024 * 1024);
    let list = list_of(&pods(&["1", "2"])).replace("\"spec\":", &format!("\"spec\":{lines}"));
    let targets = read(list).unwrap();
    assert_eq!(targets.len(), 2);
}

#[test]
fn a_pod_or_other_text_over_8_mib_fails_the_list() {
    let mut large = pod("large");
    large["a"] = json!("x".repeat(9 * 1024 * 1024));
    let error = read(list_of(&[pod("1"), large])).unwrap_err();
    assert_eq!(error.to_string(), "a pod is larger than 8 MiB");
    let beside = "x".repeat(9 * 1024 * 1024);
    let error = read(format!("<html>{beside}")).unwrap_err();
    assert_eq!(error.to_string(), "more than 8 MiB besides the pods");
}

#[test]
fn a_list_that_breaks_off_anywhere_is_an_error() {
    let compact = list_of(&pods(&["1", "2", "3"]));
    let value: Value = serde_json::from_str(&compact).unwrap();
    for list in [compact, serde_json::to_string_pretty(&value).unwrap()] {
        for end in 0..list.len() {
            let error = read(&list[..end]).unwrap_err();
            assert!(error.is_eof(), "{end} bytes: {error}");
        }
        read(&list).unwrap();
    }
}

#[test]
fn malformed_lists_are_refused() {
    let [a, b] = ["1", "2"].map(|name| pod(name).to_string());
    let good = format!(r#"{{"kind":"PodList","items":[{a},{b}]}}"#);
    read(&good).unwrap();
    for bad in [
        format!(r#"{{"kind":"PodList","items":[{a} {b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a}{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},,{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b},]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b}}}]"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b}}}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{{{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[[{a}],{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},7]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},"{{"]}}"#),
        format!(r#"{{"kind":"PodList","items":{a}}}"#),
        format!(r#"{{"kind":"PodList","metadata":{a}7,"items":[{a},{b}]}}"#),
        format!(r#"{{"kind":"PodList","metadata":7,"items":[{a},{b}]}}"#),
        good.replacen("\"Running\"", "7", 1),
        good.replacen("\"10.0.0.1\"", "\"10.0.0.1", 1),
    ] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}

#[track_caller]
fn check_error(json: &str, expected: &str) {
    let error = read(json).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn an_error_says_what_was_expected() {
    check_error("", "EOF while parsing a value");
    check_error("<html>", "expected value at line 1 column 1");
    check_error("[]", "invalid type: sequence, expected a pod list");
    check_error("{}", "expected kind PodList or List");
    check_error(r#"{"kind":"Status"}"#, "expected kind PodList or List");
    check_error(r#"{"items":[]}"#, "expected kind PodList or List");
    check_error(r#"{"kind":"PodList"}"#, "missing field `items`");
    check_error(
        r#"{"kind":"PodList","items":{}}"#,
        "invalid type: map, expected an array of pods",
    );
    check_error(
        r#"{"kind":"PodList","items":[],"items":[]}"#,
        "duplicate field `items`",
    );
    check_error(
        r#"{"kind":"PodList","items":["x"]}"#,
        "invalid type: string \"x\", expected a pod",
    );
    check_error(
        r#"{"kind":"PodList","items":[{"metadata":{"labels":[]}}]}"#,
        "invalid type: sequence, expected a map",
    );
    check_error(r#"{"kind":"PodList","items":[]}{}"#, "trailing characters");
    check_error(
        "{\"kind\":\"PodList\",\"items\":[]}\0",
        "trailing characters",
    );
}

#[test]
fn errors_name_the_line_of_the_list() {
    let value: Value = serde_json::from_str(&list_of(&pods(&["1", "2", "3"]))).unwrap();
    let good = serde_json::to_string_pretty(&value).unwrap();
    let (begin, end) = good.rsplit_once("\"podIP\": ").unwrap();
    let bad = format!("{begin}\"podIP\": 7, {end}");
    let line = begin.lines().count();
    let error = read(&bad).unwrap_err();
    assert_eq!((error.line(), error.is_data()), (line, true), "{error}");
}

/// Fails once its bytes are read.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            bytes => Ok(bytes),
        }
    }
}

#[test]
fn a_connection_that_breaks_off_anywhere_is_an_io_error() {
    let list = list_of(&pods(&["1", "2", "3"]));
    // All but the last: then the end is missing.
    for end in 0..=list.len() {
        let broken = Broken(&list.as_bytes()[..end]);
        let error = read_pod_list(broken, &mut Vec::new()).unwrap_err();
        assert!(error.is_io(), "{end} bytes: {error}");
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

/// A pod of one of a few names, with other fields.
fn any_pod() -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[a-f]", Just("long-name".to_owned())];
    (name, 0..3_u8, any::<bool>(), 0..40_usize).prop_map(|(name, ip, is_labelled, more)| {
        let mut pod = pod(&name);
        pod["status"]["podIP"] = json!(format!("10.0.0.{ip}"));
        if !is_labelled {
            pod["metadata"]["labels"] = json!({ "x": JOB_NAME_KEY });
        }
        if more > 0 {
            pod["spec"]["x"] = json!("{\"\\}".repeat(more));
        }
        pod
    })
}

/// The text of a list, compact or not.
fn text(pods: &[Value], is_pretty: bool) -> String {
    let list = json!({"kind": "PodList", "items": pods});
    if is_pretty {
        serde_json::to_string_pretty(&list).unwrap()
    } else {
        list.to_string()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pod_of_a_list_becomes_the_same_as_alone(
        pods in vec(any_pod(), 0..8),
        is_pretty in any::<bool>(),
        bytes in prop_oneof![1..300_usize, Just(usize::MAX)],
    ) {
        let targets = read_in_pieces(text(&pods, is_pretty), bytes).unwrap();
        let each = pods.iter().map(|pod| read(list_of(std::slice::from_ref(pod))).unwrap());
        prop_assert_eq!(targets, each.flatten().collect::<Vec<_>>());
    }

    /// Some bytes of a list are changed, removed or added.
    #[test]
    fn a_list_that_is_read_is_valid_json(
        pods in vec(any_pod(), 1..6),
        edits in vec((any::<prop::sample::Index>(), 0..4_usize, "[{}\\[\\],:\"a0 \n]{0,2}"), 0..3),
    ) {
        let mut text = text(&pods, false);
        for (index, bytes, new) in edits {
            let begin = index.index(text.len());
            text.replace_range(begin..text.len().min(begin + bytes), &new);
        }
        if read(&text).is_ok() {
            prop_assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }
    }
}
