//! Takes the pods out of a list while it arrives, and returns the rest. Pure, except for the reader.
//!
//! `serde_json` decodes a slice in a third of the time that a reader takes, but a whole list may be too large for
//! memory. So each pod is decoded from a slice of a buffer, and replaced by `{}` in the rest. The rest is small and is
//! decoded afterwards, which also validates everything around the pods: the list is valid JSON if each pod and the rest
//! are. A pod that is not recognised stays in the rest and is decoded there.

use std::io::Read;

use k8s_openapi::api::core::v1::Pod;
use memchr::memchr_iter;
use serde::de::Error;
use serde_json::Deserializer;

use super::pod::Item;

/// How much is read at once. A pod has some 15 KiB, and one at the end of the buffer is decoded again.
const BUFFER_BYTES: usize = 256 * 1024;

/// The largest pod: etcd accepts objects of 1.5 MiB, which are somewhat larger in JSON.
const POD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most bytes of a list besides its pods.
const REST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Calls `on_pod` with each pod of the list, and returns the rest: the list with `{}` in place of each pod, in as many
/// lines.
///
/// # Errors
///
/// Reading fails, a pod is malformed or incomplete, or a pod or the rest is larger than 8 MiB.
pub(super) fn take_pods(
    reader: impl Read,
    mut on_pod: impl FnMut(&Pod),
) -> Result<Vec<u8>, serde_json::Error> {
    let mut stream = PodStream {
        reader,
        buffer: Vec::new(),
        next: 0,
        position: JsonPosition::default(),
        rest: Vec::new(),
    };
    let mut other_bytes = 0;
    while stream.next < stream.buffer.len() || stream.fill()? {
        let byte = stream.buffer[stream.next];
        if byte == b'{' && stream.position.is_between_items() {
            if let Some(pod) = stream.take_pod()? {
                on_pod(&pod);
            }
        } else {
            stream.position.pass(byte, &stream.rest);
            stream.rest.push(byte);
            stream.next += 1;
            other_bytes += 1;
        }
        if other_bytes > REST_BYTES_MAX {
            return Err(Error::custom("more than 8 MiB besides the pods"));
        }
    }
    Ok(stream.rest)
}

struct PodStream<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The first byte of the buffer that has not been used.
    next: usize,
    position: JsonPosition,
    rest: Vec<u8>,
}

impl<R: Read> PodStream<R> {
    /// Decodes the pod that begins here.
    fn take_pod(&mut self) -> Result<Option<Pod>, serde_json::Error> {
        loop {
            let json = &self.buffer[self.next..];
            let mut items = Deserializer::from_slice(json).into_iter::<Item>();
            match items.next() {
                Some(Err(error)) if !error.is_eof() => return Err(self.error(error)),
                Some(Ok(Item(pod))) => {
                    let bytes = items.byte_offset();
                    let newlines = memchr_iter(b'\n', &json[..bytes]);
                    self.rest.extend_from_slice(b"{}");
                    self.rest.extend(newlines.map(|_| b'\n'));
                    self.next += bytes;
                    return Ok(pod);
                }
                Some(Err(error)) if !self.fill()? => return Err(self.error(error)),
                _ => {}
            }
        }
    }

    /// The error of the pod that begins here, with the line number in the list.
    fn error(&self, error: serde_json::Error) -> serde_json::Error {
        let mut json: Vec<u8> = memchr_iter(b'\n', &self.rest).map(|_| b'\n').collect();
        json.extend_from_slice(&self.buffer[self.next..]);
        let mut items = Deserializer::from_slice(&json).into_iter::<Item>();
        items.next().and_then(Result::err).unwrap_or(error)
    }

    /// Drops what has been used, and reads until the buffer has [`BUFFER_BYTES`], or twice of what is left if that is
    /// more. False at the end.
    fn fill(&mut self) -> Result<bool, serde_json::Error> {
        self.buffer.drain(..self.next);
        self.next = 0;
        let left = self.buffer.len();
        if left >= POD_BYTES_MAX {
            return Err(Error::custom("a pod is larger than 8 MiB"));
        }
        let wanted = (2 * left).clamp(BUFFER_BYTES, POD_BYTES_MAX) - left;
        let mut reader = self.reader.by_ref().take(wanted as u64);
        let read = reader.read_to_end(&mut self.buffer);
        Ok(read.map_err(serde_json::Error::io)? > 0)
    }
}

/// The position of the next byte in the list.
#[derive(Debug, Default)]
struct JsonPosition {
    /// The objects and arrays that are open.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    is_in_items: bool,
}

impl JsonPosition {
    fn is_between_items(&self) -> bool {
        self.is_in_items && self.depth == 2 && !self.is_in_string
    }

    /// Moves over one byte of the rest.
    fn pass(&mut self, byte: u8, rest: &[u8]) {
        if self.is_in_string {
            let is_end = byte == b'"' && !self.is_escaped;
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            self.is_in_string = !is_end;
            return;
        }
        match byte {
            b'"' => self.is_in_string = true,
            b'{' => self.depth += 1,
            b'[' => {
                self.is_in_items |= self.depth == 1 && ends_with_items_key(rest);
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.is_in_items &= self.depth >= 2;
            }
            _ => {}
        }
    }
}

fn ends_with_items_key(text: &[u8]) -> bool {
    let key = text.trim_ascii_end().strip_suffix(b":");
    key.is_some_and(|key| key.trim_ascii_end().ends_with(b"\"items\""))
}
