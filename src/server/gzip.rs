//! A merged text as gzip, compressed piece by piece by all who have time.
//!
//! Each piece is deflated by itself and ends at a byte, so that the pieces behind each other are one deflate stream
//! (RFC 1951), and with a head and the checksum of all of them one gzip member (RFC 1952): readers that know only one
//! member need not know of it.

use std::io;
use std::num::NonZeroUsize;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::exposition::{MergedText, Position};

/// Deflate, no flags, no time, level unknown, system unknown.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// More cores than these are left to the scrapes.
const HELPERS_MAX: usize = 4;
/// Deflated pieces of one text that nobody has taken yet. There are never more than two of each helper, because they
/// are taken before the next piece is given away: so no helper waits.
const DEFLATED_MAX: usize = 2 * HELPERS_MAX;

/// Compresses texts, with the help of threads named `gzip`. They end when it is dropped.
pub(super) struct Gzip {
    pieces: Option<Sender<Handed>>,
    helpers: Vec<JoinHandle<()>>,
}

/// A piece of a text that is to be compressed.
struct Piece {
    number: usize,
    bytes: Vec<u8>,
    is_last: bool,
    level: Compression,
}

/// A piece for a helper, and where it is waited for.
type Handed = (Piece, Sender<Deflated>);

struct Deflated {
    number: usize,
    bytes: Vec<u8>,
    crc: Crc,
}

impl Gzip {
    /// With a helper for each core but the one of whom they help, and one at least.
    pub(super) fn start() -> io::Result<Gzip> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // Without room: a piece is taken by a thread that waits for one, or not at all.
        let (sender, pieces) = bounded(0);
        let mut gzip = Gzip {
            pieces: Some(sender),
            helpers: Vec::new(),
        };
        for _ in 0..(cores - 1).clamp(1, HELPERS_MAX) {
            let pieces = pieces.clone();
            let thread = thread::Builder::new().name("gzip".to_owned());
            let help = |(piece, done): Handed| {
                // The request may be gone by now.
                let _ = done.send(piece.deflate());
            };
            gzip.helpers
                .push(thread.spawn(move || pieces.into_iter().for_each(help))?);
        }
        Ok(gzip)
    }

    /// The text, gzipped at this level by the calling thread and the helpers that are idle: nothing waits for one, so
    /// a response takes no longer because others are made.
    pub(super) fn compress(&self, text: &MergedText, level: u32) -> Vec<u8> {
        let (done, helped) = bounded(DEFLATED_MAX);
        let mut deflated = Vec::new();
        let mut position = Position::default();
        let mut pieces = 0;
        loop {
            let mut bytes = text.buffer();
            text.append(&mut position, &mut bytes);
            let is_last = text.is_end(&position);
            let piece = Piece {
                number: pieces,
                bytes,
                is_last,
                level: Compression::new(level),
            };
            deflated.extend(helped.try_iter());
            if let Err(piece) = self.try_help(piece, &done) {
                deflated.push(piece.deflate());
            }
            pieces += 1;
            if is_last {
                break;
            }
        }
        drop(done);
        deflated.extend(helped);
        assert_eq!(deflated.len(), pieces, "a helper has panicked");
        deflated.sort_unstable_by_key(|piece| piece.number);
        joined(&deflated)
    }

    /// Has the piece deflated by an idle helper, or gives it back.
    fn try_help(&self, piece: Piece, done: &Sender<Deflated>) -> Result<(), Piece> {
        match &self.pieces {
            Some(pieces) => pieces
                .try_send((piece, done.clone()))
                .map_err(|refused| refused.into_inner().0),
            None => Err(piece),
        }
    }
}

impl Drop for Gzip {
    fn drop(&mut self) {
        // The end of the channel is the end of the threads.
        self.pieces = None;
        for helper in self.helpers.drain(..) {
            // An Err is a panic, which the hook has logged and a request has counted.
            let _ = helper.join();
        }
    }
}

impl Piece {
    fn deflate(self) -> Deflated {
        let mut crc = Crc::new();
        crc.update(&self.bytes);
        Deflated {
            number: self.number,
            bytes: deflate(&self.bytes, self.level, self.is_last),
            crc,
        }
    }
}

/// One gzip member.
fn joined(pieces: &[Deflated]) -> Vec<u8> {
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let mut gzip = Vec::with_capacity(HEAD.len() + bytes + 8);
    gzip.extend_from_slice(&HEAD);
    let mut crc = Crc::new();
    for piece in pieces {
        gzip.extend_from_slice(&piece.bytes);
        crc.combine(&piece.crc);
    }
    gzip.extend_from_slice(&crc.sum().to_le_bytes());
    gzip.extend_from_slice(&crc.amount().to_le_bytes());
    gzip
}

/// The piece as a part of a deflate stream, or the end of one.
fn deflate(piece: &[u8], level: Compression, is_last: bool) -> Vec<u8> {
    let mut compress = Compress::new(level, false);
    let mut out = Vec::with_capacity(piece.len() / 4 + 64);
    let flush = if is_last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    let mut read = 0;
    loop {
        let before = compress.total_in();
        let status = compress
            .compress_vec(&piece[read..], &mut out, flush)
            .expect("from memory into memory");
        read += usize::try_from(compress.total_in() - before).unwrap_or_default();
        // All of it is written when there is room left.
        let is_done = match status {
            Status::StreamEnd => true,
            _ => !is_last && read == piece.len() && out.len() < out.capacity(),
        };
        if is_done {
            // All pieces are kept until the last one.
            out.shrink_to_fit();
            return out;
        }
        out.reserve(piece.len() / 4 + 64);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::exposition::{Format, IdentityLabels, Part, Report, merge, parse};
    use flate2::bufread::GzDecoder;
    use std::io::Read;
    use std::time::Duration;

    fn text(samples: usize) -> MergedText {
        let body: String = (0..samples)
            .map(|n| format!("a{{b=\"{}\"}} {n}\n", n * n))
            .collect();
        let labels = IdentityLabels::default();
        let exposition = parse(Format::Text, body, &labels).unwrap();
        let report = Report {
            up: true,
            duration: Duration::ZERO,
            samples_scraped: exposition.samples(),
        };
        merge(vec![Part {
            labels,
            exposition: Some(exposition),
            report,
        }])
    }

    #[test]
    fn one_member_whatever_the_size_and_the_level() {
        let gzip = Gzip::start().unwrap();
        for samples in [0, 1, 10_000, 100_000] {
            let mut plain = Vec::new();
            text(samples).write_to(&mut plain).unwrap();
            for level in [1, 6, 9] {
                let gzipped = gzip.compress(&text(samples), level);
                let mut read = Vec::new();
                let mut decoder = GzDecoder::new(&gzipped[..]);
                decoder.read_to_end(&mut read).unwrap();
                assert_eq!(read, plain);
                assert!(decoder.into_inner().is_empty(), "something behind it");
            }
        }
    }

    #[test]
    fn a_piece_that_cannot_be_made_smaller() {
        let mut state = 1_u32;
        let random: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            })
            .collect();
        let whole = [
            deflate(&random, Compression::new(1), false),
            deflate(&random, Compression::new(1), true),
        ]
        .concat();
        let mut read = Vec::new();
        let mut decoder = flate2::bufread::DeflateDecoder::new(&whole[..]);
        decoder.read_to_end(&mut read).unwrap();
        assert_eq!(read, random.repeat(2));
    }
}
