//! Bodies that are read with the layout of another one. That this changes nothing of what they mean is checked on
//! generated bodies in `properties/alike.rs`; here, when it is done.

use super::{merged_text, parse_text};
use kubernetes_metrics_aggregator::exposition::{Format, IdentityLabels, parse};
use std::ops::Range;

/// Whether the second body is read with the layout of the first. If so, it says what it says by itself.
#[track_caller]
fn is_read(first: &str, body: &str) -> bool {
    let first = parse_text(first.as_bytes()).unwrap();
    let labels = IdentityLabels::new([("i", "1")]);
    let Some(read) = first.layout().read(body.as_bytes(), &labels) else {
        return false;
    };
    let alone = parse_text(body.as_bytes()).unwrap();
    assert_eq!(alone.duplicates_dropped(), 0);
    assert_eq!(read.samples(), alone.samples());
    assert_eq!(merged_text(read), merged_text(alone));
    true
}

#[test]
fn other_values() {
    let first = "# HELP a x\n# TYPE a counter\na{b=\"c\"} 1\na{b=\"d\"} 2\nb 0.25\n\n# end\n";
    let second = "# HELP a x\n# TYPE a counter\na{b=\"c\"} 1e9\na{b=\"d\"} NaN\nb 17\n\n# end\n";
    assert!(is_read(first, first));
    assert!(is_read(first, second));
    assert!(is_read(second, first));
}

#[test]
fn values_of_every_length() {
    for digits in 1..80 {
        let value = "7".repeat(digits);
        let body = format!("a {value}\nb {value}.5\nc -{value}\n");
        assert!(is_read("a 1\nb 2\nc 3\n", &body), "{body}");
    }
    // Longer ones are left to the parser.
    for (digits, is_short) in [(255, true), (256, false)] {
        let body = format!("a {}\nb 2\n", "7".repeat(digits));
        assert_eq!(is_read("a 1\nb 2\n", &body), is_short, "{digits}");
    }
    // Where each value starts is found also behind many others.
    let body = |value: &str| {
        (0..100)
            .map(|n| format!("a_{n} {n}{value}\n"))
            .collect::<String>()
    };
    assert!(is_read(&body(""), &body(".125")));
}

#[test]
fn timestamps_where_there_were_none() {
    assert!(is_read("a 1\nb 2\n", "a 1 1700000000000\nb 3\n"));
    assert!(!is_read("a 1\nb 2\n", "a 1 99999999999999999999\nb 3\n"));
}

#[test]
fn lines_that_are_written_anew() {
    // As older Java clients write them; CRLF; a label named like one of the target's.
    assert!(is_read("a{b=\"c\",} 1.0\n", "a{b=\"c\",} 1.2345E8\n"));
    assert!(is_read("a{b=\"c\"} 1\r\n", "a{b=\"c\"} 22\r\n"));
    assert!(is_read("a{i=\"c\"} 1\n", "a{i=\"c\"} 22\n"));
    assert!(is_read("a 1 \nb  2", "a 22 \nb  333"));
}

#[test]
fn values_right_behind_the_name() {
    // Prometheus takes `p-21` for a value of `p`, but `p66` for a name.
    for first in ["p-21\n", "p+21\n", "p.5\n"] {
        assert!(!is_read(first, "p66\n"), "{first}");
    }
    assert!(!is_read("p{a=\"b\"}1\n", "p{a=\"b\"}2\n"));
    assert!(is_read("p\t1\n", "p\t2\n"));
}

#[test]
fn sample_lines_that_only_one_of_them_has() {
    let first = "# HELP a x\n# TYPE a counter\na{b=\"1\"} 1\na{b=\"2\"} 2\n\
                 # TYPE c gauge\nc 3\n# TYPE d gauge\nd{e=\"1\"} 4\n";
    for other in [
        // A label value of its own: first, in the middle and last.
        first.replace("b=\"1\"", "b=\"own\""),
        first.replace("b=\"2\"", "b=\"own\""),
        first.replace("e=\"1\"", "e=\"own\""),
        // One less.
        first.replace("a{b=\"1\"} 1\n", ""),
        first.replace("a{b=\"2\"} 2\n", ""),
        // More, before and behind, and at the end.
        first.replace("c 3\n", "c{x=\"1\"} 3\nc 3\nc{x=\"2\"} 3\n"),
        first.to_owned() + "d{e=\"2\"} 5\nd{e=\"3\"} 6\n",
        first.replace("a{b=\"2\"} 2\n", "a 7\n"),
    ] {
        assert!(is_read(first, &other), "{other}");
        assert!(is_read(&other, first), "{other}");
    }
    // All of a declared family. Where there was none it is not clear where they belong.
    for other in [
        first.replace("a{b=\"1\"} 1\na{b=\"2\"} 2\n", ""),
        first.replace("c 3\n", ""),
        first.replace("d{e=\"1\"} 4\n", ""),
    ] {
        assert!(is_read(first, &other), "{other}");
        assert!(!is_read(&other, first), "{other}");
    }
}

#[test]
fn many_differences() {
    let body = |numbers: &mut dyn Iterator<Item = usize>| -> String {
        numbers.map(|n| format!("a{{b=\"{n}\"}} {n}\n")).collect()
    };
    let first = body(&mut (0..1000));
    assert!(is_read(
        &first,
        &body(&mut (0..1000).filter(|n| n % 10 != 3))
    ));
    assert!(!is_read(
        &first,
        &body(&mut (0..1000).filter(|n| n % 2 == 1))
    ));
    assert!(!is_read(&first, &body(&mut (1000..2000))));
    // In a row, as far as they are looked for.
    let without = |missing: Range<usize>| body(&mut (0..1000).filter(|n| !missing.contains(n)));
    assert!(is_read(&first, &without(700..850)));
    assert!(!is_read(&first, &without(300..600)));
}

#[test]
fn any_other_difference() {
    let first = "# HELP a x\na{b=\"c\"} 1\nb 2\n";
    for other in [
        "# HELP a y\na{b=\"c\"} 1\nb 2\n",
        "a{b=\"c\"} 1\nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\n# TYPE b gauge\nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\nb 2\nc 3\n",
        "# HELP a x\na{b=\"c\"} 1\nx 3\nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\nb 2",
        "# HELP a x\na{b=\"c\"} 1\nb  2\n",
        "# HELP a x\na{b=\"c\"} 1\r\nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\nb 2\n\n",
        "# HELP a x\na{b=\"c\"} \nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\0\nb 2\n",
        "# HELP a x\na{b=\"c\"} 0x1\nb 2\n",
        "# HELP a x\nb 2\na{b=\"c\"} 1\n",
        "",
    ] {
        assert!(!is_read(first, other), "{other:?}");
    }
}

#[test]
fn sample_lines_of_its_own_that_need_the_parser() {
    let first = "a{b=\"1\"} 1\na{b=\"2\"} 2\nc 3\n";
    for own in [
        // A label of the target's name, a timestamp, escapes that are none, a trailing comma, no value, no line end.
        "a{i=\"own\"} 1\n",
        "a{b=\"own\"} 1 5\n",
        "a{b=\"\\x\"} 1\n",
        "a{b=\"own\",} 1\n",
        "a{b=\"own\"}\n",
        "a{b=\"own\"} 1\r\n",
        "a{b=\"\0\"} 1\n",
        // A known line again, with its labels in another order, and an own one twice.
        "a{b=\"1\"} 1\n",
        "a{b=\"own\",d=\"1\"} 1\na{d=\"1\",b=\"own\"} 1\n",
    ] {
        let other = first.replace("a{b=\"2\"} 2\n", &format!("{own}a{{b=\"2\"}} 2\n"));
        assert!(!is_read(first, &other), "{own:?}");
    }
    // Nothing but a sample makes this a family.
    assert!(!is_read("a 1\nb 2\n", "a 1\n"));
}

#[test]
fn bodies_whose_layout_hangs_on_more_than_series() {
    // A duplicate by its timestamp, and without one; a series that is reported for each target.
    assert!(!is_read("a 1 5\na 2 6\n", "a 1 5\na 2 5\n"));
    assert!(!is_read("a 1\na 2\n", "a 1\na 2\n"));
    assert!(!is_read("up 1\n", "up 1\n"));
}

#[test]
fn other_identity_labels() {
    let first = parse_text(b"a{j=\"own\"} 1\n").unwrap();
    let read = |labels: &IdentityLabels| first.layout().read(b"a{j=\"own\"} 1\n", labels).is_some();
    assert!(read(&IdentityLabels::new([("i", "another value")])));
    assert!(!read(&IdentityLabels::new([("j", "1")])));
    assert!(!read(&IdentityLabels::new([("i", "1"), ("j", "1")])));
}

#[test]
fn open_metrics() {
    let labels = IdentityLabels::new([("i", "1")]);
    let body = b"# TYPE a counter\na_total 1\n# EOF\n";
    let first = parse(Format::OpenMetrics, body, &labels).unwrap();
    assert!(first.layout().read(body, &labels).is_none());
}

#[test]
fn labels_that_are_rewritten_under_one_type_only() {
    // Prometheus rewrites `le` under the TYPE of a histogram, whichever.
    assert!(!is_read(
        "# TYPE h histogram\nh_sum 1\na{c=\"1\"} 1\n",
        "# TYPE h histogram\nh_sum 1\na{c=\"1\"} 1\na{le=\"1\"} 1\n",
    ));
    assert!(!is_read(
        "a{c=\"1\"} 1\n# TYPE h histogram\nh_sum 1\n",
        "a{c=\"1\"} 1\n# TYPE h histogram\na{le=\"1\"} 1\nh_sum 1\n",
    ));
    assert!(is_read(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\n",
    ));
}

#[test]
fn lines_without_a_name() {
    for (first, other) in [
        ("{\"a b\"} 1\n", "{\"a b\"} 1\n 5\n"),
        (
            "{\"a b\",c=\"1\"} 1\n",
            "{\"a b\",c=\"1\"} 1\n{c=\"2\"} 2\n",
        ),
        (" a 1\n", " a 1\n 5\n"),
    ] {
        assert!(parse_text(other.as_bytes()).is_err());
        assert!(!is_read(first, other), "{other:?}");
    }
}

#[test]
fn a_name_that_comes_back_behind_the_next_one() {
    for (first, other) in [
        ("a 1\nb 2\n", "a 1\nb{x=\"1\"} 3\na{x=\"9\"} 4\nb 2\n"),
        (
            "a 1\n# TYPE b gauge\nb 2\n",
            "a 1\n# TYPE b gauge\nb{x=\"1\"} 3\na{x=\"9\"} 4\nb 2\n",
        ),
        (
            "a 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\n",
            "a 1\n# TYPE h histogram\nh_bucket{le=\"2\"} 1\na{le=\"1\"} 3\nh_bucket{le=\"1\"} 2\n",
        ),
        ("ab 1\na_sum{b=\"1\"} 1\n", "a_sum 0\nab{b=\"2\"} 2\n"),
    ] {
        assert!(!is_read(first, other), "{other}");
    }
}

/// Whether a line is written anew, without such labels, may hang on other lines of its body.
#[test]
fn labels_without_a_value() {
    assert!(!is_read("a{b=\"\"} 1\n", "a{b=\"\"} 2\n"));
    assert!(!is_read("a{b=\"\",} 1\n", "a{b=\"\",} 2\n"));
    assert!(!is_read("a{b=\"1\"} 1\n", "a{b=\"1\"} 1\na{b=\"\"} 1\n"));
    assert!(!is_read(
        "a{b=\"y,r=\",r=\"1\",d=\"\"} 1\n",
        "a{b=\"x\",r=\"2\"} 1\na{b=\"y,r=\",r=\"1\",d=\"\"} 1\n",
    ));
}

/// Each of these would take many seconds if a part of the known body were gone through for each difference.
#[test]
fn large_bodies_with_many_differences() {
    let samples = |label: &str, numbers: Range<usize>| -> String {
        let line = |n| format!("a{{{label}=\"{n}\"}} 1\n");
        numbers.map(line).collect()
    };
    let long_name = "l".repeat(2_000_000) + " 1\n";
    let first = samples("b", 0..20_000) + &long_name;
    assert!(is_read(
        &first,
        &(samples("b", 0..20_000) + &samples("c", 0..4_000) + &long_name)
    ));
    let declared = |with_sample: Range<usize>| -> String {
        let family = |n: usize| {
            let sample = with_sample.contains(&n).then(|| format!("a{n} 1\n"));
            format!("# HELP a{n} x\n{}", sample.unwrap_or_default())
        };
        (0..50_000).map(family).collect()
    };
    assert!(is_read(&declared(0..50_000), &declared(0..45_000)));
}
