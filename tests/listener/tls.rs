//! TLS for scrapers: versions, client certificates, files that change, clients that do not speak it.
//! k8s/README.md: "Who may ask".

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubernetes_metrics_aggregator::server::listener::TlsFiles;
use kubernetes_metrics_aggregator::telemetry::ListenerEvent;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned, SupportedProtocolVersion};

use super::auth::{RELOAD, start_error};
use crate::support::certificates::{Authority, NAME, tls_client};
use crate::support::eventually;
use crate::support::listener::{Client, TestListener};
use crate::support::program::TempFile;

const SHORT: Duration = Duration::from_millis(150);

/// Certificate files and the authority that signed them.
struct Files {
    authority: Authority,
    cert: TempFile,
    key: TempFile,
}

impl Files {
    fn new() -> Files {
        let authority = Authority::new();
        let (cert, key) = authority.pem_pair(&[NAME]);
        Files {
            authority,
            cert: TempFile::new(cert.as_bytes()),
            key: TempFile::new(key.as_bytes()),
        }
    }

    fn tls(&self) -> TlsFiles {
        TlsFiles {
            cert: self.cert.0.clone(),
            key: self.key.0.clone(),
            client_ca: None,
        }
    }

    fn start(&self) -> TestListener {
        self.start_with(self.tls())
    }

    fn start_with(&self, tls: TlsFiles) -> TestListener {
        TestListener::start(|settings| {
            settings.tls = Some(tls);
            settings.limits.reload_interval = RELOAD;
            settings.limits.handshake_time = SHORT * 10;
        })
    }
}

type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

/// What a client trusts, speaks and shows.
struct Visitor<'a> {
    trusts: &'a Authority,
    version: &'static SupportedProtocolVersion,
    shows: Option<(String, String)>,
}

impl Visitor<'_> {
    fn visit(&self, listener: &TestListener) -> TlsClient {
        let shows = self.shows.as_ref();
        let mut config = tls_client(&[&self.trusts.pem()], shows, &[self.version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connection = ClientConnection::new(Arc::new(config), NAME.try_into().unwrap()).unwrap();
        Client::new(StreamOwned::new(connection, listener.tcp()))
    }

    /// Asks once; `Err` is what TLS says.
    fn ask(&self, listener: &TestListener, url: &str) -> Result<String, String> {
        let mut client = self.visit(listener);
        let request = format!("GET {url} HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        let sent = client
            .stream
            .write_all(request.as_bytes())
            .and_then(|()| client.stream.flush());
        sent.map_err(|error| error.to_string())?;
        let mut first = [0; 12];
        let read = client.stream.read_exact(&mut first);
        read.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&first[9..]).into_owned())
    }
}

fn visitor(trusts: &Authority) -> Visitor<'_> {
    Visitor {
        trusts,
        version: &TLS13,
        shows: None,
    }
}

#[test]
fn tls_12_and_13_are_spoken_and_connections_kept() {
    let files = Files::new();
    let listener = files.start();
    for version in [&TLS12, &TLS13] {
        let mut client = Visitor {
            version,
            ..visitor(&files.authority)
        }
        .visit(&listener);
        assert!(client.get("/one").starts_with("200 GET /one\n"));
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.get("/bytes/5000000").len(), "200 ".len() + 5_000_000);
        client.send(b"GET /three HTTP/1.0\r\n\r\n");
        // An end without close_notify would be an error here.
        assert!(client.rest().contains("GET /three\n"));
    }
    assert_eq!(listener.count(ListenerEvent::Accepted), 2);
}

#[test]
fn a_client_that_does_not_speak_tls_is_told_or_cut_off() {
    let files = Files::new();
    let listener = files.start();
    let response = listener.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        response.starts_with("HTTP/1.1 400 ") && response.contains("use https://"),
        "{response}"
    );
    let mut garbage = listener.tcp();
    garbage.write_all(&[0x16; 300]).unwrap();
    let mut alert = Vec::new();
    garbage.read_to_end(&mut alert).unwrap();
    assert_eq!(alert[0], 21, "an alert: {alert:?}");
    // A handshake that never goes on, and one that never starts.
    let mut started = listener.tcp();
    started.write_all(&[0x16, 3, 1, 1, 0, 1, 0, 0]).unwrap();
    assert!(Client::new(started).is_closed());
    assert!(listener.client().is_closed());
    eventually("all are counted", || {
        listener.count(ListenerEvent::HandshakeFailed) == 2
    });
    assert_eq!(
        visitor(&files.authority).ask(&listener, "/").as_deref(),
        Ok("200")
    );
    eventually("none is left", || listener.open() == 0);
}

#[test]
fn a_client_certificate_is_needed_except_for_health_checks() {
    let files = Files::new();
    let ours = Authority::new();
    let stranger = Authority::new();
    let ca = TempFile::new(ours.pem().as_bytes());
    let listener = files.start_with(TlsFiles {
        client_ca: Some(ca.0.clone()),
        ..files.tls()
    });
    for version in [&TLS12, &TLS13] {
        let with = |shows| Visitor {
            shows,
            version,
            ..visitor(&files.authority)
        };
        let right = with(Some(ours.pem_pair(&["scraper"])));
        assert_eq!(right.ask(&listener, "/metrics").as_deref(), Ok("200"));
        let none = with(None);
        assert_eq!(none.ask(&listener, "/metrics").as_deref(), Ok("403"));
        assert_eq!(none.ask(&listener, "/-/healthy").as_deref(), Ok("200"));
        assert_eq!(none.ask(&listener, "/-/ready?x").as_deref(), Ok("403"));
        let wrong = with(Some(stranger.pem_pair(&["scraper"])));
        let error = wrong.ask(&listener, "/-/healthy").unwrap_err();
        assert!(error.contains("alert"), "{error}");
    }
}

#[test]
fn new_files_are_used_and_broken_ones_are_not() {
    let files = Files::new();
    let listener = files.start();
    let old = visitor(&files.authority);
    let mut kept = old.visit(&listener);
    kept.check_served();
    let next = Authority::new();
    // A certificate without its key, as in the middle of a slow rotation.
    let (cert, key) = next.pem_pair(&[NAME]);
    fs::write(&files.cert.0, cert).unwrap();
    assert_eq!(old.ask(&listener, "/a").as_deref(), Ok("200"));
    fs::write(&files.key.0, key).unwrap();
    eventually("the new pair is in use", || {
        visitor(&next).ask(&listener, "/a").is_ok()
    });
    assert!(old.ask(&listener, "/a").is_err());
    kept.check_served();
    fs::write(&files.key.0, "no key").unwrap();
    fs::remove_file(&files.cert.0).unwrap();
    // Long enough for a few checks of the files.
    let until = Instant::now() + RELOAD * 5;
    while Instant::now() < until {
        assert_eq!(visitor(&next).ask(&listener, "/a").as_deref(), Ok("200"));
    }
}

#[test]
fn invalid_files_are_errors_at_the_start() {
    let files = Files::new();
    let other = Authority::new().pem_pair(&[NAME]).1;
    let other = TempFile::new(other.as_bytes());
    let no_pem = TempFile::new(b"x");
    let (cert, key) = (&files.cert, &files.key);
    let certificates = "expected one or more certificates in PEM";
    let private_key = "expected one private key in PEM, not encrypted";
    for (cert, key, client_ca, setting, wrong, expected) in [
        (&no_pem, key, None, "TLS_CERT_FILE", &no_pem, certificates),
        (cert, &no_pem, None, "TLS_KEY_FILE", &no_pem, private_key),
        (cert, cert, None, "TLS_KEY_FILE", cert, private_key),
        (
            cert,
            key,
            Some(&no_pem),
            "TLS_CLIENT_CA_FILE",
            &no_pem,
            certificates,
        ),
        (
            cert,
            &other,
            None,
            "TLS_CERT_FILE",
            cert,
            "does not go with TLS_KEY_FILE: ",
        ),
    ] {
        let tls = TlsFiles {
            cert: cert.0.clone(),
            key: key.0.clone(),
            client_ca: client_ca.map(|file: &TempFile| file.0.clone()),
        };
        let error = start_error(None, Some(tls));
        let expected = format!("{setting} {:?}: {expected}", wrong.0);
        assert!(error.starts_with(&expected), "{error}");
    }
}
