//! What Prometheus stores of a body in protobuf: slow and obvious, by the rules of its
//! `model/textparse/protobufparse.go`.

use super::client_model::{Exemplar, Histogram, LabelPair, Metric, MetricFamily, Summary};

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredSample {
    pub(crate) name: String,
    /// In the order of their names.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    /// `None`: that of the scrape.
    pub(crate) milliseconds: Option<i64>,
    pub(crate) exemplar: Option<StoredExemplar>,
}

/// The exemplar of a sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredExemplar {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    pub(crate) milliseconds: Option<i64>,
}

/// In the order of the body. Of histograms only classic ones.
pub(crate) fn stored(families: &[MetricFamily]) -> Vec<StoredSample> {
    let metrics = families
        .iter()
        .flat_map(|family| family.metric.iter().map(move |metric| (family, metric)));
    metrics
        .flat_map(|(family, metric)| of_metric(family, metric))
        .collect()
}

fn of_metric(family: &MetricFamily, metric: &Metric) -> Vec<StoredSample> {
    let name = family.name.as_deref().unwrap();
    let sample = |end: &str, bound: Option<(&str, f64)>, value: f64| {
        let mut labels = pairs(&metric.label);
        labels.extend(bound.map(|(label, bound)| (label.to_owned(), open_metrics_float(bound))));
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort();
        StoredSample {
            name: format!("{name}{end}"),
            labels,
            value,
            milliseconds: metric.timestamp_ms.filter(|timestamp| *timestamp != 0),
            exemplar: None,
        }
    };
    let one = |value: Option<f64>| vec![sample("", None, value.unwrap_or_default())];
    match family.r#type.unwrap_or_default() {
        0 => {
            let counter = metric.counter.clone().unwrap_or_default();
            let mut samples = one(counter.value);
            samples[0].exemplar = counter.exemplar.as_ref().map(exemplar);
            samples
        }
        1 => one(metric.gauge.as_ref().and_then(|gauge| gauge.value)),
        2 => of_summary(&metric.summary.clone().unwrap_or_default(), sample),
        3 => one(metric.untyped.as_ref().and_then(|untyped| untyped.value)),
        _ => of_histogram(&metric.histogram.clone().unwrap_or_default(), sample),
    }
}

fn of_summary(
    summary: &Summary,
    sample: impl Fn(&str, Option<(&str, f64)>, f64) -> StoredSample,
) -> Vec<StoredSample> {
    let count = summary.sample_count.unwrap_or_default() as f64;
    let mut samples = vec![
        sample("_count", None, count),
        sample("_sum", None, summary.sample_sum.unwrap_or_default()),
    ];
    samples.extend(summary.quantile.iter().map(|quantile| {
        let bound = ("quantile", quantile.quantile.unwrap_or_default());
        sample("", Some(bound), quantile.value.unwrap_or_default())
    }));
    samples
}

/// Prometheus ignores buckets after the one without an upper bound; if that is missing, it adds one.
fn of_histogram(
    histogram: &Histogram,
    sample: impl Fn(&str, Option<(&str, f64)>, f64) -> StoredSample,
) -> Vec<StoredSample> {
    assert!(histogram.positive_span.is_empty() && histogram.zero_threshold.is_none());
    let count = either(histogram.sample_count_float, histogram.sample_count);
    let mut samples = vec![
        sample("_count", None, count),
        sample("_sum", None, histogram.sample_sum.unwrap_or_default()),
    ];
    for bucket in &histogram.bucket {
        let bound = bucket.upper_bound.unwrap_or_default();
        let value = either(bucket.cumulative_count_float, bucket.cumulative_count);
        samples.push(StoredSample {
            exemplar: bucket.exemplar.as_ref().map(exemplar),
            ..sample("_bucket", Some(("le", bound)), value)
        });
        if bound == f64::INFINITY {
            return samples;
        }
    }
    samples.push(sample("_bucket", Some(("le", f64::INFINITY)), count));
    samples
}

fn either(float: Option<f64>, whole: Option<u64>) -> f64 {
    match float {
        Some(float) if float != 0.0 => float,
        _ => whole.unwrap_or_default() as f64,
    }
}

fn exemplar(exemplar: &Exemplar) -> StoredExemplar {
    let timestamp = exemplar.timestamp.as_ref();
    StoredExemplar {
        labels: pairs(&exemplar.label),
        value: exemplar.value.unwrap_or_default(),
        milliseconds: timestamp.map(|timestamp| {
            let nanos = i64::from(timestamp.nanos.unwrap_or_default());
            timestamp.seconds.unwrap_or_default() * 1000 + nanos / 1_000_000
        }),
    }
}

fn pairs(labels: &[LabelPair]) -> Vec<(String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    labels
        .iter()
        .map(|pair| (text(&pair.name), text(&pair.value)))
        .collect()
}

/// As `formatOpenMetricsFloat`: Go's format `g`, and `.0` behind what would look like an integer.
fn open_metrics_float(float: f64) -> String {
    let text = match float {
        _ if float == 0.0 => "0".to_owned(),
        _ if float.is_nan() => return "NaN".to_owned(),
        _ if float.is_infinite() => return if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        _ if (1e-4..1e6).contains(&float.abs()) => float.to_string(),
        _ => {
            let text = format!("{float:e}");
            let (digits, exponent) = text.split_once('e').unwrap();
            let exponent: i32 = exponent.parse().unwrap();
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    };
    match text.contains(['e', '.']) {
        true => text,
        false => text + ".0",
    }
}
