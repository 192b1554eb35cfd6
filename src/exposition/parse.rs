//! The lines of a body, and the fast way for ordinary sample lines.

use super::builder::Builder;
use super::error::{Fault, LineError, LineErrorKind};
use super::labels::{
    IdentityLabels, is_metric_byte, is_metric_start, is_name_byte, is_name_start, name_bit,
    unescape,
};
use super::sample_line::{self, quoted_name, skip_line_end};
use super::{Exposition, Format, MetricType, number};
use std::ops::Range;

/// Reads one complete body and gives all its samples the identity labels.
///
/// The body is read once. A pod's own label of the name of an identity label is kept as `exported_` and its name, as
/// Prometheus does for `honor_labels: false`. Lines of an ordinary form are copied byte for byte; others (quoted
/// names, escapes, blanks between labels) are written in that form, with values and timestamps byte for byte.
///
/// # Errors
/// The first malformed line, as the parser of Prometheus 3 for this format would refuse it; or [`LineErrorKind::Size`] for a body
/// that is over `u32::MAX` bytes, with or without the identity labels.
pub fn parse(
    format: Format,
    body: &[u8],
    labels: &IdentityLabels,
) -> Result<Exposition, LineError> {
    let mut parser = Parser {
        body,
        at: 0,
        is_plain: std::str::from_utf8(body).is_ok() && memchr::memchr(0, body).is_none(),
        builder: Builder::new(labels, body.len()),
    };
    let lines = match format {
        _ if body.len() >= u32::MAX as usize => Err(fault(LineErrorKind::Size, 0)),
        Format::Text => parser.lines(),
        Format::OpenMetrics => parser.open_metrics_lines(),
    };
    match lines {
        Ok(()) => Ok(parser.builder.finish()),
        Err(fault) => Err(fault.describe(body, parser.builder.samples)),
    }
}

pub(super) struct Parser<'b, 'l> {
    pub(super) body: &'b [u8],
    /// Where the next line starts.
    pub(super) at: usize,
    /// UTF-8 without NUL bytes: what the fast way needs.
    is_plain: bool,
    pub(super) builder: Builder<'l>,
}

pub(super) fn fault(kind: LineErrorKind, at: usize) -> Fault {
    Fault {
        kind,
        at,
        counted: false,
    }
}

impl Parser<'_, '_> {
    fn lines(&mut self) -> Result<(), Fault> {
        while let Some(&byte) = self.body.get(self.at) {
            if is_metric_start(byte) {
                self.sample()?;
            } else if byte == b'\n' {
                self.at += 1;
            } else if self.other_line()? {
                break;
            }
        }
        Ok(())
    }

    /// A line that starts with neither a name nor a line end. Says whether the body ends here.
    fn other_line(&mut self) -> Result<bool, Fault> {
        let start = self.skip_blanks(self.at);
        if let Some(next) = skip_line_end(self.body, start) {
            self.at = next;
            return Ok(false);
        }
        match self.body[start] {
            b'#' => return self.comment(start + 1),
            b'{' => self.complete_sample()?,
            byte if is_metric_start(byte) => self.complete_sample()?,
            // Prometheus takes a NUL byte at the start of a line for the end of the body.
            0 => return Ok(true),
            _ => return Err(fault(LineErrorKind::LineStart, start)),
        }
        Ok(false)
    }

    fn skip_blanks(&self, at: usize) -> usize {
        let blanks = self.body[at..].iter().take_while(|byte| is_blank(**byte));
        at + blanks.count()
    }

    /// A line whose `#` stands before `at`. Says whether the body ends here.
    fn comment(&mut self, at: usize) -> Result<bool, Fault> {
        let word = self.skip_blanks(at);
        if word == at {
            // Without a blank behind the `#`, Prometheus takes a NUL byte for the end of the body.
            return Ok(self.end_of_line(at, true));
        }
        match keyword(&self.body[word..]) {
            Some(keyword) => self.metadata(keyword, word + 4).map(|()| false),
            None => Ok(self.end_of_line(word, self.body.get(word) == Some(&0))),
        }
    }

    /// Goes to the next line; or says that the body ends here, if a NUL byte counts and there is one.
    fn end_of_line(&mut self, at: usize, nul_counts: bool) -> bool {
        let line_end = line_end(self.body, at);
        self.at = (line_end + 1).min(self.body.len());
        nul_counts && memchr::memchr(0, &self.body[at..line_end]).is_some()
    }

    /// A HELP or TYPE line from behind the keyword on.
    fn metadata(&mut self, keyword: Keyword, after_keyword: usize) -> Result<(), Fault> {
        // Prometheus skips NUL bytes among these blanks.
        let blanks = &self.body[after_keyword..];
        let skipped = blanks
            .iter()
            .take_while(|byte| is_blank(**byte) || **byte == 0);
        let name_start = after_keyword + skipped.count();
        let (name, name_end) = self
            .head_name(name_start)
            .ok_or_else(|| fault(LineErrorKind::HeadName, name_start))?;
        let (text, next) = self.head_text(name_end)?;
        let (name, text_bytes) = (&self.body[name], &self.body[text.clone()]);
        let name = unescape(name);
        // No sample can have such a name, and the name could not be written.
        let is_possible = !name.is_empty() && std::str::from_utf8(&name).is_ok();
        match keyword {
            Keyword::Type => {
                let metric_type = MetricType::from_word(text_bytes)
                    .ok_or_else(|| fault(LineErrorKind::TypeWord, text.start))?;
                if is_possible {
                    self.builder.type_line(&name, metric_type, b"");
                } else {
                    self.builder.nameless_type_line(metric_type);
                }
            }
            Keyword::Help if std::str::from_utf8(text_bytes).is_err() => {
                return Err(fault(LineErrorKind::Utf8, text.start));
            }
            Keyword::Help if is_possible => self.builder.help_line(&name, text_bytes),
            Keyword::Help => {}
        }
        self.at = next;
        Ok(())
    }

    /// The name in a HELP or TYPE line, without quotes, and where it ends with them.
    fn head_name(&self, start: usize) -> Option<(Range<usize>, usize)> {
        let first = *self.body.get(start)?;
        if first == b'"' {
            let name = quoted_name(self.body, start)?;
            let end = name.end + 1;
            return Some((name, end));
        }
        if !is_metric_start(first) {
            return None;
        }
        let length = self.body[start..]
            .iter()
            .take_while(|byte| is_metric_byte(**byte))
            .count();
        Some((start..start + length, start + length))
    }

    /// What follows the name in a HELP or TYPE line, without the one byte that separates them, and the start of the
    /// next line. Prometheus does not ask which byte that is.
    fn head_text(&self, name_end: usize) -> Result<(Range<usize>, usize), Fault> {
        if self.body.get(name_end) == Some(&0) {
            return Err(fault(LineErrorKind::HelpText, name_end));
        }
        let line_end = line_end(self.body, name_end);
        let next = (line_end + 1).min(self.body.len());
        let mut end = line_end;
        if self.body[name_end..end].ends_with(b"\r") {
            end -= 1;
        }
        let start = (name_end + 1).min(end);
        let only_blanks = self.body[name_end..end]
            .iter()
            .all(|byte| is_blank(*byte) || *byte == 0);
        Ok((if only_blanks { end..end } else { start..end }, next))
    }

    fn sample(&mut self) -> Result<(), Fault> {
        match self.ordinary_line() {
            Some(ordinary) => self.copy(&ordinary),
            None => self.complete_sample(),
        }
    }

    /// Any sample line, the slow way.
    fn complete_sample(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let sample = sample_line::read(self.body, start)?;
        self.at = sample.end;
        self.builder
            .push_sample(self.body, sample)
            .map_err(|kind| fault(kind, start))
    }

    /// Takes the line apart if it has the form in which nearly all lines are written; nothing is decided otherwise.
    ///
    /// `name value`, `name{} value`, `name{label="value",label="value"} value`, each with or without a timestamp, with
    /// single blanks, without escapes, and with no label that must be renamed or rewritten or may stand twice.
    pub(super) fn ordinary_line(&mut self) -> Option<Ordinary> {
        if !self.is_plain {
            return None;
        }
        let name_end = self.name_end()?;
        let mut line = Ordinary {
            labels_end: name_end,
            value: 0..0,
            timestamp: None,
            labels_hash: 0,
            has_labels: false,
            next: 0,
        };
        let mut blank = name_end;
        if self.body[name_end] == b'{' {
            blank = self.ordinary_labels(name_end + 1, &mut line)?;
        }
        let rest = self.body.get(blank..)?.strip_prefix(b" ")?;
        let value = blank + 1;
        let mut end = value + number_length(rest)?;
        if let [b' ', digits @ ..] = &self.body[end..] {
            let length = digits
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            line.timestamp = Some(number::timestamp(&digits[..length])?);
            end += 1 + length;
        }
        line.value = value..end;
        line.next = skip_line_end(self.body, end)?;
        Some(line)
    }

    /// Where the name ends that starts the line, if `{` or a blank follows; it is the current name from here on.
    fn name_end(&mut self) -> Option<usize> {
        let rest = &self.body[self.at..];
        if let Some(length) = self.builder.current_name_at(rest)
            && matches!(rest.get(length), Some(b'{' | b' '))
        {
            return Some(self.at + length);
        }
        let length = rest
            .iter()
            .take_while(|byte| is_metric_byte(**byte))
            .count();
        if !matches!(rest.get(length), Some(b'{' | b' ')) {
            return None;
        }
        self.builder.set_current(&rest[..length]);
        Some(self.at + length)
    }

    /// Reads the labels from behind the opening brace on, and gives the position behind the closing one.
    fn ordinary_labels(&self, mut at: usize, line: &mut Ordinary) -> Option<usize> {
        let body = self.body;
        if body.get(at) == Some(&b'}') {
            return Some(at + 1);
        }
        let mut seen_bits = self.builder.current.care_bits;
        loop {
            let rest = &body[at..];
            let length = rest.iter().take_while(|byte| is_name_byte(**byte)).count();
            if !is_name_start(*rest.first()?) || !rest[length..].starts_with(b"=\"") {
                return None;
            }
            let bit = name_bit(&rest[..length]);
            if seen_bits & bit != 0 && self.may_clash(&rest[..length], line, at) {
                return None;
            }
            seen_bits |= bit;
            let value = &rest[length + 2..];
            let value_length = memchr::memchr3(b'"', b'\\', b'\n', value)?;
            if value[value_length] != b'"' {
                return None;
            }
            let end = length + 2 + value_length;
            if value_length > 0 {
                let hash = self.builder.series.hash(&rest[..end]);
                line.labels_hash = line.labels_hash.wrapping_add(hash);
                line.has_labels = true;
            }
            at += end + 1;
            match body.get(at)? {
                b',' => at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        line.labels_end = at;
        Some(at + 1)
    }

    /// Whether a label of this name needs care, or stands among the labels before `at`.
    fn may_clash(&self, name: &[u8], line: &Ordinary, at: usize) -> bool {
        if self.builder.needs_care(name) {
            return true;
        }
        // `"` or `{` or `,` before and `=` behind can also be found within values; then the line goes the slow way.
        let before = &self.body[line.labels_end..at];
        memchr::memmem::find_iter(before, name).any(|found| {
            let end = found + name.len();
            matches!(before[found - 1], b'{' | b',') && before.get(end) == Some(&b'=')
        })
    }

    /// Writes an ordinary line with the identity labels.
    pub(super) fn copy(&mut self, line: &Ordinary) -> Result<(), Fault> {
        let start = self.at;
        let identity = self.builder.identity;
        let out = &mut self.builder.text;
        let out_start = out.len();
        out.extend_from_slice(&self.body[start..line.labels_end]);
        if self.body[line.labels_end] == b'}' {
            out.extend_from_slice(identity.behind());
        } else {
            out.extend_from_slice(identity.alone());
        }
        out.push(b' ');
        out.extend_from_slice(&self.body[line.value.clone()]);
        out.push(b'\n');
        self.at = line.next;
        self.builder
            .finish_sample(
                out_start,
                line.labels_hash,
                line.timestamp,
                !line.has_labels,
            )
            .map_err(|kind| fault(kind, start))
    }
}

/// The parts of an ordinary sample line, as offsets in the body.
pub(super) struct Ordinary {
    /// Where the closing brace stands, or the end of the name if there are no labels.
    labels_end: usize,
    /// Value and timestamp.
    pub(super) value: Range<usize>,
    pub(super) timestamp: Option<i64>,
    /// The sum of the hashes of the labels that have a value.
    labels_hash: u64,
    /// Whether there is a label that has a value.
    has_labels: bool,
    /// Where the next line starts.
    pub(super) next: usize,
}

/// The length of the number that starts here and ends before a blank or a line end.
fn number_length(rest: &[u8]) -> Option<usize> {
    let length = rest
        .iter()
        .take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'{'))
        .count();
    number::is_value(&rest[..length]).then_some(length)
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

/// Where the line ends that has a byte at `at`: at its `\n`, or at the end of the body.
fn line_end(body: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |length| at + length)
}
