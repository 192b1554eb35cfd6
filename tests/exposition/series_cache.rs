//! The series cache changes nothing: a body that is read with the series of other bodies means what it means alone.
//! Each test names what differs between the bodies. `properties/cache.rs` checks the same for generated bodies.
//! README: "What is stored".

use super::merged_text;
use kubernetes_metrics_aggregator::exposition::{
    Exposition, Format, IdentityLabels, LineError, SeriesCache, parse,
};

/// All that can be seen of a body.
fn seen(read: Result<Exposition, LineError>) -> Result<(String, u64, u64), LineError> {
    read.map(|exposition| {
        let (samples, dropped) = (exposition.samples(), exposition.duplicates_dropped());
        (merged_text(exposition), samples, dropped)
    })
}

/// Read one after the other, and again, each of the bodies means what it means alone.
#[track_caller]
fn check_all(format: Format, bodies: &[&str]) {
    let labels = IdentityLabels::new([("i", "1")]);
    let cache = SeriesCache::default();
    for body in [bodies, bodies].concat() {
        let known = cache.parse(format, body.as_bytes(), &labels);
        let alone = parse(format, body, &labels);
        assert_eq!(seen(known), seen(alone), "{body:?} in {bodies:?}");
    }
}

/// In both orders.
#[track_caller]
fn check(first: &str, other: &str) {
    check_all(Format::Text, &[first, other]);
    check_all(Format::Text, &[other, first]);
}

#[test]
fn other_values_of_cached_series() {
    let first = "# HELP a x\n# TYPE a counter\na{b=\"c\"} 1\na{b=\"d\"} 2\nb 0.25\n\n# end\n";
    check(
        first,
        "# HELP a x\n# TYPE a counter\na{b=\"c\"} 1e9\na{b=\"d\"} NaN\nb 17\n\n# end\n",
    );
    for digits in 1..80 {
        let value = "7".repeat(digits);
        check(
            "a 1\nb 2\nc 3\n",
            &format!("a {value}\nb {value}.5\nc -{value}\n"),
        );
    }
    for digits in [254, 255, 256, 299, 300, 309, 310] {
        check("a 1\nb 2\n", &format!("a {}\nb 2\n", "7".repeat(digits)));
        check("a 1\nb 2\n", &format!("b 0.{}\na 2\n", "7".repeat(digits)));
    }
    // Where each value starts is found also behind many others, some of them very long.
    let body = |value: &str| {
        (0..100)
            .map(|n| format!("a_{n} {n}{}\n", if n % 7 == 3 { value } else { "" }))
            .collect::<String>()
    };
    check(&body(""), &body(".125"));
    check(&body(".5"), &body(&format!(".{}", "3".repeat(1000))));
}

/// Series that one body lacks leave the cache, and enter it again when they come again.
#[test]
fn series_that_only_some_bodies_have() {
    let body = |own: &str| {
        let own = (0..9).map(|n| format!("a{{own=\"{own}\",b=\"{n}\"}} {n}\n"));
        let own: String = own.collect();
        format!("# TYPE a counter\na{{b=\"c\"}} 1\n{own}a{{b=\"d\",own=\"\"}} 2\n# HELP e x\ne 3\n")
    };
    let bodies = ["1", "2", "3", "2", "2", "4", "3", "1"].map(body);
    // The same series with its labels in another order.
    let swapped = bodies[1].replace("own=\"2\",b=\"3\"", "b=\"3\",own=\"2\"");
    let twice = format!("{swapped}a{{own=\"2\",b=\"3\"}} 4\na{{own=\"3\",b=\"3\"}} 5\n");
    let mut all: Vec<&str> = bodies.iter().map(String::as_str).collect();
    all.splice(3..3, [swapped.as_str(), twice.as_str(), "a b=\"c\"} 1\n"]);
    check_all(Format::Text, &all);
}

/// Labels without a value, and `le` and `quantile` under each TYPE line.
#[test]
fn labels_written_in_another_way() {
    let series = [
        "{}",
        "{b=\"\"}",
        "{b=\"\",c=\"\"}",
        "{b=\"\",c=\"1\"}",
        "{c=\"1\",b=\"\",le=\"1\"}",
        "{le=\"1\",d=\"\"}",
        "{le=\"1.0\"}",
        "{quantile=\"10\",le=\"1e1\"}",
        "{le=\"x\\\\\"}",
        "{le=\"\"}",
        "{i=\"\"}",
        "{i=\"2\",le=\"5\"}",
        "{c=\"\u{e4}\",le=\"100\"}",
        "{a=\"1\",a=\"\"}",
        "{ab=\"1\",kb=\"2\",Kb=\"3\"}",
    ];
    for word in ["histogram", "summary", "gauge"] {
        let lines = series.map(|series| format!("a{series} 1\n"));
        let body = format!("# TYPE a {word}\n{}", lines.concat());
        check(&body, &lines.concat());
        for line in &lines {
            check(&body, &format!("# TYPE a {word}\n{line}{line}"));
        }
    }
}

#[test]
fn invalid_values_after_valid_ones() {
    for value in [
        "",
        "x",
        "0x1",
        "1_0",
        "1e400",
        "1 2 3",
        "1 x",
        "--1",
        "1\0",
        "1 99999999999999999999",
    ] {
        check(
            "a{b=\"c\"} 1\nd 2\n",
            &format!("a{{b=\"c\"}} {value}\nd 2\n"),
        );
        check(
            "a{b=\"c\"} 1\nd 2\n",
            &format!("a{{b=\"c\"}} 1\nd {value}\n"),
        );
    }
}

#[test]
fn timestamps_that_come_and_go() {
    check("a 1\nb 2\n", "a 1 1700000000000\nb 3\n");
    check("a 1 5\na 2 6\n", "a 1 5\na 2 5\n");
    check("a 1 5\na 2 6\na 3 5\na 4\na 5\n", "a 1\na 2 05\na 3 5\n");
    check("a 1 \t 5 \r\n", "a 2 5\n");
}

#[test]
fn lines_that_are_rewritten() {
    // As older Java clients write them; CRLF; a label named like one of the target's; blanks; no line end.
    check("a{b=\"c\",} 1.0\n", "a{b=\"c\",} 1.2345E8\n");
    check("a{b=\"c\"} 1\r\n", "a{b=\"c\"} 22\r\n");
    check("a{i=\"c\"} 1\n", "a{i=\"c\"} 22\n");
    check("a 1 \nb  2", "a 22 \nb  333");
    check("# TYPE a counter", "# TYPE a counter\na 1");
    check("# HELP a x", "# HELP a xy\n# HELP b x");
    check("a{b=\"x\ny\"} 1\n", "a{b=\"x\ny\"} 2\na{b=\"x\ny\"} 3\n");
}

#[test]
fn values_directly_after_the_name() {
    // Prometheus takes `p-21` for a value of `p`, but `p66` for a name.
    for first in ["p-21\n", "p+21\n", "p.5\n"] {
        check(first, "p66\n");
        check(first, "p66 1\n");
    }
    check("p{a=\"b\"}1\n", "p{a=\"b\"}2\n");
    check("p{a=\"b\"}1\n", "p{a=\"b\"} 2\n");
    check("p\t1\n", "p\t2\n");
}

#[test]
fn one_series_in_several_spellings() {
    check(
        "a{b=\"c\",d=\"e\"} 1\n",
        "a{b=\"c\",d=\"e\"} 1\na{d=\"e\",b=\"c\"} 2\na{ b=\"c\",d=\"e\",} 3\n{\"a\",b=\"c\",\"d\"=\"e\",f=\"\"} 4\n",
    );
    check("a 1\n", "{\"a\"} 1\na{} 2\na 3\n");
    check("up 1\nup{a=\"b\"} 2\n", "up{a=\"\"} 3\nup 4\n");
}

#[test]
fn metadata_before_a_line_that_differs() {
    let under_histogram =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\na{le=\"1\",quantile=\"1\"} 1\n";
    for other in [
        "a{le=\"1\",quantile=\"1\"} 1\nh_bucket{le=\"1\"} 1\n",
        "# TYPE h summary\nh_bucket{le=\"1\"} 1\na{le=\"1\",quantile=\"1\"} 1\n",
        "# TYPE h gauge\nh_bucket{le=\"1\"} 1\na{le=\"1\",quantile=\"1\"} 1\n",
        "h_bucket{le=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"1\"} 1\n",
    ] {
        check(under_histogram, other);
    }
    check(
        "# TYPE a counter\na 1\n# TYPE a gauge\n",
        "# TYPE a gauge\na 1\n# TYPE a counter\n",
    );
    check(
        "# HELP a x\n# HELP a y\na 1\n",
        "# HELP a y\n# HELP a x\na 1\n",
    );
    check(
        "# HELP a x\n# HELP a  \na 1\n",
        "# HELP a  \n# HELP a x\na 1\n",
    );
}

#[test]
fn bodies_that_break_off_or_are_malformed() {
    let whole = "# TYPE a counter\na{b=\"1\"} 1\na{b=\"2\"} 2\nc 3\n";
    for end in 0..whole.len() {
        check(whole, &whole[..end]);
        check_all(
            Format::OpenMetrics,
            &[&format!("{whole}# EOF\n"), &whole[..end]],
        );
    }
    for broken in [
        "a{b=\"1\"} 1\n5\n",
        "a{b=\"1\",b=\"1\"} 1\n",
        "c 3\n<html>\n",
        " 5\n",
        "{c=\"2\"} 2\n",
    ] {
        check(whole, &format!("{whole}{broken}"));
        check(whole, &format!("{broken}{whole}"));
    }
    // Prometheus takes a NUL byte at the start of a line for the end.
    check(whole, &whole.replace("c 3", "\0c 3"));
}

#[test]
fn openmetrics_with_other_exemplars_units_and_timestamps() {
    let first = "# TYPE a counter\n# HELP a x\na_total{b=\"c\"} 1 # {t=\"}\"} 0.5 7\n\
                 # TYPE b_s gauge\n# UNIT b_s s\nb_s 2 1.5\n# EOF\n";
    for other in [
        first.to_owned(),
        first.replace(" # {t=\"}\"} 0.5 7", ""),
        first.replace("2 1.5", "2 1.25 # {a=\"b\"} 1"),
        first.replace("2 1.5", "2"),
        first.replace("2 1.5", "2 1.5.5"),
        first.replace("# UNIT b_s s\n", "# UNIT b_s x\n"),
        first.replace("# TYPE a counter\n", ""),
        first.replace("# EOF\n", ""),
        format!("{first}a 1\n"),
    ] {
        check_all(Format::OpenMetrics, &[first, &other]);
        check_all(Format::OpenMetrics, &[&other, first]);
    }
}

/// A line that is cached for one format or label set is not used for another.
#[test]
fn formats_and_labels_are_kept_apart() {
    let cache = SeriesCache::default();
    let body = "a{b=\"c\",i=\"x\",j=\"y\"} 1 5\n";
    let [i, j] = ["i", "j"].map(|name| IdentityLabels::new([(name, "1")]));
    for _ in 0..2 {
        for labels in [&i, &j] {
            let known = cache.parse(Format::Text, body.as_bytes(), labels).unwrap();
            let alone = parse(Format::Text, body, labels).unwrap();
            assert_eq!(merged_text(known), merged_text(alone));
        }
        let ended = format!("{body}# EOF\n");
        let known = cache.parse(Format::OpenMetrics, ended.as_bytes(), &i);
        let alone = parse(Format::OpenMetrics, &ended, &i);
        assert_eq!(seen(known), seen(alone));
    }
}

/// Each of these would take many seconds if each line cost a search of the cache.
#[test]
fn large_bodies_that_differ_take_no_time_for_each_line_and_series() {
    let samples = |label: &str, numbers: std::ops::Range<usize>| -> String {
        numbers
            .map(|n| format!("a{{{label}=\"{n}\"}} 1\n"))
            .collect()
    };
    let long_name = "l".repeat(2_000_000) + " 1\n";
    let first = samples("b", 0..6_000) + &long_name;
    check(
        &first,
        &(samples("b", 2_000..6_000) + &samples("c", 0..2_000) + &long_name),
    );
    let declared = |with_sample: std::ops::Range<usize>| -> String {
        let family = |n: usize| {
            let sample = with_sample.contains(&n).then(|| format!("a{n} 1\n"));
            format!("# HELP a{n} x\n{}", sample.unwrap_or_default())
        };
        (0..6_000).map(family).collect()
    };
    check(&declared(0..6_000), &declared(0..2_000));
    let twice = samples("b", 0..6_000).replace(" 1\n", " 1 7\n");
    check(
        &(twice.clone() + &twice),
        &(twice.replace(" 7\n", " 8\n") + &twice),
    );
}
