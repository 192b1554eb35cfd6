//! The parser of OpenMetrics, as strict as the OpenMetrics parser of Prometheus 3.
//!
//! What follows a value (a timestamp in seconds, an exemplar) is validated and kept as it is. There is one difference:
//! an unquoted name within braces, without a value, is refused. Prometheus takes it for a quoted metric name, cuts off
//! its first and last character, and panics over `{a}`.
//!
//! The format: <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use super::MetricType;
use super::error::{Fault, LineErrorKind};
use super::labels::{
    is_metric_byte, is_metric_start, is_name_byte, is_name_start, push_help, unescape,
};
use super::line::{HeadLine, Label, Line, SampleLine, Says, Text};
use super::number;
use super::text::possible_name;
use super::text::sample_line::{quoted_name, quoted_value, valid_labels};
use std::borrow::Cow;
use std::ops::Range;

/// Reads the line that starts at `at`, which must be before the end of the body, and returns it with the start of the
/// next line.
///
/// # Errors
/// The line is malformed: the OpenMetrics parser of Prometheus 3 refuses it.
pub(super) fn read_line(body: &[u8], at: usize) -> Result<(Line<'_>, usize), Fault> {
    let mut reader = OpenMetricsReader { body, at };
    let line = match body[at] {
        b'#' => reader.comment()?,
        byte if byte == b'{' || is_metric_start(byte) => Line::Sample(reader.sample()?),
        _ => return Err(fault(LineErrorKind::OpenMetricsLine, at)),
    };
    Ok((line, reader.at))
}

/// Validates the rest of a sample line after its value, with the line end, and returns the start of the next line.
///
/// # Errors
/// As for [`read_line`].
pub(super) fn read_rest(body: &[u8], value_end: usize) -> Result<usize, Fault> {
    let mut reader = OpenMetricsReader {
        body,
        at: value_end,
    };
    reader.rest()?;
    Ok(reader.at)
}

/// The exemplar of a sample.
#[derive(Debug)]
pub(super) struct Exemplar<'b> {
    /// With their escapes, which Prometheus stores unchanged in exemplars.
    pub(super) labels: Vec<Label<'b>>,
    pub(super) value: &'b [u8],
    pub(super) seconds: Option<&'b [u8]>,
}

/// The exemplar in the valid text from a value to the end of its line, if there is one.
pub(super) fn exemplar(value: &[u8]) -> Option<Exemplar<'_>> {
    let at = memchr::memmem::find(value, EXEMPLAR_START)? + EXEMPLAR_START.len();
    OpenMetricsReader { body: value, at }.exemplar().ok()
}

const EXEMPLAR_START: &[u8] = b" # {";

/// Checks a body that ended without `# EOF`: an error unless it is empty. An empty body is valid, as in Prometheus.
pub(super) fn end(body: &[u8]) -> Result<(), Fault> {
    if body.is_empty() {
        return Ok(());
    }
    Err(fault(LineErrorKind::EndMark, body.len()))
}

fn fault(kind: LineErrorKind, at: usize) -> Fault {
    Fault {
        kind,
        at,
        counted: false,
    }
}

struct OpenMetricsReader<'b> {
    body: &'b [u8],
    at: usize,
}

impl<'b> OpenMetricsReader<'b> {
    /// A line that starts with `#`.
    fn comment(&mut self) -> Result<Line<'b>, Fault> {
        let start = self.at;
        self.at += 1;
        if !self.take(b' ') {
            return Err(fault(LineErrorKind::OpenMetricsLine, start));
        }
        if self.word(b"EOF") {
            self.take(b'\n');
            self.skip_nul();
            if self.at < self.body.len() {
                return Err(self.fault(LineErrorKind::AfterEndMark));
            }
            return Ok(Line::End);
        }
        let keywords: [&[u8]; 3] = [b"HELP ", b"TYPE ", b"UNIT "];
        let keyword = keywords
            .into_iter()
            .find(|keyword| self.word(keyword))
            .ok_or_else(|| fault(LineErrorKind::OpenMetricsLine, start))?;
        let name = self.head_name()?;
        let text = self.head_text()?;
        self.head(keyword[0], &self.body[name], text)
    }

    fn head(
        &self,
        keyword: u8,
        name: &'b [u8],
        text_range: Range<usize>,
    ) -> Result<Line<'b>, Fault> {
        let text = &self.body[text_range.clone()];
        let says = match keyword {
            b'T' => {
                let metric_type = MetricType::from_open_metrics(text)
                    .ok_or_else(|| fault(LineErrorKind::OpenMetricsType, text_range.start))?;
                Says::Type {
                    metric_type,
                    suffix: metric_type.open_metrics_suffix(),
                }
            }
            b'U' => {
                let base = name.strip_suffix(text);
                let has_unit = base.is_some_and(|base| text.is_empty() || base.ends_with(b"_"));
                if !has_unit {
                    return Err(fault(LineErrorKind::Unit, text_range.start));
                }
                Says::Unit(text)
            }
            _ if std::str::from_utf8(text).is_err() => {
                return Err(fault(LineErrorKind::Utf8, text_range.start));
            }
            _ => {
                let mut help = Vec::new();
                push_help(&mut help, &unescape(text));
                Says::Help(Cow::Owned(help))
            }
        };
        let name = possible_name(name);
        Ok(Line::Head(HeadLine { name, says }))
    }

    fn byte(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn fault(&self, kind: LineErrorKind) -> Fault {
        fault(kind, self.at)
    }

    /// Skips this byte and returns true if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let is_here = self.byte() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    fn skip_nul(&mut self) {
        self.skip_while(|byte| byte == 0);
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.byte().is_some_and(&wanted) {
            self.at += 1;
        }
        start..self.at
    }

    /// Skips this word and returns true if it comes next. As in Prometheus, NUL bytes after each letter are skipped.
    fn word(&mut self, word: &[u8]) -> bool {
        let start = self.at;
        for letter in word {
            if !self.take(*letter) {
                self.at = start;
                return false;
            }
            self.skip_nul();
        }
        true
    }

    /// The name in a HELP, TYPE or UNIT line, without quotes.
    fn head_name(&mut self) -> Result<Range<usize>, Fault> {
        let expected = self.fault(LineErrorKind::HeadName);
        match self.byte() {
            Some(b'"') => {
                let name = quoted_name(self.body, self.at).ok_or(expected)?;
                self.at = name.end + 1;
                Ok(name)
            }
            Some(byte) if is_metric_start(byte) => Ok(self.skip_while(is_metric_byte)),
            _ => Err(expected),
        }
    }

    /// The text after the name and one blank, up to the line end, which is required.
    fn head_text(&mut self) -> Result<Range<usize>, Fault> {
        let expected = self.fault(LineErrorKind::HeadText);
        if !self.take(b' ') {
            return Err(expected);
        }
        let start = self.at;
        let length = memchr::memchr(b'\n', &self.body[start..]).ok_or(expected)?;
        self.at = start + length + 1;
        Ok(start..start + length)
    }

    fn sample(&mut self) -> Result<SampleLine<'b>, Fault> {
        let start = self.at;
        let mut name = None;
        let name_range = self.skip_while(is_metric_byte);
        if !name_range.is_empty() {
            name = Some(Cow::Borrowed(&self.body[name_range]));
        }
        let mut labels = Vec::new();
        if self.take(b'{') {
            labels = self.labels(Some(&mut name))?;
        }
        let name = name.ok_or_else(|| fault(LineErrorKind::MetricName, start))?;
        let value = self.number(LineErrorKind::Value)?;
        self.rest()?;
        Ok(SampleLine {
            labels: valid_labels(&name, labels, start)?,
            name,
            value: value.start..self.at - 1,
            timestamp: None,
        })
    }

    /// Everything after the opening brace, with the closing one. With `name`, a quoted metric name is allowed. Without
    /// it, these are the labels of an exemplar, whose escapes are kept.
    fn labels(&mut self, mut name: Option<&mut Option<Text<'b>>>) -> Result<Vec<Label<'b>>, Fault> {
        let in_exemplar = name.is_none();
        let mut labels = Vec::new();
        while !self.take(b'}') {
            let start = self.at;
            let (label, is_quoted) = self.label_name(in_exemplar)?;
            if matches!(self.byte(), Some(b',' | b'}')) {
                match &mut name {
                    Some(name) if is_quoted && name.is_none() => **name = Some(label),
                    _ => return Err(fault(LineErrorKind::OneMetricName, start)),
                }
                self.take(b',');
                continue;
            }
            if !self.take(b'=') {
                return Err(self.fault(LineErrorKind::Equals));
            }
            let refused: &[u8] = if in_exemplar { b"\n\0" } else { b"\n" };
            let (value, end) = quoted_value(self.body, self.at, refused)?;
            let raw = &self.body[self.at + 1..end - 1];
            self.at = end;
            labels.push((
                label,
                if in_exemplar {
                    Cow::Borrowed(raw)
                } else {
                    value
                },
            ));
            if !self.take(b',') && self.byte() != Some(b'}') {
                return Err(self.fault(LineErrorKind::LabelEnd));
            }
        }
        Ok(labels)
    }

    /// A label name or quoted metric name, and whether it is quoted.
    fn label_name(&mut self, in_exemplar: bool) -> Result<(Text<'b>, bool), Fault> {
        let expected = self.fault(LineErrorKind::LabelName);
        match self.byte() {
            Some(b'"') => {
                let name = quoted_name(self.body, self.at).ok_or(expected)?;
                self.at = name.end + 1;
                let text = &self.body[name];
                if in_exemplar && text.contains(&b'\n') {
                    return Err(expected);
                }
                let name = if in_exemplar {
                    Cow::Borrowed(text)
                } else {
                    unescape(text)
                };
                Ok((name, true))
            }
            Some(byte) if is_name_start(byte) => {
                let name = self.skip_while(is_name_byte);
                Ok((Cow::Borrowed(&self.body[name]), false))
            }
            _ => Err(expected),
        }
    }

    /// One blank and a number.
    fn number(&mut self, expected: LineErrorKind) -> Result<Range<usize>, Fault> {
        let missing = self.fault(expected);
        if !self.take(b' ') {
            return Err(missing);
        }
        let number = self.skip_while(|byte| !matches!(byte, b' ' | b'\n' | 0));
        if number.is_empty() {
            return Err(missing);
        }
        if !number::is_value(&self.body[number.clone()]) {
            return Err(fault(LineErrorKind::Number, number.start));
        }
        Ok(number)
    }

    /// The rest of the line after the value: a timestamp, an exemplar, and the line end.
    ///
    /// If the value is followed by something else, the sample counts in `samples_before`, as it does in Prometheus.
    fn rest(&mut self) -> Result<(), Fault> {
        let has_timestamp = self.has_timestamp();
        if has_timestamp {
            self.seconds()?;
        }
        let has_exemplar = self.body[self.at..].starts_with(EXEMPLAR_START);
        if has_exemplar {
            self.at += EXEMPLAR_START.len();
            self.exemplar()?;
        }
        self.line_end(!has_timestamp && !has_exemplar)
    }

    fn has_timestamp(&self) -> bool {
        match &self.body[self.at..] {
            [b' ', b'#', b' ', ..] => false,
            [b' ', next, ..] => !matches!(next, b' ' | b'\n' | 0),
            _ => false,
        }
    }

    /// The labels, value and timestamp of an exemplar, read from the position after the opening brace.
    fn exemplar(&mut self) -> Result<Exemplar<'b>, Fault> {
        let labels = self.labels(None)?;
        let value = self.number(LineErrorKind::Value)?;
        let mut seconds = None;
        if self.byte() == Some(b' ') {
            seconds = Some(self.seconds()?);
        }
        Ok(Exemplar {
            labels,
            value: &self.body[value],
            seconds,
        })
    }

    /// One blank and a timestamp.
    fn seconds(&mut self) -> Result<&'b [u8], Fault> {
        let number = self.number(LineErrorKind::Seconds)?;
        let seconds = &self.body[number.clone()];
        if number::is_finite(seconds) {
            Ok(seconds)
        } else {
            Err(fault(LineErrorKind::Seconds, number.start))
        }
    }

    fn line_end(&mut self, counted: bool) -> Result<(), Fault> {
        if self.take(b'\n') {
            return Ok(());
        }
        if self.at == self.body.len() {
            return Err(self.fault(LineErrorKind::EndMark));
        }
        Err(Fault {
            counted,
            ..self.fault(LineErrorKind::Seconds)
        })
    }
}
