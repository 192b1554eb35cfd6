//! The bytes of a list on their way to `serde_json`, with a view of those that come next.
//!
//! `serde_json` takes a list byte by byte, as from any reader. Where it has taken the `{` of a pod and nothing behind
//! it, the whole pod can be looked at in one piece; what has been understood that way is left out, and `serde_json`
//! sees `{}`. So whatever stands beside the pods is read by `serde_json`, and by nobody else.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read};

/// Most pods have a fifth of it at most, and a processor's second-level cache has room for it.
const WINDOW_BYTES: usize = 128 * 1024;

/// The largest view of one pod: etcd takes objects of 1.5 MiB. A larger one is read byte by byte, each time.
const VIEW_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The part of a list that is in memory.
pub(super) struct Window<'r> {
    reader: &'r mut dyn Read,
    buffer: Vec<u8>,
    /// What is handed on next; the bytes up to `end` are valid.
    next: usize,
    end: usize,
    /// Newlines of what was left out, which are handed on first: `serde_json` counts the lines for its errors.
    newlines: usize,
    is_over: bool,
    /// Why reading failed, until what came before has been handed on.
    error: Option<io::Error>,
}

impl<'r> Window<'r> {
    pub(super) fn new(reader: &'r mut dyn Read) -> Window<'r> {
        Window {
            reader,
            buffer: vec![0; WINDOW_BYTES],
            next: 0,
            end: 0,
            newlines: 0,
            is_over: false,
            error: None,
        }
    }

    /// The bytes from the last one that was handed on; at least so many, fewer only where the list ends or for a view
    /// that would be too large. Empty before the first one.
    pub(super) fn view(&mut self, bytes: usize) -> &[u8] {
        let Some(mut last) = self.next.checked_sub(1) else {
            return &[];
        };
        let bytes = bytes.min(VIEW_BYTES_MAX);
        while self.end - last < bytes && self.fill() {
            last = self.next - 1;
        }
        &self.buffer[last..self.end]
    }

    /// Leaves out what stands between the first and the last of so many bytes of the view.
    pub(super) fn leave_out(&mut self, bytes: usize, newlines: usize) {
        self.next += bytes.saturating_sub(2);
        self.newlines += newlines;
    }

    /// Reads on; false when nothing comes any more.
    fn fill(&mut self) -> bool {
        if self.end == self.buffer.len() {
            self.make_room();
        }
        while !self.is_over {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_over = true,
                Ok(read) => {
                    self.end += read;
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    self.is_over = true;
                }
            }
        }
        false
    }

    /// Keeps the last byte that was handed on and all behind it, in a larger window where they fill this one.
    fn make_room(&mut self) {
        let last = self.next.saturating_sub(1);
        if last == 0 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        } else {
            self.buffer.copy_within(last..self.end, 0);
            self.next -= last;
            self.end -= last;
        }
    }
}

/// What `serde_json` reads from.
pub(super) struct WindowReader<'w, 'r>(pub(super) &'w RefCell<Window<'r>>);

impl Read for WindowReader<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut window = self.0.borrow_mut();
        let window = &mut *window;
        let Some(first) = out.first_mut() else {
            return Ok(0);
        };
        if window.newlines > 0 {
            window.newlines -= 1;
            *first = b'\n';
            return Ok(1);
        }
        if window.next == window.end && !window.fill() {
            return window.error.take().map_or(Ok(0), Err);
        }
        *first = window.buffer[window.next];
        window.next += 1;
        Ok(1)
    }
}
