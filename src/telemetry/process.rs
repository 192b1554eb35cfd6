//! Metrics of the process, read from `/proc`. A metric that cannot be read is left out.

use std::fs;
use std::str::FromStr;

/// Kernel ticks per second, as processes see them: 100 on every architecture of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time, user and system.
pub(super) fn cpu_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS_PER_SECOND)
}

/// Start of the process, in seconds since the epoch.
pub(super) fn start_seconds() -> Option<f64> {
    let boot: f64 = number_after("/proc/stat", "btime")?;
    Some(boot + stat(22)? / TICKS_PER_SECOND)
}

pub(super) fn threads() -> Option<f64> {
    stat(20)
}

/// The size with this name in `/proc/self/status`, such as `VmRSS:`.
pub(super) fn memory_bytes(name: &str) -> Option<f64> {
    number_after("/proc/self/status", name).map(|kilobytes: f64| kilobytes * 1024.0)
}

pub(super) fn open_fds() -> Option<usize> {
    // One of them is this directory.
    fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)
}

/// How many descriptors this process may open (its soft limit); `None` if that is unknown or unlimited.
#[must_use]
pub fn open_files_max() -> Option<usize> {
    number_after("/proc/self/limits", "Max open files")
}

/// A field of `/proc/self/stat` by its number in proc_pid_stat(5), at least 3.
fn stat(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, which may contain blanks and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

/// The first number after the name at the start of a line.
fn number_after<T: FromStr>(file: &str, name: &str) -> Option<T> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
