//! The files for TLS to pods: the CAs that verify their certificates, and the certificate and key that are shown to
//! pods that ask for one.
//!
//! Each CA file is independent: one that cannot be read, or has no certificate that can be parsed, keeps its last
//! content, whatever the others do. The same holds for the certificate and key together. `agents.rs` drops connections
//! that were made with other content than the current one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::tls::{Certificate, ClientCert, PrivateKey};

use super::connect::Tls;
use crate::reloaded::{
    Certificates, FileContent, FileError, Reloaded, authorities, certificates, certified_key,
};

/// The age at which the files are read again, as in client-go.
pub(super) const FILES_AGE_MAX: Duration = Duration::from_secs(60);

/// A client certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct ClientCertificateFiles {
    /// The certificate, and those between it and its CA (`SCRAPE_CERT_FILE`).
    pub cert: PathBuf,
    /// Its key (`SCRAPE_KEY_FILE`).
    pub key: PathBuf,
}

/// The files, which are read again when they are due.
#[derive(Debug)]
pub(super) struct PodTlsFiles {
    cas: Vec<Reloaded<Certificates>>,
    client: Option<Reloaded<ClientCert>>,
}

impl PodTlsFiles {
    /// Reads the files. CA files that cannot be used are logged, and left out until they can.
    ///
    /// # Errors
    /// The certificate or the key cannot be used, or they do not belong together.
    pub(super) fn open(
        ca_files: Vec<PathBuf>,
        client: Option<ClientCertificateFiles>,
    ) -> Result<PodTlsFiles, FileError> {
        let open_ca = |path| {
            let file = Reloaded::open(vec![("CA file", path)], FILES_AGE_MAX, |files| {
                authorities(&files[0])
            });
            if let Err(error) = file.latest() {
                log::warn!("{error}; pods with tls-verify=true may fail");
            }
            file
        };
        let client = client.map(|ClientCertificateFiles { cert, key }| {
            let pair = vec![("SCRAPE_CERT_FILE", cert), ("SCRAPE_KEY_FILE", key)];
            Reloaded::open(pair, FILES_AGE_MAX, client_certificate)
        });
        client.as_ref().map(Reloaded::latest).transpose()?;
        Ok(PodTlsFiles {
            cas: ca_files.into_iter().map(open_ca).collect(),
            client,
        })
    }

    /// Reads the files again that are due. Returns whether one of them has changed. Must not be called while holding a
    /// lock.
    pub(super) fn refresh(&self, now: Instant) -> bool {
        let mut is_new = false;
        self.cas.iter().for_each(|file| is_new |= file.refresh(now));
        let client = self.client.iter();
        client.for_each(|pair| is_new |= pair.refresh(now));
        is_new
    }

    /// The current verification of certificates and the current client certificate, without reading files.
    pub(super) fn verified(&self) -> Tls {
        let cas = self.cas.iter().filter_map(|file| file.latest().ok());
        let cas = cas.flat_map(|file| owned(&file)).collect();
        let client = self.client.as_ref().and_then(|files| files.latest().ok());
        Tls::new(cas, client.as_deref().cloned(), true)
    }
}

/// Certificate and key in ureq's form. ureq accepts a pair that does not belong together, and panics later.
fn client_certificate(files: &[FileContent]) -> Result<ClientCert, FileError> {
    certified_key(&files[0], &files[1])?;
    let chain = owned(&certificates(&files[0])?);
    let key = PrivateKey::from_pem(files[1].bytes());
    let key = key.map_err(|_| files[1].error("expected one private key in PEM"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn owned(certificates: &Certificates) -> Vec<Certificate<'static>> {
    let certificates = certificates.iter();
    certificates
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
}
