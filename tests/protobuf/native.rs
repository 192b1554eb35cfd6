//! Native histograms: which are valid, and what is wrong with the others. k8s/prometheus/README.md: "Formats".
//! Prometheus 3.5.3 scraped these bodies to find out.

use super::rules::{refused, samples};
use super::{HISTOGRAM, classic, encode, family, histogram, native, span, spliced};
use crate::support::client_model::Histogram;

#[track_caller]
fn refused_histogram(metric: Histogram, expected: &str) {
    let body = encode(&[family("h", HISTOGRAM, vec![histogram(&[], metric)])]);
    refused(
        &body,
        &format!("metric family 1 \"h\", metric 1: expected {expected}"),
    );
}

#[test]
fn native_histograms_that_prometheus_stores_are_taken() {
    let taken = |metric| {
        let family = family("h", HISTOGRAM, vec![histogram(&[], metric)]);
        assert_eq!(
            spliced(std::slice::from_ref(&family))[0].metric[0].histogram,
            family.metric[0].histogram
        );
    };
    taken(native());
    taken(Histogram {
        schema: Some(-4),
        ..native()
    });
    taken(Histogram {
        schema: Some(8),
        ..native()
    });
    // An empty span says that it is native although nothing was observed.
    taken(Histogram {
        positive_span: vec![span(0, 0)],
        ..Histogram::default()
    });
    // Observations of NaN are counted, but in no bucket.
    taken(Histogram {
        sample_sum: Some(f64::INFINITY),
        ..native()
    });
    // Float histograms: the count is not compared.
    taken(Histogram {
        sample_count_float: Some(99.5),
        negative_span: vec![span(-2, 1)],
        negative_count: vec![0.5],
        positive_delta: vec![],
        positive_count: vec![1.0, 2.0, 0.0],
        ..native()
    });
    // An empty classic one behind a native one: Prometheus 3.5.3 counts and stores it as a native one.
    let metrics = vec![
        histogram(&[], native()),
        histogram(&[("a", "1")], Histogram::default()),
    ];
    samples(2, &encode(&[family("h", HISTOGRAM, metrics)]));
}

#[test]
fn the_count_may_exceed_the_buckets_where_nan_was_observed() {
    let nan = |count| Histogram {
        sample_count: Some(count),
        sample_sum: Some(f64::NAN),
        ..native()
    };
    samples(
        1,
        &encode(&[family("h", HISTOGRAM, vec![histogram(&[], nan(4))])]),
    );
    refused_histogram(
        nan(2),
        "a count that is that of the buckets, found a count of 2 and 3 in the buckets",
    );
}

/// One of these costs Prometheus the whole scrape, and the first of them ends the process of Prometheus 3.5.
#[test]
fn native_histograms_whose_spans_do_not_fit_are_refused() {
    refused_histogram(
        Histogram {
            positive_delta: vec![1, 0, 0, 0],
            ..native()
        },
        "spans with as many buckets as counts, found spans of 3 buckets and 4 counts",
    );
    refused_histogram(
        Histogram {
            positive_delta: vec![1, 0],
            ..native()
        },
        "spans with as many buckets as counts, found spans of 3 buckets and 2 counts",
    );
    refused_histogram(
        Histogram {
            negative_span: vec![span(0, 1)],
            ..native()
        },
        "spans with as many buckets as counts, found spans of 1 buckets and 0 counts",
    );
    refused_histogram(
        Histogram {
            positive_span: vec![span(0, 2), span(-1, 1)],
            ..native()
        },
        "no negative offset of a later span, found -1",
    );
}

#[test]
fn native_histograms_whose_counts_do_not_fit_are_refused() {
    refused_histogram(
        Histogram {
            positive_delta: vec![1, -2, 4],
            ..native()
        },
        "no negative count of a bucket, found -1",
    );
    refused_histogram(
        Histogram {
            sample_count: Some(4),
            ..native()
        },
        "a count that is that of the buckets, found a count of 4 and 3 in the buckets",
    );
    refused_histogram(
        Histogram {
            schema: Some(-53),
            ..native()
        },
        "a schema from -4 to 8, found -53",
    );
    refused_histogram(
        Histogram {
            schema: Some(9),
            ..native()
        },
        "a schema from -4 to 8, found 9",
    );
    refused_histogram(
        Histogram {
            sample_count_float: Some(2.0),
            positive_delta: vec![],
            positive_count: vec![1.0, -1.0, 0.0],
            ..native()
        },
        "no negative count of a bucket, found -1",
    );
}

#[test]
fn native_and_classic_histograms_in_one_family_are_refused() {
    let (native, classic) = (
        histogram(&[], native()),
        histogram(&[("a", "1")], classic(&[1.0], 2)),
    );
    let expected = "metric family 1 \"h\", metric 2: expected only native or only classic histograms in one \
        family, found a";
    refused(
        &encode(&[family(
            "h",
            HISTOGRAM,
            vec![native.clone(), classic.clone()],
        )]),
        &format!("{expected} classic one"),
    );
    refused(
        &encode(&[family("h", HISTOGRAM, vec![classic, native])]),
        &format!("{expected} native one"),
    );
}
