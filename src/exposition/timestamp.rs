//! Timestamps behind values, in the unit of either format, and exemplars behind them.
//!
//! Prometheus makes of the seconds of OpenMetrics milliseconds by a multiplication of floats, and cuts off what is less
//! than one.

use super::{Format, number};

/// The milliseconds of a timestamp of OpenMetrics; `None` if it is not finite. Those before 1970, which the text format
/// cannot say, become 0: too old for Prometheus one and all.
pub(super) fn milliseconds_of(seconds: &[u8]) -> Option<i64> {
    exact_milliseconds_of(seconds).map(|milliseconds| milliseconds.max(0))
}

/// The same, also before 1970, which an exemplar can be.
#[expect(clippy::cast_possible_truncation, reason = "as Prometheus does")]
pub(super) fn exact_milliseconds_of(seconds: &[u8]) -> Option<i64> {
    let seconds = number::to_float(seconds).filter(|seconds| seconds.is_finite())?;
    Some((seconds * 1000.0) as i64)
}

/// The milliseconds of the timestamp, if there is one, of a value with all that follows it.
pub(super) fn milliseconds(value: &[u8], format: Format) -> Option<i64> {
    let mut words = value.split(|byte| *byte == b' ').skip(1);
    match (words.next()?, format) {
        (b"#", Format::OpenMetrics) => None,
        (seconds, Format::OpenMetrics) => milliseconds_of(seconds),
        (digits, _) => number::timestamp(digits),
    }
}

/// The number at the start of a value with all that follows it.
pub(super) fn number_of(value: &[u8]) -> &[u8] {
    let end = memchr::memchr(b' ', value).unwrap_or(value.len());
    &value[..end]
}

/// Writes a value of this format as the other one has it: with the same timestamp, and without an exemplar, which only
/// OpenMetrics has.
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

/// Seconds of which Prometheus makes just these milliseconds: with three decimals where that is exact, otherwise half a
/// millisecond more.
fn seconds_of(milliseconds: i64) -> String {
    let seconds = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    if milliseconds_of(seconds.as_bytes()) == Some(milliseconds) {
        seconds
    } else {
        seconds + "5"
    }
}
