//! Writes a stream of deflate (RFC 1951): one block, whose codes fit merged texts.

/// Literals, the end of the block, and the lengths but 258, which has a symbol of its own.
const SYMBOLS: usize = 285;
const DISTANCES: usize = 30;
const END_OF_BLOCK: usize = 256;
const LENGTH_MIN: usize = 3;
/// The longest match that is written, and the largest distance.
pub(super) const LENGTH_MAX: usize = 257;
pub(super) const DISTANCE_MAX: usize = 32 * 1024;
/// The number of bits of each code, as hexadecimal digits: of the literals, the end of the block, the lengths, and then
/// the distances. The codes were computed once from merged texts of many kinds, so that a response does not wait for
/// this. A text of another kind only becomes longer.
const CODE_BITS: &[u8; SYMBOLS + DISTANCES] = b"\
    cccccccccc4ccccccccccccccccccccc6b6bcbbbbbba985a44444454459bbabbbbbba9bbbabbabbaabbaaabbbbbbbbbab8888689a\
    9ba99889b8889aababab7bccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\
    cccccccccccccccccccccccccccccccccccccccccccccccbbaaaaaa88888877777776677778999999998876543344555544445556";
/// The number of bits of each code in the header, which encodes the numbers above.
const HEADER_BITS: [u32; 19] = [0, 0, 0, 6, 4, 5, 6, 4, 4, 4, 4, 3, 1, 0, 0, 0, 0, 0, 0];
/// The order of these in the block (section 3.2.7).
const HEADER_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
/// An upper bound for the bytes of a match or of the header, and for those written beyond the end.
const ROOM: usize = 512;

/// The bits of a code, with the first one lowest, and their number.
type Code = (u64, u32);

/// A stream that is being written.
#[derive(Debug)]
pub(super) struct Deflate {
    /// What is written, with free space after it.
    out: Vec<u8>,
    bits: Bits,
    symbols: [Code; SYMBOLS],
    /// The code of each match length, with the bits that follow it.
    lengths: [Code; LENGTH_MAX + 1],
    distances: [Code; DISTANCES],
}

impl Deflate {
    /// A stream that starts after these bytes.
    pub(super) fn behind(head: &[u8]) -> Deflate {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
        let bits = CODE_BITS.map(digit);
        let symbols: [Code; SYMBOLS] = codes(&bits[..SYMBOLS]);
        let mut lengths = [(0, 0); LENGTH_MAX + 1];
        for (length, code) in lengths.iter_mut().enumerate().skip(LENGTH_MIN) {
            let (symbol, more) = split(length - LENGTH_MIN, 2);
            let (bits, count) = symbols[END_OF_BLOCK + 1 + symbol];
            *code = (bits | more.0 << count, count + more.1);
        }
        let mut deflate = Deflate {
            out: head.to_vec(),
            bits: Bits {
                at: head.len(),
                held: 0,
                count: 0,
            },
            symbols,
            lengths,
            distances: codes(&bits[SYMBOLS..]),
        };
        deflate.write_header(&bits);
        deflate
    }

    /// Writes that this is the last block, and its codes.
    fn write_header(&mut self, bits: &[u32]) {
        let header: [Code; 19] = codes(&HEADER_BITS);
        let sizes = [
            (SYMBOLS as u64 - 257, 5),
            (DISTANCES as u64 - 1, 5),
            (19 - 4, 4),
        ];
        let lengths = HEADER_ORDER.map(|symbol| (u64::from(HEADER_BITS[symbol]), 3));
        let codes = bits.iter().map(|bits| header[*bits as usize]);
        self.reserve(0);
        for code in [(0b101, 3)]
            .into_iter()
            .chain(sizes)
            .chain(lengths)
            .chain(codes)
        {
            self.bits.put(code);
            self.bits.flush(&mut self.out);
        }
    }

    /// Appends bytes as they are.
    #[inline(always)]
    pub(super) fn literals(&mut self, literals: &[u8]) {
        self.reserve(literals.len());
        let mut bits = self.bits;
        let (fours, rest) = literals.as_chunks::<4>();
        for four in fours {
            let [a, b, c, d] = four.map(|byte| self.symbols[usize::from(byte)]);
            // In pairs, so that a code does not have to wait for the one before.
            bits.put((a.0 | b.0 << a.1, a.1 + b.1));
            bits.put((c.0 | d.0 << c.1, c.1 + d.1));
            bits.flush(&mut self.out);
        }
        for byte in rest {
            bits.put(self.symbols[usize::from(*byte)]);
        }
        bits.flush(&mut self.out);
        self.bits = bits;
    }

    /// Appends a match: a copy of `length` bytes, from 3 to [`LENGTH_MAX`], that are `distance` bytes before, from 1 to
    /// [`DISTANCE_MAX`].
    #[inline(always)]
    pub(super) fn copy(&mut self, length: usize, distance: usize) {
        self.reserve(0);
        let (symbol, more) = split(distance - 1, 1);
        self.bits.put(self.lengths[length]);
        self.bits.put(self.distances[symbol]);
        self.bits.put(more);
        self.bits.flush(&mut self.out);
    }

    /// Ends the stream. Returns it with the bytes before it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.reserve(0);
        self.bits.put(self.symbols[END_OF_BLOCK]);
        // Up to a whole byte.
        self.bits.put((0, 7));
        self.bits.flush(&mut self.out);
        self.out.truncate(self.bits.at);
        self.out
    }

    /// Reserves space for this many literals and a match.
    #[inline(always)]
    fn reserve(&mut self, literals: usize) {
        let end = self.bits.at + 2 * literals + ROOM;
        if self.out.len() < end {
            self.out.resize(2 * end, 0);
        }
    }
}

/// Computes the codes from their lengths: shorter codes come first, and codes of one length are in the order of their
/// symbols (section 3.2.2).
fn codes<const N: usize>(lengths: &[u32]) -> [Code; N] {
    let mut codes = [(0, 0); N];
    let mut next: u64 = 0;
    for length in 1..=15 {
        next <<= 1;
        for symbol in (0..N).filter(|symbol| lengths[*symbol] == length) {
            codes[symbol] = (next.reverse_bits() >> (u64::BITS - length), length);
            next += 1;
        }
    }
    codes
}

/// Splits a length or a distance, counted from 0, into a symbol and the bits that follow its code (section 3.2.5). The
/// symbol has the position of the highest bit that is 1 and the `upper` bits after it.
#[inline(always)]
fn split(number: usize, upper: u32) -> (usize, Code) {
    let count = (number | 1).ilog2().saturating_sub(upper);
    let more = number & ((1 << count) - 1);
    (
        ((count as usize) << upper) + (number >> count),
        (more as u64, count),
    )
}

/// Packs bits into bytes, with the first bit of a byte lowest (section 3.1.1).
#[derive(Debug, Clone, Copy)]
struct Bits {
    /// The number of bytes that are written.
    at: usize,
    /// The bits that are not written yet; fewer than 8 after [`Bits::flush`].
    held: u64,
    count: u32,
}

impl Bits {
    #[inline(always)]
    fn put(&mut self, (bits, count): Code) {
        self.held |= bits << (self.count % u64::BITS);
        self.count += count;
    }

    /// Writes the full bytes. Up to 8 bytes after them are overwritten, too, and have no meaning.
    #[inline(always)]
    fn flush(&mut self, out: &mut [u8]) {
        out[self.at..self.at + 8].copy_from_slice(&self.held.to_le_bytes());
        self.at += (self.count / 8) as usize;
        self.held >>= self.count & 56;
        self.count %= 8;
    }
}
