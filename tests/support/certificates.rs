//! A certificate authority for a test, and what it signs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion,
    WantsVerifier,
};

/// The name in certificates of the program.
pub(crate) const NAME: &str = "aggregator.test";

/// A certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // Two authorities of one name would look like one with an invalid signature.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("test authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
        }
    }

    /// The authority's certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server with a certificate for these DNS names and IPs.
    pub(crate) fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.sign(&params(names))
    }

    /// The same, which accepts only clients with a certificate of that authority.
    pub(crate) fn server_for(&self, names: &[&str], clients: &Authority) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        let root = clients.issuer.der().clone();
        roots.add(root).expect("a certificate of an authority");
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().expect("there is an authority");
        self.sign_with(&params(names), |builder| {
            builder.with_client_cert_verifier(verifier)
        })
    }

    /// A server whose certificate has expired.
    pub(crate) fn expired_server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    /// A server whose certificate claims to be that of an authority.
    pub(crate) fn server_that_is_a_ca(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.sign(&params)
    }

    /// A certificate for these DNS names and IPs and its key, both PEM.
    pub(crate) fn pem_pair(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = params(names);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn sign(&self, params: &CertificateParams) -> Arc<ServerConfig> {
        self.sign_with(params, |builder| builder.with_no_client_auth())
    }

    fn sign_with(
        &self,
        params: &CertificateParams,
        verify: impl FnOnce(
            ConfigBuilder<ServerConfig, WantsVerifier>,
        ) -> ConfigBuilder<ServerConfig, WantsServerCert>,
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key in PKCS #8");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them");
        let config = verify(builder)
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("key and certificate belong together");
        Arc::new(config)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("DNS names and IPs")
}

/// A client that trusts these CAs and shows this certificate, if any; both PEM.
pub(crate) fn tls_client(
    cas: &[&str],
    shows: Option<&(String, String)>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let mut roots = RootCertStore::empty();
    for ca in cas {
        roots.add(certificate(ca)).expect("a certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring has them")
        .with_root_certificates(roots);
    let Some((shown, key)) = shows else {
        return builder.with_no_client_auth();
    };
    let key = PemObject::from_pem_slice(key.as_bytes()).expect("PEM");
    builder
        .with_client_auth_cert(vec![certificate(shown)], key)
        .expect("key and certificate belong together")
}
