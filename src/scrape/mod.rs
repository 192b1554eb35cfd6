//! Scraping. `client.rs` does one GET of one target within a deadline, `pool.rs` and `batch.rs` share a fixed number of
//! threads fairly among requests, `deadline.rs` decides when the scrapes of a request have to end, and `error.rs` says
//! why one failed.

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
