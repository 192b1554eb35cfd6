//! The types of metric families, and which samples belong to a histogram or summary by their names.

use super::Format;

/// The type in a TYPE line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricType {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// `unknown` in OpenMetrics.
    Untyped,
    /// OpenMetrics only, like the two below.
    Info,
    StateSet,
    GaugeHistogram,
}

impl MetricType {
    /// The type of this word in the text format.
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

    /// The type of this word in OpenMetrics.
    pub(super) fn from_open_metrics(word: &[u8]) -> Option<MetricType> {
        match word {
            b"unknown" => Some(MetricType::Untyped),
            b"info" => Some(MetricType::Info),
            b"stateset" => Some(MetricType::StateSet),
            b"gaugehistogram" => Some(MetricType::GaugeHistogram),
            b"untyped" => None,
            _ => MetricType::from_word(word),
        }
    }

    /// The word for this type, or for the nearest one that the format has.
    pub(super) fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (MetricType::Counter, _) => "counter",
            (MetricType::Gauge, _) => "gauge",
            (MetricType::Histogram, _) => "histogram",
            (MetricType::Summary, _) => "summary",
            (MetricType::Untyped, Format::OpenMetrics) => "unknown",
            (MetricType::Untyped, _) => "untyped",
            (MetricType::Info, Format::OpenMetrics) => "info",
            (MetricType::StateSet, Format::OpenMetrics) => "stateset",
            (MetricType::GaugeHistogram, Format::OpenMetrics) => "gaugehistogram",
            (_, _) => self.in_text().word(format),
        }
    }

    /// The nearest type of the text format. A gauge histogram is not made a histogram: Prometheus rewrites the values
    /// of `le` under `histogram`, but not under `gaugehistogram`.
    pub(super) fn in_text(self) -> MetricType {
        match self {
            MetricType::Info | MetricType::StateSet => MetricType::Gauge,
            MetricType::GaugeHistogram => MetricType::Untyped,
            other => other,
        }
    }

    /// The suffix that samples of this type add to the name of their family in OpenMetrics. In the text format it is
    /// part of the family's name.
    pub(super) fn open_metrics_suffix(self) -> &'static [u8] {
        match self {
            MetricType::Counter => b"_total",
            MetricType::Info => b"_info",
            _ => b"",
        }
    }

    /// Whether samples with a suffix belong to it: histograms and summaries.
    pub(super) fn has_children(self) -> bool {
        matches!(self, MetricType::Histogram | MetricType::Summary)
    }

    /// Whether Prometheus reads start timestamps of this type.
    pub(super) fn has_start_timestamps(self) -> bool {
        self.has_children() || self == MetricType::Counter
    }

    /// Whether samples with the family's name and this suffix belong to a family of this type.
    pub(super) fn takes(self, suffix: Suffix) -> bool {
        match self {
            MetricType::Histogram => true,
            MetricType::Summary => suffix != Suffix::Bucket,
            _ => false,
        }
    }

    /// The label whose values Prometheus rewrites as canonical floats under a TYPE line of this type.
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
