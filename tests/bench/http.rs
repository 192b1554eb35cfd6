//! As much HTTP/1.1 as the benchmark's own processes need: heads, and bodies of known length.

use std::io::{self, Read};

use memchr::memmem;

/// Bytes read at once by whoever reads bodies: large, so that system calls do not count.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

/// A response that was read to the last byte of its body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) gzipped: bool,
    pub(crate) is_protobuf: bool,
    pub(crate) body_bytes: usize,
}

/// Reads one response whole. `body` gets what the body brings, piece by piece.
pub(crate) fn read_response(
    mut stream: impl Read,
    buffer: &mut [u8],
    mut body: impl FnMut(&[u8]),
) -> io::Result<Response> {
    let (head_end, filled) = read_head(&mut stream, buffer)?;
    let response = parse_head(&buffer[..head_end])?;
    let mut left = response
        .body_bytes
        .checked_sub(filled - head_end)
        .ok_or_else(|| io::Error::other("more bytes than Content-Length says"))?;
    body(&buffer[head_end..filled]);
    while left > 0 {
        let most = left.min(buffer.len());
        let length = read(&mut stream, &mut buffer[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        body(&buffer[..length]);
        left -= length;
    }
    Ok(response)
}

/// Reads until a head is whole: where it ends in the buffer, and how far the buffer is filled.
pub(crate) fn read_head(mut stream: impl Read, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let mut filled = 0;
    loop {
        let length = read(&mut stream, &mut buffer[filled..])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += length;
        if let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
            return Ok((end + 4, filled));
        }
    }
}

/// A machine that stands still for a moment interrupts a read with a timeout.
fn read(mut stream: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn parse_head(head: &[u8]) -> io::Result<Response> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body_bytes = header("content-length").and_then(|value| value.parse().ok());
    let (Some(status), Some(body_bytes)) = (status, body_bytes) else {
        return Err(io::Error::other(format!(
            "no status or no Content-Length in {head:?}"
        )));
    };
    Ok(Response {
        status,
        gzipped: header("content-encoding") == Some("gzip"),
        is_protobuf: header("content-type").is_some_and(|value| value.contains("protobuf")),
        body_bytes,
    })
}
