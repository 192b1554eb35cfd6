//! Inbound TLS: from PEM files to what a handshake needs.
//!
//! A client certificate is asked for when a client CA is set, but a handshake without one is let through: a kubelet
//! that probes has none. `connection.rs` then refuses everything but the open paths. A certificate that is presented
//! and is not right ends the handshake.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// The files of inbound TLS, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and those between it and its CA (`TLS_CERT_FILE`).
    pub cert: PathBuf,
    /// The key of that certificate (`TLS_KEY_FILE`).
    pub key: PathBuf,
    /// Who signs client certificates; set: requests need one (`TLS_CLIENT_CA_FILE`).
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug)]
pub enum TlsError {
    /// No certificate in `TLS_CERT_FILE`, or one that is no PEM.
    Certificate,
    /// No private key in `TLS_KEY_FILE`.
    Key,
    /// No certificate in `TLS_CLIENT_CA_FILE`, or one that is no CA.
    ClientCa,
    /// The key is not that of the certificate, or of a kind that is not supported.
    Pair(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Certificate => {
                f.write_str("TLS_CERT_FILE: expected one or more certificates in PEM")
            }
            TlsError::Key => {
                f.write_str("TLS_KEY_FILE: expected one private key in PEM, not encrypted")
            }
            TlsError::ClientCa => {
                f.write_str("TLS_CLIENT_CA_FILE: expected one or more CA certificates in PEM")
            }
            TlsError::Pair(error) => write!(
                f,
                "TLS_CERT_FILE and TLS_KEY_FILE do not go together: {error}"
            ),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Pair(error) => Some(error),
            _ => None,
        }
    }
}

/// Makes the TLS side of the listener: 1.2 and 1.3, HTTP/1.1 by ALPN.
pub(super) fn server_config(
    cert: &[u8],
    key: &[u8],
    client_ca: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(cert).ok_or(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(roots(ca).ok_or(TlsError::ClientCa)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build();
            builder.with_client_cert_verifier(
                verifier.map_err(|_: VerifierBuilderError| TlsError::ClientCa)?,
            )
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// All certificates of a PEM text; `None` if there are none or one is broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

fn roots(pem: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).ok()?;
    }
    Some(roots)
}
