//! `POD_TARGET_LABELS`: labels of a pod on its series and in service discovery. README: "Settings".

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::fake_pod::FakePod;
use crate::support::program::{Program, TempFile, pod_at, pod_list};

const LABELS: (&str, &str) = (
    "POD_TARGET_LABELS",
    "app.kubernetes.io/version, team, spec.nodeName,team",
);

/// The pod with two labels, on a node.
fn labelled(mut pod: Value, version: &str, team: &str) -> Value {
    pod["metadata"]["labels"]["app.kubernetes.io/version"] = json!(version);
    pod["metadata"]["labels"]["team"] = json!(team);
    pod["spec"] = json!({"nodeName": "node-a"});
    pod
}

/// The lines of the merged text that begin so.
fn lines(program: &Program, start: &str) -> Vec<String> {
    let response = program.get("/metrics?job=web");
    assert_eq!(response.status, 200, "{}", response.text());
    let lines = response.lines(start).into_iter();
    lines.map(str::to_owned).collect()
}

#[test]
fn each_series_of_a_pod_has_the_labels_of_the_pod() {
    let body =
        "# TYPE a counter\na{team=\"own\",node=\"n\"} 1\na{app_kubernetes_io_version=\"\"} 2\n";
    let fake = FakePod::serving(body);
    let pods = [
        labelled(pod_at("shop", "all", "web", fake.address), "1.2", "red"),
        // For Prometheus an empty label does not exist.
        labelled(pod_at("shop", "empty", "web", fake.address), "", "blue"),
        pod_at("shop", "none", "web", fake.address),
    ];
    let program = Program::scraping(&pods, &[LABELS]);
    let ip = fake.address.ip();
    let identity =
        |pod| format!("instance=\"{pod}\",job=\"web\",pod_namespace=\"shop\",pod_ip=\"{ip}\"");
    let of_all = "app_kubernetes_io_version=\"1.2\",team=\"red\",node=\"node-a\"";
    let of_empty = "team=\"blue\",node=\"node-a\"";
    let [all, empty, none] = ["all", "empty", "none"].map(identity);
    assert_eq!(
        lines(&program, "a{"),
        [
            format!("a{{exported_team=\"own\",exported_node=\"n\",{all},{of_all}}} 1"),
            format!("a{{{all},{of_all}}} 2"),
            format!("a{{exported_team=\"own\",exported_node=\"n\",{empty},{of_empty}}} 1"),
            format!("a{{{empty},{of_empty}}} 2"),
            format!("a{{team=\"own\",node=\"n\",{none}}} 1"),
            format!("a{{{none}}} 2"),
        ]
    );
    for report in ["up", "scrape_samples_scraped"] {
        let value = if report == "up" { 1 } else { 2 };
        assert_eq!(
            lines(&program, &format!("{report}{{")),
            [
                format!("{report}{{{all},{of_all}}} {value}"),
                format!("{report}{{{empty},{of_empty}}} {value}"),
                format!("{report}{{{none}}} {value}"),
            ]
        );
    }
}

/// The body of a probe is the pod's own; Prometheus adds the discovered labels to it.
#[test]
fn discovered_pods_have_the_labels_and_probes_do_not() {
    let body = "a{team=\"own\"} 1\n";
    let fake = FakePod::serving(body);
    let pod = labelled(pod_at("shop", "web-0", "web", fake.address), "1.2", "");
    let program = Program::scraping(&[pod], &[LABELS]);
    let found = program.get("/sd/pods").json();
    let labels = &found[0]["labels"];
    assert_eq!(labels["app_kubernetes_io_version"], "1.2");
    assert_eq!(labels["node"], "node-a");
    assert_eq!(labels.get("team"), None);
    assert_eq!(labels["instance"], "web-0");
    let target = labels["__param_target"].as_str().unwrap();
    let probe = program.get(&format!("/probe?target={target}"));
    assert_eq!(probe.text(), body);
}

#[test]
fn a_label_that_changes_is_seen_at_the_next_poll() {
    let fake = FakePod::serving("a 1\n");
    let pod = pod_at("shop", "web-0", "web", fake.address);
    let file = TempFile::pods(&[labelled(pod.clone(), "1.2", "red")]);
    let settings = [LABELS, ("CACHE_UPDATE_INTERVAL", "100ms")];
    let program = Program::with_pods(&file, &settings);
    let has = |text: &str| matches!(&lines(&program, "a{")[..], [line] if line.contains(text));
    assert!(has(",app_kubernetes_io_version=\"1.2\",team=\"red\","));
    file.replace(&pod_list(&[labelled(pod, "1.3", "red")]));
    eventually("the new version", || {
        has(",app_kubernetes_io_version=\"1.3\",team=\"red\",")
    });
}
