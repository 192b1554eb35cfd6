//! The one test binary. Each file says at its top what it specifies, and which section of the documents it comes from.
//! `tests/README.md` says where to look for a rule; `support` has the only shared helpers.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

mod accept;
mod attacks;
mod config;
mod demo;
mod discovery;
mod endurance;
mod exposition;
mod gzip;
mod listener;
mod log;
mod merge;
mod own_metrics;
mod pod_options;
mod probe;
mod properties;
mod protobuf;
mod reloaded;
mod route;
mod scopes;
mod scrape;
mod server;
mod service_discovery;
mod status_page;
mod support;
mod target_labels;
mod targets;
mod tidy;
mod tls;
