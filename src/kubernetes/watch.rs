//! The watch: the changes of pods after a list, one event in each line, as they happen.
//!
//! Each event is decoded separately and becomes targets; only the line that is being read is kept. An event of an
//! unknown type is skipped. A line that is not an event, or larger than an object can be, ends the watch. Runs in the
//! watch threads.
//!
//! API: <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use log::debug;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess};
use serde_json::Value;
use ureq::BodyReader;

use super::client::{ApiClient, client_error, status_error};
use super::error::ClientError;
use super::fields::{Partial, ReadField, value};
use super::pod::{Item, pod_uid, targets_from_pod};
use super::url::watch_url;
use crate::target::{Excerpt, Target};

/// The largest event: etcd accepts objects of 1.5 MiB, which are somewhat larger in JSON.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How much memory of one line is kept for the next.
const LINE_BYTES_KEPT: usize = 64 * 1024;

/// How much longer than the server's own limit a watch may last, as in kube-rs. The server ends each watch in time, so
/// one that continues is dead.
const OVERTIME: Duration = Duration::from_secs(5);

/// One event of a watch.
#[derive(Debug)]
pub enum PodEvent {
    /// The pod has these targets from now on; none if it is gone, finished or without an IP.
    Changed {
        /// As in its targets.
        uid: String,
        /// In the order of [`targets_from_pod`].
        targets: Vec<Arc<Target>>,
    },
    /// A bookmark or an unknown event. It shows that the API server is alive.
    Alive,
}

/// A watch that the API server has accepted.
pub(crate) struct PodWatch {
    reader: BufReader<BodyReader<'static>>,
    line: Vec<u8>,
    namespace: Option<String>,
    /// Where the next watch continues.
    pub(crate) resource_version: String,
}

impl ApiClient {
    /// Follows the pods that have a job name from a resource version on, for at most `timeout`; ends earlier if nothing
    /// arrives for `idle`.
    ///
    /// # Errors
    ///
    /// The watch cannot be started. The next request reads the credentials again.
    pub(crate) fn watch_pods(
        &mut self,
        namespace: Option<&str>,
        resource_version: &str,
        timeout: Duration,
        idle: Duration,
    ) -> Result<PodWatch, ClientError> {
        let url = watch_url(&self.base_url, namespace, resource_version, timeout);
        let result = self.get_authorized(&url, Some((timeout + OVERTIME, idle)));
        let response = result.and_then(|response| match response.status().as_u16() {
            200 => Ok(response),
            _ => Err(status_error(response, "watch", namespace)),
        });
        let response = response.inspect_err(|_| self.expire_credentials())?;
        Ok(PodWatch {
            reader: BufReader::new(response.into_body().into_reader()),
            line: Vec::new(),
            namespace: namespace.map(str::to_owned),
            resource_version: resource_version.to_owned(),
        })
    }
}

impl PodWatch {
    /// Waits for the next event; `None` if the server has ended the watch.
    ///
    /// # Errors
    ///
    /// The connection fails or is silent, a line is not an event, or the event is an ERROR, with its status: 410 means
    /// that the resource version is too old.
    pub(crate) fn next_event(&mut self) -> Result<Option<PodEvent>, ClientError> {
        loop {
            self.line.clear();
            self.line.shrink_to(LINE_BYTES_KEPT);
            let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
            limited
                .read_until(b'\n', &mut self.line)
                .map_err(|error| client_error(ureq::Error::from(error)))?;
            if self.line.is_empty() {
                return Ok(None);
            }
            if self.line.pop() != Some(b'\n') {
                return Err(match limited.limit() {
                    0 => ClientError::TooLarge("8 MiB in one event"),
                    _ => ClientError::Connection(io::ErrorKind::UnexpectedEof.into()),
                });
            }
            if !self.line.trim_ascii().is_empty() {
                return self.event().map(Some);
            }
        }
    }

    fn event(&mut self) -> Result<PodEvent, ClientError> {
        let (kind, _) = decode::<IgnoredAny>(&self.line)?;
        match kind.as_str() {
            "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" => self.pod_event(&kind),
            "ERROR" => Err(self.error()?),
            _ => {
                debug!("watch: event of the unknown type {}", Excerpt(&kind, 40));
                Ok(PodEvent::Alive)
            }
        }
    }

    fn pod_event(&mut self, kind: &str) -> Result<PodEvent, ClientError> {
        let (_, item) = decode::<Item>(&self.line)?;
        let Some(Item(Some(pod))) = item else {
            debug!("watch: {kind} of something that is no pod");
            return Ok(PodEvent::Alive);
        };
        if let Some(version) = &pod.metadata.resource_version
            && !version.is_empty()
        {
            self.resource_version.clone_from(version);
        }
        let targets = match kind {
            "BOOKMARK" => return Ok(PodEvent::Alive),
            "DELETED" => Vec::new(),
            _ => targets_from_pod(&pod),
        };
        let uid = pod_uid(&pod);
        Ok(PodEvent::Changed { uid, targets })
    }

    /// The `Status` of an ERROR event. Even if it is incomplete, the watch cannot continue.
    fn error(&self) -> Result<ClientError, ClientError> {
        let (_, status) = decode::<Value>(&self.line)?;
        let status = status.unwrap_or_default();
        let code = status["code"]
            .as_u64()
            .and_then(|code| code.try_into().ok());
        Ok(ClientError::Status {
            status: code.unwrap_or(500),
            verb: "watch",
            namespace: self.namespace.clone(),
            message: status["message"].as_str().unwrap_or_default().to_owned(),
            retry_after: status["details"]["retryAfterSeconds"]
                .as_u64()
                .map(Duration::from_secs),
        })
    }
}

/// Type and object of an event.
fn decode<T: DeserializeOwned + Default>(line: &[u8]) -> Result<(String, Option<T>), ClientError> {
    let Partial(Event { kind, object }) =
        serde_json::from_slice(line).map_err(ClientError::Malformed)?;
    Ok((kind, object))
}

#[derive(Default)]
struct Event<T> {
    kind: String,
    object: Option<T>,
}

impl<T: DeserializeOwned + Default> ReadField for Event<T> {
    const WHAT: &'static str = "a watch event";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "type" => self.kind = value(map)?,
            "object" => self.object = value(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
