//! Bearer tokens that are limited to jobs or namespaces see nothing else. k8s/README.md: "Who may see what".

use std::fs;

use serde_json::{Value, json};

use crate::support::check_contains;
use crate::support::eventually;
use crate::support::fake_pod::{FakePod, SMALL_BODY};
use crate::support::program::{HttpResponse, Program, TempFile, pod, pod_at};

const TOKENS: &str = "all-s3cret
  shop-s3cret   namespace=shop,empty
queue-s3cret\tjob=queue
both-s3cret job=web,nothing namespace=accounts
\r
";

/// Jobs `web` and `queue`, each with a pod in the namespaces `shop` and `accounts`; one pod of `shop` has no job.
struct Cluster {
    fake: FakePod,
    tokens: TempFile,
    program: Program,
}

impl Cluster {
    fn start() -> Cluster {
        let fake = FakePod::healthy();
        let pods = [
            pod_at("shop", "web-s", "web", fake.address),
            pod_at("accounts", "web-a", "web", fake.address),
            pod_at("shop", "queue-s", "queue", fake.address),
            pod_at("accounts", "queue-a", "queue", fake.address),
            pod("shop", "blank", fake.address.ip(), &[("job-name", "")]),
        ];
        let tokens = TempFile::new(TOKENS.as_bytes());
        let settings = [("AUTH_TOKEN_FILE", tokens.path())];
        let program = Program::scraping(&pods, &settings);
        Cluster {
            fake,
            tokens,
            program,
        }
    }

    fn get_as(&self, who: &str, url: &str, accept: &str) -> HttpResponse {
        let token = format!("Bearer {who}-s3cret");
        let headers = [("Authorization", &*token), ("Accept", accept)];
        self.program.get_with(url, &headers)
    }

    /// The status for this token, which has to be that of an error with nothing in it that is not in the URL.
    fn refused(&self, who: &str, url: &str) -> u16 {
        let response = self.get_as(who, url, "");
        let unknown = response.text().replace(url, "");
        assert!(response.status >= 400, "{who} {url}: {unknown}");
        assert!(!unknown.contains("forbidden"), "{who} {url}: {unknown}");
        response.status
    }

    fn target(&self, name: &str) -> String {
        format!("{name}:{}", self.fake.address.port())
    }
}

/// The pods that each token sees.
const WORLDS: [(&str, &[&str]); 4] = [
    ("all", &["queue-a", "queue-s", "web-a", "web-s"]),
    ("shop", &["queue-s", "web-s"]),
    ("queue", &["queue-a", "queue-s"]),
    ("both", &["web-a"]),
];

fn names(entries: &Value, key: &str) -> Vec<String> {
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| entry[key].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_limited_token_merges_and_probes_its_own_pods_only() {
    let cluster = Cluster::start();
    for (who, pods) in WORLDS {
        for job in ["web", "queue"] {
            let url = format!("/metrics?job={job}");
            let own: Vec<&&str> = pods.iter().filter(|pod| pod.starts_with(job)).collect();
            if own.is_empty() {
                assert_eq!(cluster.refused(who, &url), 404, "{who} {url}");
                let absent = cluster.get_as(who, &format!("{url}&absent=ok"), "");
                assert_eq!((absent.status, absent.text()), (200, ""), "{who} {url}");
                continue;
            }
            let merged = cluster.get_as(who, &url, "");
            assert_eq!(merged.lines("up{").len(), own.len(), "{who} {url}");
            for pod in own {
                assert_eq!(merged.up(pod), Some(true), "{who} {url}");
            }
        }
        for pod in WORLDS[0].1 {
            let namespace = if pod.ends_with("-s") {
                "shop"
            } else {
                "accounts"
            };
            let url = format!(
                "/probe?target={}",
                cluster.target(&format!("{namespace}/{pod}"))
            );
            if pods.contains(pod) {
                assert_eq!(
                    cluster.get_as(who, &url, "").text(),
                    SMALL_BODY,
                    "{who} {url}"
                );
            } else {
                assert_eq!(cluster.refused(who, &url), 404, "{who} {url}");
            }
        }
    }
}

/// Jobs and pods that the token may not see are left out, like those that do not exist.
#[test]
fn a_limited_token_asks_for_several_jobs_and_for_parts_of_one() {
    let cluster = Cluster::start();
    let merged = cluster.get_as("both", "/metrics?job=queue&job=web", "");
    assert_eq!(
        (merged.up("web-a"), merged.up("queue-a")),
        (Some(true), None)
    );
    let parts =
        (1..=2).map(|part| cluster.get_as("shop", &format!("/metrics?job=web&shard={part}/2"), ""));
    let parts: Vec<HttpResponse> = parts.collect();
    assert_eq!(
        parts
            .iter()
            .filter(|part| part.up("web-s").is_some())
            .count(),
        1
    );
    assert!(parts.iter().all(|part| part.up("web-a").is_none()));
}

/// The responses for a job or pod of others and for one that does not exist differ only in its name.
#[test]
fn pods_of_others_look_like_pods_that_do_not_exist() {
    let cluster = Cluster::start();
    for (others, nowhere) in [
        ("/metrics?job=web".to_owned(), "/metrics?job=nil"),
        (
            format!("/probe?target={}", cluster.target("shop/web-s")),
            "/probe?target=shop/nil-s:1",
        ),
        ("/-/metrics".to_owned(), "/-/nothing"),
    ] {
        let (there, gone) = (
            cluster.get_as("queue", &others, ""),
            cluster.get_as("queue", nowhere, ""),
        );
        let port = cluster.fake.address.port().to_string();
        let there = (
            there.status,
            there.text().replace("web", "nil").replace(&port, "1"),
        );
        assert_eq!(there, (404, gone.text().to_owned()), "{others}");
    }
}

#[test]
fn discovery_and_the_status_page_show_its_own_pods_only() {
    let cluster = Cluster::start();
    cluster.get_as("all", "/metrics?job=web&job=queue", "");
    for (who, pods) in WORLDS {
        let json = |url: &str| -> Value { cluster.get_as(who, url, "application/json").json() };
        let jobs: Vec<&str> = ["queue", "web"]
            .into_iter()
            .filter(|job| pods.iter().any(|pod| pod.starts_with(job)))
            .collect();
        let labels = |url: &str| -> Vec<Value> {
            let entries = json(url);
            let entries = entries.as_array().unwrap().iter();
            entries.map(|entry| entry["labels"].clone()).collect()
        };
        assert_eq!(names(&json!(labels("/sd/jobs")), "job"), jobs, "{who}");
        assert_eq!(names(&json!(labels("/sd/pods")), "instance"), pods, "{who}");
        let status = json("/");
        assert_eq!(names(&status["jobs"], "job"), jobs, "{who}");
        assert_eq!(names(&status["targets"], "pod"), pods, "{who}");
        let ups = status["jobs"].as_array().unwrap().iter();
        let ups: u64 = ups.map(|job| job["up"].as_u64().unwrap()).sum();
        assert_eq!(ups, pods.len() as u64, "{who}");
        let has_blank = ["all", "shop"].contains(&who);
        let blank = status["podsWithoutJob"].as_array().unwrap();
        assert_eq!(!blank.is_empty(), has_blank, "{who}");
        for accept in ["text/html", "text/plain"] {
            let page = cluster.get_as(who, "/", accept);
            for pod in WORLDS[0].1 {
                let shown = page.text().contains(&format!("/{pod}:"));
                assert_eq!(shown, pods.contains(pod), "{who} {accept} {pod}");
            }
            assert_eq!(page.text().contains("shop/blank"), has_blank, "{who}");
            assert_eq!(page.text().contains("/-/metrics"), who == "all", "{who}");
        }
        let own = cluster.get_as(who, "/-/metrics", "");
        assert_eq!(own.status, if who == "all" { 200 } else { 404 }, "{who}");
    }
}

/// The reason of a failed list may name other namespaces.
#[test]
fn a_limited_token_is_not_told_why_the_pod_list_failed() {
    let tokens = TempFile::new(TOKENS.as_bytes());
    let settings = [
        ("POD_LIST_FILE", "/no/such/file"),
        ("AUTH_TOKEN_FILE", tokens.path()),
    ];
    let program = Program::start(&settings);
    let page = |who: &str| {
        let headers = [("Authorization", &*format!("Bearer {who}-s3cret"))];
        program.get_with("/", &headers).text().to_owned()
    };
    eventually("the first list has failed", || {
        page("all").contains("/no/such/file")
    });
    check_contains(&page("shop"), "the last pod list failed: the log says why");
}

/// After a change the file counts line by line: an invalid line takes the access from no other token, and a removed
/// token is refused.
#[test]
fn a_bad_line_of_a_changed_file_is_left_out_and_logged_once() {
    let mut cluster = Cluster::start();
    let changed = "new-s3cret job=queue\nbad-s3cret jobs=web\nbad2-s3cret x\n";
    fs::write(&cluster.tokens.0, changed).unwrap();
    eventually("the new token counts", || {
        cluster.get_as("new", "/metrics?job=queue", "").status == 200
    });
    for _ in 0..3 {
        assert_eq!(cluster.refused("new", "/metrics?job=web"), 404);
        for who in ["all", "shop", "bad", "bad2"] {
            assert_eq!(cluster.refused(who, "/metrics?job=queue"), 401, "{who}");
        }
    }
    // An empty file, as in the middle of a change, gives no token less or more access.
    fs::write(&cluster.tokens.0, "bad-s3cret jobs=web\n").unwrap();
    eventually("the log says that no line can be used", || {
        assert_eq!(cluster.get_as("new", "/metrics?job=queue", "").status, 200);
        let log = cluster.program.log().join("\n");
        log.contains("line 1: expected TOKEN") && log.contains("the previous content stays in use")
    });
    assert_eq!(cluster.get_as("new", "/metrics?job=queue", "").status, 200);
    let log = cluster.program.log();
    let left_out = log
        .iter()
        .filter(|line| line.contains("the line is left out"));
    let left_out: Vec<&String> = left_out.collect();
    assert_eq!(left_out.len(), 1, "{log:?}");
    assert!(left_out[0].contains("line 2: expected TOKEN"), "{log:?}");
    let own = log.join("\n");
    for secret in ["s3cret", "jobs=web"] {
        assert!(!own.contains(secret), "{own}");
    }
}

#[test]
fn a_bad_line_ends_the_program_at_the_start() {
    let tokens = TempFile::new(b"good-s3cret\nbad-s3cret jobs=web\n");
    let path = tokens.path();
    for option in [None, Some("--check-config")] {
        let settings = [("AUTH_TOKEN_FILE", path), ("POD_LIST_FILE", "/dev/null")];
        let output = Program::command(&settings)
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .args(option)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{option:?}");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let expected = format!("AUTH_TOKEN_FILE {path:?}: line 2: expected TOKEN, TOKEN job=NAME");
        assert!(said.contains(&expected), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
