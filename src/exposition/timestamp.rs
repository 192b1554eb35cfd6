//! Timestamps after values: milliseconds in the text format, seconds in OpenMetrics.
//!
//! Prometheus multiplies the seconds of OpenMetrics by 1000 as a float and drops the fraction
//! (`model/textparse/openmetricsparse.go`).

use super::{Format, number};

/// The length of the digits at the start if they are a timestamp of the text format.
pub(super) fn digits_length(rest: &[u8]) -> Option<usize> {
    let length = number::leading_digits(rest);
    let is_small = (1..=18).contains(&length);
    (is_small || milliseconds_of_digits(&rest[..length]).is_some()).then_some(length)
}

/// The milliseconds of a timestamp of the text format; `None` if Prometheus refuses it: only digits are allowed, and
/// at most `i64::MAX`.
pub(super) fn milliseconds_of_digits(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    let mut milliseconds = 0_i64;
    for digit in digits {
        let digit = i64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        milliseconds = milliseconds.checked_mul(10)?.checked_add(digit)?;
    }
    Some(milliseconds)
}

/// The milliseconds of a timestamp of OpenMetrics; `None` if it is not finite. The text format cannot express times
/// before 1970: they become 0, which is as much too old for Prometheus as they are.
pub(super) fn milliseconds_of(seconds: &[u8]) -> Option<i64> {
    exact_milliseconds_of(seconds).map(|milliseconds| milliseconds.max(0))
}

/// The same, but times before 1970 stay negative: exemplars in protobuf can have them.
#[expect(clippy::cast_possible_truncation, reason = "as Prometheus does")]
pub(super) fn exact_milliseconds_of(seconds: &[u8]) -> Option<i64> {
    let seconds = number::to_float(seconds).filter(|seconds| seconds.is_finite())?;
    Some((seconds * 1000.0) as i64)
}

/// The milliseconds of the timestamp in the text from the value to the end of the line, if there is one.
pub(super) fn milliseconds(value: &[u8], format: Format) -> Option<i64> {
    let mut words = value.split(|byte| *byte == b' ').skip(1);
    match (words.next()?, format) {
        (b"#", Format::OpenMetrics) => None,
        (seconds, Format::OpenMetrics) => milliseconds_of(seconds),
        (digits, _) => milliseconds_of_digits(digits),
    }
}

/// The number at the start of that text.
pub(super) fn number_of(value: &[u8]) -> &[u8] {
    let end = memchr::memchr(b' ', value).unwrap_or(value.len());
    &value[..end]
}

/// Converts a value and its timestamp from one format of lines to the other. Exemplars are dropped: the text format has
/// none.
pub(super) fn push_converted(out: &mut Vec<u8>, value: &[u8], from: Format) {
    out.extend_from_slice(number_of(value));
    let Some(milliseconds) = milliseconds(value, from) else {
        return;
    };
    let timestamp = match from {
        Format::OpenMetrics => milliseconds.to_string(),
        _ => seconds_of(milliseconds),
    };
    out.push(b' ');
    out.extend_from_slice(timestamp.as_bytes());
}

/// Seconds that Prometheus converts back to exactly these milliseconds. Three decimals mostly do; where the float is
/// slightly too small, half a millisecond is added.
fn seconds_of(milliseconds: i64) -> String {
    let seconds = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    if milliseconds_of(seconds.as_bytes()) == Some(milliseconds) {
        seconds
    } else {
        seconds + "5"
    }
}
