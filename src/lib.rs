//! Kubernetes metrics aggregator: scrapes all pods of a job when asked, and responds with one merged exposition.
//!
//! `README.md` says what an operator sets and sees. This page is for those who read or change the code: the threads,
//! the modules, what always holds, and why it was built this way. After it, read the modules in the order of the [code
//! map](#code-map); each begins with what it is for and what it leaves to others. [`exposition`] and [`target`] have
//! examples.
//!
//! # Bird's eye view
//!
//! Three things run at the same time, each on its own threads, connected by channels and snapshots:
//!
//! * **Discovery** keeps the [`target::TargetSet`] current. The thread `list` lists pods again and again
//!   ([`kubernetes`]), and the thread `discovery` publishes each new set in the [`discovery::TargetCache`]. With
//!   `CACHE_UPDATE_MODE=watch`, threads called `watch` (one for each namespace, or one for all) list once and then
//!   follow the changes.
//! * **Requests** come through the listener ([`server::listener`]: the thread `listener`, and a thread `connection` for
//!   each client), which lets in only complete and well-formed ones. tiny_http reads them and the threads `http` route
//!   them ([`server`]). Cheap responses are sent at once. Scrape requests wait in a bounded queue for one of the
//!   `SERVER_WORKERS` (threads `server`), which has one request at a time scraped and merged ([`aggregate`]) and
//!   compresses the response ([`gzip`]) if the scraper accepts that. The connection's own thread sends the response.
//! * **Scrapes** run on the `CLIENT_WORKERS` (threads `scrape`, [`scrape::pool`]). Each of them fetches one target at a
//!   time ([`scrape::client`]) and parses its body ([`exposition::SeriesCache`]). A line that another body of the same
//!   request had is known already; any other is parsed. Bodies in protobuf are checked ([`exposition::protobuf`]). The
//!   request's thread then only sorts the samples ([`exposition::merge()`]) and writes them.
//!
//! ```text
//!  list or watch ──→ discovery ── Arc<TargetSet> ──→ TargetCache
//!                                     │ snapshot
//!  listener, connection ── tiny_http
//!      │ complete requests
//!  http (route) ── bounded queue ──→ server (aggregate) ── batch ──→ scrape (GET, parse, label)
//!      │ health                         │ merge, write    ←─ results ──┘
//! ```
//!
//! # Code map
//!
//! | module | what it is for | may import |
//! |---|---|---|
//! | [`target`] | what is scraped: targets, their labels, shards; pure | nothing of ours |
//! | [`config`] | all settings; the only reader of the environment | nothing of ours |
//! | [`reloaded`] | files that are read again when they change: tokens, CAs, certificates, keys | nothing of ours |
//! | [`exposition`] | the formats: bodies of pods in, one response body out; pure | nothing of ours |
//! | [`gzip`] | compresses merged texts; pure | nothing of ours |
//! | [`telemetry`] | the aggregator's own metrics | nothing of ours |
//! | [`kubernetes`] | the API server's client and credentials; pods become targets | `reloaded`, `target` |
//! | [`discovery`] | the cache thread and its snapshots | `kubernetes`, `target`, `telemetry` |
//! | [`scrape`] | one GET of one target; the client workers | `exposition`, `reloaded`, `target`, `telemetry` |
//! | [`aggregate`] | one request: scrape until the deadline, merge | `scrape`, `exposition`, `target`, `telemetry` |
//! | [`server`] | the HTTP server | `aggregate`, `discovery`, `exposition`, `gzip`, `reloaded`, `target`, `telemetry` |
//! | [`demo`] | `--demo`: pods and an API server on loopback | nothing of ours |
//!
//! `main.rs` connects all of them, with what `wiring.rs` makes of the settings; the log and the signals are in
//! `logging.rs` and `signals.rs`. `tests/tidy.rs` checks this table against the code, and that no two files import each
//! other.
//!
//! # The auditor's path
//!
//! Unchecked bytes of strangers, secrets and TLS pass through these files and no others. They have some 2,900 lines
//! without comments and unit tests. In reading order:
//!
//! * Requests: `src/server/listener/connection.rs` (the life of a connection), `src/server/listener/stream.rs`
//!   (TCP and TLS within limits of time and size), `src/server/listener/head.rs` (which requests are well-formed),
//!   `src/server/listener/auth.rs` (who may ask), `src/server/listener/tls.rs`, `src/server/listener/files.rs`.
//! * Secrets on disk: `src/reloaded/mod.rs`, `src/reloaded/token.rs`, `src/reloaded/pem.rs`.
//! * To the API server: `src/kubernetes/credentials.rs`, `src/kubernetes/client.rs`.
//! * What someone who may label a pod can ask for: `src/kubernetes/options.rs`.
//! * To the pods: `src/scrape/client.rs`, `src/scrape/token.rs` (which pods get the token), `src/scrape/tls_files.rs`,
//!   `src/scrape/agents.rs`, `src/scrape/connect.rs`, `src/scrape/connection.rs`, `src/scrape/transport.rs`,
//!   `src/scrape/get.rs`, `src/scrape/head.rs`, `src/scrape/redirect.rs`, `src/scrape/body.rs` (how much of a body is
//!   read).
//!
//! Other files read bytes of strangers too, but have no sockets and no secrets: what a checked request asks for
//! (`server/route.rs`), which targets a token may see (`target/scope.rs`, `server/handlers.rs`), the API server's JSON
//! (`kubernetes/pod_list.rs`, `pod_stream.rs`, `watch.rs`, `fields.rs`, `pod.rs` and `ports.rs`), and the bodies of
//! pods (`exposition`). `tests/tidy/audit.rs` checks this list against the code.
//!
//! # Invariants
//!
//! * There is no scrape without a request, and no result serves two requests.
//! * Every target of a request yields a result: its samples and `up 1`, or `up 0` and a reason.
//! * A body enters the merged response whole and valid, or not at all.
//! * A published target set is a complete pod list with every change that a watch has shown since.
//! * Every queue, body, line, head, wait and number of threads has a bound with a name.
//! * One `Instant` limits a request. Functions pass this instant on, never a remaining timeout.
//! * `catch_unwind` is used in two places: around one scrape and around one request. Both count panics.
//! * No token, header value or body is ever logged. Text of strangers is escaped and cut.
//!
//! # Design decisions
//!
//! * *Why threads and no async runtime?* A few dozen scrapes at once are enough for thousands of pods, and you can
//!   follow a stack trace from the request to the socket.
//! * *Why does `threadpool` own the client workers, but a crossbeam channel queue the work?* The pool replaces a thread
//!   that dies, and the worker goes on in the new one. But the pool's own queue has no bound and no fairness.
//! * *Why a thread for each watch, and one connection for list and watch?* A blocked read needs nothing but a thread,
//!   64 at most. A list and a watch that follow each other on one thread can never show the cluster in two states at
//!   once. The price: a change during the list of every ten minutes is seen only once that list has been read.
//! * *Why does one thread poll all namespaces?* Lists that wait for their turn need no threads of their own, and one
//!   connection to the API server is enough. So `NAMESPACES` has no limit unless it is watched.
//! * *Why does each poll decode every pod?* 10,000 pods every 10 s take 4 % of a core. Only the targets are kept from
//!   one list to the next, so nothing else can be out of date. A watch decodes only what changes.
//! * *Why does a watch end after 150 s of silence?* Nothing else distinguishes a dead connection from one on which
//!   nothing happens, and an API server sends a bookmark each minute. Starting the watch again is one small request.
//! * *Why are lines remembered during a request?* Pods of a job run the same program, so most lines of a body have come
//!   before, with other values. Finding such a line takes a tenth of the time that parsing it takes. The memory ends
//!   with the request and compares bytes, so no pod can change what the lines of another pod mean.
//! * *Why does each body that is being read have its own known lines?* Threads that read at the same time would
//!   otherwise wait for each other, or read from copies that are made again and again. There are as many sets of known
//!   lines as bodies are read at once, mostly one for each core. The price: each set parses a line once.
//! * *Why does the connection's thread alone put the lines together?* With a second thread one piece ahead, a response
//!   took 5 % less time but 15 % more processor time.
//! * *Why are values not parsed into numbers?* They are checked and copied byte for byte, because a number that is
//!   printed again is not always the same text.
//! * *Why does a client worker handle `/probe`, and no server worker?* If every pod is a target of its own, a dozen
//!   pods that hang would occupy a dozen server workers and hold up all other requests. This way they hold up only
//!   workers that scrape, as they do in a merged response.
//! * *Why is a job without pods 404 and not an empty 200?* Prometheus then shows the target as down, which someone who
//!   mistyped the job needs to see. If a request has several jobs, those that exist are returned. `absent=ok` is for
//!   jobs that may have no pods.

pub mod aggregate;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod exposition;
pub mod gzip;
pub mod kubernetes;
pub mod reloaded;
pub mod scrape;
pub mod server;
pub mod target;
pub mod telemetry;
