//! Compresses merged texts as gzip: about as small as zlib-rs does at level 3, in a quarter of the time.
//!
//! Prometheus asks for gzip unless it is told not to, so most responses are compressed. A general compressor spends its
//! time on searching for earlier bytes. Here `lines` knows where to look, and `deflate` has its codes ready. The result
//! is one member (RFC 1952) with one block (RFC 1951), which every decoder of gzip can read.

mod deflate;
mod lines;

use std::io::{self, Write};

use flate2::Crc;

use deflate::Deflate;
use lines::Memory;

/// Deflate, no flags, no time, fastest algorithm, unknown system (RFC 1952, section 2.3.1).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// A longer write is compressed as several texts, which limits the memory for lines.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Compresses what is written into it. Each write is compressed by itself, so it should have 100 kB or more, as those
/// of [`crate::exposition::Merged::write_to`] have.
///
/// Any bytes are valid and decompress to the same bytes. Lines become small if the lines of a family resemble each
/// other. Binary formats hardly become smaller, and random bytes become up to half as long again.
#[derive(Debug)]
pub struct LineGzip {
    memory: Memory,
    out: Deflate,
    crc: Crc,
}

impl Default for LineGzip {
    fn default() -> LineGzip {
        LineGzip {
            memory: Memory::default(),
            out: Deflate::behind(&HEAD),
            crc: Crc::new(),
        }
    }
}

impl LineGzip {
    /// The gzip member of all that has been written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut gzip = self.out.finish();
        gzip.extend_from_slice(&self.crc.sum().to_le_bytes());
        gzip.extend_from_slice(&self.crc.amount().to_le_bytes());
        // The send budget counts the length, and a slow client can keep a response in memory for long.
        gzip.shrink_to_fit();
        gzip
    }
}

/// Writes all, and never fails.
impl Write for LineGzip {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        for text in text.chunks(TEXT_BYTES_MAX) {
            self.crc.update(text);
            lines::compress(text, &mut self.memory, &mut self.out);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
