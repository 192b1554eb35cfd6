//! What a scraper accepts: its `Accept` header, reduced to what can be merged.
//!
//! A pod that gets the scraper's `Accept` sends what it would send to the scraper directly: the same names, exemplars
//! and native histograms. The ranges are therefore passed on to the pods in their order, with their weights and
//! `escaping`. They are not copied but written from what was parsed, and ranges that cannot be merged are left out.
//!
//! Source: RFC 9110, sections 5.6.6 and 12.5.1; what Prometheus sends: `acceptHeader` in its `scrape/scrape.go`.

use super::Format;
use super::content_type::{OPENMETRICS_VERSIONS, PROTOBUF_ENCODING, PROTOBUF_MESSAGE};
use super::escaping::Escaping;
use std::fmt::Write as _;

/// The formats that a scraper accepts, each with its version, weight and `escaping`.
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
    /// Whether the header named no format that can be merged.
    is_default: bool,
}

/// One range of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AcceptedRange {
    /// `None`: `*/*`.
    format: Option<Format>,
    /// Digits and dots; empty if none was given.
    version: String,
    escaping: Option<Escaping>,
    /// The weight, in thousandths.
    weight: u16,
}

/// Further ranges are ignored. Prometheus sends five or six.
const RANGES_MAX: usize = 16;
/// A longer header is cut at the last comma before this limit.
const HEADER_BYTES_MAX: usize = 4096;
/// A range with a longer version is ignored.
const VERSION_CHARS_MAX: usize = 16;
const WEIGHT_MAX: u16 = 1000;

impl Accept {
    /// Parses the header; an empty one counts as missing.
    ///
    /// Ranges that are malformed, have a weight of 0 or another media type are ignored. If no range but `*/*` is left,
    /// pods are asked for text.
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

    /// The `Accept` header for the pods: the scraper's, without the formats that cannot be merged.
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

    /// Whether a body in this format can be part of a response.
    ///
    /// Text and OpenMetrics always can. Protobuf can only if the scraper names it, because it cannot be converted to
    /// another format, and many scrapers that send `*/*` cannot read it.
    #[must_use]
    pub fn takes(&self, format: Format) -> bool {
        format != Format::Protobuf || self.place(format).is_some()
    }

    /// The format of the response, chosen from the formats of the bodies.
    ///
    /// Protobuf if any body has it, because protobuf cannot be converted. Otherwise the format with the highest weight,
    /// and of equal weights the first in the header. If the scraper accepts none of the bodies' formats, or there are
    /// no bodies, the response is text if the scraper accepts text, else the first format that it accepts.
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

    /// How to escape the names of a body in this format, in case its pod did not escape them as asked.
    ///
    /// Prometheus sends `escaping` only with its ranges for text and OpenMetrics, but means it for protobuf and `*/*`
    /// too.
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

    /// Whether the scraper may look for start timestamps in OpenMetrics. A Prometheus that stores them also asks for
    /// protobuf.
    #[must_use]
    pub fn may_read_start_timestamps(&self) -> bool {
        let names = |format| self.ranges.iter().any(|range| range.format == Some(format));
        names(Format::Protobuf) && names(Format::OpenMetrics)
    }

    fn range(&self, format: Format) -> Option<&AcceptedRange> {
        self.place(format).map(|place| &self.ranges[place])
    }

    /// The index of the range that applies to a format: the one with the highest weight among those that name it, and
    /// of equal weights the first. If none names it, `*/*` applies, but not to protobuf.
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

/// The weight in thousandths; `None` for 0, which means "not accepted". An invalid number counts as 1, as in
/// `ParseAccept` of the library that Go clients use (`goautoneg`).
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

/// The parts between separators; separators within quotes do not count.
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

/// The same as a missing header.
impl Default for Accept {
    fn default() -> Accept {
        Accept::parse("")
    }
}
