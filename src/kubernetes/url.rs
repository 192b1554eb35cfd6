//! The URLs of the pod list and of the watch. Pure text.
//!
//! Parameters: <https://kubernetes.io/docs/reference/using-api/api-concepts/>.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::JOB_NAME_KEY;

/// How many pods a page has. An API server that responds from its watch cache ignores this and sends all.
const PAGE_LIMIT: u32 = 500;

/// How current the state in a list has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Any state that the API server has seen: from its watch cache, which costs etcd nothing.
    Any,
    /// The state of this resource version or a later one, so that a list is never behind what a watch has shown.
    NotOlderThan(String),
    /// The latest state, which only etcd has.
    Latest,
}

/// One page. A page after the first must not name a resource version, because the continue token has it.
pub(super) fn page_url(
    base_url: &str,
    namespace: Option<&str>,
    freshness: &Freshness,
    continue_token: Option<&str>,
) -> String {
    let pods = pods_url(base_url, namespace);
    let limit = format!("&limit={PAGE_LIMIT}");
    if let Some(token) = continue_token {
        return format!("{pods}{limit}&continue={}", query_encoded(token));
    }
    match freshness {
        Freshness::Any => {
            format!("{pods}{limit}&resourceVersion=0&resourceVersionMatch=NotOlderThan")
        }
        // With a limit the API server would pass the list on to etcd (client-go leaves it out too).
        Freshness::NotOlderThan(version) => {
            let version = query_encoded(version);
            format!("{pods}&resourceVersion={version}&resourceVersionMatch=NotOlderThan")
        }
        Freshness::Latest => format!("{pods}{limit}"),
    }
}

pub(super) fn watch_url(
    base_url: &str,
    namespace: Option<&str>,
    resource_version: &str,
    timeout: Duration,
) -> String {
    let pods = pods_url(base_url, namespace);
    let version = query_encoded(resource_version);
    // 0 would mean the server's own default.
    let seconds = timeout.as_secs().max(1);
    format!(
        "{pods}&watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
    )
}

fn pods_url(base_url: &str, namespace: Option<&str>) -> String {
    let namespace = namespace.map_or_else(String::new, |name| {
        format!("namespaces/{}/", query_encoded(name))
    });
    let selector = query_encoded(JOB_NAME_KEY);
    format!("{base_url}/api/v1/{namespace}pods?labelSelector={selector}")
}

/// Everything except the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn query_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}
