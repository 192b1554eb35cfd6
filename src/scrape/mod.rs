//! Scraping: one GET of one target, and the client workers that share all targets fairly among requests.
//!
//! * `client.rs`: scrapes one target within a deadline; `error.rs`: why a scrape failed
//! * `pool.rs`, `batch.rs`: the client workers, and the targets of a request on their way through them
//! * `deadline.rs`: when the scrapes of a request have to end
//! * `question.rs`, `encoding.rs`, `token.rs`: what a pod is asked for, whether with gzip, and with which token
//! * `agents.rs`: which connections are kept for the next scrape
//! * `connect.rs`: how the agent of one pod connects, with its limits; `tls_files.rs`: its CAs and client certificate
//! * `transport.rs`, `connection.rs`: a connection to a pod, below TLS and above
//! * `get.rs`, `redirect.rs`, `head.rs`, `body.rs`: a request, its redirects, the response's head and body

mod agents;
mod batch;
mod body;
pub mod client;
mod connect;
mod connection;
pub mod deadline;
mod encoding;
mod error;
mod get;
mod head;
pub mod pool;
mod question;
mod redirect;
mod tls_files;
mod token;
mod transport;

pub use error::{Phase, Reason, ScrapeError};
pub use tls_files::ClientCertificateFiles;
pub use token::TokenSettings;
