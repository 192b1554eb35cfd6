//! Reads certificates and keys from PEM files.

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{FileContent, FileError};

/// At least one certificate, in the order of the file.
pub type Certificates = Vec<CertificateDer<'static>>;

/// What each section of a PEM file begins with.
const BEGIN: &str = "\n-----BEGIN ";

/// All certificates of a PEM file, for a chain to show to others. Other PEM sections, and text between sections, are
/// skipped.
///
/// # Errors
/// There is none, or one is broken: a file that is still being written must not count as a shorter chain.
pub fn certificates(file: &FileContent) -> Result<Certificates, FileError> {
    let certificates: Result<Certificates, _> =
        CertificateDer::pem_slice_iter(file.bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(file.error("expected one or more certificates in PEM")),
    }
}

/// A certificate with those between it and its CA, and its key, to show to others. The key is PKCS #8, PKCS #1 or
/// SEC1, and not encrypted.
///
/// # Errors
/// A file does not contain what is expected of it, or certificate and key do not match.
pub fn certified_key(cert: &FileContent, key: &FileContent) -> Result<CertifiedKey, FileError> {
    let chain = certificates(cert)?;
    let private_key = PrivateKeyDer::from_pem_slice(key.bytes())
        .map_err(|_| key.error("expected one private key in PEM, not encrypted"))?;
    CertifiedKey::from_der(chain, private_key, &ring::default_provider())
        .map_err(|error| cert.error(format_args!("does not go with {}: {error}", key.name)))
}

/// The CA certificates of a PEM file, with which others are verified. Those that cannot be parsed are left out and
/// logged, as by `AppendCertsFromPEM` in Go's `crypto/x509`, which Prometheus and client-go use.
///
/// # Errors
/// None of them can be parsed.
pub fn authorities(file: &FileContent) -> Result<Certificates, FileError> {
    let mut authorities = Certificates::new();
    let mut broken_lines = Vec::new();
    let text = format!("\n{}", String::from_utf8_lossy(file.bytes()));
    let mut sections = text.split(BEGIN);
    let mut line = lines(sections.next().unwrap_or_default());
    // Each section is parsed separately, because the parser would read a section without an end and the next one as
    // one section.
    for section in sections {
        let pem = [BEGIN, section].concat();
        match CertificateDer::pem_slice_iter(pem.as_bytes()).next() {
            Some(Ok(certificate)) if is_authority(&certificate) => authorities.push(certificate),
            Some(_) if section.starts_with("CERTIFICATE") => broken_lines.push(line),
            Some(_) | None => {}
        }
        line += lines(section);
    }
    let (good, broken) = (authorities.len(), broken_lines.len());
    let error = match broken_lines.first() {
        None if good > 0 => return Ok(authorities),
        None => return Err(file.error("expected one or more certificates of CAs in PEM")),
        Some(first) => file.error(format_args!(
            "expected certificates of CAs in PEM, found {broken} of {} that cannot be parsed, \
             the first in line {first}",
            good + broken
        )),
    };
    if good == 0 {
        return Err(error);
    }
    log::warn!("{error}; the others are used");
    Ok(authorities)
}

fn lines(text: &str) -> usize {
    1 + text.matches('\n').count()
}

fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}
