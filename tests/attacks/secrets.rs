//! Tokens and certificates together: who is let in, and that no secret is in a response or the log, at any level.
//! k8s/README.md: "Who may ask".

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::{ALL_VERSIONS, ClientConfig};

use crate::support::attack::ask;
use crate::support::certificates::{Authority, NAME, tls_client};
use crate::support::eventually;
use crate::support::fake_pod::FakePod;
use crate::support::program::{Program, TempFile, pod_at};

/// In each secret of these tests, and nowhere else.
const MARK: &str = "s3cr3t";

/// The program with everything that protects it, and the authorities of its clients.
struct Protected {
    program: Program,
    servers: Authority,
    clients: Authority,
    cert: TempFile,
    key: TempFile,
    token: TempFile,
    _others: [TempFile; 3],
    _pod: FakePod,
}

impl Protected {
    fn start() -> Protected {
        let (servers, clients) = (Authority::new(), Authority::new());
        let (cert, key) = servers.pem_pair(&[NAME]);
        let [cert, key] = [cert, key].map(|pem| TempFile::new(pem.as_bytes()));
        let client_ca = TempFile::new(clients.pem().as_bytes());
        let token = TempFile::new(format!("first-{MARK}\n").as_bytes());
        let scrape_token = TempFile::new(format!("pods-{MARK}").as_bytes());
        let fake = FakePod::healthy();
        let list = TempFile::pods(&[pod_at("n", "web-0", "web", fake.address)]);
        let path = |file: &TempFile| file.path().to_owned();
        let settings = [
            ("LOG_LEVEL", "trace"),
            ("TLS_CERT_FILE", &path(&cert)),
            ("TLS_KEY_FILE", &path(&key)),
            ("TLS_CLIENT_CA_FILE", &path(&client_ca)),
            ("AUTH_TOKEN_FILE", &path(&token)),
            ("SCRAPE_TOKEN_FILE", &path(&scrape_token)),
            ("SCRAPE_TOKEN_NAMESPACES", "n"),
        ];
        let program = Program::with_pods_limited(&list, None, &settings);
        let protected = Protected {
            program,
            servers,
            clients,
            cert,
            key,
            token,
            _others: [client_ca, scrape_token, list],
            _pod: fake,
        };
        let anyone = protected.client(None);
        eventually("it is ready", || {
            protected.ask(&anyone, "/-/ready", "").0 == Ok(200)
        });
        protected
    }

    /// Trusts the server's authority, shows a certificate of this one.
    fn client(&self, shows: Option<&Authority>) -> Arc<ClientConfig> {
        let shown = shows.map(|authority| authority.pem_pair(&["scraper"]));
        Arc::new(tls_client(
            &[&self.servers.pem()],
            shown.as_ref(),
            ALL_VERSIONS,
        ))
    }

    /// Status (`Err`: no response) and the whole response.
    fn ask(
        &self,
        client: &Arc<ClientConfig>,
        url: &str,
        headers: &str,
    ) -> (Result<u16, ()>, String) {
        let request =
            format!("GET {url} HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\n\r\n");
        let Ok(response) = ask(self.program.address, Some(client), &request) else {
            return (Err(()), String::new());
        };
        let status = response.split(' ').nth(1).unwrap().parse().map_err(drop);
        (status, response)
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, and what all its rows have in common"
)]
fn only_the_right_token_with_the_right_certificate_comes_in_and_none_is_told() {
    let mut protected = Protected::start();
    let stranger = Authority::new();
    let right = protected.client(Some(&protected.clients));
    let token = format!("Authorization: Bearer first-{MARK}\r\n");
    let mut told = String::new();
    for (client, headers, status) in [
        (&right, token.clone(), Ok(200)),
        (&right, String::new(), Err(401)),
        (
            &right,
            format!("Authorization: Bearer wrong-{MARK}\r\n"),
            Err(401),
        ),
        (&right, format!("Authorization: Basic {MARK}\r\n"), Err(401)),
        (
            &right,
            format!("{token}Authorization: {MARK}\r\n"),
            Err(401),
        ),
        (
            &right,
            format!("Cookie: {MARK}\r\nX-Auth: {MARK}\r\n"),
            Err(401),
        ),
        (
            &right,
            format!("Authorization: Bearer {MARK}\u{1}\r\n"),
            Err(400),
        ),
        (&protected.client(None), token.clone(), Err(403)),
        (&protected.client(None), String::new(), Err(403)),
        (&protected.client(Some(&stranger)), token.clone(), Err(0)),
    ] {
        for url in [
            "/metrics?job=web",
            "/metrics%3Fjob=web",
            "/",
            "/metrics?job=gone",
        ] {
            let (found, response) = protected.ask(client, url, &headers);
            let expected = match status {
                Ok(_) if url.ends_with("gone") => Ok(404),
                Ok(status) => Ok(status),
                Err(0) => Err(()),
                Err(status) => Ok(status),
            };
            assert_eq!(found, expected, "{url} {headers:?}: {response}");
            told.push_str(&response);
        }
        // The kubelet has neither; but a wrong certificate ends the handshake.
        let probed = if status == Err(0) { Err(()) } else { Ok(200) };
        assert_eq!(protected.ask(client, "/-/healthy", "").0, probed);
    }
    let key = fs::read_to_string(&protected.key.0).unwrap();
    told.push_str(&protected.program.log().join("\n"));
    assert!(
        told.contains("refused with 401") && told.contains("job=\"web\""),
        "{told}"
    );
    assert!(!told.contains(MARK), "{told}");
    for line in key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!told.contains(line), "{told}");
    }
}

#[test]
#[ignore = "waits for files to be looked at"]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn certificate_key_and_token_change_under_load_without_a_failed_request() {
    let mut protected = Protected::start();
    let next = Authority::new();
    let shown = protected.clients.pem_pair(&["scraper"]);
    // A scraper that knows the next authority before the server does.
    let client = Arc::new(tls_client(
        &[&protected.servers.pem(), &next.pem()],
        Some(&shown),
        ALL_VERSIONS,
    ));
    let header = |token: &str| format!("Authorization: Bearer {token}-{MARK}\r\n");
    let (first, second) = (header("first"), header("second"));
    let has_second = AtomicBool::new(false);
    let over = AtomicBool::new(false);
    let succeeded = AtomicUsize::new(0);
    let status = |headers: &str| protected.ask(&client, "/metrics?job=web", headers).0;
    thread::scope(|scope| {
        let load: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        let token = if has_second.load(Ordering::SeqCst) {
                            &second
                        } else {
                            &first
                        };
                        assert_eq!(status(token), Ok(200));
                        succeeded.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let (cert, key) = next.pem_pair(&[NAME]);
        // One after the other: in between they do not go together.
        fs::write(&protected.cert.0, cert).unwrap();
        thread::sleep(super::LASTING / 2);
        fs::write(&protected.key.0, key).unwrap();
        let only_next = Arc::new(tls_client(&[&next.pem()], Some(&shown), ALL_VERSIONS));
        eventually("the new certificate is shown", || {
            protected.ask(&only_next, "/-/ready", "").0 == Ok(200)
        });
        fs::write(&protected.token.0, format!("first-{MARK}\nsecond-{MARK}\n")).unwrap();
        eventually("the second token is right too", || {
            status(&second) == Ok(200)
        });
        has_second.store(true, Ordering::SeqCst);
        // Requests that began with the first token have finished by then.
        let so_far = succeeded.load(Ordering::SeqCst);
        eventually("the load has the second token", || {
            succeeded.load(Ordering::SeqCst) >= so_far + 4
        });
        fs::write(&protected.token.0, format!("second-{MARK}\n")).unwrap();
        eventually("the first token is out", || status(&first) == Ok(401));
        over.store(true, Ordering::SeqCst);
        for client in load {
            client.join().unwrap();
        }
    });
    assert!(succeeded.into_inner() > 20);
    let log = protected.program.log().join("\n");
    let path = &protected.token.0;
    let taken_up = format!("AUTH_TOKEN_FILE {path:?}: the new content is in use");
    assert!(log.contains(&taken_up) && !log.contains(MARK), "{log}");
}
