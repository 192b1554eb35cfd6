//! Conversion between text and OpenMetrics: bodies that mean the same, and what text cannot say.
//! k8s/prometheus/README.md: "Formats".

use crate::support::client_model::decode;
use crate::support::merged::{own_blocks, part, text};
use crate::support::stored::stored;
use kubernetes_metrics_aggregator::exposition::Format::{self, OpenMetrics, Text};
use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody};
use kubernetes_metrics_aggregator::exposition::{Exposition, IdentityLabels, merge, parse};

fn parsed(format: Format, body: &str) -> Exposition {
    let end = if format == OpenMetrics { "# EOF\n" } else { "" };
    let exposition = parse(format, format!("{body}{end}"), &IdentityLabels::default());
    exposition.unwrap_or_else(|error| panic!("{error} in {body}"))
}

fn converted(from: Format, body: &str, to: Format) -> String {
    let part = part(IdentityLabels::default(), Some(parsed(from, body)));
    own_blocks(&text(&merge(vec![part], to))).replace("# EOF\n", "")
}

/// What Prometheus stores of a body in protobuf, but for exemplars.
fn stored_of_protobuf(from: Format, body: &str) -> Vec<String> {
    let none = IdentityLabels::default();
    let body = ProtobufBody::convert(parsed(from, body), &none);
    let mut bytes = Vec::new();
    body.write(&none, &mut Position::default(), &mut bytes, usize::MAX);
    let samples = stored(&decode(&bytes)).into_iter().map(|sample| {
        let bits = sample.value.to_bits();
        format!(
            "{} {:?} {bits} {:?}",
            sample.name, sample.labels, sample.milliseconds
        )
    });
    let mut samples: Vec<String> = samples.collect();
    samples.sort();
    samples
}

/// A rule, and the body in both formats.
const ALIKE: &[(&str, &str)] = &[
    ("nothing", ""),
    ("gauge", "# TYPE g gauge\ng 1\n"),
    ("a type alone", "# TYPE g gauge\n"),
    (
        "line breaks and backslashes in a help",
        "# HELP g a\\nb\\\\c\n# TYPE g gauge\ng 1\n",
    ),
    (
        "escapes in a label",
        "# TYPE g gauge\ng{a=\"\\\\\\\"\\n\"} 1\n",
    ),
    (
        "braces, commas and marks in a label",
        "# TYPE g gauge\ng{a=\"} 1 # {,\"} 1\n",
    ),
    (
        "any language in a label",
        "# TYPE g gauge\ng{a=\"\u{4f60} \u{1f600}\"} 1\n",
    ),
    (
        "a name in quotes",
        "# TYPE \"a.b\" gauge\n{\"a.b\",c=\"d\"} 1\n",
    ),
    (
        "a label name in quotes",
        "# TYPE g gauge\ng{\"a.b\"=\"c\"} 1\n",
    ),
    ("colons in a name", "# TYPE a:b gauge\na:b 1\n"),
    (
        "values to the last digit",
        "# TYPE g gauge\ng{a=\"1\"} +1.50\ng{a=\"2\"} 12345678901234567890\ng{a=\"3\"} 1E-3\n",
    ),
    (
        "values that are no numbers",
        "# TYPE g gauge\ng{a=\"1\"} NaN\ng{a=\"2\"} -Inf\ng{a=\"3\"} infinity\n",
    ),
    (
        "histogram",
        "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
    ),
    (
        "a histogram with bounds that Prometheus writes in another way",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1e7\"} 1\n\
         h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
    ),
    (
        "a histogram that is not whole",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 2\n",
    ),
    (
        "summary",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n",
    ),
    (
        "a summary without quantiles",
        "# TYPE s summary\ns_count 2\ns_sum 3\n",
    ),
    (
        "the bounds of no histogram stay",
        "# TYPE g gauge\ng{le=\"1\"} 1\ng{quantile=\"1\"} 1\n",
    ),
];

/// A rule, the text and the OpenMetrics.
const BOTH: &[(&str, &str, &str)] = &[
    (
        "untyped is unknown",
        "# TYPE u untyped\nu 1\n",
        "# TYPE u unknown\nu 1\n",
    ),
    (
        "a counter without its ending",
        "# TYPE c_total counter\nc_total{a=\"b\"} 1\n",
        "# TYPE c counter\nc_total{a=\"b\"} 1\n",
    ),
    (
        "the help of a counter",
        "# HELP c_total x\n# TYPE c_total counter\nc_total 1\n",
        "# HELP c x\n# TYPE c counter\nc_total 1\n",
    ),
    (
        "a counter's type alone",
        "# TYPE c_total counter\n",
        "# TYPE c counter\n",
    ),
    (
        "a help without samples",
        "# HELP u x\n# TYPE u untyped\n",
        "# HELP u x\n# TYPE u unknown\n",
    ),
    (
        "quotes in a help",
        "# HELP g \"x\"\n# TYPE g gauge\ng 1\n",
        "# HELP g \\\"x\\\"\n# TYPE g gauge\ng 1\n",
    ),
    (
        "an escaped backslash before a quote",
        "# HELP g \\\\\"\n# TYPE g gauge\ng 1\n",
        "# HELP g \\\\\\\"\n# TYPE g gauge\ng 1\n",
    ),
    (
        "a counter's name in quotes",
        "# TYPE \"a.b_total\" counter\n{\"a.b_total\"} 1\n",
        "# TYPE \"a.b\" counter\n{\"a.b_total\"} 1\n",
    ),
    (
        "milliseconds are seconds with three decimals",
        "# TYPE g gauge\ng 1 1700000000123\n",
        "# TYPE g gauge\ng 1 1700000000.123\n",
    ),
    (
        "milliseconds that three decimals do not say",
        "# TYPE g gauge\ng 1 1001\n",
        "# TYPE g gauge\ng 1 1.0015\n",
    ),
    (
        "one series at two times",
        "# TYPE g gauge\ng 1 2000\ng 2 1000\n",
        "# TYPE g gauge\ng 1 2.000\ng 2 1.000\n",
    ),
    (
        "a bucket of no histogram",
        "# TYPE h_bucket untyped\nh_bucket{le=\"1\"} 1\n",
        "# TYPE h_bucket unknown\nh_bucket{le=\"1\"} 1\n",
    ),
    (
        "the creation of a counter",
        "# TYPE c_created untyped\nc_created 1.5\n# TYPE c_total counter\nc_total 1\n",
        "# TYPE c counter\nc_created 1.5\nc_total 1\n",
    ),
    (
        "the creation of a summary",
        "# TYPE s summary\ns_count 1\ns_sum 1\n# TYPE s_created untyped\ns_created 1.5\n",
        "# TYPE s summary\ns_count 1\ns_sum 1\ns_created 1.5\n",
    ),
    (
        "the order of names",
        "# TYPE c_a gauge\nc_a 1\n# TYPE c_total counter\nc_total 2\n",
        "# TYPE c counter\nc_total 2\n# TYPE c_a gauge\nc_a 1\n",
    ),
];

#[test]
fn equal_bodies_are_converted_into_each_other() {
    let alike = ALIKE.iter().map(|(rule, body)| (rule, body, body));
    let both = BOTH.iter().map(|(rule, text, open)| (rule, text, open));
    for (rule, text, open_metrics) in alike.chain(both) {
        for (from, body) in [(Text, text), (OpenMetrics, open_metrics)] {
            assert_eq!(converted(from, body, Text), *text, "{rule}");
            assert_eq!(converted(from, body, OpenMetrics), *open_metrics, "{rule}");
        }
        assert_eq!(
            stored_of_protobuf(Text, text),
            stored_of_protobuf(OpenMetrics, open_metrics),
            "{rule}"
        );
    }
}

/// A rule, the OpenMetrics, the text that it becomes, and the OpenMetrics that the text becomes.
const LOST: &[(&str, &str, &str, &str)] = &[
    (
        "an exemplar",
        "# TYPE c counter\nc_total 1 # {a=\"b\"} 1 2\n",
        "# TYPE c_total counter\nc_total 1\n",
        "# TYPE c counter\nc_total 1\n",
    ),
    (
        "an exemplar behind a timestamp",
        "# TYPE u unknown\nu 1 5 # {} 1\n",
        "# TYPE u untyped\nu 1 5000\n",
        "# TYPE u unknown\nu 1 5.000\n",
    ),
    (
        "a unit",
        "# TYPE g_s gauge\n# UNIT g_s s\ng_s 1\n",
        "# TYPE g_s gauge\ng_s 1\n",
        "# TYPE g_s gauge\ng_s 1\n",
    ),
    (
        "info",
        "# TYPE i info\ni_info{v=\"1\"} 1\n",
        "# TYPE i_info gauge\ni_info{v=\"1\"} 1\n",
        "# TYPE i_info gauge\ni_info{v=\"1\"} 1\n",
    ),
    (
        "stateset",
        "# TYPE s stateset\ns{s=\"on\"} 1\n",
        "# TYPE s gauge\ns{s=\"on\"} 1\n",
        "# TYPE s gauge\ns{s=\"on\"} 1\n",
    ),
    (
        "gaugehistogram",
        "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\ng_gcount 1\n",
        "# TYPE g untyped\n# TYPE g_bucket untyped\ng_bucket{le=\"1\"} 1\n# TYPE g_gcount untyped\ng_gcount 1\n",
        "# TYPE g unknown\n# TYPE g_bucket unknown\ng_bucket{le=\"1\"} 1\n# TYPE g_gcount unknown\ng_gcount 1\n",
    ),
    (
        "a timestamp before 1970",
        "# TYPE u unknown\nu 1 -5\n",
        "# TYPE u untyped\nu 1 0\n",
        "# TYPE u unknown\nu 1 0.000\n",
    ),
];

#[test]
fn text_loses_metadata_but_no_series_value_or_timestamp() {
    for (rule, open_metrics, text, again) in LOST {
        assert_eq!(
            converted(OpenMetrics, open_metrics, OpenMetrics),
            *open_metrics,
            "{rule}"
        );
        assert_eq!(converted(OpenMetrics, open_metrics, Text), *text, "{rule}");
        assert_eq!(converted(Text, text, OpenMetrics), *again, "{rule}");
        assert_eq!(
            stored_of_protobuf(OpenMetrics, open_metrics),
            stored_of_protobuf(Text, text),
            "{rule}"
        );
    }
}
