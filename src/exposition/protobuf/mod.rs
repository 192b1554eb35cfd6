//! Bodies in protobuf: `MetricFamily` messages, each after its length.
//!
//! [`ProtobufBody::read`] validates a body as strictly as Prometheus does when it ingests it. To write a body, the
//! messages are copied, the labels of the target are added at the end of each Metric, and the two lengths around them
//! are corrected. Messages are not decoded into structures, so unknown fields are kept. A family is rewritten only if
//! one of its metrics cannot stay as it is.
//!
//! The families of different pods are not merged: Prometheus accepts the same family several times, each with its own
//! type, but refuses the whole scrape for a family with native and classic histograms.
//!
//! Pods of one job may send different formats. [`ProtobufBody::convert`] converts text and OpenMetrics to protobuf.
//!
//! * `wire.rs`: fields, varints
//! * `schema.rs`: which message has which fields, and the types of families
//! * `histogram.rs`: which histograms are native, and valid
//! * `labels.rs`: labels of a metric
//! * `metric.rs`: one Metric
//! * `family.rs`: a family without its metrics
//! * `body_reader.rs`: reads one body; `seen.rs`: its series so far
//! * `from_lines.rs`: converts text and OpenMetrics; `grouped.rs`: their histograms and summaries
//! * `body.rs`: writes one body: by copying it (`spliced.rs`), or by combining its values with the labels of another
//!   body that has the same series (`same_series.rs`)
//! * `merged.rs`: many bodies, one after the other
//! * `error.rs`: the error of a malformed body
//!
//! The format: `io/prometheus/client/metrics.proto` of prometheus/client_model. What is valid:
//! `model/textparse/protobufparse.go` and `prompb/io/prometheus/client/decoder.go` of Prometheus.

mod body;
mod body_reader;
mod error;
mod family;
mod from_lines;
mod grouped;
mod histogram;
mod labels;
mod merged;
mod metric;
mod same_series;
mod schema;
mod seen;
mod spliced;
mod wire;

pub(super) use body::KnownBodies;
pub use body::ProtobufBody;
pub use error::ProtobufError;
pub(super) use merged::{MergedProtobuf, Position as MergedPosition};
pub use spliced::Position;
pub(super) use wire::push_label;
