//! Scraping: one GET of one target within a deadline (`client.rs`), many of them fairly by a fixed number of
//! threads (`pool.rs`, `batch.rs`) until their request has to be answered (`deadline.rs`), and why a scrape failed
//! (`error.rs`).

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
