//! A fake API server: pod lists and watches over TLS on a real socket, as strict as the real one about token, selector
//! and pages, with a script of faults.
//!
//! It responds as the real one does (`Status` objects, gzip, keep-alive) and hands every request to the test. It never
//! responds early or late: a test that has to wait uses [`FakeApi::next_request`].

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use kubernetes_metrics_aggregator::kubernetes::JOB_NAME_KEY;
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::certificates::Authority;
pub(crate) use super::fake_api_responses::{Fault, Recorded};
use super::fake_api_responses::{State, Then};
use super::fake_api_watch::{self as watch, Line};
use super::program::TEST_TIMEOUT;

/// The server. Ends when dropped.
#[derive(Debug)]
pub(crate) struct FakeApi {
    shared: Arc<Shared>,
    requests: Receiver<Recorded>,
    hangs: Receiver<()>,
    address: SocketAddr,
    is_tls: bool,
    accept: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something new for watches.
    happened: Condvar,
    requests: Sender<Recorded>,
    hangs: Sender<()>,
    open: Mutex<Vec<TcpStream>>,
    stopping: AtomicBool,
    dir: PathBuf,
}

/// A pod that is running, for `FakeApi::set_pods`.
pub(crate) fn pod(namespace: &str, name: &str, job: &str, ip: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": format!("uid-{namespace}-{name}"),
            "labels": {JOB_NAME_KEY: job},
        },
        "spec": {"nodeName": "node-a"},
        "status": {"phase": "Running", "podIP": ip},
    })
}

impl FakeApi {
    /// Over TLS, with a service account directory of its own.
    pub(crate) fn start() -> FakeApi {
        FakeApi::start_with(true)
    }

    /// Over plain HTTP, as `kubectl proxy` serves it: takes no token.
    pub(crate) fn start_plain() -> FakeApi {
        FakeApi::start_with(false)
    }

    fn start_with(is_tls: bool) -> FakeApi {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("service-account-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("token"), "fixture-token\n").unwrap();
        let (requests_sender, requests) = unbounded();
        let (hangs_sender, hangs) = unbounded();
        let state = State {
            tls: None,
            token: "fixture-token".to_owned(),
            pods: Vec::new(),
            page_items: usize::MAX,
            forbidden: Vec::new(),
            faults: VecDeque::new(),
            page_faults: VecDeque::new(),
            watch_faults: VecDeque::new(),
            version: 100,
            oldest: 0,
            lines: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            happened: Condvar::new(),
            requests: requests_sender,
            hangs: hangs_sender,
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
            dir,
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut api = FakeApi {
            shared: Arc::clone(&shared),
            requests,
            hangs,
            address,
            is_tls,
            accept: None,
        };
        if is_tls {
            api.rotate_ca();
        }
        api.accept = Some(thread::spawn(move || accept(&listener, &shared)));
        api
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// With the files `token` and `ca.crt`.
    pub(crate) fn service_account_dir(&self) -> PathBuf {
        self.shared.dir.clone()
    }

    /// The pods of lists from now on; watches do not see the change.
    pub(crate) fn set_pods(&self, pods: Vec<Value>) {
        self.state().pods = pods;
    }

    /// The most items of one page; the client's own limit holds too.
    pub(crate) fn set_page_items(&self, page_items: usize) {
        self.state().page_items = page_items;
    }

    /// Namespaces that may not be listed; an empty name: all at once.
    pub(crate) fn set_forbidden(&self, namespaces: &[&str]) {
        self.state().forbidden = namespaces.iter().map(|&name| name.to_owned()).collect();
    }

    /// What comes in place of the next first pages.
    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// What comes in place of the next pages after a first one.
    pub(crate) fn script_pages(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().page_faults.extend(faults);
    }

    /// What comes in place of the next watches.
    pub(crate) fn script_watches(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().watch_faults.extend(faults);
    }

    /// Creates the pod or replaces the one of its uid.
    pub(crate) fn set_pod(&self, pod: Value) {
        self.happen(|state| state.set_pod(pod));
    }

    pub(crate) fn delete_pod(&self, uid: &str) {
        self.happen(|state| state.delete_pod(uid));
    }

    pub(crate) fn bookmark(&self) {
        self.happen(State::bookmark);
    }

    /// An ERROR event for all watches.
    pub(crate) fn watch_error(&self, code: u16) {
        self.watch_bytes(watch::error_line(code), watch::Then::End);
    }

    /// A line like no event of the server's own.
    pub(crate) fn watch_line(&self, line: &str) {
        self.watch_bytes(format!("{line}\n").into_bytes(), watch::Then::GoOn);
    }

    /// Ends all watches in good order, as after their timeout.
    pub(crate) fn end_watches(&self) {
        self.watch_bytes(Vec::new(), watch::Then::End);
    }

    /// Cuts the connections of all watches after these bytes.
    pub(crate) fn cut_watches(&self, bytes: &str) {
        self.watch_bytes(bytes.as_bytes().to_vec(), watch::Then::Cut);
    }

    /// Forgets all events so far, as etcd does when it compacts: who has not seen them gets 410.
    pub(crate) fn compact(&self) {
        let mut state = self.state();
        state.version += 1;
        state.oldest = state.version;
    }

    fn watch_bytes(&self, bytes: Vec<u8>, then: watch::Then) {
        self.happen(|state| state.lines.push(Line::Now(bytes, then)));
    }

    fn happen(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.happened.notify_all();
    }

    /// The token that is good from now on. The file keeps the old one.
    pub(crate) fn set_token(&self, token: &str) {
        self.state().token = token.to_owned();
    }

    /// A new CA and a new certificate from it. Closes the connections that the old one was for.
    pub(crate) fn rotate_ca(&self) {
        let authority = Authority::new();
        self.state().tls = Some(authority.server(&["127.0.0.1"]));
        fs::write(self.shared.dir.join("ca.crt"), authority.pem()).unwrap();
        self.close_connections();
    }

    /// Closes every open connection.
    pub(crate) fn close_connections(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // An error says that the client was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The next request; panics if there is none for long.
    #[track_caller]
    pub(crate) fn next_request(&self) -> Recorded {
        self.requests
            .recv_timeout(TEST_TIMEOUT)
            .expect("the client asks")
    }

    /// The next watch; lists before it are passed over.
    #[track_caller]
    pub(crate) fn next_watch(&self) -> Recorded {
        loop {
            let request = self.next_request();
            if request.query.contains_key("watch") {
                return request;
            }
        }
    }

    /// The next list; watches before it are passed over.
    #[track_caller]
    pub(crate) fn next_list(&self) -> Recorded {
        loop {
            let request = self.next_request();
            if !request.query.contains_key("watch") {
                return request;
            }
        }
    }

    /// The requests so far that nobody has taken.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.try_iter().collect()
    }

    /// Waits until [`Fault::Hang`] has been reached.
    #[track_caller]
    pub(crate) fn wait_for_hang(&self) {
        self.hangs
            .recv_timeout(TEST_TIMEOUT)
            .expect("the client asks");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Under the lock, so that no watch misses it between its look and its wait.
        drop(self.state());
        self.shared.happened.notify_all();
        // Wakes the accept thread.
        drop(TcpStream::connect(self.address));
        if let Some(accept) = self.accept.take() {
            accept.join().unwrap();
        }
        self.close_connections();
        fs::remove_dir_all(&self.shared.dir).unwrap();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let (stream, _) = listener.accept().unwrap();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        shared
            .open
            .lock()
            .unwrap()
            .push(stream.try_clone().unwrap());
        let tls = shared.state.lock().unwrap().tls.clone();
        let shared = Arc::clone(shared);
        let closer = stream.try_clone().unwrap();
        thread::spawn(move || {
            // An error says that the client went away.
            let _ = match tls {
                Some(config) => {
                    let connection = ServerConnection::new(config).unwrap();
                    serve(StreamOwned::new(connection, stream), &shared, number)
                }
                None => serve(stream, &shared, number),
            };
            let _ = closer.shutdown(Shutdown::Both);
        });
    }
}

fn serve(stream: impl Read + Write, shared: &Shared, connection: u32) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream, connection)? {
        let response = shared.state.lock().unwrap().response(&request);
        // The test may have ended.
        let _ = shared.requests.send(request);
        stream.get_mut().write_all(&response.bytes)?;
        stream.get_mut().flush()?;
        match response.then {
            Then::KeepAlive => {}
            Then::Watch(watch) => {
                let is_over = || shared.stopping.load(Ordering::SeqCst);
                let client = stream.get_mut();
                let then = watch::stream(client, &watch, &shared.state, &shared.happened, is_over)?;
                if then != watch::Then::End {
                    return Ok(());
                }
            }
            Then::Close => return Ok(()),
            Then::Hang => {
                // The test may have ended.
                let _ = shared.hangs.send(());
                stream.read_exact(&mut [0])?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn read_request(stream: &mut impl BufRead, connection: u32) -> io::Result<Option<Recorded>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line
        .strip_prefix("GET ")
        .and_then(|rest| rest.trim_end().strip_suffix(" HTTP/1.1"))
        .expect("a GET request");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut request = Recorded {
        path: path.to_owned(),
        query: parameters
            .map(|(k, v)| (k.to_owned(), v.replace("%2F", "/")))
            .collect(),
        headers: BTreeMap::new(),
        connection,
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Ok(Some(request));
        };
        request
            .headers
            .insert(name.to_ascii_lowercase(), value.to_owned());
    }
}
