//! The wire format of protocol buffers: the fields of one message, one after the other.
//!
//! This accepts what the decoder of Prometheus accepts, which gogo/protobuf generates: varints with superfluous bytes,
//! field numbers and enums by their low 32 bits, and groups as unknown fields.
//!
//! The format: <https://protobuf.dev/programming-guides/encoding/>

use std::fmt;
use std::ops::Range;

/// Why bytes are not a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireError {
    /// The message ends within a field.
    Truncated,
    /// A varint of more than ten bytes.
    Varint,
    /// A length over `i64::MAX`.
    Length,
    /// A field number that is not positive.
    FieldNumber,
    /// A wire type that does not exist, or one that the field cannot have.
    WireType,
    /// The end of a group that never began.
    EndGroup,
    /// A length of more than five bytes before a family.
    FamilyLength,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WireError::Truncated => "the end of the bytes within a field",
            WireError::Varint => "a varint of more than ten bytes",
            WireError::Length => "a length over 9223372036854775807",
            WireError::FieldNumber => "a field number that is not positive",
            WireError::WireType => "a wire type that the field cannot have",
            WireError::EndGroup => "the end of a group that never began",
            WireError::FamilyLength => "a length of a metric family of more than five bytes",
        })
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'b> {
    Varint(u64),
    Double(f64),
    Bytes(&'b [u8]),
    /// 32 bits, or a group. Known fields have neither.
    Other,
}

/// One field of a message.
#[derive(Debug, Clone)]
pub(super) struct Field<'b> {
    pub(super) number: u32,
    pub(super) value: Value<'b>,
    /// The range of the field in the message, with its tag.
    pub(super) range: Range<usize>,
}

impl<'b> Field<'b> {
    /// # Errors
    /// [`WireError::WireType`] if the field is not length-delimited.
    pub(super) fn bytes(&self) -> Result<&'b [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::WireType),
        }
    }

    /// # Errors
    /// [`WireError::WireType`] if the field is not a varint.
    pub(super) fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WireError::WireType),
        }
    }

    /// # Errors
    /// [`WireError::WireType`] if the field does not have 64 bits.
    pub(super) fn double(&self) -> Result<f64, WireError> {
        match self.value {
            Value::Double(value) => Ok(value),
            _ => Err(WireError::WireType),
        }
    }
}

/// Reads the fields of a message.
#[derive(Debug)]
pub(super) struct Fields<'b> {
    message: &'b [u8],
    at: usize,
}

impl<'b> Fields<'b> {
    pub(super) fn of(message: &'b [u8]) -> Fields<'b> {
        Fields { message, at: 0 }
    }

    /// The next field; `None` at the end of the message.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not a field.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Field<'b>>, WireError> {
        if self.at == self.message.len() {
            return Ok(None);
        }
        let start = self.at;
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Double(f64::from_le_bytes(self.fixed()?)),
            2 => Value::Bytes(self.delimited()?),
            3 => self.skip_group()?,
            4 => return Err(WireError::EndGroup),
            5 => self.fixed::<4>().map(|_| Value::Other)?,
            _ => return Err(WireError::WireType),
        };
        Ok(Some(Field {
            number,
            value,
            range: start..self.at,
        }))
    }

    /// The content of the next field, if it is length-delimited, has this number, which must be under 16, and is
    /// encoded as nearly every client does it. Otherwise nothing is read.
    ///
    /// This is for the most frequent fields: [`Fields::next`] takes several times as long.
    #[inline]
    pub(super) fn next_plain(&mut self, number: u8) -> Option<&'b [u8]> {
        let (tag, rest) = self.message[self.at..].split_first()?;
        if *tag != number << 3 | 2 {
            return None;
        }
        let (content, rest) = short_length(rest)?;
        self.at = self.message.len() - rest.len();
        Some(content)
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), WireError> {
        // Nearly all have one byte.
        if let Some(tag @ 0x08..0x80) = self.message.get(self.at) {
            self.at += 1;
            return Ok((u32::from(tag >> 3), tag & 7));
        }
        let tag = self.varint()?;
        let number = low_32(tag >> 3);
        if number == 0 || i32::try_from(number).is_err() {
            return Err(WireError::FieldNumber);
        }
        Ok((number, (tag & 7) as u8))
    }

    /// # Errors
    /// [`WireError::Varint`] if it has more than ten bytes, [`WireError::Truncated`] if the message ends within it.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly all have one byte.
        if let Some(byte @ 0..0x80) = self.message.get(self.at) {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (n, byte) in self.message[self.at..].iter().enumerate() {
            if n == VARINT_BYTES_MAX {
                return Err(WireError::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * n);
            if *byte < 0x80 {
                self.at += n + 1;
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.message[self.at..].first_chunk().copied();
        self.at += N;
        bytes.ok_or(WireError::Truncated)
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'b [u8], WireError> {
        let length = self.varint()?;
        self.take(length)
    }

    /// The next `length` bytes of the message.
    ///
    /// # Errors
    /// [`WireError::Length`] over `i64::MAX`, [`WireError::Truncated`] if the message ends before.
    fn take(&mut self, length: u64) -> Result<&'b [u8], WireError> {
        let length = i64::try_from(length).map_err(|_| WireError::Length)?;
        let length = usize::try_from(length).map_err(|_| WireError::Length)?;
        let rest = &self.message[self.at..];
        let bytes = rest.get(..length).ok_or(WireError::Truncated)?;
        self.at += length;
        Ok(bytes)
    }

    /// Skips a group, from after the tag that starts it up to the tag that ends it.
    fn skip_group(&mut self) -> Result<Value<'b>, WireError> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.varint()? & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.fixed::<8>()?),
                2 => drop(self.delimited()?),
                3 => depth += 1,
                4 => depth -= 1,
                5 => drop(self.fixed::<4>()?),
                _ => return Err(WireError::WireType),
            }
        }
        Ok(Value::Other)
    }

    /// The message of the next family of a body.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not a message after its length.
    pub(super) fn next_family(&mut self) -> Result<&'b [u8], WireError> {
        let start = self.at;
        let length = self.varint()?;
        if self.at - start > FAMILY_LENGTH_BYTES_MAX {
            return Err(WireError::FamilyLength);
        }
        self.take(length)
    }

    /// How many bytes of the message have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }
}

const VARINT_BYTES_MAX: usize = 10;
/// Prometheus reads at most this many bytes of the length of a family.
const FAMILY_LENGTH_BYTES_MAX: usize = 5;

/// Splits off the bytes after a length of one or two bytes. `None` if the length has more bytes, or if there are fewer
/// bytes than it says.
#[inline]
pub(super) fn short_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [length @ 0..0x80, rest @ ..] => rest.split_at_checked(usize::from(*length)),
        [low, high @ 0..0x80, rest @ ..] => {
            rest.split_at_checked(usize::from(low & 0x7f) | usize::from(*high) << 7)
        }
        _ => None,
    }
}

/// The low 32 bits, which are all that Prometheus keeps of enums and 32-bit integers.
pub(super) fn low_32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A `sint32`.
pub(super) fn zigzag_32(value: u64) -> i32 {
    let value = low_32(value);
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// A `sint64`.
pub(super) fn zigzag_64(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The number of bytes of this value as a varint.
pub(super) fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

pub(super) fn push_varint(out: &mut Vec<u8>, value: usize) {
    push_varint_64(out, value as u64);
}

fn push_varint_64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// The number of bytes of a length-delimited field with a number under 16, whose content has `len` bytes.
pub(super) fn field_len(len: usize) -> usize {
    1 + varint_len(len) + len
}

/// Writes the start of a length-delimited field with a number under 16: everything before its `len` bytes of content.
#[inline]
pub(super) fn begin_field(out: &mut Vec<u8>, number: u8, len: usize) {
    out.push(number << 3 | 2);
    push_varint(out, len);
}

/// Writes a length-delimited field with a number under 16.
pub(super) fn push_field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    begin_field(out, number, value.len());
    out.extend_from_slice(value);
}

/// Writes a field with a number under 16, whose message `write` appends.
pub(super) fn push_message(out: &mut Vec<u8>, number: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(number << 3 | 2);
    // Nearly all lengths have one byte.
    out.push(0);
    let start = out.len();
    write(out);
    let len = out.len() - start;
    if len < 0x80 {
        out[start - 1] = low_byte(len as u64);
        return;
    }
    // The length goes before the message.
    let more = varint_len(len) - 1;
    out.resize(start + len + more, 0);
    out.copy_within(start..start + len, start + more);
    for (n, byte) in out[start - 1..start + more].iter_mut().enumerate() {
        let is_last = n == more;
        *byte = low_byte((len >> (7 * n)) as u64) & 0x7f | u8::from(!is_last) << 7;
    }
}

/// Writes a `double` field with a number under 16.
pub(super) fn push_double(out: &mut Vec<u8>, number: u8, value: f64) {
    out.push(number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Writes an `int32` or `int64` field with a number under 16.
pub(super) fn push_int(out: &mut Vec<u8>, number: u8, value: i64) {
    push_uint(out, number, value.cast_unsigned());
}

/// Writes a `uint64` field or an enum with a number under 16.
pub(super) fn push_uint(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    push_varint_64(out, value);
}

/// Writes a label field of a Metric or of an exemplar, which is a LabelPair.
pub(in crate::exposition) fn push_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    const LABEL: u8 = 1;
    const NAME: u8 = 1;
    const VALUE: u8 = 2;
    begin_field(out, LABEL, field_len(name.len()) + field_len(value.len()));
    push_field(out, NAME, name);
    push_field(out, VALUE, value);
}
