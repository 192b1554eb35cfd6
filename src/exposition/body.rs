//! One body of any format, or why there is none, and the share of its target in a response.

use super::protobuf::{ProtobufBody, ProtobufError};
use super::{Asked, Exposition, Format, IdentityLabels, LineError, Report};
use std::fmt;

/// The share of one target in a response.
#[derive(Debug)]
pub struct Part {
    /// The same as its body was read for.
    pub labels: IdentityLabels,
    /// `None` if the scrape failed.
    pub body: Option<Body>,
    /// Written for every target, with the identity labels alone.
    pub report: Report,
}

impl Part {
    /// The body, if it is one of lines.
    pub(super) fn exposition(&self) -> Option<&Exposition> {
        match &self.body {
            Some(Body::Lines(exposition)) => Some(exposition),
            _ => None,
        }
    }
}

/// One complete, valid body.
#[derive(Debug)]
pub enum Body {
    /// In the text format or in OpenMetrics.
    Lines(Exposition),
    /// In protobuf.
    Protobuf(ProtobufBody),
}

impl Body {
    /// Takes in what is asked for of a body in protobuf, for a target with these labels.
    ///
    /// # Errors
    /// [`BodyError::NotAsked`] if the scraper does not name protobuf, else the first fault.
    pub fn protobuf(
        body: Vec<u8>,
        labels: &IdentityLabels,
        asked: &Asked,
    ) -> Result<Body, BodyError> {
        if !asked.accept.takes(Format::Protobuf) {
            return Err(BodyError::NotAsked);
        }
        let body = ProtobufBody::read(body, labels, asked);
        body.map(Body::Protobuf).map_err(BodyError::Protobuf)
    }

    /// The format of the body.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Body::Lines(exposition) => exposition.format(),
            Body::Protobuf(_) => Format::Protobuf,
        }
    }

    /// Number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: duplicates included, a
    /// native histogram as one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match self {
            Body::Lines(exposition) => exposition.samples(),
            Body::Protobuf(body) => body.samples(),
        }
    }

    /// Number of samples that were left out: because the same series with the same timestamp, or also without one,
    /// stands before them, or because their series is one of those that are reported for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        match self {
            Body::Lines(exposition) => exposition.duplicates_dropped(),
            Body::Protobuf(body) => body.duplicates_dropped(),
        }
    }
}

impl From<Exposition> for Body {
    fn from(exposition: Exposition) -> Body {
        Body::Lines(exposition)
    }
}

/// Why a complete body was refused as a whole.
#[derive(Debug)]
pub enum BodyError {
    /// A malformed line.
    Line(LineError),
    /// A malformed body in protobuf.
    Protobuf(ProtobufError),
    /// A body in protobuf, which the scraper did not ask for.
    NotAsked,
}

impl BodyError {
    /// What Prometheus stores as `scrape_samples_scraped` of such a scrape: the samples before the fault.
    #[must_use]
    pub fn samples_before(&self) -> u64 {
        match self {
            BodyError::Line(error) => error.samples_before,
            BodyError::Protobuf(error) => error.samples_before,
            BodyError::NotAsked => 0,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Line(error) => error.fmt(f),
            BodyError::Protobuf(error) => error.fmt(f),
            BodyError::NotAsked => f.write_str(
                "expected text or OpenMetrics, as the pod was asked, found protobuf; \
                 let the pod heed the Accept header, or the scraper ask for protobuf",
            ),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BodyError::Line(error) => Some(error),
            BodyError::Protobuf(error) => Some(error),
            BodyError::NotAsked => None,
        }
    }
}
