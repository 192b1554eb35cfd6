//! Generated bodies: models of what they say, and the many ways to write them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::vocabulary::{
    EXEMPLAR, FILLERS, HELPS, LABEL_NAMES, LABEL_VALUES, NAMES, SECONDS, TIMESTAMPS, VALUES,
};

/// One body, line by line.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) lines: Vec<Line>,
    /// Whether the last line ends with a newline.
    ends: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// Means nothing.
    Filler(&'static str),
    /// Name, and text as it is written.
    Help(&'static str, &'static str),
    Type(&'static str, &'static str),
    Sample(Sample),
}

/// A sample; names and label values are unescaped.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    /// No name twice.
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) value: &'static str,
    pub(crate) timestamp: Option<&'static str>,
    style: Style,
}

/// How a sample is written.
#[derive(Debug, Clone)]
struct Style {
    /// Quotes around names that need none.
    quotes: bool,
    /// Blanks and tabs wherever they are allowed.
    blanks: bool,
    trailing_comma: bool,
    /// `{}` where there are no labels.
    empty_braces: bool,
    crlf: bool,
    /// A line break in a label value is not escaped, nor is a backslash where it need not be.
    loose_escapes: bool,
}

/// The merge's targets, in order; `None` is one whose scrape failed.
pub(crate) fn targets() -> impl Strategy<Value = Vec<Option<Body>>> {
    vec(prop::option::weighted(0.9, body()), 1..5)
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    (vec(line(), 0..24), any::<bool>()).prop_map(|(lines, ends)| Body { lines, ends })
}

fn line() -> impl Strategy<Value = Line> {
    let head = || any::<(Index, Index)>();
    prop_oneof![
        1 => select(FILLERS).prop_map(Line::Filler),
        2 => (head(), select(HELPS)).prop_map(|((name, _), text)| Line::Help(name.get(NAMES).0, text)),
        4 => head().prop_map(|(name, word)| {
            let (name, words) = *name.get(NAMES);
            let word = words[word.index(words.len())];
            Line::Type(name, word)
        }),
        12 => sample().prop_map(Line::Sample),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let labels = vec((select(LABEL_NAMES), select(LABEL_VALUES)), 0..5);
    let timestamp = prop::option::weighted(0.2, select(TIMESTAMPS));
    (select(NAMES), labels, select(VALUES), timestamp, style()).prop_map(
        |((name, _), mut labels, value, timestamp, style)| {
            let mut seen = Vec::new();
            labels.retain(|(name, _)| {
                !seen.contains(name) && {
                    seen.push(*name);
                    true
                }
            });
            Sample {
                name,
                labels,
                value,
                timestamp,
                style,
            }
        },
    )
}

/// Half of the samples are written in the ordinary way.
fn style() -> impl Strategy<Value = Style> {
    (any::<[bool; 6]>(), any::<bool>()).prop_map(|(choices, ordinary)| {
        let [
            quotes,
            blanks,
            trailing_comma,
            empty_braces,
            crlf,
            loose_escapes,
        ] = choices.map(|choice| choice && !ordinary);
        Style {
            quotes,
            blanks,
            trailing_comma,
            empty_braces,
            crlf,
            loose_escapes,
        }
    })
}

impl Body {
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.lines.iter().filter_map(|line| match line {
            Line::Sample(sample) => Some(sample),
            _ => None,
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut text: String = self.lines.iter().map(|line| line.write() + "\n").collect();
        if !self.ends {
            text.pop();
        }
        text.into_bytes()
    }

    /// The same with blanks wherever they are allowed: no sample is written in the plain form then.
    pub(crate) fn with_blanks(&self) -> Body {
        let mut body = self.clone();
        for line in &mut body.lines {
            if let Line::Sample(sample) = line {
                sample.style.blanks = true;
            }
        }
        body
    }

    /// What of this can be said alike in both formats; the same samples, in the strict form. Counters are named
    /// `_total`.
    pub(crate) fn common(&self) -> Body {
        let lines = self.lines.iter().filter_map(Line::common).collect();
        Body { lines, ends: true }
    }

    /// A [`Body::common`] one as OpenMetrics.
    pub(crate) fn write_open_metrics(&self) -> Vec<u8> {
        let lines = self.lines.iter().map(|line| match line {
            Line::Type(name, "untyped") => Line::Type(name, "unknown").write(),
            Line::Type(name, "counter") => {
                Line::Type(name.strip_suffix("_total").unwrap(), "counter").write()
            }
            Line::Sample(sample) => sample.write_open_metrics(),
            line => line.write(),
        });
        (lines.map(|line| line + "\n").collect::<String>() + "# EOF\n").into_bytes()
    }
}

impl Line {
    /// Lone backslashes in help texts are escaped; what OpenMetrics says of `c` is said of `c_total`.
    fn common(&self) -> Option<Line> {
        match self {
            Line::Filler(_) | Line::Help("c", _) | Line::Type("c", _) => None,
            Line::Type(name, "counter") if !name.ends_with("_total") => None,
            Line::Help(_, text) if text.ends_with('\\') => None,
            Line::Sample(sample) => Some(Line::Sample(sample.common())),
            line => Some(line.clone()),
        }
    }

    fn write(&self) -> String {
        match self {
            Line::Filler(text) => (*text).to_owned(),
            Line::Help(name, text) => format!("# HELP {} {text}", written_name(name, false)),
            Line::Type(name, word) => format!("# TYPE {} {word}", written_name(name, false)),
            Line::Sample(sample) => sample.write(),
        }
    }
}

impl Sample {
    fn common(&self) -> Sample {
        Sample {
            timestamp: self
                .timestamp
                .filter(|text| SECONDS.iter().any(|(is, _)| is == text)),
            style: Style {
                blanks: false,
                crlf: false,
                loose_escapes: false,
                ..self.style.clone()
            },
            ..self.clone()
        }
    }

    fn write_open_metrics(&self) -> String {
        let seconds = SECONDS
            .iter()
            .find(|(milliseconds, _)| self.timestamp == Some(milliseconds))
            .map(|(_, seconds)| *seconds);
        let sample = Sample {
            timestamp: seconds,
            ..self.clone()
        };
        sample.write() + if self.has_exemplar() { EXEMPLAR } else { "" }
    }

    /// Whether it has an exemplar in OpenMetrics.
    pub(crate) fn has_exemplar(&self) -> bool {
        self.style.quotes
    }

    fn write(&self) -> String {
        let style = &self.style;
        let blank = if style.blanks { " \t" } else { "" };
        let name = written_name(self.name, style.quotes);
        let mut inner = Vec::new();
        let outer = if name.starts_with('"') {
            inner.push(name);
            String::new()
        } else {
            name + blank
        };
        for (name, value) in &self.labels {
            let name = written_label_name(name, style.quotes);
            let value = quoted(value, style.loose_escapes);
            inner.push(format!("{blank}{name}{blank}={blank}{value}{blank}"));
        }
        let mut line = outer;
        if !inner.is_empty() || style.empty_braces {
            let comma = if style.trailing_comma && !inner.is_empty() {
                ","
            } else {
                ""
            };
            line += &format!("{{{}{comma}{blank}}}", inner.join(","));
        }
        line += &format!(" {blank}{}", self.value);
        if let Some(timestamp) = self.timestamp {
            line += &format!("{blank} {timestamp}{blank}");
        }
        line + if style.crlf { "\r" } else { "" }
    }
}

fn written_name(name: &str, quotes: bool) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
    if is_plain && !quotes {
        name.to_owned()
    } else {
        quoted(name, false)
    }
}

fn written_label_name(name: &str, quotes: bool) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain && !quotes {
        name.to_owned()
    } else {
        quoted(name, false)
    }
}

fn quoted(plain: &str, loose: bool) -> String {
    let mut text = String::from("\"");
    let mut chars = plain.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_letter = chars
            .peek()
            .is_some_and(|next| next.is_ascii_alphabetic() && *next != 'n');
        match c {
            '\n' if loose => text.push('\n'),
            '\n' => text.push_str("\\n"),
            '\\' if loose && next_is_letter => text.push('\\'),
            '\\' | '"' => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    text + "\""
}
