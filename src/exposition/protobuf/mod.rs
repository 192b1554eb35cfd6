//! Bodies in protobuf: `MetricFamily` messages, each behind its length.
//!
//! [`ProtobufBody::read`] checks a body as strictly as Prometheus does when it ingests it. Writing it copies the
//! messages, puts the labels of the target at the end of each Metric and corrects the two lengths around them. Nothing
//! is decoded into structures, so unknown fields come through too. Only families with a metric that cannot stay as it
//! is are rewritten.
//!
//! Families are not grouped over pods: Prometheus takes the same family several times, each with its own type, and a
//! family with native and classic histograms would cost it the whole scrape.
//!
//! Pods of one job may send different formats: [`ProtobufBody::convert`] makes such a body of text or OpenMetrics.
//!
//! * `wire.rs`: fields, varints
//! * `schema.rs`: which message has which fields, and the types of families
//! * `histogram.rs`: which histograms are native, and valid
//! * `labels.rs`: labels of a metric
//! * `metric.rs`: one Metric
//! * `family.rs`: a family without its metrics
//! * `body_reader.rs`: one body, read; `seen.rs`: its series so far
//! * `from_lines.rs`: bodies of text and OpenMetrics, converted; `grouped.rs`: their histograms and summaries
//! * `body.rs`: one body, written: copied (`spliced.rs`), or put together from the values of its own and the labels of
//!   another one with the same series (`same_series.rs`)
//! * `merged.rs`: many bodies, one after the other
//! * `error.rs`: what is wrong with a body
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
