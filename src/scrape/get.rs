//! The head of the response to one GET, after redirects within the pod, within the time of its scrape.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Response, Uri, header};

use super::agents::Access;
use super::error::{ConnectionError, brief};
use super::redirect::{self, NotFollowed, REDIRECTS_MAX, TOO_MANY, UNREADABLE};
use super::{Phase, Reason, ScrapeError};

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
    /// When the scrape ends, counted from its start. The pod is told what is left of it.
    pub(super) budget: Duration,
}

/// Asks the pod at this IP, and again for what its redirects lead to, with the same headers: nobody gets them who would
/// not have got them anyway. What comes back has a status that is no redirect, or is one without a place.
///
/// # Errors
/// No connection, no time, no HTTP, or a redirect that is not followed.
pub(super) fn get(
    access: &Access,
    pod: IpAddr,
    headers: &[(HeaderName, HeaderValue)],
    time: Time,
) -> Result<Response<ureq::Body>, ScrapeError> {
    let mut url = access.url.clone();
    let mut followed = 0;
    loop {
        let response = get_one(&access.agent, &url, headers, time)?;
        let Some(location) = location(&response) else {
            return Ok(response);
        };
        let next = if followed < REDIRECTS_MAX {
            redirect::path_in_pod(&url, pod, location).and_then(|path| with_path(&url, &path))
        } else {
            Err(TOO_MANY)
        };
        // The body of the redirect is not read: its connection ends with it.
        url = next.map_err(|why| {
            let status = response.status().as_u16();
            let place = brief(&redirect::shown(location));
            let text = format!("expected status 200, found {status} to \"{place}\", {why}");
            ScrapeError::new(Phase::Wait, Reason::Failed(text))
        })?;
        followed += 1;
    }
}

/// Where the response leads, if it is one that Go's client follows: of several headers the first, if there is something
/// in it.
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

/// Sends the request and reads the head of the response. A connection that was kept and turns out to be closed is
/// replaced by a new one, since others that are kept may be closed too; a new one that fails is not tried again.
fn get_one(
    agent: &Agent,
    url: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    time: Time,
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
    time: Time,
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
