//! The types of metric families, and which samples belong to a histogram or summary by their names.

/// What the word in a TYPE line can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricType {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl MetricType {
    pub(super) fn from_word(word: &[u8]) -> Option<MetricType> {
        match word {
            b"counter" => Some(MetricType::Counter),
            b"gauge" => Some(MetricType::Gauge),
            b"histogram" => Some(MetricType::Histogram),
            b"summary" => Some(MetricType::Summary),
            b"untyped" => Some(MetricType::Untyped),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Summary => "summary",
            MetricType::Untyped => "untyped",
        }
    }

    /// Histogram or summary: samples named with a suffix belong to it.
    pub(super) fn has_children(self) -> bool {
        matches!(self, MetricType::Histogram | MetricType::Summary)
    }

    /// Whether a family of this type takes the samples that are named like it with this suffix.
    pub(super) fn takes(self, suffix: Suffix) -> bool {
        match self {
            MetricType::Histogram => true,
            MetricType::Summary => suffix != Suffix::Bucket,
            _ => false,
        }
    }

    /// The label whose values Prometheus rewrites as canonical floats while a TYPE line of this type stands.
    pub(super) fn float_label(self) -> Option<FloatLabel> {
        match self {
            MetricType::Histogram => Some(FloatLabel::Le),
            MetricType::Summary => Some(FloatLabel::Quantile),
            _ => None,
        }
    }
}

/// A label whose values are floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatLabel {
    Le,
    Quantile,
}

impl FloatLabel {
    pub(super) fn of_name(name: &[u8]) -> Option<FloatLabel> {
        match name {
            b"le" => Some(FloatLabel::Le),
            b"quantile" => Some(FloatLabel::Quantile),
            _ => None,
        }
    }
}

/// The end of the name of a sample that belongs to a histogram or summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffix {
    Bucket,
    Sum,
    Count,
}

/// Splits the name of a sample into the name of the family it would belong to and the suffix.
pub(super) fn split_suffix(name: &[u8]) -> Option<(&[u8], Suffix)> {
    let suffixes: [(&[u8], Suffix); 3] = [
        (b"_bucket", Suffix::Bucket),
        (b"_sum", Suffix::Sum),
        (b"_count", Suffix::Count),
    ];
    suffixes
        .into_iter()
        .find_map(|(end, suffix)| Some((name.strip_suffix(end)?, suffix)))
}
