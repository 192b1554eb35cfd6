//! Pod lists that follow each other: what was made of a list before never shows in the next one.

use std::io::{self, Read};
use std::sync::Arc;

use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::kubernetes::known_pods::{KnownPods, Listing};
use kubernetes_metrics_aggregator::kubernetes::pod_list::read_pod_list;
use kubernetes_metrics_aggregator::target::Target;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::support::fake_api;

/// Hands on so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.1.min(buffer.len());
        self.0.read(&mut buffer[..bytes])
    }
}

/// Reads a list after another one; what is known stays when it is none.
fn follow(
    known: &mut KnownPods,
    list: impl AsRef<[u8]>,
) -> Result<Vec<Arc<Target>>, serde_json::Error> {
    follow_in_pieces(known, list, usize::MAX)
}

fn follow_in_pieces(
    known: &mut KnownPods,
    list: impl AsRef<[u8]>,
    bytes: usize,
) -> Result<Vec<Arc<Target>>, serde_json::Error> {
    let mut listing = Listing::new(known);
    read_pod_list(Pieces(list.as_ref(), bytes), &mut listing)?;
    *known = listing.complete();
    Ok(known.targets().to_vec())
}

fn alone(list: impl AsRef<[u8]>) -> Result<Vec<Arc<Target>>, serde_json::Error> {
    follow(&mut KnownPods::default(), list)
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

fn is_same(one: &[Arc<Target>], other: &[Arc<Target>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// Reads one list after the other, in large and small pieces, and each alone.
#[track_caller]
fn check_follows(before: &str, after: &str) {
    check_pieces(&[1, 7, 1_000, usize::MAX], before, after);
}

#[track_caller]
fn check_pieces(pieces: &[usize], before: &str, after: &str) {
    for &bytes in pieces {
        let mut known = KnownPods::default();
        let first = follow_in_pieces(&mut known, before, bytes).unwrap();
        assert_eq!(first, alone(before).unwrap());
        let second = follow_in_pieces(&mut known, after, bytes).unwrap();
        assert_eq!(second, alone(after).unwrap());
        let third = follow_in_pieces(&mut known, after, bytes).unwrap();
        assert!(is_same(&second, &third));
    }
}

#[test]
fn pods_that_come_go_and_change() {
    let before = list_of(&pods(&["1", "2", "3", "4"]));
    let check = |after: &[Value]| check_follows(&before, &list_of(after));
    check(&pods(&["1", "2", "3", "4"]));
    check(&pods(&["1", "2", "x", "3", "4"]));
    check(&pods(&["1", "4"]));
    check(&pods(&["4", "3", "2", "1"]));
    check(&pods(&["2", "2", "1", "1"]));
    check(&pods(&["5", "6"]));
    check(&[]);
    // One byte that matters, in a pod as long as before.
    let mut changed = pods(&["1", "2", "3", "4"]);
    changed[1]["status"]["podIP"] = json!("10.0.0.2");
    check(&changed);
    assert_ne!(alone(&before).unwrap(), alone(list_of(&changed)).unwrap());
    // Something else than a pod, and nothing, between them.
    changed.insert(1, json!({"kind": "Service", "metadata": {"name": "1"}}));
    changed.insert(2, Value::Null);
    check(&changed);
    changed.remove(0);
    check_follows(&list_of(&changed), &before);
}

#[test]
fn lists_in_another_layout() {
    let compact = list_of(&pods(&["1", "2", "3"]));
    let value: Value = serde_json::from_str(&compact).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    check_follows(&compact, &pretty);
    check_follows(&pretty, &compact);
    check_follows(&pretty, &pretty.replace('\n', "\r\n"));
    check_follows(&pretty, &pretty.replace("    },", "    }\n\t ,"));
    check_follows(&compact, &compact.replace("PodList", "List"));
}

/// A pod with something that is not used, so large, before or behind everything that is.
fn large_pod(name: &str, bytes: usize, key: &str) -> Value {
    let mut pod = pod(name);
    pod[key] = json!("x\\\"}".repeat(bytes / 4));
    pod
}

#[test]
fn pods_larger_than_what_is_read_at_once() {
    for key in ["a", "z"] {
        let large = |bytes| large_pod("large", bytes, key);
        let with = |large| list_of(&[pod("1"), large, pod("2"), pod("3")]);
        let before = with(large(150_000));
        let check = |after: &str| check_pieces(&[1_000, usize::MAX], &before, after);
        check(&with(large(150_004)));
        let mut changed = large(150_000);
        changed["status"]["podIP"] = json!("10.0.0.2");
        check(&with(changed));
    }
}

#[test]
fn pods_too_large_to_be_known() {
    let list = list_of(&[pod("1"), large_pod("2", 2_100_000, "a"), pod("3")]);
    let mut known = KnownPods::default();
    let first = follow(&mut known, &list).unwrap();
    assert!(is_same(&first, &follow(&mut known, &list).unwrap()));
    let changed = list.replace("\"10.0.0.1\"", "\"10.0.0.2\"");
    let ips = follow(&mut known, &changed).unwrap();
    let ips: Vec<String> = ips.iter().map(|target| target.pod_ip.to_string()).collect();
    assert_eq!(ips, ["10.0.0.2"; 3]);
}

/// Fails like the same list alone, and leaves what is known.
#[track_caller]
fn check_no_list(known: &mut KnownPods, list: &[u8]) {
    let before = known.targets().to_vec();
    let error = follow(known, list).unwrap_err().to_string();
    assert_eq!(error, alone(list).unwrap_err().to_string());
    assert!(is_same(&before, known.targets()));
}

#[test]
fn a_list_that_breaks_off_anywhere_after_a_good_one() {
    let list = list_of(&pods(&["1", "2", "3"]));
    let mut known = KnownPods::default();
    follow(&mut known, &list).unwrap();
    for end in 0..list.len() {
        check_no_list(&mut known, &list.as_bytes()[..end]);
    }
    follow(&mut known, &list).unwrap();
}

#[test]
fn what_is_no_list_is_none_after_a_good_one() {
    let [a, b] = ["1", "2"].map(|name| pod(name).to_string());
    let good = format!(r#"{{"kind":"PodList","items":[{a},{b}]}}"#);
    let mut known = KnownPods::default();
    follow(&mut known, &good).unwrap();
    for bad in [
        format!(r#"{{"kind":"PodList","items":[{a} {b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a}{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},,{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b},]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b}}}]"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b}}}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{{{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[[{a}],{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b}],"items":[]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},{b}]}}{{}}"#),
        format!(r#"{{"kind":"Status","items":[{a},{b}]}}"#),
        format!(r#"{{"items":[{a},{b}]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},7]}}"#),
        format!(r#"{{"kind":"PodList","items":[{a},"{{"]}}"#),
        format!(r#"{{"kind":"PodList","items":{{"a":{a}}}}}"#),
        format!(r#"{{"kind":"PodList","items":{a}}}"#),
        format!(r#"{{"kind":"PodList","metadata":{a}7,"items":[{a},{b}]}}"#),
        format!(r#"{{"kind":"PodList","metadata":7,"items":[{a},{b}]}}"#),
        good.replacen("\"Running\"", "7", 1),
        good.replacen("\"10.0.0.1\"", "\"10.0.0.1", 1),
    ] {
        check_no_list(&mut known, bad.as_bytes());
    }
    // And a pod that stands where none is expected is nobody's business.
    let elsewhere = format!(r#"{{"x":[{a},{b}],"kind":"PodList","items":[{b}]}}"#);
    let targets = follow(&mut known, elsewhere).unwrap();
    assert_eq!(targets.len(), 1);
}

#[test]
fn errors_name_the_line_of_the_list() {
    let value: Value = serde_json::from_str(&list_of(&pods(&["1", "2", "3"]))).unwrap();
    let good = serde_json::to_string_pretty(&value).unwrap();
    let (begin, end) = good.rsplit_once("\"podIP\": ").unwrap();
    let bad = format!("{begin}\"podIP\": 7, {end}");
    let line = begin.lines().count();
    let mut known = KnownPods::default();
    let error = follow(&mut known, &bad).unwrap_err();
    assert_eq!((error.line(), error.is_data()), (line, true), "{error}");
    follow(&mut known, &good).unwrap();
    let error = follow(&mut known, &bad).unwrap_err();
    assert_eq!((error.line(), error.is_data()), (line, true), "{error}");
}

/// Fails after its bytes.
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
fn a_connection_that_breaks_off_anywhere_is_an_error_of_it() {
    let list = list_of(&pods(&["1", "2", "3"]));
    let mut known = KnownPods::default();
    for _ in 0..2 {
        // All but the last: then the end is missing.
        for end in 0..=list.len() {
            let mut listing = Listing::new(&known);
            let broken = Broken(&list.as_bytes()[..end]);
            let error = read_pod_list(broken, &mut listing).unwrap_err();
            assert!(error.is_io(), "{end} bytes: {error}");
            let error = io::Error::from(error);
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        follow(&mut known, &list).unwrap();
    }
}

/// A pod of one of a few names, with what else may stand there.
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
    fn lists_do_not_depend_on_those_before(
        lists in vec((vec(any_pod(), 0..8), any::<bool>()), 2..5),
        bytes in prop_oneof![1..300_usize, Just(usize::MAX)],
    ) {
        let mut known = KnownPods::default();
        for (pods, is_pretty) in lists {
            let targets = follow_in_pieces(&mut known, text(&pods, is_pretty), bytes).unwrap();
            let each = pods.iter().map(|pod| alone(list_of(std::slice::from_ref(pod))).unwrap());
            prop_assert_eq!(targets, each.flatten().collect::<Vec<_>>());
        }
    }

    /// Some pods of a list anew, in another order, and some bytes of it changed, cut out or put in.
    #[test]
    fn what_is_no_list_does_not_become_one(
        pods in vec(any_pod(), 1..6),
        order in vec(any::<prop::sample::Index>(), 1..6),
        edits in vec((any::<prop::sample::Index>(), 0..4_usize, "[{}\\[\\],:\"a0 \n]{0,2}"), 0..3),
    ) {
        let mut known = KnownPods::default();
        follow(&mut known, text(&pods, false)).unwrap();
        let after: Vec<Value> = order.iter().map(|index| index.get(&pods).clone()).collect();
        let mut after = text(&after, false);
        for (index, bytes, new) in edits {
            let begin = index.index(after.len());
            after.replace_range(begin..after.len().min(begin + bytes), &new);
        }
        match (follow(&mut known, &after), alone(&after)) {
            (Ok(targets), Ok(expected)) => {
                prop_assert_eq!(targets, expected);
                prop_assert!(serde_json::from_str::<IgnoredAny>(&after).is_ok());
            }
            (Err(error), Err(expected)) => {
                prop_assert_eq!(error.to_string(), expected.to_string());
            }
            results => prop_assert!(false, "{results:?}"),
        }
    }
}
