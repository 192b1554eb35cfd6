//! The figures of a program under attack, and their bounds. They are printed: `-- --ignored --nocapture`.
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::fmt;
use std::fs;
use std::time::Duration;

/// Threads, descriptors and resident KiB of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    pub(crate) resident_kib: usize,
}

impl Size {
    pub(crate) fn of(pid: u32) -> Size {
        Size {
            threads: status(pid, "Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
            resident_kib: status(pid, "VmRSS:"),
        }
    }

    /// The most that has ever been resident.
    pub(crate) fn most_resident_kib(pid: u32) -> usize {
        status(pid, "VmHWM:")
    }

    pub(super) fn max(self, other: Size) -> Size {
        Size {
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
            resident_kib: self.resident_kib.max(other.resident_kib),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.resident_kib / 1024;
        write!(
            f,
            "{} threads, {} descriptors, {mebibytes} MiB",
            self.threads, self.descriptors
        )
    }
}

fn status(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

/// What a probe may take, in 99 of 100.
const PROBE_TIME: Duration = Duration::from_millis(250);

type Timed = (Duration, Result<(), String>);

/// What was seen during one attack.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(super) probes: Vec<Timed>,
    pub(super) control: Vec<Duration>,
    pub(super) scrapes: Vec<Timed>,
    pub(super) most: Size,
}

/// What a program may grow to under attack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    pub(crate) resident_kib: usize,
}

impl Bounds {
    /// For so many connections at once: each has a thread and a descriptor, and there are forty threads and sixty
    /// descriptors besides. An eighth more may be closed but not ended, and one in 32 is accepted to be refused.
    pub(crate) fn for_connections(most: usize) -> Bounds {
        let connections = most + most.div_ceil(8) + most.div_ceil(32);
        Bounds {
            threads: connections + 40,
            descriptors: connections + 60,
            resident_kib: 64 * 1024,
        }
    }

    /// Responses of so many MiB may be unread or being made.
    pub(crate) fn with_responses(self, mebibytes: usize) -> Bounds {
        Bounds {
            resident_kib: self.resident_kib + mebibytes * 1024,
            ..self
        }
    }
}

impl Figures {
    /// Checks all promises: good scrapes succeed, probes are quick, the program stays small.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, bounds: Bounds) {
        self.check_size(name, bounds);
        for (took, outcome) in &self.scrapes {
            assert_eq!(
                outcome,
                &Ok(()),
                "{name}: a good scrape failed after {took:?}"
            );
        }
        assert!(
            !self.scrapes.is_empty() && self.probes.len() >= 20,
            "{self}"
        );
        let failures: Vec<_> = self
            .probes
            .iter()
            .filter(|(_, outcome)| outcome.is_err())
            .collect();
        assert!(
            failures.len() * 100 <= self.probes.len(),
            "{name}: {failures:?}"
        );
        let limit = PROBE_TIME + 4 * percentile(self.control.iter().copied(), 99);
        let late = percentile(self.probes.iter().map(|(took, _)| *took), 99);
        assert!(
            late <= limit,
            "{name}: a probe in a hundred took {late:?}, {limit:?} at most"
        );
    }

    /// Checks only that the program stays small.
    #[track_caller]
    pub(crate) fn check_size(&self, name: &str, bounds: Bounds) {
        println!("{name}: {self}");
        assert!(
            self.most.threads <= bounds.threads
                && self.most.descriptors <= bounds.descriptors
                && self.most.resident_kib <= bounds.resident_kib,
            "{name}: {}; {bounds:?}",
            self.most
        );
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slow = |times: &[Timed]| {
            times
                .iter()
                .map(|(took, _)| *took)
                .max()
                .unwrap_or_default()
        };
        let failed = |times: &[Timed]| times.iter().filter(|(_, outcome)| outcome.is_err()).count();
        let probes = || self.probes.iter().map(|(took, _)| *took);
        write!(
            f,
            "{}; {} probes, {} failed, 99 of 100 in {:?}, all in {:?}, control {:?}; \
             {} scrapes, {} failed, all in {:?}",
            self.most,
            self.probes.len(),
            failed(&self.probes),
            percentile(probes(), 99),
            slow(&self.probes),
            percentile(self.control.iter().copied(), 99),
            self.scrapes.len(),
            failed(&self.scrapes),
            slow(&self.scrapes),
        )
    }
}

fn percentile(times: impl Iterator<Item = Duration>, percent: usize) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}
