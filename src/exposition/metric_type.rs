//! The types of metric families, and which samples belong to a histogram or summary by their names.

use super::Format;

/// What the word in a TYPE line can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricType {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// `unknown` in OpenMetrics.
    Untyped,
    /// OpenMetrics alone has this one and those below.
    Info,
    StateSet,
    GaugeHistogram,
}

impl MetricType {
    /// The type that this word means in the text format.
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

    /// The type that this word means in OpenMetrics.
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

    /// The word of a TYPE line in this format, or the nearest one that it has.
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

    /// The nearest type that the text format has. Under `histogram`, Prometheus would rewrite `le` values, which it
    /// does not do under `gaugehistogram`.
    pub(super) fn in_text(self) -> MetricType {
        match self {
            MetricType::Info | MetricType::StateSet => MetricType::Gauge,
            MetricType::GaugeHistogram => MetricType::Untyped,
            other => other,
        }
    }

    /// What samples of this type have behind the name of their family in OpenMetrics; in the text format it is a part
    /// of that name.
    pub(super) fn open_metrics_suffix(self) -> &'static [u8] {
        match self {
            MetricType::Counter => b"_total",
            MetricType::Info => b"_info",
            _ => b"",
        }
    }

    /// Histogram or summary: samples named with a suffix belong to it.
    pub(super) fn has_children(self) -> bool {
        matches!(self, MetricType::Histogram | MetricType::Summary)
    }

    /// Whether Prometheus knows start timestamps of this type.
    pub(super) fn has_start_timestamps(self) -> bool {
        self.has_children() || self == MetricType::Counter
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
