//! One GET: the head of its response, after redirects within the pod, within the time of its scrape.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Response, Uri, header};

use super::error::{ConnectionError, brief};
use super::redirect::{self, NotFollowed, REDIRECTS_MAX, TOO_MANY, UNREADABLE};
use super::{Phase, ScrapeError};

static USER_AGENT: HeaderValue = HeaderValue::from_static(concat!(
    "kubernetes-metrics-aggregator/",
    env!("CARGO_PKG_VERSION")
));
/// The header in which Prometheus sends its timeout.
static TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// How long one scrape may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScrapeTime {
    pub(super) start: Instant,
    /// When the scrape ends, counted from its start. The pod is told how much of this time is left.
    pub(super) budget: Duration,
}

/// Asks the pod at this IP, and follows its redirects with the same headers: a redirect never sends them to anyone who
/// would not have got them anyway. The response is not a redirect, or it is one without a place.
///
/// # Errors
/// There is no connection, no time is left, the response is not HTTP, or a redirect is not followed.
pub(super) fn get(
    agent: &Agent,
    mut url: Uri,
    pod: IpAddr,
    headers: &[(HeaderName, HeaderValue)],
    time: ScrapeTime,
) -> Result<Response<ureq::Body>, ScrapeError> {
    let mut followed = 0;
    loop {
        let response = get_one(agent, &url, headers, time)?;
        let Some(location) = location(&response) else {
            return Ok(response);
        };
        let next = if followed < REDIRECTS_MAX {
            redirect::path_in_pod(&url, pod, location).and_then(|path| with_path(&url, &path))
        } else {
            Err(TOO_MANY)
        };
        // The body of the redirect is not read, so its connection is closed.
        url = next.map_err(|why| {
            let status = response.status().as_u16();
            let place = brief(&redirect::shown(location));
            let text = format!("expected status 200, found {status} to \"{place}\", {why}");
            ScrapeError::failed(Phase::Wait, text)
        })?;
        followed += 1;
    }
}

/// Where the response redirects to, if Go's client would follow it: the first of several headers, if it is not empty.
fn location(response: &Response<ureq::Body>) -> Option<&[u8]> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.as_bytes();
    (!location.is_empty()).then_some(location)
}

fn with_path(url: &Uri, path: &str) -> Result<Uri, NotFollowed> {
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(|_| UNREADABLE)?);
    Uri::from_parts(parts).map_err(|_| UNREADABLE)
}

/// Sends the request and reads the head of the response. If a kept connection turns out to be closed, a new one is
/// used, because other kept ones may be closed too. A new connection that fails is not retried.
fn get_one(
    agent: &Agent,
    url: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    time: ScrapeTime,
) -> Result<Response<ureq::Body>, ScrapeError> {
    let response = match send(agent, url, headers, time, false) {
        Err(error) if ConnectionError::is_kept_closed(&error) => {
            send(agent, url, headers, time, true)
        }
        other => other,
    };
    response.map_err(|error| ScrapeError::of_ureq(Phase::Wait, error, time.budget))
}

fn send(
    agent: &Agent,
    url: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    time: ScrapeTime,
    needs_new: bool,
) -> Result<Response<ureq::Body>, ureq::Error> {
    let left = time.budget.saturating_sub(time.start.elapsed());
    let mut request = agent
        .get(url)
        .header(&TIMEOUT_HEADER, format!("{:.3}", left.as_secs_f64()))
        .header(header::USER_AGENT, &USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut config = request.config().timeout_global(Some(left));
    if needs_new {
        config = config.max_idle_age(Duration::ZERO);
    }
    config.build().call()
}
