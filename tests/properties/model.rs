//! Generated bodies: models of what is said, and the many ways to write it down.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

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
    /// A line break in a label value stands as it is, and so does a backslash where it can.
    loose_escapes: bool,
}

/// Names with their possible types; those that are likely to clash come with several.
const NAMES: &[(&str, &[&str])] = &[
    ("a", &["counter", "gauge", "untyped"]),
    ("c", &["gauge"]),
    ("c_total", &["counter"]),
    ("c_created", &["gauge"]),
    ("h_created", &["gauge"]),
    ("b", &["counter", "summary", "histogram"]),
    (
        "h",
        &["histogram", "histogram", "histogram", "summary", "gauge"],
    ),
    ("h_bucket", &["counter", "histogram"]),
    ("h_sum", &["gauge", "untyped", "summary", "histogram"]),
    ("h_sum_count", &["gauge"]),
    ("h_count", &["counter"]),
    (
        "s",
        &["summary", "summary", "summary", "histogram", "counter"],
    ),
    ("s_sum", &["gauge"]),
    ("s_count", &["counter"]),
    ("s_bucket", &["untyped"]),
    ("up", &["gauge", "counter", "histogram"]),
    ("scrape_samples_scraped", &["gauge"]),
    ("Z:z_9", &["gauge"]),
    ("a 1", &["gauge"]),
    ("x.y", &["histogram", "counter"]),
    ("x.y_bucket", &["counter"]),
    (" é\"\\\n", &["gauge"]),
];

const LABEL_NAMES: &[&str] = &[
    "c",
    "d",
    "long_label_name",
    "le",
    "quantile",
    "i",
    "j",
    "exported_i",
    "exported_exported_i",
    "job",
    "x.y",
    "é \"\\",
];

const LABEL_VALUES: &[&str] = &[
    "",
    "v",
    "w",
    "1",
    "1.0",
    "1e0",
    "0.50",
    ".5",
    "1e6",
    "+Inf",
    "inf",
    "nan",
    "many",
    "a long value, {with} = # all sorts",
    "\"",
    "\\",
    "\n",
    "\\t\\",
    "é\u{1F600}",
    "x\"y\\z\nn",
    "\\n",
    ",i=\"0\"}",
    "\r",
    "\0",
];

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "+1.5",
    ".5",
    "5.",
    "1e5",
    "1E-300",
    "NaN",
    "nan",
    "+Inf",
    "-inf",
    "Infinity",
    "12345678901234567890",
    "0.1234567890123456789012345",
];

const TIMESTAMPS: &[&str] = &["0", "5", "05", "1700000000000", "9223372036854775807"];

/// Some of [`TIMESTAMPS`], in seconds.
const SECONDS: &[(&str, &str)] = &[("0", "0"), ("5", "5e-3"), ("1700000000000", "1.7e9")];

/// With the blank before it.
pub(crate) const EXEMPLAR: &str = " # {a=\"b\"} 1 5.5";

const HELPS: &[&str] = &[
    "",
    "x",
    "y z",
    "with \\\\ and \\n and \"",
    "  blanks ",
    "# TYPE a",
    "é\\",
];

const FILLERS: &[&str] = &[
    "",
    " ",
    " \t ",
    "# a comment",
    "#",
    "#TYPE a x",
    "# EOF",
    "# helps",
];

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
}

impl Body {
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

    /// Whether an exemplar stands behind it in OpenMetrics.
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

/// Bytes in an order that makes many half valid lines.
pub(crate) fn tokens() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => select(b"abhs_:{}=,\"\\ \t\n\r#019.+-eN\0\xff" as &[u8]).prop_map(|byte| vec![byte]),
        1 => select(&[
            "# HELP a ", "# TYPE h histogram\n", "# TYPE s summary\n", "# UNIT a_s s\n", "# EOF\n",
            "h_bucket", "{le=\"", "\"} 1\n", "a{b=\"c\"}", " 1\n", " 1 5\n", "{\"a\"", "up", " NaN\n", "i=\"0\"",
            "# {", " # {a=\"b\"} 1", "é",
        ] as &[&str]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

/// One change of a body.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

pub(crate) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let byte = prop_oneof![select(b"\"\\{}=, \n\r\0#1a" as &[u8]), any::<u8>()];
    let damage =
        (0..12_u8, any::<(Index, Index)>(), byte).prop_map(|(kind, (at, to), byte)| match kind {
            0..=3 => Damage::Set(at, byte),
            4..=6 => Damage::Insert(at, byte),
            7..=9 => Damage::Remove(at),
            10 => Damage::Cut(at),
            _ => Damage::Repeat(at, to),
        });
    vec(damage, 1..4)
}

impl Damage {
    pub(crate) fn apply(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        match self {
            Damage::Set(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Damage::Insert(at, byte) => body.insert(at.index(body.len()), *byte),
            Damage::Remove(at) => {
                body.remove(at.index(body.len()));
            }
            Damage::Cut(at) => body.truncate(at.index(body.len())),
            Damage::Repeat(at, to) => {
                let (a, b) = (at.index(body.len()), to.index(body.len()));
                let piece = body[a.min(b)..a.max(b)].to_vec();
                body.extend(piece);
            }
        }
    }
}
