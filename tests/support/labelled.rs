//! What splicing must make of a body in protobuf: slow and obvious, on messages that prost has decoded.

use super::client_model::{Gauge, LabelPair, Metric, MetricFamily};

/// The names of the series that are reported for every target.
pub(crate) const REPORTED: [&str; 3] = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];

/// The families of a valid body with the labels of a target, without duplicates and reported series. Metrics of several
/// series are left alone: Prometheus may keep some of them.
pub(crate) fn labelled(families: &[MetricFamily], target: &[(&str, &str)]) -> Vec<MetricFamily> {
    let mut seen = Vec::new();
    let mut labelled = Vec::new();
    for family in families {
        let name = family.name.clone().unwrap_or_default();
        let metric_type = family.r#type.unwrap_or_default();
        let is_one_series = [0, 1, 3].contains(&metric_type);
        let mut kept = MetricFamily {
            metric: Vec::new(),
            ..family.clone()
        };
        for metric in &family.metric {
            let mut pairs = with_value(&metric.label);
            pairs.sort();
            let is_reported = REPORTED.contains(&name.as_str()) && pairs.is_empty();
            if is_reported && (is_one_series || [4, 5].contains(&metric_type) && is_native(metric))
            {
                continue;
            }
            let series = (name.clone(), pairs, metric.timestamp_ms.unwrap_or_default());
            if is_one_series {
                if seen.contains(&series) {
                    continue;
                }
                seen.push(series);
            }
            kept.metric.push(with_labels(metric, metric_type, target));
        }
        if !kept.metric.is_empty() {
            labelled.push(kept);
        }
    }
    labelled
}

fn is_native(metric: &Metric) -> bool {
    metric.histogram.as_ref().is_some_and(|histogram| {
        !histogram.positive_span.is_empty()
            || !histogram.negative_span.is_empty()
            || histogram
                .zero_threshold
                .is_some_and(|threshold| threshold > 0.0)
            || histogram.zero_count.is_some_and(|count| count > 0)
    })
}

fn with_value(labels: &[LabelPair]) -> Vec<(String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let pairs = labels
        .iter()
        .map(|pair| (text(&pair.name), text(&pair.value)));
    pairs.filter(|(_, value)| !value.is_empty()).collect()
}

/// An untyped metric without a value gets a 0. That, and a label that is named like one of the target, also takes the
/// labels without a value away.
fn with_labels(metric: &Metric, metric_type: i32, target: &[(&str, &str)]) -> Metric {
    let mut metric = metric.clone();
    let is_of_target = |name: &str| target.iter().any(|(of_target, _)| *of_target == name);
    let lacks_value = metric_type == 3
        && metric
            .untyped
            .as_ref()
            .is_none_or(|untyped| untyped.value.is_none());
    let mut names = metric.label.iter().filter_map(|pair| pair.name.as_deref());
    if lacks_value || names.any(is_of_target) {
        let mut pairs = with_value(&metric.label);
        let mut clashing: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
        clashing.retain(|name| is_of_target(name));
        clashing.sort_by_key(|name| (name.len(), name.clone()));
        for name in clashing {
            let mut free = format!("exported_{name}");
            while is_of_target(&free) || pairs.iter().any(|(taken, _)| *taken == free) {
                free.insert_str(0, "exported_");
            }
            pairs
                .iter_mut()
                .filter(|(own, _)| *own == name)
                .for_each(|pair| pair.0.clone_from(&free));
        }
        metric.label = pairs
            .into_iter()
            .map(|(name, value)| pair(&name, &value))
            .collect();
    }
    if lacks_value {
        metric.untyped = Some(Gauge { value: Some(0.0) });
    }
    metric
        .label
        .extend(target.iter().map(|(name, value)| pair(name, value)));
    metric
}

fn pair(name: &str, value: &str) -> LabelPair {
    LabelPair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    }
}
