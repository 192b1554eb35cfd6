//! SIGTERM and SIGINT. In a container this process is PID 1, for which the kernel ignores both unless there is a
//! handler.

use std::{io, thread};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Handles both signals from now on, in the thread `signals`. The channel receives the number of each signal.
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
