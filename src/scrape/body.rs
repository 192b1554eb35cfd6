//! The body of a pod's answer, read to its end within a limit of size.
//!
//! ureq is built without decompression: `/probe` hands the bytes of the pod on as they are. What is to be read here
//! is decompressed here.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use ureq::Body;

use super::error::brief;
use super::{Phase, Reason, ScrapeError};

/// A declared Content-Length is believed up to here; a longer body grows the buffer as it arrives.
const BODY_RESERVE_BYTES_MAX: u64 = 1 << 20;

/// The whole body, decompressed if it is gzip.
///
/// # Errors
/// The body is not all there in time, is over `limit` bytes as it is read, or is no gzip.
pub(super) fn read(
    body: Body,
    is_gzip: bool,
    limit: u64,
    budget: Duration,
) -> Result<Vec<u8>, ScrapeError> {
    let expected = body.content_length().unwrap_or(0);
    let reserve = expected.min(BODY_RESERVE_BYTES_MAX).min(limit);
    let mut whole = Vec::with_capacity(usize::try_from(reserve).unwrap_or(0));
    // The limit of ureq would be one of compressed bytes; `read_limited` has its own.
    let reader = body.into_with_config().limit(u64::MAX).reader();
    let read = if is_gzip {
        read_limited(Gunzip(MultiGzDecoder::new(reader)), limit, &mut whole)
    } else {
        read_limited(reader, limit, &mut whole)
    };
    read.map_err(|error| ScrapeError {
        phase: Phase::Body,
        reason: reason(error, budget),
    })?;
    Ok(whole)
}

fn read_limited(reader: impl Read, limit: u64, into: &mut Vec<u8>) -> io::Result<()> {
    reader.take(limit.saturating_add(1)).read_to_end(into)?;
    if into.len() as u64 > limit {
        return Err(ureq::Error::BodyExceedsLimit(limit).into_io());
    }
    Ok(())
}

fn reason(error: io::Error, budget: Duration) -> Reason {
    match error.downcast::<CorruptGzip>() {
        Ok(corrupt) => Reason::Encoding(format!("gzip that is corrupt: {}", brief(&corrupt.0))),
        Err(error) => super::client::reason(Phase::Body, ureq::Error::from(error), budget),
    }
}

/// Tells errors of gzip from those of the connection below.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            // What ureq reports stands inside of an error of this kind.
            let is_below = error
                .get_ref()
                .is_some_and(|inner| inner.is::<ureq::Error>());
            match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                    if !is_below =>
                {
                    io::Error::other(CorruptGzip(error))
                }
                _ => error,
            }
        })
    }
}

#[derive(Debug)]
struct CorruptGzip(io::Error);

impl fmt::Display for CorruptGzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CorruptGzip {}
