//! Histograms: how many samples one has for Prometheus, and whether Prometheus would store it.
//!
//! Prometheus refuses a whole scrape for one invalid native histogram, and some versions panic over one with more
//! bucket values than its spans have. So everything that any version refuses is refused here.
//!
//! Source: `isNativeHistogram` in Prometheus' `model/textparse/protobufparse.go`, `Histogram.Validate` and
//! `FloatHistogram.Validate` in `model/histogram`.

use super::error::Problem;
use super::schema;
use super::wire::{Field, Fields, Value, WireError, low_32, zigzag_32, zigzag_64};

/// The fields of a histogram that decide whether it is native, and whether it is valid. It is used again for each
/// histogram.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    count: u64,
    count_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    positive: Side,
    negative: Side,
    /// The number of classic buckets up to the first without an upper bound.
    buckets: u64,
    has_infinite_bucket: bool,
}

/// The positive or the negative buckets of a native histogram.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<(i32, u32)>,
    /// The counts of an integer histogram, each as the difference to the one before.
    deltas: Vec<i64>,
    /// The counts of a float histogram.
    counts: Vec<f64>,
}

/// The schemas whose buckets grow exponentially. Prometheus 3.5 also stores others, and then fails every query for
/// the series; later versions refuse them, or store them at a lower resolution.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

impl Histogram {
    pub(super) fn clear(&mut self) {
        let (mut positive, mut negative) = (
            std::mem::take(&mut self.positive),
            std::mem::take(&mut self.negative),
        );
        positive.clear();
        negative.clear();
        *self = Histogram {
            positive,
            negative,
            ..Histogram::default()
        };
    }

    /// Reads one message. If a field is repeated, in one or in several messages, its last value counts; lists are
    /// appended.
    ///
    /// # Errors
    /// The bytes are not a histogram, at any depth.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<(), WireError> {
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.count = field.varint()?,
                2 => self.sum = field.double()?,
                3 => self.read_bucket(field.bytes()?)?,
                4 => self.count_float = field.double()?,
                5 => self.schema = zigzag_32(field.varint()?),
                6 => self.zero_threshold = field.double()?,
                7 => self.zero_count = field.varint()?,
                8 => self.zero_count_float = field.double()?,
                9 => self.negative.spans.push(span(field.bytes()?)?),
                10 => read_deltas(&mut self.negative.deltas, &field)?,
                11 => read_counts(&mut self.negative.counts, &field)?,
                12 => self.positive.spans.push(span(field.bytes()?)?),
                13 => read_deltas(&mut self.positive.deltas, &field)?,
                14 => read_counts(&mut self.positive.counts, &field)?,
                15 => schema::check(schema::TIMESTAMP, field.bytes()?)?,
                16 => schema::check(schema::EXEMPLAR, field.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_bucket(&mut self, message: &[u8]) -> Result<(), WireError> {
        let mut upper_bound = 0.0;
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => drop(field.varint()?),
                2 => upper_bound = field.double()?,
                3 => schema::check(schema::EXEMPLAR, field.bytes()?)?,
                4 => drop(field.double()?),
                _ => {}
            }
        }
        if !self.has_infinite_bucket {
            self.buckets += 1;
            self.has_infinite_bucket = upper_bound == f64::INFINITY;
        }
        Ok(())
    }

    /// Whether Prometheus reads it as a native histogram.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// Whether it is a classic histogram without observations.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_native() && self.count == 0 && self.count_float == 0.0
    }

    /// The number of samples that Prometheus counts for it: one if it is native, otherwise `_count`, `_sum` and one for
    /// each bucket. Prometheus adds the bucket without an upper bound if it is missing.
    pub(super) fn samples(&self) -> u64 {
        if self.is_native() {
            return 1;
        }
        2 + self.buckets + u64::from(!self.has_infinite_bucket)
    }

    /// Checks that Prometheus would store it. Classic histograms are always valid.
    ///
    /// # Errors
    /// The fields that contradict each other.
    pub(super) fn validate(&self) -> Result<(), Problem> {
        if !self.is_native() {
            return Ok(());
        }
        if !SCHEMAS.contains(&self.schema) {
            return Err(Problem::new("a schema from -4 to 8", self.schema));
        }
        if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            self.negative.check_counts()?;
            return self.positive.check_counts();
        }
        let in_buckets = self.negative.check_deltas()?;
        let in_buckets = in_buckets.wrapping_add(self.positive.check_deltas()?);
        let in_buckets = in_buckets.wrapping_add(self.zero_count);
        // Observations of NaN are counted, but are in no bucket.
        let fits = match self.sum.is_nan() {
            true => in_buckets <= self.count,
            false => in_buckets == self.count,
        };
        if fits {
            return Ok(());
        }
        let found = format!("a count of {} and {in_buckets} in the buckets", self.count);
        Err(Problem::new("a count that is that of the buckets", found))
    }
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
    }

    fn check_spans(&self, buckets: usize) -> Result<(), Problem> {
        if let Some((offset, _)) = self.spans.iter().skip(1).find(|(offset, _)| *offset < 0) {
            return Err(Problem::new("no negative offset of a later span", offset));
        }
        let in_spans: u64 = self
            .spans
            .iter()
            .map(|(_, length)| u64::from(*length))
            .sum();
        if in_spans == buckets as u64 {
            return Ok(());
        }
        let found = format!("spans of {in_spans} buckets and {buckets} counts");
        Err(Problem::new("spans with as many buckets as counts", found))
    }

    fn check_counts(&self) -> Result<(), Problem> {
        self.check_spans(self.counts.len())?;
        match self.counts.iter().find(|count| **count < 0.0) {
            Some(count) => Err(Problem::new("no negative count of a bucket", count)),
            None => Ok(()),
        }
    }

    /// Returns the number of observations in all buckets.
    fn check_deltas(&self) -> Result<u64, Problem> {
        self.check_spans(self.deltas.len())?;
        let (mut count, mut sum) = (0_i64, 0_u64);
        for delta in &self.deltas {
            count = count.wrapping_add(*delta);
            let positive = u64::try_from(count);
            let positive =
                positive.map_err(|_| Problem::new("no negative count of a bucket", count))?;
            sum = sum.wrapping_add(positive);
        }
        Ok(sum)
    }
}

/// Offset and length.
fn span(message: &[u8]) -> Result<(i32, u32), WireError> {
    let mut span = (0, 0);
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => span.0 = zigzag_32(field.varint()?),
            2 => span.1 = low_32(field.varint()?),
            _ => {}
        }
    }
    Ok(span)
}

fn read_deltas(deltas: &mut Vec<i64>, field: &Field<'_>) -> Result<(), WireError> {
    let Value::Bytes(packed) = field.value else {
        deltas.push(zigzag_64(field.varint()?));
        return Ok(());
    };
    if packed.is_ascii() {
        // Each has one byte.
        deltas.extend(packed.iter().map(|byte| zigzag_64(u64::from(*byte))));
        return Ok(());
    }
    let mut values = Fields::of(packed);
    while values.position() < packed.len() {
        deltas.push(zigzag_64(values.varint()?));
    }
    Ok(())
}

fn read_counts(counts: &mut Vec<f64>, field: &Field<'_>) -> Result<(), WireError> {
    let Value::Bytes(packed) = field.value else {
        counts.push(field.double()?);
        return Ok(());
    };
    let (doubles, []) = packed.as_chunks() else {
        return Err(WireError::Truncated);
    };
    counts.extend(doubles.iter().copied().map(f64::from_le_bytes));
    Ok(())
}
