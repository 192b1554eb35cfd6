//! `/sd/jobs` and `/sd/pods` as Prometheus reads them, and the shards of `/metrics`. README: "What you get";
//! k8s/prometheus/README.md: "Four ways to scrape".

use std::collections::BTreeSet;
use std::net::SocketAddr;

use kubernetes_metrics_aggregator::target::Shard;
use serde_json::{Value, json};

use crate::support::check_contains;
use crate::support::fake_pod::{FakePod, SMALL_BODY};
use crate::support::program::{HttpResponse, Program, TempFile, pod, pod_at};

fn discovered(response: &HttpResponse) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 1, 2, 3], 9100))
}

#[test]
fn a_pod_has_the_labels_of_the_pod_role() {
    let mut web = pod_at("shop", "web-0", "web", address());
    web["metadata"]["labels"]["app.kubernetes.io/name"] = json!("web \"shop\"");
    web["metadata"]["annotations"] = json!({"secret": "annotation"});
    web["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "2", "controller": true},
    ]);
    web["spec"] = json!({"nodeName": "node-a", "containers": [{"name": "c"}]});
    web["status"]["hostIP"] = json!("192.168.0.7");
    web["status"]["conditions"] = json!([
        {"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"},
    ]);
    let program = Program::scraping(&[web], &[]);
    let expected = json!([{
        "targets": ["test"],
        "labels": {
            "__metrics_path__": "/probe",
            "__param_target": "shop/web-0:9100",
            "job": "web",
            "instance": "web-0",
            "pod_namespace": "shop",
            "pod_ip": "127.1.2.3",
            "__meta_kubernetes_namespace": "shop",
            "__meta_kubernetes_pod_name": "web-0",
            "__meta_kubernetes_pod_uid": "uid-shop-web-0",
            "__meta_kubernetes_pod_ip": "127.1.2.3",
            "__meta_kubernetes_pod_host_ip": "192.168.0.7",
            "__meta_kubernetes_pod_node_name": "node-a",
            "__meta_kubernetes_pod_phase": "Running",
            "__meta_kubernetes_pod_ready": "false",
            "__meta_kubernetes_pod_controller_kind": "ReplicaSet",
            "__meta_kubernetes_pod_controller_name": "web-1",
            "__meta_kubernetes_pod_label_app_kubernetes_io_name": "web \"shop\"",
            "__meta_kubernetes_pod_labelpresent_app_kubernetes_io_name": "true",
            "__meta_kubernetes_pod_label_metrics_aggregator_apawel_me_job_name": "web",
            "__meta_kubernetes_pod_labelpresent_metrics_aggregator_apawel_me_job_name": "true",
            "__meta_kubernetes_pod_label_metrics_aggregator_apawel_me_port": "9100",
            "__meta_kubernetes_pod_labelpresent_metrics_aggregator_apawel_me_port": "true",
        },
    }]);
    assert_eq!(discovered(&program.get("/sd/pods")), expected);
    let with_timeouts = discovered(&program.get("/sd/pods?timeouts=true"));
    assert_eq!(with_timeouts[0]["labels"]["__scrape_timeout__"], "5000ms");
}

/// Prometheus 3.13 and later reads the label, others ignore it.
#[test]
fn a_pod_says_whether_its_native_histograms_are_wanted() {
    let pods = [Some("true"), Some("FALSE"), Some("yes"), None].map(|value| {
        let name = format!("pod-{}", value.unwrap_or("none").to_lowercase());
        let mut pod = pod_at("shop", &name, "web", address());
        if let Some(value) = value {
            pod["metadata"]["annotations"] =
                json!({"metrics-aggregator.apawel.me/scrape-native-histograms": value});
        }
        pod
    });
    let program = Program::scraping(&pods, &[]);
    let found = discovered(&program.get("/sd/pods"));
    let labels: Vec<(&Value, Option<&Value>)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["labels"])
        .map(|labels| {
            (
                &labels["instance"],
                labels.get("__scrape_native_histograms__"),
            )
        })
        .collect();
    assert_eq!(
        labels,
        [
            (&json!("pod-false"), Some(&json!("false"))),
            (&json!("pod-none"), None),
            (&json!("pod-true"), Some(&json!("true"))),
            (&json!("pod-yes"), None),
        ]
    );
}

/// Each pod that a merged response would show is there, with a name of its own: also those that cannot be scraped.
#[test]
fn every_target_is_there_and_can_be_probed() {
    let mut several = pod_at("shop", "several", "web", address());
    several["metadata"]["annotations"] =
        json!({"metrics-aggregator.apawel.me/scrape-targets": "8080:/a,8081:/b"});
    let mut bad = several.clone();
    bad["metadata"]["name"] = json!("bad");
    bad["metadata"]["uid"] = json!("bad");
    bad["metadata"]["annotations"]["metrics-aggregator.apawel.me/scrape-timeout-seconds"] =
        json!("5s");
    let mut gone = pod_at("shop", "gone", "web", address());
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let port = pod(
        "shop",
        "port",
        address().ip(),
        &[("job-name", "web"), ("port", "http")],
    );
    let program = Program::scraping(&[several, bad, gone, port], &[]);
    let found = discovered(&program.get("/sd/pods"));
    let names: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["labels"]["__param_target"].as_str().unwrap())
        .collect();
    let expected = [
        "shop/bad:8080",
        "shop/bad:8081",
        "shop/gone:9100",
        "shop/port",
        "shop/several:8080",
        "shop/several:8081",
    ];
    assert_eq!(names, expected);
    assert_eq!(found[4]["labels"]["pod_port"], "8080");
    for name in ["shop/bad:8081", "shop/port"] {
        let response = program.get(&format!("/probe?target={name}"));
        assert_eq!(
            (response.status, response.text().contains("options: ")),
            (502, true),
            "{name}"
        );
    }
}

#[test]
fn the_address_is_the_one_that_the_scraper_used_or_the_one_that_is_set() {
    let file = TempFile::pods(&[pod_at("shop", "web-0", "web", address())]);
    let first = |program: &Program| discovered(&program.get("/sd/jobs"))[0].clone();
    let labels = |authority: &str| {
        let job = "web";
        json!({"__metrics_path__": "/metrics", "__param_job": job, "job": job, "instance": authority})
    };
    let program = Program::with_pods(&file, &[]);
    assert_eq!(
        first(&program),
        json!({"targets": ["test"], "labels": labels("test")})
    );

    let set = [("ADVERTISE_ADDRESS", "https://metrics.example.org:8443")];
    let program = Program::with_pods(&file, &set);
    let mut expected = labels("metrics.example.org:8443");
    expected["__scheme__"] = json!("https");
    assert_eq!(
        first(&program),
        json!({"targets": ["metrics.example.org:8443"], "labels": expected})
    );
}

/// The path of a real API server's proxy. A proxy may remove the path or pass it on.
#[test]
fn the_path_of_the_advertised_address_is_added_to_links_and_removed_from_requests() {
    const PREFIX: &str = "/api/v1/namespaces/m/services/https:aggregator:80/proxy";
    let set = format!("https://api.example.org:6443{PREFIX}/");
    let token = TempFile::new(b"s3cret");
    let settings = [
        ("ADVERTISE_ADDRESS", &*set),
        ("AUTH_TOKEN_FILE", token.path()),
    ];
    let (fake, program) = Program::with_pod(FakePod::healthy(), &settings);
    let get = |url: &str, accept: &str| {
        let headers = [("Authorization", "Bearer s3cret"), ("Accept", accept)];
        program.get_with(url, &headers)
    };
    let target = format!("shop/web-0:{}", fake.address.port());
    for prefix in ["", PREFIX] {
        let job = &discovered(&get(&format!("{prefix}/sd/jobs?shards=1"), ""))[0];
        assert_eq!(job["targets"], json!(["api.example.org:6443"]));
        let labels = json!({
            "__metrics_path__": format!("{PREFIX}/metrics"), "__scheme__": "https", "__param_job": "web",
            "__param_shard": "1/1", "job": "web", "instance": format!("api.example.org:6443{PREFIX}#1/1"),
        });
        assert_eq!(job["labels"], labels, "{prefix}");
        let pod = &discovered(&get(&format!("{prefix}/sd/pods"), ""))[0]["labels"];
        let paths = [&pod["__metrics_path__"], &pod["__param_target"]];
        assert_eq!(paths, [&format!("{PREFIX}/probe"), &target], "{prefix}");
        for path in ["/metrics?job=web", "/metrics%3Fjob=web"] {
            assert_eq!(get(&format!("{prefix}{path}"), "").up("web-0"), Some(true));
        }
        let probe = get(&format!("{prefix}/probe?target={target}"), "");
        assert_eq!(probe.text(), SMALL_BODY);
        // Open without a token, and nothing else is.
        assert_eq!(program.get(&format!("{prefix}/-/ready")).status, 200);
        assert_eq!(program.get(&format!("{prefix}/-/metrics")).status, 401);
        check_links(&get(&format!("{prefix}/"), "text/html"), PREFIX);
    }
    let own = get("/-/metrics", "");
    let requests = "metrics_aggregator_requests_total{path=\"/metrics\",code=\"200\"}";
    assert_eq!(own.sample(requests), Some("4"));
}

/// All links of the status page have the prefix, and so has the scrape config that it shows.
fn check_links(page: &HttpResponse, prefix: &str) {
    let expected = format!("{prefix}/");
    let mut links = 0;
    for attribute in ["href", "src", "action"] {
        for value in page.text().split(&format!(" {attribute}=\"")).skip(1) {
            let is_right = value.starts_with(&expected) || value.starts_with("data:,\"");
            assert!(is_right, "{}", page.text());
            links += 1;
        }
    }
    assert!(links > 5, "only {links} links in:\n{}", page.text());
    let url = format!("- url: https://api.example.org:6443{prefix}/sd/pods\n");
    check_contains(page.text(), &url);
}

#[test]
fn the_label_style_holds_for_discovered_labels_too() {
    let pods = [pod_at("shop", "web-0", "web", address())];
    let program = Program::scraping(&pods, &[("POD_LABEL_STYLE", "hyphen")]);
    let found = discovered(&program.get("/sd/pods"));
    assert_eq!(found[0]["labels"]["pod-namespace"], "shop");
}

#[test]
fn before_the_first_list_is_503_and_an_empty_list_is_empty() {
    let program = Program::start(&[("POD_LIST_FILE", "/no/such/file")]);
    for url in ["/sd/jobs", "/sd/pods"] {
        assert_eq!(program.get(url).status, 503, "{url}");
    }
    let program = Program::scraping(&[], &[]);
    for url in ["/sd/jobs", "/sd/pods", "/sd/jobs?shards=3"] {
        assert_eq!(discovered(&program.get(url)), json!([]), "{url}");
    }
}

#[test]
fn shards_are_targets_of_their_own() {
    let program = Program::scraping(&[pod_at("shop", "web-0", "web", address())], &[]);
    let found = discovered(&program.get("/sd/jobs?shards=2"));
    let labels: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["labels"])
        .collect();
    let pairs: Vec<_> = labels
        .iter()
        .map(|labels| (&labels["__param_shard"], &labels["instance"]))
        .collect();
    assert_eq!(
        pairs,
        [
            (&json!("1/2"), &json!("test#1/2")),
            (&json!("2/2"), &json!("test#2/2"))
        ]
    );
}

#[test]
fn shards_together_are_the_whole_without_overlap() {
    let fake = FakePod::healthy();
    let pods: Vec<Value> = (0..40)
        .map(|number| pod_at("shop", &format!("web-{number}"), "web", fake.address))
        .collect();
    let program = Program::scraping(&pods, &[]);
    let up = |url: &str| -> BTreeSet<String> {
        let response = program.get(url);
        assert_eq!(response.status, 200, "{}", response.text());
        response
            .lines("up{")
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let whole = up("/metrics?job=web");
    assert_eq!(whole.len(), 40);
    let shards: Vec<_> = (1..=3)
        .map(|index| up(&format!("/metrics?job=web&shard={index}/3")))
        .collect();
    assert_eq!(shards.iter().map(BTreeSet::len).sum::<usize>(), 40);
    assert_eq!(
        shards.iter().flatten().cloned().collect::<BTreeSet<_>>(),
        whole
    );
    assert!(shards.iter().all(|shard| shard.len() >= 5), "about even");
    // More shards than pods: the empty ones are empty, not unknown.
    let empty =
        (1..=1000).map(|index| program.get(&format!("/metrics?job=web&shard={index}/1000")));
    let empty = empty
        .into_iter()
        .find(|response| response.body.is_empty())
        .unwrap();
    assert_eq!(empty.status, 200);
    assert_eq!(program.get("/metrics?job=gone&shard=1/3").status, 404);
    assert_eq!(program.get("/metrics?job=web&shard=4/3").status, 400);
}

/// Replicas have to agree, whatever their version. The hashes are from the list of test vectors of FNV-1a, 64 bits.
#[test]
fn a_pod_is_in_the_shard_that_its_hash_names() {
    for (uid, hash) in [
        ("", 0xcbf2_9ce4_8422_2325_u64),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("foobar", 0x8594_4171_f739_67e8),
    ] {
        for count in [997, 1000] {
            let shards = (1..=count).filter_map(|index| Shard::new(index, count));
            let found: Vec<_> = shards.filter(|shard| shard.contains(uid)).collect();
            let index = u16::try_from(hash % u64::from(count)).unwrap() + 1;
            assert_eq!(found, [Shard::new(index, count).unwrap()], "{uid}");
        }
    }
}
