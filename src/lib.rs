//! Kubernetes metrics aggregator: scrapes the pods of a job when asked, answers with one merged Prometheus text.

pub mod aggregate;
pub mod config;
pub mod discovery;
pub mod exposition;
pub mod kubernetes;
pub mod scrape;
pub mod target;
pub mod telemetry;
