//! The body of a response of the API server, decompressed and limited. ureq is built without decompression, because
//! responses of pods are passed on unchanged.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ureq::Body;
use ureq::http::{Response, header};

/// A reader of the body. It fails after more than `limit` bytes, counted after decompression.
pub(super) fn decompressed(response: Response<Body>, limit: u64) -> impl Read {
    let encoding = response.headers().get(header::CONTENT_ENCODING);
    let is_gzip = encoding.is_some_and(|encoding| encoding == "gzip");
    let body = response.into_body().into_with_config();
    let reader = body.limit(u64::MAX).reader();
    let reader: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };
    Limited {
        reader,
        limit,
        left: limit,
    }
}

/// Fails as soon as more than `limit` bytes have been read.
struct Limited<R> {
    reader: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| ureq::Error::BodyExceedsLimit(self.limit).into_io())?;
        Ok(read)
    }
}
