//! The log of the process: one line for each event on stderr, in UTC. Panics are written there too.

use std::io::{self, LineWriter};
use std::{panic, thread};

use log::{LevelFilter, SetLoggerError};
use simplelog::{ConfigBuilder, ThreadLogMode, WriteLogger};

/// Longer lines of the log are written in several pieces.
const LOG_LINE_BYTES: usize = 8 * 1024;
/// Longest part of a panic's message that is logged.
const PANIC_CHARS_MAX: usize = 200;

/// Starts the log and sends the message of every panic to it. Only this program's own lines are written: other crates
/// may log what pods and clients send.
///
/// # Errors
/// The process has a logger already.
pub(crate) fn start(level: LevelFilter) -> Result<(), SetLoggerError> {
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Error)
        .set_thread_mode(ThreadLogMode::Names)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .add_filter_allow_str("kubernetes_metrics_aggregator")
        .build();
    // simplelog writes each part of a line by itself; without a buffer a line would take some forty system calls.
    let stderr = LineWriter::with_capacity(LOG_LINE_BYTES, io::stderr());
    WriteLogger::init(level, config, stderr)?;
    panic::set_hook(Box::new(|info| {
        // The message of a panic may quote what a pod or client sent, so it is cut and escaped.
        let message = info.payload_as_str().unwrap_or_default();
        let message: String = message.chars().take(PANIC_CHARS_MAX).collect();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        let name = thread.name().unwrap_or_default();
        log::error!("panic in thread {name:?} at {place}: {message:?}");
    }));
    Ok(())
}
