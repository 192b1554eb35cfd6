//! The format of a body, by its Content-Type.

use std::fmt;

/// The formats that can be merged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`: the Prometheus text format.
    #[default]
    Text,
    /// `application/openmetrics-text`, version 0.0.1 or 1.0.0.
    OpenMetrics,
    /// `application/vnd.google.protobuf`: messages `io.prometheus.client.MetricFamily`, each after its length.
    Protobuf,
}

/// A Content-Type whose body cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentTypeError {
    /// Not a valid Content-Type, such as `text/` or `text/plain; version`.
    Malformed(String),
    /// Another format, such as HTML or JSON.
    Unsupported(String),
    /// OpenMetrics in an unknown version.
    Version(String),
    /// Protobuf with other messages, or not delimited.
    Encoding(String),
}

impl fmt::Display for ContentTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formats = "text/plain, application/openmetrics-text or application/vnd.google.protobuf";
        let (problem, value, expected) = match self {
            ContentTypeError::Malformed(value) => ("malformed", value, formats),
            ContentTypeError::Unsupported(value) => ("unsupported", value, formats),
            ContentTypeError::Version(value) => (
                "unknown version in",
                value,
                "version 1.0.0 or 0.0.1, as the pod was asked; its client library ignores the Accept header",
            ),
            ContentTypeError::Encoding(value) => (
                "unknown messages or encoding in",
                value,
                "proto=io.prometheus.client.MetricFamily and encoding=delimited, as the pod was asked; \
                 its client library ignores the Accept header",
            ),
        };
        let shown: String = value.chars().take(80).collect();
        write!(f, "{problem} Content-Type {shown:?}, expected {expected}")
    }
}

impl std::error::Error for ContentTypeError {}

impl Format {
    /// The format of a body with this Content-Type header.
    ///
    /// The rule is that of Prometheus 3 without a `fallback_scrape_protocol`, except that a missing header counts as
    /// text. Prometheus ignores the Content-Type of an empty body.
    ///
    /// # Errors
    /// One of [`ContentTypeError`]. A known media type with an invalid parameter is malformed, too.
    pub fn from_content_type(value: Option<&str>) -> Result<Format, ContentTypeError> {
        let Some(value) = value else {
            return Ok(Format::Text);
        };
        let (media_type, parameters) = match value.find(';') {
            Some(at) => value.split_at(at),
            None => (value, ""),
        };
        let media_type = media_type.trim().to_lowercase();
        let parameters = read_parameters(parameters).filter(|_| is_media_type(&media_type));
        let Some(parameters) = parameters else {
            return Err(ContentTypeError::Malformed(value.to_owned()));
        };
        let parameter = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name == wanted);
            found.map_or("", |(_, value)| value)
        };
        match Format::from_media_type(&media_type) {
            Some(Format::OpenMetrics) if !OPENMETRICS_VERSIONS.contains(&parameter("version")) => {
                Err(ContentTypeError::Version(value.to_owned()))
            }
            Some(Format::Protobuf)
                if !["", PROTOBUF_MESSAGE].contains(&parameter("proto"))
                    || !["", PROTOBUF_ENCODING].contains(&parameter("encoding")) =>
            {
                Err(ContentTypeError::Encoding(value.to_owned()))
            }
            Some(format) => Ok(format),
            None => Err(ContentTypeError::Unsupported(value.to_owned())),
        }
    }

    /// The format of a media type, given in lower case and without parameters.
    pub(super) fn from_media_type(media_type: &str) -> Option<Format> {
        let formats = [Format::Text, Format::OpenMetrics, Format::Protobuf];
        formats
            .into_iter()
            .find(|format| format.media_type() == media_type)
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            Format::OpenMetrics => "application/openmetrics-text",
            Format::Protobuf => "application/vnd.google.protobuf",
        }
    }
}

/// The values of `proto` and `encoding` with which a protobuf body can be merged.
pub(super) const PROTOBUF_MESSAGE: &str = "io.prometheus.client.MetricFamily";
pub(super) const PROTOBUF_ENCODING: &str = "delimited";

/// A token, or two with a slash between them.
fn is_media_type(text: &str) -> bool {
    let is_whole_token = |part: &str| !part.is_empty() && token(part).1.is_empty();
    match text.split_once('/') {
        Some((kind, subtype)) => is_whole_token(kind) && is_whole_token(subtype),
        None => is_whole_token(text),
    }
}

/// Splits off the leading token (RFC 2045).
fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?=".contains(c))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The versions of OpenMetrics that can be merged. A missing version counts as 1.0.0. Version 2.0.0 has other rules.
pub(super) const OPENMETRICS_VERSIONS: [&str; 3] = ["", "0.0.1", "1.0.0"];

/// The names, in lower case, and values of a list `; name=value; …`, which may end with a `;`. `None` if it is
/// malformed or if a name has two different values.
fn read_parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim_start();
    let mut seen: Vec<(String, String)> = Vec::new();
    while !rest.is_empty() {
        let Some((name, value, after)) = parameter(rest) else {
            return (rest.trim() == ";").then_some(seen);
        };
        let name = name.to_lowercase();
        if seen.iter().any(|(n, v)| *n == name && *v != value) {
            return None;
        }
        seen.push((name, value));
        rest = after.trim_start();
    }
    Some(seen)
}

fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = token(text.strip_prefix(';')?.trim_start());
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, rest) = quoted_string(quoted)?;
        return Some((name, value, rest));
    }
    let (value, rest) = token(rest);
    (!value.is_empty()).then(|| (name, value.to_owned(), rest))
}

/// The value of a quoted string, given without its opening quote, and the text after it.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            '\r' | '\n' => return None,
            _ => value.push(c),
        }
    }
    None
}
