//! What one request costs: `cargo bench --bench request`, with names of workloads behind `--` to choose some.
//!
//! In each round, by turns: the bare concurrent fetch of all bodies; the relay, the least that any merging server must
//! do; one request through the server. All in processes of their own, on loopback, asked by the same client.

#[allow(
    dead_code,
    reason = "its watches and its gate are for the benchmark of discovery only"
)]
mod api;
mod body;
mod client;
#[allow(dead_code, reason = "some of it is for tests")]
#[path = "../support/client_model.rs"]
mod client_model;
mod farm;
mod http;
mod measure;
mod process;
mod relay;
mod roles;
mod rounds;
mod situation;
mod table;
mod workload;

use std::env;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use measure::measure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use process::{LISTENING, exit_code};
use roles::check_descriptors;
use workload::Workload;

fn main() -> ExitCode {
    exit_code(run())
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["farm", name] => serve(farm::start(workload(name)?)?),
        ["relay", name, port] => {
            let port = port.parse().map_err(io::Error::other)?;
            serve(relay::start(workload(name)?, port)?)
        }
        // `cargo bench` passes this, `cargo test --benches` does not.
        [ref names @ .., "--bench"] => bench(names),
        _ => writeln!(io::stdout(), "cargo bench --bench request [-- WORKLOAD...]"),
    }
}

fn workload(name: &str) -> io::Result<Workload> {
    let mut found = Workload::named(&[name.to_owned()])?;
    found
        .pop()
        .ok_or_else(|| io::Error::other("no such workload"))
}

/// Says where it listens, and ends with the process that started it.
fn serve(address: SocketAddr) -> io::Result<()> {
    writeln!(io::stderr(), "{LISTENING}{address}")?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn bench(names: &[&str]) -> io::Result<()> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let workloads = Workload::named(&names)?;
    let descriptors = workloads.iter().map(Workload::descriptors).max();
    check_descriptors(descriptors.unwrap_or(0))?;
    // Dying at once would leave the processes running.
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let mut out = io::stdout();
    writeln!(out, "{}. {}", table::machine(), table::head())?;
    let mut notes = Vec::new();
    let mut failed = Vec::new();
    for workload in workloads {
        if !workload.is_row {
            let note = match workload.name {
                "rounds" => rounds::measure(&stopped),
                _ => situation::measure(workload, &stopped),
            };
            match note {
                Ok(note) => notes.push(note),
                Err(error) if stopped.load(Ordering::Relaxed) => return Err(error),
                Err(error) => failed.push(format!("{}: no figures: {error}", workload.name)),
            }
            continue;
        }
        match measure(workload, &stopped) {
            Ok(figures) => {
                writeln!(out, "{}", table::row(&figures).unwrap_or_default())?;
                notes.extend(table::note(&figures));
            }
            Err(error) if stopped.load(Ordering::Relaxed) => return Err(error),
            Err(error) => failed.push(format!("{}: no figures: {error}", workload.name)),
        }
    }
    for note in notes {
        writeln!(out, "\n{note}")?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(failed.join("\n")))
}
