//! The program: reads the settings, connects the modules, and waits for a signal or a fatal error.

mod logging;
mod signals;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use crossbeam_channel::{Receiver, select};
use kubernetes_metrics_aggregator::aggregate::Aggregator;
use kubernetes_metrics_aggregator::config::{Config, ConfigError, settings_help, variable};
use kubernetes_metrics_aggregator::demo::Demo;
use kubernetes_metrics_aggregator::discovery::{
    Discovery, DiscoverySettings, Source, TargetCache, WatchTimes,
};
use kubernetes_metrics_aggregator::kubernetes::credentials::SERVICE_ACCOUNT_DIR;
use kubernetes_metrics_aggregator::scrape::client::{ScrapeClient, ScrapeSettings};
use kubernetes_metrics_aggregator::scrape::pool::ScrapePool;
use kubernetes_metrics_aggregator::scrape::{ClientCertificateFiles, TokenSettings};
use kubernetes_metrics_aggregator::server::listener::{
    Limits, ListenerError, ListenerSettings, TlsFiles,
};
use kubernetes_metrics_aggregator::server::{Server, ServerSettings, Sources, listener};
use kubernetes_metrics_aggregator::target::TargetLabels;
use kubernetes_metrics_aggregator::telemetry::Telemetry;

const USAGE: &str = "\
Scrapes all pods of a Kubernetes job when asked, and responds with one merged exposition for Prometheus.

usage: kubernetes-metrics-aggregator [OPTION]

  (no option)      serve until SIGTERM or SIGINT
  --demo           serve twelve demo pods on loopback, without a cluster
  --check-config   check the settings and the files that they name, and exit
  --help           print this text
  --version        print the version

Settings are environment variables. An empty one counts as unset. Exit code 2 means that a setting is invalid.
";

const NOT_IN_CLUSTER: &str = "\
    not inside a Kubernetes cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): \
    set KUBERNETES_API_URL (with kubectl proxy: http://127.0.0.1:8001) or POD_LIST_FILE, or try --demo";

/// Why the program exits with another code than 0, for the person who started it.
#[derive(Debug)]
enum MainError {
    /// Exit code 2: an option, a setting or a file that a setting names is invalid.
    Usage(String),
    /// Exit code 1.
    Failed(String),
}

fn usage(error: impl Display) -> MainError {
    MainError::Usage(error.to_string())
}

/// An error that says what failed and why.
fn failed(doing: &str, error: impl Display) -> MainError {
    MainError::Failed(format!("{doing}: {error}"))
}

fn config_error(errors: &[ConfigError]) -> MainError {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    usage(lines.join("\n"))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, text) = match error {
                MainError::Usage(text) => (2, text),
                MainError::Failed(text) => (1, text),
            };
            for line in text.lines() {
                // If stderr is gone, nobody can be told.
                let _ = writeln!(io::stderr(), "kubernetes-metrics-aggregator: {line}");
            }
            ExitCode::from(code)
        }
    }
}

fn run() -> Result<(), MainError> {
    let mut arguments = env::args().skip(1);
    let argument = arguments.next();
    if let Some(surplus) = arguments.next() {
        return Err(unknown_option(&surplus));
    }
    match argument.as_deref() {
        None => serve(&read_config()?),
        Some("--demo") => serve_demo(),
        Some("--check-config") => check_config(),
        Some("--help" | "-h") => print(&format!("{USAGE}\n{}", settings_help())),
        Some("--version" | "-V") => print(concat!(
            "kubernetes-metrics-aggregator ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Some(unknown) => Err(unknown_option(unknown)),
    }
}

fn unknown_option(argument: &str) -> MainError {
    MainError::Usage(format!("unknown option {argument:?}; --help lists them"))
}

fn print(text: &str) -> Result<(), MainError> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed("writing to stdout", error))
}

fn read_config() -> Result<Config, MainError> {
    Config::from_lookup(variable).map_err(|errors| config_error(&errors))
}

fn check_config() -> Result<(), MainError> {
    let config = read_config()?;
    source(&config)?;
    for file in config
        .pod_list_file
        .iter()
        .chain(&config.scrape_ca_file)
        .chain(&config.scrape_token_file)
    {
        fs::read(file).map_err(|error| failed(&file.display().to_string(), error))?;
    }
    listener_settings(&config).check().map_err(usage)?;
    scrape_client(&config)?;
    print(&format!(
        "{}\nthe settings can be used\n",
        config.effective("\n")
    ))
}

fn source(config: &Config) -> Result<Source, MainError> {
    if let Some(file) = &config.pod_list_file {
        return Ok(Source::File(file.clone()));
    }
    let service_account_dir = PathBuf::from(SERVICE_ACCOUNT_DIR);
    if let Some(url) = &config.kubernetes_api_url {
        return Ok(Source::Url {
            url: url.clone(),
            service_account_dir,
        });
    }
    match &config.kubernetes_service {
        Some((host, port)) => Ok(Source::in_cluster(host, *port, service_account_dir)),
        None => Err(usage(NOT_IN_CLUSTER)),
    }
}

fn serve_demo() -> Result<(), MainError> {
    let demo = Demo::start().map_err(|error| failed("starting the demo's exporters", error))?;
    let config = Config::from_lookup(|name| demo.setting(name, variable(name)))
        .map_err(|errors| config_error(&errors))?;
    let running = Running::start(&config)?;
    print(&demo.introduction(running.server.address()))?;
    running.wait()
}

fn serve(config: &Config) -> Result<(), MainError> {
    Running::start(config)?.wait()
}

/// Why the program ends.
enum End {
    /// It received this signal.
    Signal(i32),
    /// A part of the program cannot continue.
    Failed(&'static str),
}

/// The running parts of the program, and the signals that end it.
struct Running {
    server: Server,
    discovery: Discovery,
    signals: Receiver<i32>,
}

impl Running {
    fn start(config: &Config) -> Result<Running, MainError> {
        let source = source(config)?;
        logging::start(config.log_level).map_err(|error| failed("starting the log", error))?;
        log::info!(
            "version {} {}",
            env!("CARGO_PKG_VERSION"),
            config.effective(" ")
        );
        let signals = signals::watch().map_err(|error| failed("handling signals", error))?;
        let listener = listener::bind(config.listen_address).map_err(|error| {
            let address = config.listen_address;
            let remedy = "LISTEN_ADDRESS sets another address";
            MainError::Failed(format!("cannot listen on {address}: {error}; {remedy}"))
        })?;
        let telemetry = Arc::new(Telemetry::default());
        let cache = TargetCache::default();
        let discovery_settings = DiscoverySettings {
            source,
            namespaces: config.namespaces.clone(),
            interval: config.cache_update_interval,
            watch: config.watch.then(WatchTimes::default),
            own_address: listener.local_addr().ok(),
        };
        let discovery =
            Discovery::start(&discovery_settings, cache.clone(), Arc::clone(&telemetry))
                .map_err(|error| MainError::Failed(error.to_string()))?;
        let sources = Sources {
            cache,
            aggregator: aggregator(config, &telemetry)?,
            telemetry,
        };
        let server = Server::start(
            listener,
            listener_settings(config),
            server_settings(config),
            sources,
        )
        .map_err(listener_error)?;
        log::info!("listening on {}", server.address());
        Ok(Running {
            server,
            discovery,
            signals,
        })
    }

    fn wait(self) -> Result<(), MainError> {
        let signal_thread = "the signal thread has ended";
        let end = select! {
            recv(self.signals) -> signal => signal.map_or(End::Failed(signal_thread), End::Signal),
            recv(self.server.ended()) -> _ => End::Failed("the server can read no more requests"),
            recv(self.discovery.ended()) -> _ => {
                End::Failed("the discovery thread has ended, the log has more")
            }
        };
        if let End::Signal(signal) = end {
            log::info!("signal {signal}: stopping");
        }
        self.server.stop();
        self.discovery.stop();
        match end {
            End::Signal(_) => log::info!("stopped"),
            End::Failed(reason) => return Err(MainError::Failed(reason.to_owned())),
        }
        Ok(())
    }
}

fn listener_error(error: ListenerError) -> MainError {
    match error {
        ListenerError::File(error) => usage(error),
        other => MainError::Failed(other.to_string()),
    }
}

fn server_settings(config: &Config) -> ServerSettings {
    ServerSettings {
        workers: config.server_workers,
        waiting_requests_max: config.waiting_requests_max,
        gzip_level: config.gzip_level,
        scrape_timeout_offset: config.scrape_timeout_offset,
        client_workers: config.client_workers,
        advertise_address: config.advertise_address.clone(),
        is_tls: config.tls_cert_file.is_some(),
    }
}

fn listener_settings(config: &Config) -> ListenerSettings {
    let tls = config
        .tls_cert_file
        .clone()
        .zip(config.tls_key_file.clone());
    ListenerSettings {
        connections_max: config.connections_max,
        tls: tls.map(|(cert, key)| TlsFiles {
            cert,
            key,
            client_ca: config.tls_client_ca_file.clone(),
        }),
        token_file: config.auth_token_file.clone(),
        path_prefix: config.advertise_path().to_owned(),
        limits: Limits::default(),
    }
}

fn aggregator(config: &Config, telemetry: &Arc<Telemetry>) -> Result<Aggregator, MainError> {
    let labels = TargetLabels {
        is_hyphenated: config.hyphen_labels,
        from_pod: config.pod_target_labels.clone().into(),
    };
    let client = Arc::new(scrape_client(config)?);
    let pool = ScrapePool::start(config.client_workers, &client, &labels, telemetry);
    Ok(Aggregator::new(pool, labels, Arc::clone(telemetry)))
}

fn scrape_client(config: &Config) -> Result<ScrapeClient, MainError> {
    let cluster_ca = PathBuf::from(SERVICE_ACCOUNT_DIR).join("ca.crt");
    let cluster_ca = cluster_ca.exists().then_some(cluster_ca);
    let pair = config
        .scrape_cert_file
        .clone()
        .zip(config.scrape_key_file.clone());
    let settings = ScrapeSettings {
        ca_files: cluster_ca
            .into_iter()
            .chain(config.scrape_ca_file.clone())
            .collect(),
        client_certificate: pair.map(|(cert, key)| ClientCertificateFiles { cert, key }),
        body_bytes_max: config.body_bytes_max,
        samples_max: config.samples_max,
        token: config.scrape_token_file.clone().map(|file| TokenSettings {
            file,
            namespaces: config.scrape_token_namespaces.clone(),
        }),
    };
    ScrapeClient::new(settings).map_err(usage)
}
