//! What the threads of this process have logged.

use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    thread: ThreadId,
    pub(crate) level: Level,
    pub(crate) text: String,
}

struct Capture;

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.lock().unwrap().push(Line {
            thread: thread::current().id(),
            level: record.level(),
            text: record.args().to_string(),
        });
    }

    fn flush(&self) {}
}

/// Starts to keep what is logged, at every level, by all threads of all tests.
pub(crate) fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
}

/// Everything so far.
pub(crate) fn all() -> Vec<Line> {
    LINES.lock().unwrap().clone()
}

/// What the thread has logged that once logged `mark`.
pub(crate) fn of_thread_that_said(mark: &str) -> Vec<Line> {
    let lines = all();
    let thread = lines
        .iter()
        .find(|line| line.text.contains(mark))
        .map(|line| line.thread);
    lines
        .into_iter()
        .filter(|line| Some(line.thread) == thread)
        .collect()
}
