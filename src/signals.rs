//! SIGTERM and SIGINT. In a container this process is PID 1, and the kernel ignores both where there is no handler.

use std::{io, thread};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Handles both signals from now on, on the thread `signals`. The number of each that arrives comes out of the channel.
///
/// # Errors
/// The handlers cannot be set, or the thread cannot be started.
pub(crate) fn watch() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (arrived, receiver) = bounded(1);
    let forward = move || {
        for signal in signals.forever() {
            // The first signal stops the process, so a further one may be lost.
            let _ = arrived.try_send(signal);
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(forward)?;
    Ok(receiver)
}
