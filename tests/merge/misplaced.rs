//! Samples of a histogram or summary that come elsewhere than after their own TYPE line, within one body: the family is
//! untyped, and its bounds are written as Prometheus stores them. k8s/prometheus/README.md: "The merged response".

use super::check;

/// As nginx-module-vts writes its metrics.
#[test]
fn samples_after_all_type_lines_make_the_family_untyped() {
    let heads = "# TYPE b_total counter\n# HELP h Time.\n# TYPE h histogram\n";
    let samples =
        "b_total 1\nh_bucket{le=\"0.100\"} 1\nh_bucket{le=\"1\"} 2\nh_sum 3\nb_total{x=\"y\"} 4\n";
    let expected = |values: [&str; 2]| {
        let buckets = [(values[0], 1), (values[1], 2)]
            .map(|(le, value)| format!("h_bucket{{le=\"{le}\",i=\"0\"}} {value}"));
        [
            "# TYPE b_total counter",
            "b_total{i=\"0\"} 1",
            "b_total{x=\"y\",i=\"0\"} 4",
            "# HELP h Time.",
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            &buckets[0],
            &buckets[1],
            "# TYPE h_sum untyped",
            "h_sum{i=\"0\"} 3",
        ]
        .map(str::to_owned)
    };
    let check = |last: &str, values| {
        let body = format!("{heads}{last}{samples}");
        let expected = expected(values);
        let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let last = last.trim_end();
        if !last.is_empty() {
            expected.push(last);
        }
        check(&[&body], &expected);
    };
    check("# TYPE z counter\n", ["0.100", "1"]);
    check("# TYPE z summary\n", ["0.100", "1"]);
    check("# TYPE z untyped\n", ["0.100", "1"]);
    // Under the TYPE of another histogram.
    check("# TYPE z histogram\n", ["0.1", "1.0"]);
}

/// Under its own TYPE, which happens to be the last one, it stays a histogram.
#[test]
fn the_family_of_the_last_type_line_stays_a_histogram() {
    check(
        &["# TYPE c counter\n# TYPE h histogram\nc{le=\"1\"} 1\nh_bucket{le=\"1\"} 1\n"],
        &[
            "# TYPE c counter",
            "c{le=\"1.0\",i=\"0\"} 1",
            "# TYPE h histogram",
            "h_bucket{le=\"1\",i=\"0\"} 1",
        ],
    );
}

#[test]
fn a_family_typed_twice_in_one_body_is_untyped() {
    for (first, second, values) in [
        ("histogram", "gauge", ["1.0", "1"]),
        ("histogram", "summary", ["1.0", "1"]),
        ("histogram", "untyped", ["1.0", "1"]),
        ("gauge", "histogram", ["1", "1.0"]),
        ("summary", "histogram", ["1", "1.0"]),
    ] {
        let body = format!(
            "# TYPE h {first}\nh_bucket{{a=\"b\",le=\"1\"}} 1\n# TYPE h {second}\nh_bucket{{a=\"c\",le=\"1\"}} 2\n"
        );
        let lines = [
            format!("h_bucket{{a=\"b\",le=\"{}\",i=\"0\"}} 1", values[0]),
            format!("h_bucket{{a=\"c\",le=\"{}\",i=\"0\"}} 2", values[1]),
        ];
        check(
            &[&body],
            &[
                "# TYPE h untyped",
                "# TYPE h_bucket untyped",
                &lines[0],
                &lines[1],
            ],
        );
    }
    // The same TYPE twice is no difference.
    check(
        &["# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE h histogram\nh_count 2\n"],
        &[
            "# TYPE h histogram",
            "h_bucket{le=\"1\",i=\"0\"} 1",
            "h_count{i=\"0\"} 2",
        ],
    );
}

#[test]
fn samples_before_their_type_or_after_the_next_make_the_family_untyped() {
    for body in [
        "h_count 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\n# TYPE z gauge\nh_count 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\n# TYPE \"\" gauge\nh_count 1\n",
    ] {
        let mut expected = vec![
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            "h_bucket{le=\"1.0\",i=\"0\"} 2",
            "# TYPE h_count untyped",
            "h_count{i=\"0\"} 1",
        ];
        if body.contains("# TYPE z") {
            expected.push("# TYPE z gauge");
        }
        check(&[body], &expected);
    }
}

/// All spellings that Go's `strconv.ParseFloat` takes, and some that it does not.
#[test]
fn each_spelling_of_a_number_is_written_as_prometheus_stores_it() {
    for (sent, stored) in [
        ("1", "1.0"),
        ("1e3", "1000.0"),
        ("1e6", "1e+06"),
        ("1000000", "1e+06"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("5.", "5.0"),
        ("+2", "2.0"),
        ("-0", "0.0"),
        ("0.00001", "1e-05"),
        ("+Inf", "+Inf"),
        ("inf", "+Inf"),
        ("-Infinity", "-Inf"),
        ("NaN", "NaN"),
        ("nan", "NaN"),
        ("1e400", "1e400"),
        ("1_000", "1000.0"),
        ("0x1p-2", "0.25"),
        ("+nan", "+nan"),
        ("many", "many"),
        (" 1", " 1"),
        ("1,5", "1,5"),
    ] {
        let bodies = [
            format!("# TYPE h histogram\nh_bucket{{le=\"{sent}\"}} 1\n"),
            format!("# TYPE h gauge\nh_bucket{{le=\"{sent}\"}} 2\n"),
        ];
        let lines = [
            format!("h_bucket{{le=\"{stored}\",i=\"0\"}} 1"),
            format!("h_bucket{{le=\"{sent}\",i=\"1\"}} 2"),
        ];
        check(
            &[&bodies[0], &bodies[1]],
            &[
                "# TYPE h untyped",
                "# TYPE h_bucket untyped",
                &lines[0],
                &lines[1],
            ],
        );
    }
}

/// Two spellings of one value are one series for Prometheus, and where both are rewritten here, the first stays.
#[test]
fn two_spellings_of_one_bound_are_one_series() {
    check(
        &[
            "# TYPE h histogram\nh_bucket{le=\"1\",a=\"b\"} 1\n\
             h_bucket{a=\"b\",le=\"1.0\"} 2\nh_bucket{le=\"1\",a=\"b\"} 3 7\n",
            "# TYPE h gauge\n",
        ],
        &[
            "# TYPE h untyped",
            "# TYPE h_bucket untyped",
            "h_bucket{le=\"1.0\",a=\"b\",i=\"0\"} 1",
            "h_bucket{le=\"1.0\",a=\"b\",i=\"0\"} 3 7",
        ],
    );
}

/// The same labels may be two series, if they come after two TYPE lines.
#[test]
fn equal_labels_under_two_types_may_be_two_series() {
    check(
        &["# TYPE h histogram\nx{le=\"1\"} 1\n# TYPE g gauge\nx{le=\"1\",} 2\n"],
        &[
            "# TYPE g gauge",
            "# TYPE h histogram",
            "# TYPE x untyped",
            "x{le=\"1.0\",i=\"0\"} 1",
            "x{le=\"1\",i=\"0\"} 2",
        ],
    );
}
