//! Reads any sample line token by token, exactly as the text parser of Prometheus 3 does. That includes quoted names,
//! escapes, blanks between tokens, labels without commas between them, label values over several lines, and NUL bytes.
//!
//! ```text
//! line         = ( metric name [ labels ] | labels ) value [ timestamp ] line end
//! labels       = "{" { label [ "," ] | quoted name ( "," | before "}" ) } "}"
//! label        = ( label name | quoted name ) "=" quoted value
//! metric name  = [A-Za-z_:] { [A-Za-z0-9_:] }
//! label name   = [A-Za-z_] { [A-Za-z0-9_] }
//! quoted …     = "\"" { any byte but "\"" and "\\" | "\\" any byte but a line feed } "\""
//! value        = a number, see `number.rs`, up to a blank, "{", NUL byte or line end
//! timestamp    = digit { digit }, milliseconds
//! line end     = LF | CR LF | the end of the body
//! ```
//!
//! Blanks (spaces and tabs) are allowed between any two of these, and before the first. A line has exactly one metric
//! name: before the braces or, in quotes, within them.
//!
//! Source: the tokens of `model/textparse/promlex.l` in Prometheus and their order in `promparse.go`. The line end
//! `CR LF` is ours.

use crate::exposition::error::{Fault, LineErrorKind};
use crate::exposition::labels::{
    is_metric_byte, is_metric_start, is_name_byte, is_name_start, repeated_name, unescape,
};
use crate::exposition::line::{Label, SampleLine, Text};
use crate::exposition::{number, timestamp};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// Reads the sample line that starts at `start` with a name, a `{`, or blanks before one of them. Returns it with the
/// start of the next line.
pub(in crate::exposition) fn read(
    body: &[u8],
    start: usize,
) -> Result<(SampleLine<'_>, usize), Fault> {
    let mut reader = SampleReader {
        body,
        start,
        at: start,
        name: None,
        labels: Vec::with_capacity(LABELS_AT_FIRST),
    };
    reader.series()?;
    let name = reader
        .name
        .take()
        .ok_or_else(|| reader.fault(LineErrorKind::MetricName, start))?;
    let value = reader.value()?;
    let timestamp = reader.timestamp()?;
    let sample = SampleLine {
        labels: valid_labels(&name, reader.labels, start)?,
        name,
        value,
        timestamp,
    };
    Ok((sample, reader.at))
}

/// Most samples have no more.
const LABELS_AT_FIRST: usize = 8;

struct SampleReader<'b> {
    body: &'b [u8],
    start: usize,
    at: usize,
    name: Option<Text<'b>>,
    labels: Vec<Label<'b>>,
}

impl<'b> SampleReader<'b> {
    /// The byte at the current position; the body ends as if with a line end.
    fn byte(&self) -> u8 {
        self.body.get(self.at).copied().unwrap_or(b'\n')
    }

    fn fault(&self, kind: LineErrorKind, at: usize) -> Fault {
        Fault {
            kind,
            at,
            counted: false,
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), b' ' | b'\t') {
            self.at += 1;
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.at < self.body.len() && wanted(self.body[self.at]) {
            self.at += 1;
        }
        start..self.at
    }

    /// Metric name and labels, in either notation.
    fn series(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        if is_metric_start(self.byte()) {
            self.skip_while(is_metric_byte);
            // As in Prometheus, blanks before the name are part of it.
            self.name = Some(Cow::Borrowed(&self.body[self.start..self.at]));
            self.skip_blanks();
        }
        if self.byte() == b'{' {
            self.at += 1;
            self.labels()?;
            self.skip_blanks();
        }
        Ok(())
    }

    /// Everything after the opening brace, with the closing one.
    fn labels(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_blanks();
            let start = self.at;
            if self.byte() == b'}' {
                self.at += 1;
                return Ok(());
            }
            let quoted = self.byte() == b'"';
            let name = self.label_name()?;
            self.skip_blanks();
            if quoted && matches!(self.byte(), b',' | b'}') {
                if self.name.replace(name).is_some() {
                    return Err(self.fault(LineErrorKind::OneMetricName, start));
                }
                // A closing brace is read in the next round.
                self.skip_comma();
                continue;
            }
            if self.byte() != b'=' {
                return Err(self.fault(LineErrorKind::Equals, self.at));
            }
            self.at += 1;
            let value = self.label_value()?;
            self.labels.push((name, value));
            self.skip_blanks();
            self.skip_comma();
        }
    }

    fn skip_comma(&mut self) {
        if self.byte() == b',' {
            self.at += 1;
        }
    }

    fn label_name(&mut self) -> Result<Text<'b>, Fault> {
        let start = self.at;
        if is_name_start(self.byte()) {
            let name = self.skip_while(is_name_byte);
            return Ok(Cow::Borrowed(&self.body[name]));
        }
        if self.byte() == b'"'
            && let Some(name) = quoted_name(self.body, start)
        {
            self.at = name.end + 1;
            return Ok(unescape(&self.body[name]));
        }
        Err(self.fault(LineErrorKind::LabelName, start))
    }

    /// A quoted value after blanks. As in Prometheus, NUL bytes after each blank are skipped.
    fn label_value(&mut self) -> Result<Text<'b>, Fault> {
        while matches!(self.byte(), b' ' | b'\t') {
            self.at += 1;
            self.skip_while(|byte| byte == 0);
        }
        let (value, end) = quoted_value(self.body, self.at, b"")?;
        self.at = end;
        Ok(value)
    }

    fn value(&mut self) -> Result<Range<usize>, Fault> {
        self.skip_blanks();
        let mut value = self.skip_while(|byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\n' | 0));
        if self.byte() == b'\n' && self.body[value.clone()].ends_with(b"\r") {
            value.end -= 1;
            self.at = value.end;
        }
        if value.is_empty() {
            return Err(self.fault(LineErrorKind::Value, value.start));
        }
        if !number::is_value(&self.body[value.clone()]) {
            return Err(self.fault(LineErrorKind::Number, value.start));
        }
        Ok(value)
    }

    fn timestamp(&mut self) -> Result<Option<&'b [u8]>, Fault> {
        self.skip_blanks();
        let digits = self.skip_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return self.line_end(LineErrorKind::Timestamp).map(|()| None);
        }
        if timestamp::digits_length(&self.body[digits.clone()]).is_none() {
            return Err(self.fault(LineErrorKind::Timestamp, digits.start));
        }
        self.skip_blanks();
        self.line_end(LineErrorKind::LineEnd)?;
        Ok(Some(&self.body[digits]))
    }

    fn line_end(&mut self, otherwise: LineErrorKind) -> Result<(), Fault> {
        match skip_line_end(self.body, self.at) {
            Some(next) => {
                self.at = next;
                Ok(())
            }
            None => Err(self.fault(otherwise, self.at)),
        }
    }
}

/// The labels as Prometheus stores them.
///
/// If one of the labels of a name has an empty value, all labels of this name are dropped. Any other name must be
/// unique. The metric name counts as the label `__name__`.
pub(in crate::exposition) fn valid_labels<'b>(
    name: &[u8],
    mut labels: Vec<Label<'b>>,
    start: usize,
) -> Result<Vec<Label<'b>>, Fault> {
    let fault = |kind| Fault {
        kind,
        at: start,
        counted: true,
    };
    drop_absent(&mut labels);
    let is_name_absent = |label: &Label<'_>| *label.0 == *b"__name__" && label.1.is_empty();
    if name.is_empty() || labels.iter().any(is_name_absent) {
        return Err(fault(LineErrorKind::MetricName));
    }
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err(fault(LineErrorKind::NonEmptyLabelName));
    }
    let is_utf8 = |name: &[u8]| std::str::from_utf8(name).is_ok();
    if !is_utf8(name) || !labels.iter().all(|(name, _)| is_utf8(name)) {
        return Err(fault(LineErrorKind::Utf8));
    }
    if has_name_twice(&labels) {
        return Err(fault(LineErrorKind::UniqueLabelName));
    }
    Ok(labels)
}

/// Removes all labels of each name that has an empty value. A label `__name__` with an empty value is kept for the
/// caller to find.
fn drop_absent(labels: &mut Vec<Label<'_>>) {
    let absent: HashSet<Text<'_>> = labels
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    if !absent.is_empty() {
        labels.retain(|(name, value)| {
            !absent.contains(name) || (**name == *b"__name__" && value.is_empty())
        });
    }
}

fn has_name_twice(labels: &[Label<'_>]) -> bool {
    let names = labels.iter().map(|(name, _)| &**name);
    names.clone().any(|name| *name == *b"__name__") || repeated_name(names).is_some()
}

/// The position of the text within the quoted name whose opening quote is at `start`; `None` if the name has a NUL byte
/// or no closing quote.
pub(in crate::exposition) fn quoted_name(body: &[u8], start: usize) -> Option<Range<usize>> {
    let mut at = start + 1;
    loop {
        match body.get(at)? {
            b'"' => return Some(start + 1..at),
            b'\\' if matches!(body.get(at + 1)?, b'\n' | 0) => return None,
            b'\\' => at += 2,
            0 => return None,
            _ => at += 1,
        }
    }
}

/// The label value, without escapes, whose opening quote is at `start`, and the position after it. It must not contain
/// any of the bytes in `refused`.
///
/// As in Prometheus, NUL bytes after a quote or backslash are skipped by the tokenizer but stay in the value, and with
/// them the quote, unless they are refused.
pub(in crate::exposition) fn quoted_value<'b>(
    body: &'b [u8],
    start: usize,
    refused: &[u8],
) -> Result<(Text<'b>, usize), Fault> {
    let fault = |kind| Fault {
        kind,
        at: start,
        counted: false,
    };
    let broken = fault(LineErrorKind::LabelValue);
    let is_refused = |at: usize| body.get(at).is_none_or(|byte| refused.contains(byte));
    if body.get(start) != Some(&b'"') {
        return Err(broken);
    }
    let mut at = start + 1;
    loop {
        let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\') || refused.contains(byte);
        at += body[at..].iter().position(is_stop).ok_or(broken)?;
        if is_refused(at) {
            return Err(broken);
        }
        let is_end = body[at] == b'"';
        at += 1;
        while body.get(at) == Some(&0) && !is_refused(at) {
            at += 1;
        }
        if is_end {
            break;
        }
        if is_refused(at) || body[at] == b'\n' {
            return Err(broken);
        }
        at += 1;
    }
    let value = &body[start + 1..at - 1];
    if std::str::from_utf8(value).is_err() {
        return Err(fault(LineErrorKind::Utf8));
    }
    Ok((unescape(value), at))
}

/// The start of the next line if there is a line end at `at`: `\n`, `\r\n`, or the end of the body.
pub(in crate::exposition) fn skip_line_end(body: &[u8], at: usize) -> Option<usize> {
    match &body[at.min(body.len())..] {
        [] => Some(body.len()),
        [b'\n', ..] => Some(at + 1),
        [b'\r'] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    }
}
