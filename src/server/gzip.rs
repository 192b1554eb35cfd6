//! A merged body as gzip, compressed piece by piece by all who have time.
//!
//! Each piece is deflated by itself and ends at a byte, so that the pieces behind each other are one deflate stream
//! (RFC 1951), and with a head and the checksum of all of them one gzip member (RFC 1952): readers that know only one
//! member need not know of it.

use std::io;
use std::mem;
use std::num::NonZeroUsize;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::exposition::{Merged, Position};

/// Deflate, no flags, no time, level unknown, system unknown.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// More cores than these are left to the scrapes.
const HELPERS_MAX: usize = 4;
/// Deflated pieces of one text that nobody has taken yet. There are never more than two of each helper, because they
/// are taken before the next piece is given away: so no helper waits.
const DEFLATED_MAX: usize = 2 * HELPERS_MAX;

/// Compresses texts, with the help of threads named `gzip`. They end when it is dropped.
pub(super) struct Gzip {
    level: Compression,
    pieces: Option<Sender<Handed>>,
    helpers: Vec<JoinHandle<()>>,
}

/// A piece of a text that is to be compressed.
struct Piece {
    number: usize,
    bytes: Vec<u8>,
    is_last: bool,
}

/// A piece for a helper, and where it is waited for.
type Handed = (Piece, Sender<Deflated>);

struct Deflated {
    number: usize,
    bytes: Vec<u8>,
    crc: Crc,
    /// Of the piece, for another one: each is too large to be asked of the system for every quarter of a MiB.
    room: Vec<u8>,
}

impl Gzip {
    /// At this level, with a helper for each core but the one of whom they help, and one at least.
    pub(super) fn start(level: u32) -> io::Result<Gzip> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // Without room: a piece is taken by a thread that waits for one, or not at all.
        let (sender, pieces) = bounded(0);
        let mut gzip = Gzip {
            level: Compression::new(level),
            pieces: Some(sender),
            helpers: Vec::new(),
        };
        for _ in 0..(cores - 1).clamp(1, HELPERS_MAX) {
            let pieces = pieces.clone();
            let thread = thread::Builder::new().name("gzip".to_owned());
            let mut deflater = Deflater::new(gzip.level);
            let help = move |(piece, done): Handed| {
                // The request may be gone by now.
                let _ = done.send(deflater.deflate(piece));
            };
            gzip.helpers
                .push(thread.spawn(move || pieces.into_iter().for_each(help))?);
        }
        Ok(gzip)
    }

    /// The body, gzipped by the calling thread and the helpers that are idle: nothing waits for one, so a
    /// response takes no longer because others are made.
    pub(super) fn compress(&self, body: &Merged) -> Vec<u8> {
        let mut deflater = Deflater::new(self.level);
        let (done, helped) = bounded(DEFLATED_MAX);
        let (mut deflated, mut rooms) = (Vec::new(), Vec::new());
        let mut position = Position::default();
        let mut pieces = 0;
        loop {
            let mut bytes = rooms.pop().unwrap_or_else(|| body.buffer());
            body.append(&mut position, &mut bytes);
            let is_last = body.is_end(&position);
            let piece = Piece {
                number: pieces,
                bytes,
                is_last,
            };
            let first_new = deflated.len();
            deflated.extend(helped.try_iter());
            if let Err(piece) = self.try_help(piece, &done) {
                deflated.push(deflater.deflate(piece));
            }
            let new = deflated[first_new..].iter_mut();
            rooms.extend(new.map(|new| mem::take(&mut new.room)));
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

/// Deflates one piece after the other, in memory that it keeps.
struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Deflater {
    fn new(level: Compression) -> Deflater {
        Deflater {
            compress: Compress::new(level, false),
            out: Vec::new(),
        }
    }

    fn deflate(&mut self, piece: Piece) -> Deflated {
        let mut crc = Crc::new();
        crc.update(&piece.bytes);
        let bytes = self.part(&piece.bytes, piece.is_last).to_vec();
        let mut room = piece.bytes;
        room.clear();
        Deflated {
            number: piece.number,
            bytes,
            crc,
            room,
        }
    }

    /// The piece as a part of a deflate stream, or the end of one.
    fn part(&mut self, piece: &[u8], is_last: bool) -> &[u8] {
        self.compress.reset();
        self.out.clear();
        let flush = if is_last {
            FlushCompress::Finish
        } else {
            FlushCompress::Sync
        };
        let mut read = 0;
        loop {
            self.out.reserve(piece.len() / 4 + 64);
            let before = self.compress.total_in();
            let status = self
                .compress
                .compress_vec(&piece[read..], &mut self.out, flush)
                .expect("from memory into memory");
            read += usize::try_from(self.compress.total_in() - before).unwrap_or_default();
            // All of it is written when there is room left.
            let is_done = match status {
                Status::StreamEnd => true,
                _ => !is_last && read == piece.len() && self.out.len() < self.out.capacity(),
            };
            if is_done {
                return &self.out;
            }
        }
    }
}
