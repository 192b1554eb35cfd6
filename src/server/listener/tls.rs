//! Inbound TLS: from PEM files to the configuration of handshakes.
//!
//! With a client CA, clients are asked for a certificate. A handshake without one succeeds nevertheless, because the
//! kubelet has none for its probes. `connection.rs` then refuses all but the open paths. An invalid certificate ends
//! the handshake.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};

use crate::reloaded::{FileContent, FileError, certificates, certified_key};

/// The files for inbound TLS, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and those between it and its CA (`TLS_CERT_FILE`).
    pub cert: PathBuf,
    /// The key of that certificate (`TLS_KEY_FILE`).
    pub key: PathBuf,
    /// The CA of client certificates. If set, requests need one (`TLS_CLIENT_CA_FILE`).
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Setting and path of each file, in the order of [`server_config`].
    pub(super) fn named(&self) -> Vec<(&'static str, PathBuf)> {
        let pair = [("TLS_CERT_FILE", &self.cert), ("TLS_KEY_FILE", &self.key)];
        let client_ca = self.client_ca.as_ref().map(|ca| ("TLS_CLIENT_CA_FILE", ca));
        let all = pair.into_iter().chain(client_ca);
        all.map(|(name, path)| (name, path.clone())).collect()
    }
}

/// The configuration for TLS 1.2 and 1.3, with HTTP/1.1 by ALPN. The files are the certificate, its key, and optionally
/// the CAs of clients.
///
/// # Errors
/// A file does not have the expected content, or certificate and key do not belong together.
pub(super) fn server_config(files: &[FileContent]) -> Result<ServerConfig, FileError> {
    let shown = SingleCertAndKey::from(certified_key(&files[0], &files[1])?);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| files[0].error(error))?;
    let builder = match files.get(2) {
        None => builder.with_no_client_auth(),
        Some(client_ca) => {
            let roots = Arc::new(roots(client_ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build();
            builder.with_client_cert_verifier(verifier.map_err(|error| client_ca.error(error))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(file: &FileContent) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| file.error(format_args!("expected certificates of CAs: {error}")))?;
    }
    Ok(roots)
}
