//! One body of any format, the reasons to refuse it, and what one target adds to a response.

use super::protobuf::{ProtobufBody, ProtobufError};
use super::{Exposition, Format, IdentityLabels, LineError, LineErrorKind, Report, SeriesCache};
use std::fmt;

/// What one target adds to a response.
#[derive(Debug)]
pub struct TargetResult {
    /// The labels with which the body was parsed.
    pub labels: IdentityLabels,
    /// `None` if the scrape failed.
    pub body: Option<Body>,
    /// Becomes the series `up` and two more, with only the identity labels.
    pub report: Report,
}

impl TargetResult {
    /// The body, if it has lines.
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
    /// Validates a body in protobuf of a target with these labels, and keeps the families that are asked for.
    ///
    /// # Errors
    /// [`BodyError::NotAsked`] if the scraper does not name protobuf, [`BodyError::Protobuf`] with the first fault, or
    /// [`BodyError::TooManySamples`] if more samples would be kept than may be.
    pub fn protobuf(
        body: Vec<u8>,
        labels: &IdentityLabels,
        cache: &SeriesCache,
    ) -> Result<Body, BodyError> {
        let asked = cache.asked();
        if !asked.accept.takes(Format::Protobuf) {
            return Err(BodyError::NotAsked);
        }
        let body = cache.known_bodies().read(body, labels, asked);
        Body::of_protobuf(body.map_err(BodyError::Protobuf)?, cache)
    }

    /// The same as [`Body::protobuf`] in less time and memory, if the body has the series of one before it.
    #[must_use]
    pub fn known_protobuf(
        body: &[u8],
        labels: &IdentityLabels,
        cache: &SeriesCache,
    ) -> Option<Result<Body, BodyError>> {
        let body = cache.known_bodies().same_series(body, labels)?;
        Some(Body::of_protobuf(body, cache))
    }

    fn of_protobuf(body: ProtobufBody, cache: &SeriesCache) -> Result<Body, BodyError> {
        let (found, max) = (body.samples(), cache.samples_max());
        if found - body.duplicates_dropped() > max {
            return Err(BodyError::TooManySamples { found, max });
        }
        Ok(Body::Protobuf(body))
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

    /// The number of samples that were dropped. A sample is dropped if an earlier one has the same series and the same
    /// timestamp, or neither has a timestamp, or if its series is one that the aggregator adds for every target.
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

/// Why a complete body was refused. None of its samples is used.
#[derive(Debug)]
pub enum BodyError {
    /// A malformed line.
    Line(LineError),
    /// A malformed body in protobuf.
    Protobuf(ProtobufError),
    /// A body in protobuf, which the scraper did not ask for.
    NotAsked,
    /// More samples than a target may have.
    TooManySamples {
        /// All samples of the body, with duplicates, as Prometheus counts them for `sample_limit`.
        found: u64,
        /// The limit, without duplicates.
        max: u64,
    },
}

impl BodyError {
    /// The value of `scrape_samples_scraped` for this scrape, as Prometheus stores it: the samples before the fault.
    #[must_use]
    pub fn samples_before(&self) -> u64 {
        match self {
            BodyError::Line(error) => error.samples_before,
            BodyError::Protobuf(error) => error.samples_before,
            BodyError::NotAsked => 0,
            BodyError::TooManySamples { found, .. } => *found,
        }
    }
}

impl From<LineError> for BodyError {
    fn from(error: LineError) -> BodyError {
        match error.kind {
            LineErrorKind::Samples(max) => BodyError::TooManySamples {
                found: error.samples_before,
                max,
            },
            _ => BodyError::Line(error),
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
            BodyError::TooManySamples { found, max } => {
                let remedy = "raise MAX_SAMPLES, or have the pod serve fewer";
                write!(f, "{found} samples, over the limit of {max}; {remedy}")
            }
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BodyError::Line(error) => Some(error),
            BodyError::Protobuf(error) => Some(error),
            BodyError::NotAsked | BodyError::TooManySamples { .. } => None,
        }
    }
}
