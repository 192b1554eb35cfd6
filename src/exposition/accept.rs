//! What a scraper accepts: its `Accept` header, reduced to what can be merged.
//!
//! A pod that is asked what the scraper asked sends what it would have sent to the scraper directly: other names,
//! exemplars, native histograms. So the ranges go on to the pods in their order, with their weights and `escaping`,
//! but written anew, and without those whose bodies cannot be merged.
//!
//! Source: RFC 9110, sections 5.6.6 and 12.5.1; what Prometheus sends: `acceptHeader` in its `scrape/scrape.go`.

use super::Format;
use super::content_type::{OPENMETRICS_VERSIONS, PROTOBUF_ENCODING, PROTOBUF_MESSAGE};
use super::escaping::Escaping;
use std::fmt::Write as _;

/// The formats that a scraper accepts, with what it says about each.
///
/// ```
/// use kubernetes_metrics_aggregator::exposition::{Accept, Format};
///
/// let openmetrics = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5";
/// let prometheus = format!("{openmetrics},text/plain;version=0.0.4;q=0.3");
/// let accept = Accept::parse(&prometheus);
/// assert_eq!(accept.for_pods(), prometheus);
/// // One pod sent OpenMetrics, the others text.
/// assert_eq!(accept.best([Format::Text, Format::OpenMetrics]), Format::OpenMetrics);
/// assert_eq!(
///     accept.content_type(Format::OpenMetrics),
///     "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
/// );
/// // A browser accepts everything and prefers nothing that can be merged: pods are asked for text.
/// let browser = Accept::parse("text/html,*/*;q=0.8");
/// assert_eq!(browser.for_pods(), "text/plain;version=0.0.4;q=1,*/*;q=0.1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// In the order of the header; never empty.
    ranges: Vec<AcceptedRange>,
    /// Whether the scraper said nothing about formats that can be merged.
    is_default: bool,
}

/// One range of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AcceptedRange {
    /// `None`: `*/*`.
    format: Option<Format>,
    /// Digits and dots; empty: none was given.
    version: String,
    escaping: Option<Escaping>,
    /// The weight, in thousandths.
    weight: u16,
}

/// More ranges are not looked at. Prometheus sends five or six.
const RANGES_MAX: usize = 16;
/// Of a longer header only the ranges are looked at that end before.
const HEADER_BYTES_MAX: usize = 4096;
/// A version with more characters is not understood.
const VERSION_CHARS_MAX: usize = 16;
const WEIGHT_MAX: u16 = 1000;

impl Accept {
    /// Reads the header; an empty one is as none.
    ///
    /// Ranges that are malformed, have a weight of 0 or another media type are ignored. Without any that can be merged,
    /// `*/*` aside, it is text that is asked for.
    #[must_use]
    pub fn parse(header: &str) -> Accept {
        let cut = header
            .get(..HEADER_BYTES_MAX)
            .map_or(header, |start| &start[..start.rfind(',').unwrap_or(0)]);
        let ranges: Vec<AcceptedRange> = split_outside_quotes(cut, ',')
            .filter_map(AcceptedRange::parse)
            .take(RANGES_MAX)
            .collect();
        if ranges.iter().any(|range| range.format.is_some()) {
            return Accept {
                ranges,
                is_default: false,
            };
        }
        let text = AcceptedRange {
            format: Some(Format::Text),
            version: "0.0.4".to_owned(),
            escaping: None,
            weight: WEIGHT_MAX,
        };
        let rest = AcceptedRange {
            format: None,
            version: String::new(),
            weight: 100,
            ..text.clone()
        };
        Accept {
            ranges: vec![text, rest],
            is_default: true,
        }
    }

    /// The `Accept` header for the pods: as the scraper wrote it, but for what cannot be merged.
    #[must_use]
    pub fn for_pods(&self) -> String {
        let mut header = String::new();
        for range in &self.ranges {
            if !header.is_empty() {
                header.push(',');
            }
            range.write(&mut header);
        }
        header
    }

    /// Whether a body in this format can be part of a response. One in protobuf only if the scraper names it: many say
    /// `*/*` that cannot read it, and it cannot be converted to another format.
    #[must_use]
    pub fn takes(&self, format: Format) -> bool {
        format != Format::Protobuf || self.place(format).is_some()
    }

    /// Of the formats that bodies came in the one to respond with: the one that the scraper ranks highest, the first of
    /// those that it ranks alike. Protobuf if any body came in it: what that says has no other form. If no body came,
    /// or none in a format that the scraper accepts, it is text, or else what the scraper accepts.
    #[must_use]
    pub fn best(&self, came: impl IntoIterator<Item = Format>) -> Format {
        let rank = |format: &Format| {
            let place = self.place(*format)?;
            let is_protobuf = *format == Format::Protobuf;
            Some((is_protobuf, self.ranges[place].weight, usize::MAX - place))
        };
        let accepted = came.into_iter().filter(|format| rank(format).is_some());
        let others = [Format::Text, Format::OpenMetrics, Format::Protobuf];
        let other = || others.into_iter().find(|format| rank(format).is_some());
        accepted
            .max_by_key(rank)
            .or_else(other)
            .unwrap_or(Format::Text)
    }

    /// How the names of a body in this format are written, if its pod did not escape them as it was asked to.
    ///
    /// Prometheus says it with its ranges of text and OpenMetrics only, and means protobuf too, and what it accepts as
    /// `*/*`.
    #[must_use]
    pub fn escaping(&self, format: Format) -> Escaping {
        let range = self.range(format);
        let mut escaping = range.and_then(|range| range.escaping);
        if format == Format::Protobuf || range.is_some_and(|range| range.format.is_none()) {
            let said = self.ranges.iter().find_map(|range| range.escaping);
            escaping = escaping.or(said);
        }
        match escaping {
            Some(escaping) => escaping,
            None if self.is_default => Escaping::AllowUtf8,
            None => Escaping::Underscores,
        }
    }

    /// The Content-Type of a response in this format.
    #[must_use]
    pub fn content_type(&self, format: Format) -> String {
        let range = self.range(format);
        let version = range.map_or("", |range| range.version.as_str());
        let escaping = range.and_then(|range| range.escaping);
        let mut value = match format {
            Format::OpenMetrics => {
                let version = if version == "0.0.1" { version } else { "1.0.0" };
                format!("application/openmetrics-text; version={version}; charset=utf-8")
            }
            Format::Text => {
                let version = if version == "1.0.0" { version } else { "0.0.4" };
                format!("text/plain; version={version}; charset=utf-8")
            }
            Format::Protobuf => {
                let media_type = format.media_type();
                format!("{media_type}; proto={PROTOBUF_MESSAGE}; encoding={PROTOBUF_ENCODING}")
            }
        };
        if let Some(escaping) = escaping {
            // Writing to a String cannot fail.
            let _ = write!(value, "; escaping={}", escaping.word());
        }
        value
    }

    /// Whether the scraper may look for start timestamps in OpenMetrics: a Prometheus that stores them asks for
    /// protobuf too.
    #[must_use]
    pub fn may_read_start_timestamps(&self) -> bool {
        let names = |format| self.ranges.iter().any(|range| range.format == Some(format));
        names(Format::Protobuf) && names(Format::OpenMetrics)
    }

    fn range(&self, format: Format) -> Option<&AcceptedRange> {
        self.place(format).map(|place| &self.ranges[place])
    }

    /// The place of the range that speaks for a format: of those for it the one with the highest weight, else `*/*`,
    /// which does not speak for protobuf. Of equals it is the first.
    fn place(&self, format: Format) -> Option<usize> {
        let best = |wanted: Option<Format>| {
            let places = (0..self.ranges.len()).rev();
            let matching = places.filter(move |place| self.ranges[*place].format == wanted);
            matching.max_by_key(|place| self.ranges[*place].weight)
        };
        best(Some(format)).or_else(|| best(None).filter(|_| format != Format::Protobuf))
    }
}

impl AcceptedRange {
    fn parse(text: &str) -> Option<AcceptedRange> {
        let mut parts = split_outside_quotes(text, ';');
        let media_type = parts.next()?.trim().to_ascii_lowercase();
        let mut range = AcceptedRange {
            format: match media_type.as_str() {
                "*/*" => None,
                media_type => Some(Format::from_media_type(media_type)?),
            },
            version: String::new(),
            escaping: None,
            weight: WEIGHT_MAX,
        };
        let (mut message, mut encoding) = ("", "");
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.weight = weight(value)?,
                "version" => range.version = value.to_owned(),
                "proto" => message = value,
                "encoding" => encoding = value,
                "escaping" => range.escaping = Escaping::from_word(value),
                _ => {}
            }
        }
        let is_understood = match range.format {
            None => {
                range.version.clear();
                true
            }
            Some(Format::Text) => is_version(&range.version),
            Some(Format::OpenMetrics) => OPENMETRICS_VERSIONS.contains(&range.version.as_str()),
            Some(Format::Protobuf) => {
                range.version.clear();
                (message, encoding) == (PROTOBUF_MESSAGE, PROTOBUF_ENCODING)
            }
        };
        is_understood.then_some(range)
    }

    fn write(&self, out: &mut String) {
        out.push_str(self.format.map_or("*/*", Format::media_type));
        // Writing to a String cannot fail.
        if self.format == Some(Format::Protobuf) {
            let _ = write!(
                out,
                ";proto={PROTOBUF_MESSAGE};encoding={PROTOBUF_ENCODING}"
            );
        }
        if !self.version.is_empty() {
            let _ = write!(out, ";version={}", self.version);
        }
        if let Some(escaping) = self.escaping {
            let _ = write!(out, ";escaping={}", escaping.word());
        }
        let (whole, rest) = (self.weight / WEIGHT_MAX, self.weight % WEIGHT_MAX);
        let _ = match rest {
            0 => write!(out, ";q={whole}"),
            _ => write!(out, ";q=0.{}", format!("{rest:03}").trim_end_matches('0')),
        };
    }
}

/// The weight in thousandths; `None` for 0, which says that the range is not accepted. What is no number counts as 1,
/// as in the library that Go clients use.
fn weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !text.is_empty()
        && [whole, fraction]
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_number || !whole.trim_start_matches('0').is_empty() {
        return Some(WEIGHT_MAX);
    }
    let thousandths: u16 = fraction
        .bytes()
        .chain(*b"000")
        .take(3)
        .fold(0, |n, digit| 10 * n + u16::from(digit - b'0'));
    (thousandths > 0).then_some(thousandths)
}

fn is_version(text: &str) -> bool {
    text.len() <= VERSION_CHARS_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The parts between separators, of which those within quotes do not count.
fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && c == '\\' && !was_escaped;
        if c == '"' && !was_escaped {
            is_quoted = !is_quoted;
        }
        c == separator && !is_quoted
    })
}

/// As without the header.
impl Default for Accept {
    fn default() -> Accept {
        Accept::parse("")
    }
}
