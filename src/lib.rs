//! Kubernetes metrics aggregator: scrapes the pods of a job when asked, responds with one merged body.
//!
//! # Bird's eye view
//!
//! Three things go on, each on threads of its own, joined by channels and snapshots:
//!
//! * **Discovery** keeps the [`target::TargetSet`]: the thread `list` lists pods again and again ([`kubernetes`]), and
//!   the thread `discovery` publishes a new set in the [`discovery::TargetCache`]. With `CACHE_UPDATE_MODE=watch` the
//!   threads `watch`, one for each namespace or one for all, list once and follow the changes.
//! * **Requests**: the listener ([`server::listener`]: threads `listener`, and `connection` for each client) lets whole
//!   requests in, tiny_http reads them, the threads `http` route them ([`server`]). Cheap responses are sent at once;
//!   scrape requests go through a bounded queue to the `SERVER_WORKERS` (threads `server`), each of which has one
//!   request at a time scraped and merged ([`aggregate`]), and gzipped with the help of the threads `gzip` that are
//!   idle. The connection's own thread sends the response.
//! * **Scrapes**: the `CLIENT_WORKERS` (threads `scrape`, [`scrape::pool`]) fetch one target at a time
//!   ([`scrape::client`]) and read its body ([`exposition::SeriesCache`]): lines that another body of the request had
//!   are known, others are parsed; and so it is known where the identity labels go. Bodies in protobuf are checked
//!   ([`exposition::protobuf`]). What is left for the request's thread is to put the samples in order
//!   ([`exposition::merge()`]) and to write them.
//!
//! ```text
//!  list or watch ──→ discovery ── Arc<TargetSet> ──→ TargetCache
//!                                     │ snapshot
//!  listener, connection ── tiny_http
//!      │ whole requests
//!  http (route) ── bounded queue ──→ server (aggregate) ── batch ──→ scrape (GET, parse, label)
//!      │ health                         │ merge, write    ←─ results ──┘
//! ```
//!
//! # Code map
//!
//! | room | what is in it | may import |
//! |---|---|---|
//! | [`config`] | every setting, the only reader of the environment | nothing of ours |
//! | [`target`] | what is scraped; pure | nothing of ours |
//! | [`reloaded`] | files that are read again when they change: tokens, CAs, certificates, keys | nothing of ours |
//! | [`exposition`] | the formats of bodies, bytes in, bytes out; pure | nothing of ours |
//! | [`telemetry`] | the aggregator's own counters | nothing of ours |
//! | [`kubernetes`] | the API server's client, credentials, pod → targets | `reloaded`, `target` |
//! | [`discovery`] | the cache thread and its snapshots | `kubernetes`, `target`, `telemetry` |
//! | [`scrape`] | one GET of one target; the client workers | `exposition`, `reloaded`, `target`, `telemetry` |
//! | [`aggregate`] | one request: scrape until the deadline, merge | `scrape`, `exposition`, `target`, `telemetry` |
//! | [`server`] | HTTP: routes, workers | `aggregate`, `discovery`, `exposition`, `reloaded`, `target`, `telemetry` |
//! | [`demo`] | `--demo`: what a cluster would provide, on loopback | nothing of ours |
//!
//! `main.rs` sees all and wires them; its log and signals are in `logging.rs` and `signals.rs`. `tests/tidy.rs` holds
//! this table against the code.
//!
//! # The auditor's path
//!
//! Bytes of strangers that nobody has checked yet, secrets and TLS pass through these files and no others. In reading
//! order, some 3,000 lines without comments and unit tests:
//!
//! * What may come in: `src/server/listener/connection.rs` (the life of a connection), `src/server/listener/stream.rs`
//!   (TCP and TLS within limits of time and size), `src/server/listener/head.rs` (which requests are well-formed),
//!   `src/server/listener/auth.rs` (who may ask), `src/server/listener/tls.rs`, `src/server/listener/files.rs`.
//! * Secrets on disk: `src/reloaded/mod.rs`, `src/reloaded/token.rs`, `src/reloaded/pem.rs`.
//! * To the API server: `src/kubernetes/credentials.rs`, `src/kubernetes/client.rs`.
//! * What whoever may label a pod can ask for: `src/kubernetes/options.rs`.
//! * To the pods: `src/scrape/client.rs`, `src/scrape/token.rs` (who is sent the token), `src/scrape/tls_files.rs`,
//!   `src/scrape/agents.rs`, `src/scrape/connect.rs`, `src/scrape/connection.rs`, `src/scrape/transport.rs`,
//!   `src/scrape/get.rs`, `src/scrape/head.rs`, `src/scrape/redirect.rs`, `src/scrape/body.rs` (how much of a body is
//!   read).
//!
//! Apart from them, without sockets or secrets: what a checked request asks for (`server/route.rs`), which targets a
//! token may see (`target/scope.rs`, `server/handlers.rs`), the API server's
//! JSON (`kubernetes/pod_list.rs`, `pod_stream.rs`, `watch.rs`, `fields.rs`, `pod.rs` and `ports.rs`), and the bodies
//! of pods (`exposition`).
//! `tests/tidy/audit.rs` holds this list against the code.
//!
//! # Invariants
//!
//! * No scrape without a request, and no result serves two requests.
//! * Every target of a request yields a result: its samples and `up 1`, or `up 0` and a reason.
//! * A body enters the response whole and valid or not at all.
//! * A published target set comes from a complete pod list, and each change that a watch has shown since.
//! * Every queue, body, line, head, wait and number of threads has a bound with a name.
//! * One `Instant` bounds a request; only instants travel, no timeouts.
//! * `catch_unwind` stands around one scrape and around one request, nowhere else. Both count.
//! * No token, header value or body reaches a log line; text of strangers is escaped and cut.
//!
//! # Design decisions
//!
//! * *Why threads and no async runtime?* A few dozen scrapes at once are enough for thousands of pods, and a reader
//!   can follow a stack trace from the request to the socket.
//! * *Why does `threadpool` own the client workers, but a crossbeam channel queue the work?* The pool replaces a
//!   thread that dies, and the worker goes on in the new one; but its own queue has no bound and no fairness.
//! * *Why a thread for each watch, and one connection for list and watch?* A blocked read needs nothing but a thread,
//!   64 at most. A list and a watch that follow each other on one thread can never show the cluster in two states at
//!   once; the price is that a change during the list of every ten minutes is seen when that list has been read.
//! * *Why does one thread poll all namespaces?* Lists need no thread of their own while they wait for their turn, and
//!   one connection to the API server is enough. So `NAMESPACES` has no limit unless it is watched.
//! * *Why is every pod decoded in each poll?* 10,000 pods every 10 s take 4 % of a core. Nothing is remembered from
//!   one list to the next but the targets, so nothing can be remembered wrongly. A watch decodes only what changes.
//! * *Why is a watch of silence ended after 150 s?* Nothing else tells a connection that died from one on which nothing
//!   happens, and an API server sends a bookmark each minute. Beginning it again is one small request.
//! * *Why are lines remembered during a request?* Pods of a job run the same program, so most lines of a body have come
//!   before, with other values; to find one takes a tenth of the time that parsing it takes. Nothing of it outlives the
//!   request, and bytes are compared, so nothing that one pod sends changes what another one's lines mean.
//! * *Why does each body have known lines to itself while it is read, and not all bodies the same?* Threads that read
//!   at the same time would wait for each other, or read from copies that are made again and again. There are as many
//!   as bodies are read at once, mostly one for each core, and the price is that each of them parses a line once.
//! * *Why does the connection's thread put the lines together, and no other one meanwhile?* With a helper that was one
//!   piece ahead an answer took 5 % less time, but 15 % more of the processors'.
//! * *Why are values not parsed into numbers?* They are checked and copied byte for byte: a number that is printed
//!   again is not always the same text.
//! * *Why does a client worker answer `/probe`, and no server worker?* With every pod a target of its own, a dozen pods
//!   that hang would occupy a dozen server workers and hold up everybody; so they hold up only the workers that
//!   scrape, as they do in a merged answer.
//! * *Why is a job of which no pod is left 404 and not an empty 200?* Prometheus then shows the target as down,
//!   which is what someone who mistyped the job has to see. With several jobs in one request, those that exist are
//!   answered. Whoever knows that a job may have no pods says `absent=ok`.

pub mod aggregate;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod exposition;
pub mod kubernetes;
pub mod reloaded;
pub mod scrape;
pub mod server;
pub mod target;
pub mod telemetry;
