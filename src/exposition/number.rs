//! Numbers in sample lines, and how Prometheus writes the floats in `le` and `quantile`.
//!
//! Values are copied as text. They become floats only when a body of lines is converted to protobuf.

use std::fmt::Write as _;

/// Whether Prometheus accepts these bytes as the value of a sample.
///
/// Accepted in any case: decimal numbers with an optional sign, point and exponent; `inf` and `infinity` with an
/// optional sign; `nan` without a sign. Refused: hexadecimal numbers, underscores, and numbers too large for a 64-bit
/// float.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    let unsigned = match bytes {
        [b'+' | b'-', rest @ ..] => rest,
        _ => bytes,
    };
    match unsigned.first() {
        Some(b'0'..=b'9' | b'.') => is_decimal(unsigned),
        Some(b'i' | b'I') => {
            unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity")
        }
        Some(b'n' | b'N') => bytes.eq_ignore_ascii_case(b"nan"),
        _ => false,
    }
}

/// The length of the number at the start, which ends before a blank, a line end or a `{`; `None` if it is not a number.
pub(super) fn value_length(rest: &[u8]) -> Option<usize> {
    if let Some(length) = plain_length(rest) {
        return Some(length);
    }
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'{');
    let length = rest.iter().position(is_end).unwrap_or(rest.len());
    is_value(&rest[..length]).then_some(length)
}

/// The same for up to [`PLAIN_BYTES_MAX`] digits with at most one point. Such a number is never too large for a float.
/// Reads eight bytes at a time.
fn plain_length(rest: &[u8]) -> Option<usize> {
    let mut points = 0;
    let mut length = 0;
    while let Some(word) = rest.get(length..).and_then(<[u8]>::first_chunk)
        && length < PLAIN_BYTES_MAX
    {
        let others = bytes_but_digits(u64::from_le_bytes(*word));
        if others == 0 {
            length += 8;
            continue;
        }
        length += others.trailing_zeros() as usize / 8;
        match rest[length] {
            b'.' => {
                points += 1;
                length += 1;
            }
            b' ' | b'\n' => return (points <= 1 && length > points).then_some(length),
            _ => return None,
        }
    }
    None
}

const PLAIN_BYTES_MAX: usize = 64;

/// The highest bit of each byte of the word that is not a digit.
fn bytes_but_digits(word: u64) -> u64 {
    const LOW_BITS: u64 = u64::from_le_bytes([0x7f; 8]);
    let digits = word ^ u64::from_le_bytes([b'0'; 8]);
    // Beyond 9, the sum of the seven low bits reaches the highest one.
    let beyond = (digits & LOW_BITS) + u64::from_le_bytes([0x76; 8]);
    (beyond | digits) & !LOW_BITS
}

/// A number with fewer digits before the point, and without an exponent, is never too large for a float.
const SAFE_DIGITS: usize = 300;
/// The same with an exponent of two digits.
const SAFE_DIGITS_TIMES_1E99: usize = SAFE_DIGITS - 99;

fn is_decimal(unsigned: &[u8]) -> bool {
    let integer = leading_digits(unsigned);
    let mut rest = &unsigned[integer..];
    let mut fraction = 0;
    if let [b'.', after @ ..] = rest {
        fraction = leading_digits(after);
        rest = &after[fraction..];
    }
    if integer + fraction == 0 {
        return false;
    }
    match rest {
        [] => integer < SAFE_DIGITS || is_finite(unsigned),
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty()
                && leading_digits(exponent) == exponent.len()
                && (exponent.len() <= 2 && integer < SAFE_DIGITS_TIMES_1E99 || is_finite(unsigned))
        }
        _ => false,
    }
}

/// How many digits the bytes start with.
pub(super) fn leading_digits(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(8);
    let mut length = 0;
    for word in &mut words {
        let others = bytes_but_digits(word.try_into().map_or(0, u64::from_le_bytes));
        if others != 0 {
            return length + others.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    length + words.remainder().iter().take_while(is_digit).count()
}

/// Whether a number for which [`is_value`] holds is finite as a 64-bit float. Short numbers of digits and points need
/// no conversion.
pub(super) fn is_finite(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.');
    value.len() < SAFE_DIGITS && value.iter().all(is_plain)
        || to_float(value).is_some_and(f64::is_finite)
}

/// The float nearest to a number for which [`is_value`] holds.
pub(super) fn to_float(decimal: &[u8]) -> Option<f64> {
    std::str::from_utf8(decimal).ok()?.parse().ok()
}

/// The float that Prometheus stores for a number for which [`is_value`] holds. NaN has the bits of `value.NormalNaN` in
/// Prometheus' `model/value`.
pub(super) fn stored_float(value: &[u8]) -> f64 {
    const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;
    let float = to_float(value).filter(|float| !float.is_nan());
    float.unwrap_or(f64::from_bits(NAN_BITS))
}

/// The text that Prometheus stores for this value of `le` or `quantile`; `None` if it is the same text.
///
/// Values as most exporters write them, such as `0.005`, `2.5`, `100.0` and `+Inf`, are recognized without converting
/// them to a float.
pub(super) fn rewritten_float(value: &[u8]) -> Option<String> {
    if is_plainly_canonical(value) {
        return None;
    }
    canonical_float(value).filter(|canonical| canonical.as_bytes() != value)
}

fn is_plainly_canonical(value: &[u8]) -> bool {
    let integer = leading_digits(value);
    let [b'.', fraction @ ..] = &value[integer..] else {
        return value == b"+Inf";
    };
    let is_short = (1..=6).contains(&integer) && (1..=8).contains(&fraction.len());
    let has_no_needless_zeros =
        (integer == 1 || value[0] != b'0') && (fraction.last() != Some(&b'0') || fraction == b"0");
    is_short
        && has_no_needless_zeros
        && leading_digits(fraction) == fraction.len()
        // Below 0.0001 there is an exponent.
        && !(value.starts_with(b"0.0000") || value == b"0.0")
}

/// The text that Prometheus stores for this value of `le` or `quantile`; `None` if it is not a number, which Prometheus
/// leaves as it is.
///
/// The shortest digits that give the same float, with an exponent below 1e-4 and from 1e6 on, and with `.0` if it
/// would otherwise look like an integer. Same as `formatOpenMetricsFloat` in Prometheus' `model/textparse`.
fn canonical_float(value: &[u8]) -> Option<String> {
    if let [b'1'..=b'9', rest @ ..] = value
        && rest.len() < 6
        && leading_digits(rest) == rest.len()
    {
        return Some(String::from_utf8_lossy(value).into_owned() + ".0");
    }
    let float = parse_float(value)?;
    if float.is_nan() {
        return Some("NaN".to_owned());
    }
    if float.is_infinite() {
        return Some(if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned());
    }
    if float == 0.0 {
        return Some("0.0".to_owned());
    }
    Some(format_general(float))
}

/// The float that Go's `strconv.ParseFloat` returns for this text. It accepts more than [`is_value`]: hexadecimal
/// floats and underscores between digits.
pub(super) fn parse_float(value: &[u8]) -> Option<f64> {
    if !has_good_underscores(value) {
        return None;
    }
    let plain: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'_').collect();
    let (is_negative, unsigned) = match plain.as_slice() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    match unsigned {
        [b'0', b'x' | b'X', rest @ ..] => {
            let float = hexadecimal_float(rest).filter(|float| float.is_finite())?;
            Some(if is_negative { -float } else { float })
        }
        _ if is_value(&plain) => to_float(&plain),
        _ => None,
    }
}

/// Whether each underscore is between two digits, or between the prefix `0x` and a digit.
fn has_good_underscores(value: &[u8]) -> bool {
    let unsigned = value
        .strip_prefix(b"-")
        .or_else(|| value.strip_prefix(b"+"));
    let unsigned = unsigned.unwrap_or(value);
    let is_hexadecimal = matches!(unsigned, [b'0', b'x' | b'X', ..]);
    let is_digit = |at: usize| {
        unsigned.get(at).is_some_and(|byte| {
            byte.is_ascii_digit() || is_hexadecimal && (byte.is_ascii_hexdigit() || at == 1)
        })
    };
    let mut underscores = (0..unsigned.len()).filter(|at| unsigned[*at] == b'_');
    underscores.all(|at| at > 0 && is_digit(at - 1) && is_digit(at + 1))
}

/// The float of the text after `0x`, such as `1.8p-2`; infinite if it is too large. The exponent is required.
fn hexadecimal_float(text: &[u8]) -> Option<f64> {
    let p = text.iter().position(|byte| matches!(byte, b'p' | b'P'))?;
    let (digits, exponent) = (&text[..p], &text[p + 1..]);
    let exponent = std::str::from_utf8(exponent).ok()?;
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Larger exponents give the same result: infinite or zero.
    let power = unsigned.parse().unwrap_or(i32::MAX).min(10_000);
    let mut power = if exponent.starts_with('-') {
        -power
    } else {
        power
    };
    let (mut mantissa, mut count, mut is_fraction) = (0_u64, 0, false);
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(16) else {
            if *byte != b'.' || is_fraction {
                return None;
            }
            is_fraction = true;
            continue;
        };
        count += 1;
        if mantissa >> 60 == 0 {
            mantissa = mantissa * 16 + u64::from(digit);
            power -= if is_fraction { 4 } else { 0 };
        } else {
            // Only whether a digit other than zero follows matters for rounding.
            mantissa |= u64::from(digit != 0);
            power += if is_fraction { 0 } else { 4 };
        }
    }
    if mantissa == 0 {
        return (count > 0).then_some(0.0);
    }
    // In two steps: a single power of two could be too small or too large for a float.
    let half = power / 2;
    Some(mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(power - half))
}

fn format_general(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let mut plain = float.to_string();
        if !plain.contains('.') {
            plain.push_str(".0");
        }
        return plain;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mut text = mantissa.to_owned();
    // Writing to a String cannot fail.
    let _ = write!(text, "e{sign}{:02}", exponent.unsigned_abs());
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(canonical_float(value.as_bytes()).unwrap(), expected);
    }

    /// The expected texts were read from the `le` values that Prometheus 3.5.3 stores.
    #[test]
    fn canonical_floats() {
        check("1", "1.0");
        check("-2", "-2.0");
        check("-0", "0.0");
        check("2.50", "2.5");
        check("inf", "+Inf");
        check("-Infinity", "-Inf");
        check("nan", "NaN");
        check("1e5", "100000.0");
        check("1e6", "1e+06");
        check("12345678.25", "1.234567825e+07");
        check("0.0001", "0.0001");
        check("0.00001", "1e-05");
        check("123456789012345678901234", "1.2345678901234569e+23");
        check("1_000", "1000.0");
        check("0x1p-2", "0.25");
        check("-0x_1.8P+1", "-3.0");
        check("0X10P0", "16.0");
        check("0x0p9999", "0.0");
        check("0x1p-9999", "0.0");
        check("0x1.00000000000008p0", "1.0");
        check("0x1.000000000000081p0", "1.0000000000000002");
    }

    #[test]
    fn what_can_be_seen_to_be_canonical() {
        for value in [
            "0.005",
            "0.0001",
            "2.5",
            "1.0",
            "0.25",
            "100.0",
            "999999.0",
            "123456.12345678",
            "+Inf",
        ] {
            assert!(is_plainly_canonical(value.as_bytes()), "{value}");
            check(value, value);
        }
        for value in [
            "1",
            "1.",
            ".5",
            "0.50",
            "01.5",
            "00.5",
            "1.0000",
            "0.00001",
            "0.00009",
            "1000000.0",
            "0.000",
            "1e5",
            "-1.5",
            "Inf",
            "",
            "1.5x",
            "0.00000000001",
        ] {
            assert!(!is_plainly_canonical(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn what_is_no_number_stays() {
        assert_eq!(canonical_float(b"many"), None);
        assert_eq!(canonical_float(b"1e400"), None);
        for value in [
            "", "_1", "1_", "1__0", "1_.5", "1e_5", "+nan", "in_f", "0x1", "0xp1", "0x1p",
            "0x1.1.p1", "0x1p9999", "0x1p-", "x1p1", "0b1", "0x1_p1",
        ] {
            assert_eq!(canonical_float(value.as_bytes()), None, "{value}");
        }
    }
}
