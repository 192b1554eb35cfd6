//! The log: one line for each event, on stderr, with times in UTC. Panics are logged too.

use std::io::{self, LineWriter};
use std::{panic, thread};

use log::{LevelFilter, SetLoggerError};
use simplelog::{ConfigBuilder, ThreadLogMode, WriteLogger};

/// Size of the buffer for one log line; longer lines are written in several pieces.
const LOG_LINE_BYTES: usize = 8 * 1024;
/// How many characters of a panic's message are logged.
const PANIC_CHARS_MAX: usize = 200;

/// Starts the log, and logs every panic. Only lines of this program are written, because other crates may log what pods
/// and clients send.
///
/// # Errors
/// The process already has a logger.
pub(crate) fn start(level: LevelFilter) -> Result<(), SetLoggerError> {
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Error)
        .set_thread_mode(ThreadLogMode::Names)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .add_filter_allow_str("kubernetes_metrics_aggregator")
        .build();
    // simplelog writes each part of a line separately: without a buffer a line would take some forty system calls.
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
