//! The parser of the text format.
//!
//! * `plain.rs`: series as nearly all exporters write them, also in OpenMetrics
//! * `sample_line.rs`: any sample line; its quoted names and values are also those of OpenMetrics
//!
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>

pub(super) mod plain;
pub(super) mod sample_line;

use super::MetricType;
use super::error::{Fault, LineErrorKind};
use super::labels::{is_metric_byte, is_metric_start, unescape};
use super::line::{HeadLine, Line, Says};
use sample_line::{quoted_name, skip_line_end};
use std::borrow::Cow;
use std::ops::Range;

/// Reads the line that starts at `at`, which must be before the end of the body, and returns it with the start of the
/// next line.
///
/// # Errors
/// The line is malformed: the text parser of Prometheus 3 refuses it. CRLF line ends are accepted, though.
pub(super) fn read_line(body: &[u8], at: usize) -> Result<(Line<'_>, usize), Fault> {
    let start = skip_blanks(body, at);
    if let Some(next) = skip_line_end(body, start) {
        return Ok((Line::Nothing, next));
    }
    match body[start] {
        b'#' => comment(body, start + 1),
        byte if byte == b'{' || is_metric_start(byte) => {
            let (sample, next) = sample_line::read(body, at)?;
            Ok((Line::Sample(sample), next))
        }
        // Prometheus takes a NUL byte at the start of a line for the end of the body.
        0 => Ok((Line::End, start)),
        _ => Err(fault(LineErrorKind::LineStart, start)),
    }
}

fn fault(kind: LineErrorKind, at: usize) -> Fault {
    Fault {
        kind,
        at,
        counted: false,
    }
}

fn skip_blanks(body: &[u8], at: usize) -> usize {
    let blanks = body[at..].iter().take_while(|byte| is_blank(**byte));
    at + blanks.count()
}

/// A line that starts with `#`; `at` is the position after it.
fn comment(body: &[u8], at: usize) -> Result<(Line<'_>, usize), Fault> {
    let word = skip_blanks(body, at);
    if word == at {
        // Without a blank after the `#`, Prometheus takes a NUL byte for the end of the body.
        return Ok(other_comment(body, at, true));
    }
    match keyword(&body[word..]) {
        Some(keyword) => head(body, keyword, word + 4),
        None => Ok(other_comment(body, word, body.get(word) == Some(&0))),
    }
}

/// A comment without meaning, or the end of the body if the line has a NUL byte and `nul_counts`.
fn other_comment(body: &[u8], at: usize, nul_counts: bool) -> (Line<'_>, usize) {
    let line_end = line_end(body, at);
    let is_end = nul_counts && memchr::memchr(0, &body[at..line_end]).is_some();
    let line = if is_end { Line::End } else { Line::Nothing };
    (line, (line_end + 1).min(body.len()))
}

/// A HELP or TYPE line, read from the end of the keyword.
fn head(body: &[u8], keyword: Keyword, after_keyword: usize) -> Result<(Line<'_>, usize), Fault> {
    // Prometheus skips NUL bytes among these blanks.
    let blanks = &body[after_keyword..];
    let skipped = blanks
        .iter()
        .take_while(|byte| is_blank(**byte) || **byte == 0);
    let name_start = after_keyword + skipped.count();
    let (name, name_end) =
        head_name(body, name_start).ok_or_else(|| fault(LineErrorKind::HeadName, name_start))?;
    let (text, next) = head_text(body, name_end)?;
    let name = match body[name_start] {
        b'"' => possible_name(&body[name]),
        _ => Some(Cow::Borrowed(&body[name])),
    };
    let says = match keyword {
        Keyword::Type => Says::Type {
            metric_type: MetricType::from_word(&body[text.clone()])
                .ok_or_else(|| fault(LineErrorKind::TypeWord, text.start))?,
            suffix: b"",
        },
        Keyword::Help if std::str::from_utf8(&body[text.clone()]).is_err() => {
            return Err(fault(LineErrorKind::Utf8, text.start));
        }
        Keyword::Help => Says::Help(Cow::Borrowed(&body[text])),
    };
    Ok((Line::Head(HeadLine { name, says }), next))
}

/// An escaped name without its escapes; `None` if it is empty or not UTF-8, so that no sample can have it.
pub(super) fn possible_name(escaped: &[u8]) -> Option<Cow<'_, [u8]>> {
    Some(unescape(escaped)).filter(|name| !name.is_empty() && std::str::from_utf8(name).is_ok())
}

/// The name in a HELP or TYPE line, without quotes, and where it ends with them.
fn head_name(body: &[u8], start: usize) -> Option<(Range<usize>, usize)> {
    let first = *body.get(start)?;
    if first == b'"' {
        let name = quoted_name(body, start)?;
        let end = name.end + 1;
        return Some((name, end));
    }
    if !is_metric_start(first) {
        return None;
    }
    let is_in_name = |byte: &&u8| is_metric_byte(**byte);
    let length = body[start..].iter().take_while(is_in_name).count();
    Some((start..start + length, start + length))
}

/// The text after the name in a HELP or TYPE line, and the start of the next line. One byte separates name and text;
/// Prometheus accepts any byte there.
fn head_text(body: &[u8], name_end: usize) -> Result<(Range<usize>, usize), Fault> {
    if body.get(name_end) == Some(&0) {
        return Err(fault(LineErrorKind::HelpText, name_end));
    }
    let line_end = line_end(body, name_end);
    let next = (line_end + 1).min(body.len());
    let mut end = line_end;
    if body[name_end..end].ends_with(b"\r") {
        end -= 1;
    }
    let start = (name_end + 1).min(end);
    let only_blanks = body[name_end..end]
        .iter()
        .all(|byte| is_blank(*byte) || *byte == 0);
    Ok((if only_blanks { end..end } else { start..end }, next))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Help,
    Type,
}

/// `HELP` or `TYPE` and a blank.
fn keyword(rest: &[u8]) -> Option<Keyword> {
    match rest {
        [b'H', b'E', b'L', b'P', b' ' | b'\t', ..] => Some(Keyword::Help),
        [b'T', b'Y', b'P', b'E', b' ' | b'\t', ..] => Some(Keyword::Type),
        _ => None,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The end of the line that `at` is in: the position of its `\n`, or the end of the body.
fn line_end(body: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |length| at + length)
}
