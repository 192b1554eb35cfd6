//! Random histories of pods and faults of a watch against a simple model: each published set is what the cluster was at
//! one moment, the moments never go back, and the last set is that of the last moment. README: "When something fails".

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use kubernetes_metrics_aggregator::target::TargetSet;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::discovery::{start_with, watch_settings};
use crate::support::fake_api::{FakeApi, Fault};

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// Creates or changes the pod of this number.
    Set(u8, Pod),
    /// Deletes the pod of this number.
    Delete(u8),
    Bookmark,
    Unknown,
    End,
    Cut,
    TooOld,
    Compact,
    Malformed,
    Refuse(u16),
}

#[derive(Debug, Clone)]
struct Pod {
    job: Option<&'static str>,
    ip: Option<u8>,
    phase: &'static str,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pod = (
        prop_oneof![3 => Just(Some("a")), 2 => Just(Some("b")), 1 => Just(None)],
        prop_oneof![4 => (1..9_u8).prop_map(Some), 1 => Just(None)],
        prop_oneof![4 => Just("Running"), 1 => Just("Pending"), 1 => Just("Succeeded")],
    )
        .prop_map(|(job, ip, phase)| Pod { job, ip, phase });
    let step = prop_oneof![
        60 => (0..8_u8, pod).prop_map(|(number, pod)| Step::Set(number, pod)),
        20 => (0..8_u8).prop_map(Step::Delete),
        4 => Just(Step::Bookmark),
        4 => Just(Step::Unknown),
        4 => Just(Step::End),
        4 => Just(Step::Cut),
        4 => Just(Step::TooOld),
        4 => Just(Step::Compact),
        1 => Just(Step::Malformed),
        1 => prop_oneof![Just(410), Just(500), Just(429)].prop_map(Step::Refuse),
    ];
    vec(step, 1..50)
}

/// What there is to scrape: job, pod and IP.
type Moment = BTreeSet<(String, String, String)>;

/// The cluster as it is, by number of the pod.
type Cluster = [Option<Pod>; 8];

/// The rules of the README, in the simplest words.
fn expected(cluster: &Cluster) -> Moment {
    let mut moment = Moment::new();
    for (number, pod) in cluster.iter().enumerate() {
        if let Some(pod) = pod
            && let (Some(job), Some(ip)) = (pod.job, pod.ip)
            && pod.phase != "Succeeded"
        {
            moment.insert((
                job.to_owned(),
                format!("pod-{number}"),
                format!("10.0.0.{ip}"),
            ));
        }
    }
    moment
}

fn found(set: &TargetSet) -> Moment {
    let line = |target: &std::sync::Arc<kubernetes_metrics_aggregator::target::Target>| {
        (
            target.job.clone(),
            target.pod.clone(),
            target.pod_ip.to_string(),
        )
    };
    set.targets().map(line).collect()
}

fn json_of(number: u8, pod: &Pod) -> Value {
    let labels = pod
        .job
        .map_or_else(|| json!({}), |job| json!({JOB_NAME_KEY: job}));
    let ip = pod.ip.map(|ip| format!("10.0.0.{ip}"));
    json!({
        "metadata": {
            "name": format!("pod-{number}"), "namespace": "ns", "uid": format!("uid-{number}"), "labels": labels,
        },
        "status": {"phase": pod.phase, "podIP": ip},
    })
}

/// Applies the step to the server, and to the model if it changes a pod.
fn apply(step: Step, api: &FakeApi, cluster: &mut Cluster) {
    match step {
        Step::Set(number, pod) => {
            api.set_pod(json_of(number, &pod));
            cluster[usize::from(number)] = Some(pod);
        }
        Step::Delete(number) => {
            if cluster[usize::from(number)].take().is_some() {
                api.delete_pod(&format!("uid-{number}"));
            }
        }
        Step::Bookmark => api.bookmark(),
        Step::Unknown => api.watch_line(r#"{"type":"NEW","object":{"kind":"Pod"}}"#),
        Step::End => api.end_watches(),
        Step::Cut => api.cut_watches(r#"{"type":"DELETED","object":{"kind":"Pod","meta"#),
        Step::TooOld => api.watch_error(410),
        Step::Compact => {
            api.compact();
            api.end_watches();
        }
        Step::Malformed => api.watch_line("{]"),
        Step::Refuse(status) => api.script_watches([Fault::Status(status, "")]),
    }
}

/// Whether the published set is that of the last moment. It has to be that of one of the moments, and of no earlier one
/// than at the call before.
fn follow(
    moments: &[Moment],
    snapshot: impl Fn() -> Option<std::sync::Arc<TargetSet>>,
    at: &mut usize,
) -> bool {
    let Some(set) = snapshot() else {
        return false;
    };
    let found = found(&set);
    let ahead = moments[*at..].iter().position(|moment| *moment == found);
    let ahead = ahead.unwrap_or_else(|| panic!("{found:?} is none of {:?}", &moments[*at..]));
    *at += ahead;
    moments.last() == Some(&found)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 16,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_published_set_is_a_past_state_of_the_cluster(steps in vec(steps(), 1..3)) {
        let api = FakeApi::start_plain();
        let running = start_with(&watch_settings(&api, &[]));
        let mut cluster = Cluster::default();
        let mut moments = vec![expected(&cluster)];
        let mut at = 0;
        for burst in steps {
            for step in burst {
                apply(step, &api, &mut cluster);
                moments.push(expected(&cluster));
            }
            let begin = Instant::now();
            while !follow(&moments, || running.cache.snapshot(), &mut at) {
                prop_assert!(begin.elapsed() < Duration::from_secs(60), "never {:?}", moments.last());
                std::thread::yield_now();
            }
        }
    }
}
