//! The built program as a process, and the pods it is told of.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};

use super::fake_pod::FakePod;
pub(crate) use super::response::{HttpResponse, ask, read_to_end};

/// Bound of every wait: far above what any of them takes, on a slow machine too.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// One pod of a list, with the aggregator's keys without their prefix.
pub(crate) fn pod(namespace: &str, name: &str, ip: IpAddr, labels: &[(&str, &str)]) -> Value {
    let prefixed: BTreeMap<String, &str> = labels
        .iter()
        .map(|(key, value)| (format!("metrics-aggregator.apawel.me/{key}"), *value))
        .collect();
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"), "labels": prefixed,
        },
        "status": {"phase": "Running", "podIP": ip.to_string()},
    })
}

/// A pod of the job at the address.
pub(crate) fn pod_at(namespace: &str, name: &str, job: &str, address: SocketAddr) -> Value {
    pod_with(namespace, name, job, address, &[])
}

/// The same with further labels.
pub(crate) fn pod_with(
    namespace: &str,
    name: &str,
    job: &str,
    address: SocketAddr,
    labels: &[(&str, &str)],
) -> Value {
    let port = address.port().to_string();
    let labels = [&[("job-name", job), ("port", &port)], labels].concat();
    pod(namespace, name, address.ip(), &labels)
}

/// The pods `n/0`, `n/1`, ... of the job `web`, with these labels besides.
pub(crate) fn numbered(fakes: &[FakePod], labels: &[(&str, &str)]) -> Vec<Value> {
    let fakes = fakes.iter().enumerate();
    fakes
        .map(|(n, fake)| pod_with("n", &n.to_string(), "web", fake.address, labels))
        .collect()
}

/// A file that is deleted at the end of the test.
#[derive(Debug)]
pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    pub(crate) fn new(content: &[u8]) -> TempFile {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("aggregator-test-{}-{number}", std::process::id()));
        fs::write(&path, content).expect("the temporary directory is writable");
        TempFile(path)
    }

    pub(crate) fn pods(pods: &[Value]) -> TempFile {
        TempFile::new(pod_list(pods).as_bytes())
    }

    /// Puts the content in the place of the file by a rename, so that nobody reads half of it.
    pub(crate) fn replace(&self, content: &str) {
        let next = TempFile::new(content.as_bytes());
        fs::rename(&next.0, &self.0).expect("both are in one directory");
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a UTF-8 path")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn pod_list(pods: &[Value]) -> String {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": pods}).to_string()
}

/// The running program. Killed at the end of the test.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    pods: Option<TempFile>,
}

impl Program {
    pub(crate) fn command(settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubernetes-metrics-aggregator"));
        command.env_clear().envs(settings.iter().copied());
        command
    }

    /// Starts it on a free port, with these pods, and waits until it is ready.
    pub(crate) fn scraping(pods: &[Value], settings: &[(&str, &str)]) -> Program {
        let file = TempFile::pods(pods);
        let mut program = Program::with_pods(&file, settings);
        program.pods = Some(file);
        program
    }

    /// The same with one pod, `shop/web-0` of the job `web`.
    pub(crate) fn with_pod(fake: FakePod, settings: &[(&str, &str)]) -> (FakePod, Program) {
        let pods = [pod_at("shop", "web-0", "web", fake.address)];
        (fake, Program::scraping(&pods, settings))
    }

    /// The same with the pods of a file that the test may change.
    pub(crate) fn with_pods(pods: &TempFile, settings: &[(&str, &str)]) -> Program {
        let program = Program::with_pods_limited(pods, None, settings);
        program.wait_until_ready();
        program
    }

    /// The same, where it may open so many files; waits until it listens.
    pub(crate) fn with_pods_limited(
        pods: &TempFile,
        open_files: Option<usize>,
        settings: &[(&str, &str)],
    ) -> Program {
        let file = pods.path();
        let mut command = Program::command(&[("POD_LIST_FILE", file)]);
        if let Some(open_files) = open_files {
            command = Command::new("/bin/sh");
            let program = env!("CARGO_BIN_EXE_kubernetes-metrics-aggregator");
            let script = format!("ulimit -n {open_files}; exec {program}");
            command.args(["-c", &script]);
            command.env_clear().env("POD_LIST_FILE", file);
        }
        Program::spawn(command, settings)
    }

    /// Starts it on a free port and waits until it listens.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Program {
        Program::spawn(Program::command(&[]), settings)
    }

    fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Program {
        command
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        let mut child = command.spawn().expect("the program was built");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (sender, log) = unbounded();
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program = Program {
            address,
            child,
            log,
            seen: Vec::new(),
            pods: None,
        };
        let line = program.wait_for_log("listening on ");
        let (_, address) = line.rsplit_once(' ').expect("an address at the end");
        program.address = address.parse().expect("an address at the end");
        program
    }

    /// Waits for a line of the log that contains the text.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            match self.log.recv_deadline(deadline) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!(
                    "no log line with {text:?} ({error}) in:\n{}",
                    self.seen.join("\n")
                ),
            }
        }
    }

    /// All lines of the log so far.
    pub(crate) fn log(&mut self) -> Vec<String> {
        self.seen.extend(self.log.try_iter());
        self.seen.clone()
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        while self.get("/-/ready").status != 200 {
            assert!(
                Instant::now() < deadline,
                "not ready: {}",
                self.get("/").text()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn get(&self, url: &str) -> HttpResponse {
        self.request("GET", url, &[])
    }

    pub(crate) fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> HttpResponse {
        self.request("GET", url, headers)
    }

    /// Sends one request on a connection of its own and reads the whole response.
    pub(crate) fn request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
    ) -> HttpResponse {
        ask(self.address, method, url, headers)
    }

    /// Sends a GET for this URL on a connection of its own, and does not read the response.
    pub(crate) fn begin(&self, url: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(TEST_TIMEOUT))
            .expect("not zero");
        let request = format!("GET {url} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    }

    /// Sends these bytes on a connection of their own, and reads until the program closes it.
    pub(crate) fn send(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(TEST_TIMEOUT))
            .expect("not zero");
        stream.write_all(bytes.as_bytes()).expect("it reads");
        read_to_end(stream)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process: `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([signal, &self.pid().to_string()]);
        assert!(kill.status().expect("kill is installed").success());
    }

    /// Changes how many files the process may have open.
    pub(crate) fn limit_open_files(&self, most: usize) {
        let mut prlimit = Command::new("prlimit");
        prlimit.args([
            "--pid",
            &self.pid().to_string(),
            &format!("--nofile={most}:"),
        ]);
        assert!(prlimit.status().expect("util-linux has it").success());
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running; log:\n{}",
                self.log().join("\n")
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
