//! The program: reads the settings, connects the modules, and waits for a signal or a fatal error.

mod logging;
mod signals;
mod wiring;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use crossbeam_channel::{Receiver, select};
use kubernetes_metrics_aggregator::config::{Config, ConfigError, settings_help, variable};
use kubernetes_metrics_aggregator::demo::Demo;
use kubernetes_metrics_aggregator::discovery::{Discovery, TargetCache};
use kubernetes_metrics_aggregator::server::{Server, Sources, listener};
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

/// Why the program fails, for the person who started it.
#[derive(Debug)]
struct MainError {
    exit_code: u8,
    text: String,
}

/// An option, a setting or a file that a setting names is invalid.
fn usage(error: impl Display) -> MainError {
    MainError {
        exit_code: 2,
        text: error.to_string(),
    }
}

/// Anything else failed.
fn failed(doing: &str, error: impl Display) -> MainError {
    MainError {
        exit_code: 1,
        text: format!("{doing}: {error}"),
    }
}

fn config_error(errors: &[ConfigError]) -> MainError {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    usage(lines.join("\n"))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.text.lines() {
                // If stderr is gone, the error cannot be shown.
                let _ = writeln!(io::stderr(), "kubernetes-metrics-aggregator: {line}");
            }
            ExitCode::from(error.exit_code)
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
    usage(format_args!(
        "unknown option {argument:?}; --help lists them"
    ))
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
    wiring::source(&config).map_err(usage)?;
    for file in config
        .pod_list_file
        .iter()
        .chain(&config.scrape_ca_file)
        .chain(&config.scrape_token_file)
    {
        fs::read(file).map_err(|error| failed(&file.display().to_string(), error))?;
    }
    wiring::listener(&config).check().map_err(usage)?;
    wiring::scrape_client(&config).map_err(usage)?;
    print(&format!(
        "{}\nthe settings can be used\n",
        config.effective("\n")
    ))
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

/// The running parts of the program, and the signals that end it.
struct Running {
    server: Server,
    discovery: Discovery,
    signals: Receiver<i32>,
}

impl Running {
    fn start(config: &Config) -> Result<Running, MainError> {
        let source = wiring::source(config).map_err(usage)?;
        let listener_settings = wiring::listener(config);
        listener_settings.check().map_err(usage)?;
        logging::start(config.log_level).map_err(|error| failed("starting the log", error))?;
        log::info!(
            "version {} {}",
            env!("CARGO_PKG_VERSION"),
            config.effective(" ")
        );
        let signals = signals::watch().map_err(|error| failed("handling signals", error))?;
        let address = config.listen_address;
        let listener = listener::bind(address).map_err(|error| {
            let error = format_args!("{error}; LISTEN_ADDRESS sets another address");
            failed(&format!("cannot listen on {address}"), error)
        })?;
        let telemetry = Arc::new(Telemetry::default());
        let cache = TargetCache::default();
        let discovery_settings = wiring::discovery(config, source, listener.local_addr().ok());
        let discovery =
            Discovery::start(&discovery_settings, cache.clone(), Arc::clone(&telemetry))
                .map_err(|error| failed("starting the discovery", error))?;
        let sources = Sources {
            cache,
            aggregator: wiring::aggregator(config, &telemetry).map_err(usage)?,
            telemetry,
        };
        let settings = wiring::server(config);
        let server = Server::start(listener, listener_settings, settings, sources)
            .map_err(|error| failed("starting the server", error))?;
        log::info!("listening on {}", server.address());
        Ok(Running {
            server,
            discovery,
            signals,
        })
    }

    /// Waits for a signal, or for a part of the program that cannot continue, and stops the others.
    fn wait(self) -> Result<(), MainError> {
        let end = select! {
            recv(self.signals) -> signal => signal.map_err(|_| "the signal thread has ended"),
            recv(self.server.ended()) -> _ => Err("the server can read no more requests"),
            recv(self.discovery.ended()) -> _ => Err("the discovery thread has ended, the log has more"),
        };
        if let Ok(signal) = end {
            log::info!("signal {signal}: stopping");
        }
        self.server.stop();
        self.discovery.stop();
        end.map_err(|reason| failed("stopped", reason))?;
        log::info!("stopped");
        Ok(())
    }
}
