//! One body: read or converted as a whole, then written with the labels of its target, piece by piece.

use super::ProtobufError;
use super::body_reader::BodyReader;
use super::from_lines;
use super::same_series::{KnownBody, SameSeries};
use super::spliced::{Position, SplicedBody};
use crate::exposition::{Asked, Exposition, IdentityLabels};
use std::sync::{Arc, Mutex, MutexGuard};

/// One complete, valid body, ready to be written with the labels of its target.
#[derive(Debug)]
pub struct ProtobufBody(Content);

#[derive(Debug)]
enum Content {
    Spliced(Arc<SplicedBody>),
    /// The values of a body that has the series of another one.
    SameSeries(SameSeries),
}

impl ProtobufBody {
    /// Validates a body of a target with these labels, and keeps the families that are asked for, with their names
    /// escaped for the scraper.
    ///
    /// # Errors
    /// The first fault for which Prometheus refuses the whole body, or two label names that become the same by
    /// escaping.
    pub fn read(
        body: Vec<u8>,
        target: &IdentityLabels,
        asked: &Asked,
    ) -> Result<ProtobufBody, ProtobufError> {
        let families = BodyReader::read(&body, target, asked)?;
        let body = Arc::new(SplicedBody { body, families });
        Ok(ProtobufBody(Content::Spliced(body)))
    }

    /// Converts a body of text or OpenMetrics that was parsed for the same target. Prometheus stores the same series,
    /// values and timestamps, and the exemplars of counters and buckets.
    ///
    /// Histograms and summaries that protobuf cannot express become untyped families, one for each name. These are
    /// lost: other exemplars, HELP and TYPE without samples, and types that protobuf does not have.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is converted is not needed any more"
    )]
    pub fn convert(exposition: Exposition, target: &IdentityLabels) -> ProtobufBody {
        let body = from_lines::convert(&exposition, target);
        ProtobufBody(Content::Spliced(Arc::new(body)))
    }

    /// The number of samples in the body as Prometheus counts them for `scrape_samples_scraped`: with duplicates, and a
    /// native histogram as one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match &self.0 {
            Content::Spliced(spliced) => spliced.families.samples,
            Content::SameSeries(same) => same.samples,
        }
    }

    /// The number of metrics that were dropped. A metric is dropped if an earlier one has the same series and the same
    /// timestamp, or neither has a timestamp, or if its series is one that the aggregator adds for every target.
    #[must_use]
    pub fn duplicates_dropped(&self) -> u64 {
        match &self.0 {
            Content::Spliced(spliced) => spliced.families.duplicates_dropped,
            Content::SameSeries(_) => 0,
        }
    }

    /// The length in bytes with the labels of its target.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Content::Spliced(spliced) => spliced.families.len,
            Content::SameSeries(same) => same.len,
        }
    }

    /// Whether the body has no families to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub(in crate::exposition) fn held_bytes(&self) -> usize {
        match &self.0 {
            Content::Spliced(spliced) => spliced.held_bytes(),
            Content::SameSeries(same) => same.held_bytes(),
        }
    }

    /// Writes the body from the position on, until `out` has at least `enough` bytes or the body ends. Returns `false`
    /// at its end. The labels of the target must be those with which the body was read.
    pub fn write(
        &self,
        target: &IdentityLabels,
        position: &mut Position,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> bool {
        match &self.0 {
            Content::Spliced(spliced) => spliced.write(target, position, out, enough),
            Content::SameSeries(same) => same.write(target, position, out, enough),
        }
    }
}

/// The bodies of one request that other bodies are compared with: pods of a job mostly send the same series.
#[derive(Debug, Default)]
pub(in crate::exposition) struct KnownBodies(Mutex<Vec<Arc<KnownBody>>>);

/// How many bodies are kept for this. Pods of a job run one version of a program, or two in a rollout.
const KNOWN_BODIES_MAX: usize = 2;

impl KnownBodies {
    /// The same as [`KnownBodies::read`], with less time and memory. `None` if no known body has the same series.
    pub(in crate::exposition) fn same_series(
        &self,
        body: &[u8],
        target: &IdentityLabels,
    ) -> Option<ProtobufBody> {
        let known = self.known().clone();
        let mut same = known
            .iter()
            .filter_map(|known| SameSeries::read(known, body, target));
        same.next()
            .map(|same| ProtobufBody(Content::SameSeries(same)))
    }

    /// The same as [`ProtobufBody::read`]. `asked` must be the same for all bodies.
    ///
    /// # Errors
    /// As [`ProtobufBody::read`].
    pub(in crate::exposition) fn read(
        &self,
        body: Vec<u8>,
        target: &IdentityLabels,
        asked: &Asked,
    ) -> Result<ProtobufBody, ProtobufError> {
        let read = ProtobufBody::read(body, target, asked)?;
        if let Content::Spliced(spliced) = &read.0
            && self.known().len() < KNOWN_BODIES_MAX
            && let Some(new) = KnownBody::new(spliced, target)
        {
            // Other threads may have read such a body meanwhile.
            if let Some(same) = self.same_series(&spliced.body, target) {
                return Ok(same);
            }
            let mut known = self.known();
            if known.len() < KNOWN_BODIES_MAX {
                known.push(Arc::new(new));
            }
        }
        Ok(read)
    }

    fn known(&self) -> MutexGuard<'_, Vec<Arc<KnownBody>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}
