//! The status page as JSON, with all targets that pass the filter.

use serde_json::{Value, json};

use super::{Row, View, unix_seconds};
use crate::aggregate::LastScrape;
use crate::server::route::TargetState;

/// The whole page.
pub(super) fn render(view: &View<'_>) -> String {
    let jobs = view.jobs.iter().map(|job| {
        json!({
            "job": job.name,
            "up": job.counts[TargetState::Up as usize],
            "down": job.counts[TargetState::Down as usize],
            "unknown": job.counts[TargetState::Unknown as usize],
            "lastRequest": job.last_request.as_ref().map(|last| json!({
                "timestampSeconds": unix_seconds(last.at),
                "durationSeconds": last.duration.as_secs_f64(),
                "bytes": last.bytes,
                "format": last.format.to_string(),
            })),
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": view.is_ready,
        "cacheAgeSeconds": view.cache_age.map(|age| age.as_secs_f64()),
        "lastError": view.last_error,
        "jobs": jobs.collect::<Vec<Value>>(),
        "targets": view.rows.iter().map(target).collect::<Vec<Value>>(),
        "podsWithoutJob": view.without_job.iter().map(pod_without_job).collect::<Vec<Value>>(),
    })
    .to_string()
}

fn pod_without_job(row: &Row<'_>) -> Value {
    json!({
        "namespace": row.target.namespace,
        "pod": row.target.pod,
        "reason": row.reason,
    })
}

fn target(row: &Row<'_>) -> Value {
    let target = row.target;
    let last = |last: &LastScrape| {
        json!({
            "timestampSeconds": unix_seconds(last.at),
            "durationSeconds": last.duration.as_secs_f64(),
            "reason": last.failure,
            "samples": last.samples,
            "bytes": last.body_bytes,
            "format": last.format.map(|format| format.to_string()),
        })
    };
    json!({
        "target": target.to_string(),
        "job": target.job,
        "namespace": target.namespace,
        "pod": target.pod,
        "ip": target.pod_ip,
        "terminating": target.terminating,
        "state": row.state.name(),
        "reason": row.reason,
        "lastScrape": row.last.merged.as_ref().map(last),
        "lastProbe": row.last.probe.as_ref().map(last),
    })
}
