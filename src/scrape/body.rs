//! Reads the body of a pod's response to its end, up to a limit.
//!
//! ureq is built without decompression, because `/probe` passes the bytes of the pod on unchanged. Bodies that are
//! parsed are decompressed here.

use std::io::{self, ErrorKind, Read};
use std::mem;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use ureq::Body;

use super::{Phase, ScrapeError};

/// A declared Content-Length is trusted up to this size; for a longer body the buffer grows as it arrives.
const BODY_RESERVE_BYTES_MAX: u64 = 1 << 20;
/// How much memory a worker keeps for the next body.
const BUFFER_BYTES_KEPT: usize = 2 << 20;
/// Copying a body of this size takes less time than clearing memory for the next one.
const COPIED_BYTES_MAX: usize = 256 * 1024;
/// First size of the buffer for a body of unknown length.
const BUFFER_BYTES_MIN: usize = 4 * 1024;

/// A buffer into which one body after the other is read.
#[derive(Debug, Default)]
pub(super) struct BodyBuffer {
    /// Bytes once written stay, so that the buffer need not be cleared for the next body.
    bytes: Vec<u8>,
    filled: usize,
}

impl BodyBuffer {
    /// The last body.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// The last body, without unused memory.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let is_small = self.filled <= COPIED_BYTES_MAX;
        if is_small || self.bytes.len() > 2 * self.filled {
            return self.body().to_vec();
        }
        let mut body = mem::take(&mut self.bytes);
        body.truncate(mem::take(&mut self.filled));
        body
    }

    /// Frees the memory of an unusually large body.
    pub(super) fn shrink(&mut self) {
        if self.bytes.len() > BUFFER_BYTES_KEPT {
            *self = BodyBuffer::default();
        }
    }

    /// Reads to the end, or to one byte over the limit.
    pub(super) fn fill(
        &mut self,
        mut reader: impl Read,
        expected: usize,
        limit: usize,
    ) -> io::Result<()> {
        self.filled = 0;
        // One byte more than expected, so that the end is seen without a larger buffer.
        let mut size = (expected + 1).max(BUFFER_BYTES_MIN);
        loop {
            let size_max = limit.saturating_add(1);
            if self.bytes.len() < size.min(size_max) {
                self.bytes
                    .reserve_exact(size.min(size_max) - self.bytes.len());
                self.bytes.resize(size.min(size_max), 0);
            }
            let end = self.bytes.len().min(size_max);
            let room = &mut self.bytes[self.filled..end];
            match reader.read(room) {
                Ok(0) => return Ok(()),
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.filled > limit {
                return Err(ureq::Error::BodyExceedsLimit(limit as u64).into_io());
            }
            if self.filled == end {
                size = end.saturating_mul(2);
            }
        }
    }
}

/// The whole body, decompressed if it is gzip.
///
/// # Errors
/// The body does not arrive completely in time, is over `limit` bytes, or is not valid gzip.
pub(super) fn read(
    body: Body,
    is_gzip: bool,
    limit: u64,
    budget: Duration,
    into: &mut BodyBuffer,
) -> Result<(), ScrapeError> {
    let expected = body.content_length().unwrap_or(0);
    let expected = expected.min(BODY_RESERVE_BYTES_MAX).min(limit);
    let [expected, limit] = [expected, limit].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    // ureq's limit would count compressed bytes; the buffer has its own.
    let reader = body.into_with_config().limit(u64::MAX).reader();
    let read = if is_gzip {
        into.fill(Gunzip(MultiGzDecoder::new(reader)), expected, limit)
    } else {
        into.fill(reader, expected, limit)
    };
    read.map_err(|error| ScrapeError::of_ureq(Phase::Body, error.into(), budget))
}

/// Distinguishes errors of gzip from those of the connection below.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            // ureq's own error is inside an error of this kind.
            let is_below = error
                .get_ref()
                .is_some_and(|inner| inner.is::<ureq::Error>());
            match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                    if !is_below =>
                {
                    io::Error::other(format!("gzip that cannot be decompressed: {error}"))
                }
                _ => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn filled(buffer: &mut BodyBuffer, body: &[u8]) {
        buffer.fill(body, 0, usize::MAX).unwrap();
        assert_eq!(buffer.body(), body);
    }

    #[test]
    fn a_small_body_keeps_no_memory_of_a_large_one() {
        let mut buffer = BodyBuffer::default();
        filled(&mut buffer, &vec![b'x'; 1 << 20]);
        filled(&mut buffer, b"a 1\n");
        let body = buffer.take();
        assert_eq!(body, b"a 1\n");
        assert!(body.capacity() < 64, "{}", body.capacity());
    }

    #[test]
    fn a_large_body_is_taken_without_a_copy() {
        let mut buffer = BodyBuffer::default();
        filled(&mut buffer, &vec![b'x'; 1 << 20]);
        let place = buffer.body().as_ptr();
        let body = buffer.take();
        assert_eq!(body.as_ptr(), place);
        assert_eq!(buffer.body(), b"");
        filled(&mut buffer, b"a 1\n");
    }

    #[test]
    fn the_memory_of_an_unusually_large_body_is_given_back() {
        let mut buffer = BodyBuffer::default();
        filled(&mut buffer, &vec![b'x'; BUFFER_BYTES_KEPT + 1]);
        buffer.shrink();
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
