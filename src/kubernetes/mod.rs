//! Kubernetes: list and watch of pods over REST, the credentials for them, and the targets that a pod becomes.
//!
//! Only this module uses the types of `k8s_openapi`; it returns [`crate::target::Target`]s. Between requests it keeps
//! only the connection and the credentials: `discovery` decides when to list and what to publish.

mod body;
pub mod client;
pub mod credentials;
pub mod error;
mod fields;
mod options;
pub mod pod;
pub mod pod_list;
mod pod_stream;
mod ports;
pub mod url;
pub mod watch;

pub use options::OPTIONS;

/// The prefix of every label and annotation that this program reads, up to the `/`.
pub const KEY_PREFIX: &str = "metrics-aggregator.apawel.me";

/// The label that makes a pod a target. The API server selects by it.
pub const JOB_NAME_KEY: &str = "metrics-aggregator.apawel.me/job-name";
