//! The head of the response to one GET, within the time of its scrape.

use std::time::{Duration, Instant};

use ureq::http::{HeaderName, HeaderValue, Response, header};

use super::agents::Access;
use super::error::ConnectionError;
use super::{Phase, ScrapeError};

static USER_AGENT: HeaderValue = HeaderValue::from_static(concat!(
    "kubernetes-metrics-aggregator/",
    env!("CARGO_PKG_VERSION")
));
/// As Prometheus says how long it waits.
static TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// How long one scrape may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    pub(super) start: Instant,
    /// What the pod is told: one that responds otherwise when there is less time, as an exporter that probes others
    /// does, is not to know of our patience.
    pub(super) timeout: Duration,
    /// When the scrape ends, counted from its start.
    pub(super) budget: Duration,
}

/// Sends the request and reads the head of the response. A connection that was kept and turns out to be closed is
/// replaced by a new one, since others that are kept may be closed too; a new one that fails is not tried again.
///
/// # Errors
/// No connection, no time, or no HTTP.
pub(super) fn get(
    access: &Access,
    headers: &[(HeaderName, HeaderValue)],
    time: Time,
) -> Result<Response<ureq::Body>, ScrapeError> {
    let response = match send(access, headers, time, false) {
        Err(error) if ConnectionError::is_kept_closed(&error) => send(access, headers, time, true),
        other => other,
    };
    response.map_err(|error| ScrapeError::of_ureq(Phase::Wait, error, time.budget))
}

fn send(
    access: &Access,
    headers: &[(HeaderName, HeaderValue)],
    time: Time,
    needs_new: bool,
) -> Result<Response<ureq::Body>, ureq::Error> {
    let spent = time.start.elapsed();
    let left = time.timeout.saturating_sub(spent);
    let mut request = access
        .agent
        .get(&access.url)
        .header(&TIMEOUT_HEADER, format!("{:.3}", left.as_secs_f64()))
        .header(header::USER_AGENT, &USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let budget = time.budget.saturating_sub(spent);
    let mut config = request.config().timeout_global(Some(budget));
    if needs_new {
        config = config.max_idle_age(Duration::ZERO);
    }
    config.build().call()
}
