//! What the kernel knows of this process, from `/proc`. What cannot be read is left out.

use std::fs;
use std::str::FromStr;

/// Ticks of the kernel in a second, as it tells them to processes: 100 on every machine that Linux runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) virtual_bytes: Option<f64>,
    pub(super) open_fds: Option<f64>,
    pub(super) max_fds: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) start_seconds: Option<f64>,
}

impl Process {
    pub(super) fn read() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the program's name, which may hold anything; see proc_pid_stat(5).
        let (_, stat) = stat.rsplit_once(')').unwrap_or_default();
        let stat: Vec<f64> = stat
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        let field = |number: usize| stat.get(number - 3).copied();
        let kilobytes = |name| number_after("/proc/self/status", name).map(|kb: f64| kb * 1024.0);
        Process {
            cpu_seconds: field(14)
                .zip(field(15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            open_fds: open_fds(),
            max_fds: open_files_max(),
            threads: field(20),
            start_seconds: field(22)
                .zip(number_after("/proc/stat", "btime"))
                .map(|(start, boot): (f64, f64)| boot + start / TICKS_PER_SECOND),
        }
    }
}

fn open_fds() -> Option<f64> {
    // One of them is the directory that is being read.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
    u32::try_from(count).ok().map(f64::from)
}

/// Descriptors that this process may open: its soft limit, or nothing where that is not known or there is none.
#[must_use]
pub fn open_files_max<T: FromStr>() -> Option<T> {
    number_after("/proc/self/limits", "Max open files")
}

/// The first number after the name at the start of a line.
fn number_after<T: FromStr>(file: &str, name: &str) -> Option<T> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
