//! Certificates out of PEM files.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Content, FileError};

/// At least one certificate, in the order of the file.
pub type Certificates = Vec<CertificateDer<'static>>;

/// All certificates of a PEM file. Text between them and other PEM sections are skipped.
///
/// # Errors
/// There is none, or one is broken: a file that is being written must not pass for one with fewer CAs.
pub fn certificates(file: &Content) -> Result<Certificates, FileError> {
    let certificates: Result<Certificates, _> =
        CertificateDer::pem_slice_iter(file.bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(file.error("expected one or more certificates in PEM")),
    }
}
