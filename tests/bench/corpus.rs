//! Bodies as exporters write them, the same at every run.

use super::body::{self, Series};
use std::fmt::Write;

/// Each with the bodies of its pods.
pub(crate) fn all() -> Vec<(&'static str, Vec<String>)> {
    let pods = |series| pods(|number| body::render(1000, number, series));
    vec![
        ("alike", pods(Series::Same)),
        ("stamped", pods(Series::Stamped)),
        ("all stamped", pods(Series::CAdvisor)),
        ("rollout", pods(Series::Rollout)),
        ("own", pods(Series::Own)),
        ("distinct", pods(Series::Distinct)),
        ("mixed page", vec![mixed_page()]),
        ("histograms", vec![histograms()]),
        ("cadvisor", vec![cadvisor()]),
        ("1000 tiny pods", (0..1000).map(tiny).collect()),
        ("100000 series", vec![many_series(100_000)]),
        ("escapes", vec![escapes()]),
        ("two pods", (0..2).map(alike).collect()),
        ("other order", self::pods(other_order)),
        ("1 of 20 missing", self::pods(with_missing_lines)),
        ("long labels", self::pods(long_labels)),
        ("exponents", self::pods(exponents)),
    ]
}

const PODS: usize = 64;

fn pods(body: impl Fn(usize) -> String) -> Vec<String> {
    (0..PODS).map(body).collect()
}

fn alike(number: usize) -> String {
    body::render(1000, number, Series::Same)
}

/// Families in the same order, but the samples of each in another one for each pod.
fn other_order(number: usize) -> String {
    let body = alike(number);
    let lines: Vec<&str> = body.split_inclusive('\n').collect();
    let is_head = |line: &str| line.starts_with('#');
    let families = lines.chunk_by(|a, b| is_head(a) == is_head(b));
    let ordered = families.flat_map(|lines| {
        let mut lines = lines.to_vec();
        if !is_head(lines[0]) {
            let middle = number * 7 % lines.len();
            lines.rotate_left(middle);
            lines[..middle].reverse();
        }
        lines
    });
    ordered.collect()
}

/// Another line in 20 is not there in each pod.
fn with_missing_lines(number: usize) -> String {
    let body = alike(number);
    let lines = body.split_inclusive('\n').enumerate();
    lines
        .filter(|(at, _)| !(at + number).is_multiple_of(20))
        .map(|(_, line)| line)
        .collect()
}

/// Labels of 300 bytes, which differ at their ends.
fn long_labels(number: usize) -> String {
    let mut page = String::new();
    for n in 0..10 {
        let name = format!("workflow_steps_{n}_total");
        head(&mut page, &name, "counter");
        for m in 0..30 {
            let labels = format!("path=\"/{}{m}\",step=\"{m}\"", "workflows/".repeat(30));
            line(&mut page, &name, &labels, number * n + m);
        }
    }
    page
}

/// Values that are not digits and a point alone.
fn exponents(number: usize) -> String {
    let mut page = String::new();
    for n in 0..50 {
        let name = format!("process_memory_{n}_bytes");
        head(&mut page, &name, "gauge");
        for m in 0..20 {
            let value = (number * n + m + 1) as f64 * -1.234_567e9;
            let _ = writeln!(page, "{name}{{pool=\"slab-{m}\"}} {value:e}");
        }
    }
    page
}

/// About 190 kB: 237 families of all kinds, most of them with few series.
pub(crate) fn mixed_page() -> String {
    let mut page = String::new();
    for n in 0..100 {
        let name = format!("memcached_commands_{n}_total");
        head(&mut page, &name, "counter");
        for m in 0..1 + n % 9 {
            line(
                &mut page,
                &name,
                &format!("command=\"get_{m}\",status=\"hit\""),
                n * 7919 + m,
            );
        }
    }
    for n in 0..90 {
        let name = format!("process_resident_pool_{n}_bytes");
        head(&mut page, &name, "gauge");
        if n % 3 == 0 {
            line(&mut page, &name, "", n * 104_729);
        } else {
            for m in 0..n % 5 {
                line(
                    &mut page,
                    &name,
                    &format!("pool=\"slab-{m}\",node=\"worker-{n}\""),
                    n * m,
                );
            }
        }
    }
    latencies(&mut page);
    page
}

fn latencies(page: &mut String) {
    for n in 0..32 {
        histogram(page, &format!("http_request_duration_{n}_seconds"), 2);
    }
    for n in 0..15 {
        let name = format!("rpc_latency_{n}_seconds");
        head(page, &name, "summary");
        for quantile in ["0", "0.25", "0.5", "0.75", "1"] {
            line(
                page,
                &name,
                &format!("service=\"storage\",quantile=\"{quantile}\""),
                n,
            );
        }
        line(page, &format!("{name}_sum"), "service=\"storage\"", n);
        line(page, &format!("{name}_count"), "service=\"storage\"", n);
    }
}

fn histograms() -> String {
    let mut page = String::new();
    for n in 0..20 {
        histogram(&mut page, &format!("grpc_server_handling_{n}_seconds"), 30);
    }
    page
}

/// Every line with a timestamp, many labels without a value.
fn cadvisor() -> String {
    let mut page = String::new();
    for n in 0..40 {
        let name = format!("container_usage_{n}_bytes_total");
        head(&mut page, &name, "counter");
        for m in 0..60 {
            let image = if m % 3 == 0 { "" } else { "registry/app:v1" };
            let labels = format!(
                "container=\"c{m}\",id=\"/kubepods/pod{m:032x}\",image=\"{image}\",name=\"\",namespace=\"shop\""
            );
            let _ = writeln!(
                page,
                "{name}{{{labels}}} {} 17500000{:05}",
                n * m * 7919,
                n * m
            );
        }
    }
    page
}

fn tiny(number: usize) -> String {
    let mut page = String::new();
    for n in 0..8 {
        let name = format!("worker_queue_{n}");
        head(&mut page, &name, "gauge");
        line(&mut page, &name, "queue=\"default\"", number * n);
        line(&mut page, &name, "queue=\"low\"", n);
    }
    page
}

fn many_series(series: usize) -> String {
    let mut page = String::new();
    head(&mut page, "kube_pod_container_info", "gauge");
    for n in 0..series {
        let labels = format!(
            "namespace=\"team-{}\",pod=\"web-{:x}\",uid=\"{:016x}\",container=\"app\"",
            n % 40,
            n / 3,
            (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        );
        line(&mut page, "kube_pod_container_info", &labels, 1);
    }
    page
}

fn escapes() -> String {
    let mut page = String::new();
    head(&mut page, "windows_service_info", "gauge");
    for n in 0..2000 {
        let labels = format!(
            "path=\"C:\\\\Program Files\\\\Service {n}\\\\run.exe\",title=\"the \\\"service\\\" number {n}\\nof many\""
        );
        line(&mut page, "windows_service_info", &labels, n);
    }
    page
}

fn histogram(page: &mut String, name: &str, series: usize) {
    head(page, name, "histogram");
    let bounds = [
        "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
    ];
    for n in 0..series {
        let labels = format!("method=\"GET\",route=\"/api/v1/items/{n}\",code=\"200\"");
        for (m, bound) in bounds.iter().enumerate() {
            let labels = format!("{labels},le=\"{bound}\"");
            line(page, &format!("{name}_bucket"), &labels, n * 100 + m);
        }
        line(page, &format!("{name}_sum"), &labels, n);
        line(page, &format!("{name}_count"), &labels, n);
    }
}

fn head(page: &mut String, name: &str, word: &str) {
    let _ = writeln!(
        page,
        "# HELP {name} What this metric means, in about as many words as usual."
    );
    let _ = writeln!(page, "# TYPE {name} {word}");
}

/// Integers, short and long fractions, and exponents in turn.
fn line(page: &mut String, name: &str, labels: &str, number: usize) {
    let value = match number % 5 {
        0 | 1 => number.to_string(),
        2 => format!("{}.5", number),
        3 => format!("{:.15}", number as f64 / 7.0),
        _ => format!("{:e}", number as f64 * 1.25e6),
    };
    let _ = if labels.is_empty() {
        writeln!(page, "{name} {value}")
    } else {
        writeln!(page, "{name}{{{labels}}} {value}")
    };
}
