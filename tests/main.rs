//! The one test binary. What belongs where:
//!
//! * `support`: fakes with real sockets and the built program, the only shared helpers
//! * `accept`: what scrapers accept, what pods are asked
//! * `attacks`: the built program and clients that mean it no good
//! * `config`: settings, by value and by the program's exit code
//! * `demo`: what the README promises of `--demo`
//! * `discovery`: the pods that the API server or a file lists, polled or watched, and each way in which that fails
//! * `endurance`: many rounds of everything that can go wrong
//! * `exposition`: one body; valid and invalid lines
//! * `gzip`: merged texts as gzip
//! * `listener`: what comes in from outside: heads, limits, TLS, tokens; with something simple behind
//! * `log`: what the built program writes to its log
//! * `merge`: many bodies in one text
//! * `own_metrics`: `/-/metrics` against what the program is put through, and against its document
//! * `pod_options`: each option of a pod, good and bad values
//! * `probe`: one target as it is
//! * `properties`: what holds for all bodies, on generated ones
//! * `reloaded`: tokens, CAs, certificates and keys that are read again
//! * `protobuf`: bodies in protobuf: what is valid, what is spliced
//! * `route`: what a request line asks for
//! * `scopes`: tokens that may see some jobs or namespaces only
//! * `scrape`: the built program and pods that misbehave
//! * `server`: the built program seen by a scraper
//! * `service_discovery`: `/sd/*`, and shards
//! * `status_page`: `/` in its three formats
//! * `target_labels`: `POD_TARGET_LABELS`
//! * `targets`: pod lists → targets
//! * `tidy`: the layout, the documents and the imports, compared with the code
//! * `tls`: pods over TLS
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
