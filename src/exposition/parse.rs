//! The lines of a body.

use super::builder::Builder;
use super::error::{Fault, LineError, LineErrorKind};
use super::labels::{IdentityLabels, is_metric_byte, is_metric_start, unescape};
use super::ordinary::Shape;
use super::sample_line::{self, quoted_name, skip_line_end};
use super::untyped::UntypedNames;
use super::{Exposition, Format, MetricType};
use crate::keyed_hash::KeyedHash;
use std::borrow::Cow;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// Reads one complete body, and finds in all its samples the place for the identity labels.
///
/// The body is read once and kept; sample lines of an ordinary form stay where they are in it. Others (quoted names,
/// escapes, blanks between labels, a pod's own label of the name of an identity label) are written anew in that form,
/// with values and timestamps byte for byte. A label that clashes with an identity label is kept as `exported_` and its
/// name, as Prometheus does for `honor_labels: false`.
///
/// # Errors
/// The first malformed line, as the parser of Prometheus 3 for this format would refuse it; or [`LineErrorKind::Size`] for a body
/// that is over `u32::MAX` bytes, with or without what is written anew.
pub fn parse(
    format: Format,
    body: impl Into<Vec<u8>>,
    labels: &IdentityLabels,
) -> Result<Exposition, LineError> {
    parse_untyped(format, body.into(), labels, UntypedNames::new())
}

/// The same, where these families are `untyped` whatever the body says of them, and the values of `le` and `quantile`
/// that Prometheus would store are written for their samples.
///
/// # Errors
/// As for [`parse`].
pub(super) fn parse_untyped(
    format: Format,
    body: Vec<u8>,
    labels: &IdentityLabels,
    mut untyped: UntypedNames,
) -> Result<Exposition, LineError> {
    loop {
        let mut builder = read_lines(format, &body, labels, untyped.clone())?;
        let more = builder.must_be_untyped();
        if !more.is_empty() {
            // Samples before the line that showed it were read as if they were not: once more from the start.
            untyped.extend(more);
            continue;
        }
        let written_anew = mem::take(&mut builder.written_anew);
        let mut layout = builder.finish();
        layout.reuse = layout.reuse.filter(|_| format == Format::Text);
        layout.text = body;
        layout.text.reserve_exact(written_anew.len());
        layout.text.extend_from_slice(&written_anew);
        return Ok(Exposition {
            layout: Arc::new(layout),
            own: None,
            values: None,
        });
    }
}

/// All lines of a body.
fn read_lines<'b, 'l>(
    format: Format,
    body: &'b [u8],
    labels: &'l IdentityLabels,
    untyped: UntypedNames,
) -> Result<Builder<'b, 'l>, LineError> {
    let mut parser = Parser {
        body,
        at: 0,
        is_plain: is_plain(body),
        shape: Shape::default(),
        builder: Builder::new(labels, body),
    };
    parser.builder.set_untyped(untyped);
    let lines = match format {
        _ if body.len() >= u32::MAX as usize => Err(fault(LineErrorKind::Size, 0)),
        Format::Text => parser.lines(),
        Format::OpenMetrics => parser.open_metrics_lines(),
    };
    match lines {
        Ok(()) => Ok(parser.builder),
        Err(fault) => Err(fault.describe(body, parser.builder.samples)),
    }
}

pub(super) struct Parser<'b, 'l> {
    pub(super) body: &'b [u8],
    /// Where the next line starts.
    pub(super) at: usize,
    /// Of the whole body.
    pub(super) is_plain: bool,
    /// The labels of the last ordinary line.
    pub(super) shape: Shape,
    pub(super) builder: Builder<'b, 'l>,
}

/// Whether these bytes are UTF-8 without NUL bytes: what the fast way needs.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none()
}

pub(super) fn fault(kind: LineErrorKind, at: usize) -> Fault {
    Fault {
        kind,
        at,
        counted: false,
    }
}

impl<'b, 'l> Parser<'b, 'l> {
    /// For some lines of a body, all of them UTF-8 without NUL bytes.
    pub(super) fn of_lines(body: &'b [u8], labels: &'l IdentityLabels, key: KeyedHash) -> Self {
        Parser {
            body,
            at: 0,
            is_plain: true,
            shape: Shape::default(),
            builder: Builder::for_samples(labels, body, 0, key),
        }
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
        let is_quoted = self.body[name_start] == b'"';
        let name = if is_quoted {
            unescape(name)
        } else {
            Cow::Borrowed(name)
        };
        // No sample can have such a name, and the name could not be written.
        let is_possible = !is_quoted || !name.is_empty() && std::str::from_utf8(&name).is_ok();
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
            Keyword::Help if !self.is_utf8(text_bytes) => {
                return Err(fault(LineErrorKind::Utf8, text.start));
            }
            Keyword::Help if is_possible => self.builder.help_line(&name, text_bytes),
            Keyword::Help => {}
        }
        self.at = next;
        Ok(())
    }

    /// Whether this end of a line is UTF-8. In a body that is, it still may start within a character: the byte before a
    /// help text may be any.
    fn is_utf8(&self, text: &[u8]) -> bool {
        let starts_within = text.first().is_some_and(|byte| byte & 0xc0 == 0x80);
        (self.is_plain && !starts_within) || std::str::from_utf8(text).is_ok()
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
            Some(ordinary) => {
                self.take(&ordinary);
                Ok(())
            }
            None => self.complete_sample(),
        }
    }

    /// Any sample line, the slow way.
    fn complete_sample(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let sample = sample_line::read(self.body, start)?;
        self.at = sample.end;
        self.builder
            .push_sample(sample)
            .map_err(|kind| fault(kind, start))
    }
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
