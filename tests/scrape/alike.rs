//! Pods of one job that send nearly the same: the response has the samples of each of them under its
//! own labels, scrape after scrape (series cache). README: "What is stored".

use crate::support::fake_pod::FakePod;
use crate::support::program::{Program, pod_at};

const PODS: usize = 12;

/// The body of a pod, without its target's labels: each lacks one series, has one of its own, and other values.
fn body(pod: usize) -> String {
    let mut body = "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\n".to_owned();
    for queue in (0..40).filter(|queue| *queue != 3 * pod) {
        body += &format!(
            "jobs_total{{queue=\"{queue}\"}} {}\n",
            pod * 1000 + queue * 7
        );
    }
    body += &format!("jobs_total{{queue=\"own-{pod}\"}} {pod}.5\n# TYPE wait_seconds histogram\n");
    for bound in ["0.1", "1", "+Inf"] {
        body += &format!("wait_seconds_bucket{{le=\"{bound}\"}} {pod}\n");
    }
    body + &format!("wait_seconds_sum 0.{pod}\nwait_seconds_count {pod}\n")
}

fn name(pod: usize) -> String {
    format!("web-{pod:02}")
}

/// The samples of a pod in the merged text, sorted.
fn expected(pod: usize, ip: &str) -> Vec<String> {
    let name = name(pod);
    let identity =
        format!("instance=\"{name}\",job=\"web\",pod_namespace=\"shop\",pod_ip=\"{ip}\"}} ");
    let body = body(pod);
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let labelled = samples.map(|line| match line.split_once("} ") {
        Some((series, value)) => format!("{series},{identity}{value}"),
        None => line.replacen(' ', &format!("{{{identity}"), 1),
    });
    let mut labelled: Vec<String> = labelled.collect();
    labelled.sort_unstable();
    labelled
}

#[test]
fn each_pod_keeps_its_own_samples() {
    let malformed = 7;
    let fakes: Vec<FakePod> = (0..PODS)
        .map(|pod| {
            let mut body = body(pod);
            if pod == malformed {
                body = body.replace("wait_seconds_sum 0.7", "wait_seconds_sum 0.7.7");
            }
            FakePod::serving(body)
        })
        .collect();
    let pods: Vec<_> = fakes
        .iter()
        .enumerate()
        .map(|(pod, fake)| pod_at("shop", &name(pod), "web", fake.address))
        .collect();
    let program = Program::scraping(&pods, &[("CLIENT_WORKERS", "4")]);
    for _ in 0..5 {
        let response = program.get("/metrics?job=web");
        for (pod, fake) in fakes.iter().enumerate() {
            let instance = format!("instance=\"{}\"", name(pod));
            let own = response.text().lines().filter(|line| {
                line.contains(&instance) && !line.starts_with("up{") && !line.starts_with("scrape_")
            });
            let mut found: Vec<&str> = own.collect();
            found.sort_unstable();
            if pod == malformed {
                assert_eq!(response.up(&name(pod)), Some(false));
                assert!(found.is_empty(), "{found:?}");
            } else {
                assert_eq!(response.up(&name(pod)), Some(true));
                assert_eq!(found, expected(pod, &fake.address.ip().to_string()));
            }
        }
        assert_eq!(response.text().matches("# TYPE jobs_total ").count(), 1);
        assert_eq!(response.text().matches("# TYPE wait_seconds ").count(), 1);
    }
}
