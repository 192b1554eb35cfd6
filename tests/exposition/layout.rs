//! Bodies that are read with the layout of another one. That this changes nothing of what they mean is checked on
//! generated bodies in `properties/known.rs`; here, when it is done.

use super::{merged_text, parse_text};
use kubernetes_metrics_aggregator::exposition::{Format, IdentityLabels, parse, parse_like};

/// Whether the second body is read with the layout of the first. If so, it says what it says by itself.
#[track_caller]
fn is_read(first: &str, body: &str) -> bool {
    let first = parse_text(first.as_bytes()).unwrap();
    let labels = IdentityLabels::new([("i", "1")]);
    let Ok(read) = first.layout().read(body.as_bytes(), &labels) else {
        return false;
    };
    let alone = parse_text(body.as_bytes()).unwrap();
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
fn any_other_difference() {
    let first = "# HELP a x\na{b=\"c\"} 1\nb 2\n";
    for other in [
        "# HELP a y\na{b=\"c\"} 1\nb 2\n",
        "# HELP a x\na{b=\"d\"} 1\nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\nb 2\nc 3\n",
        "# HELP a x\na{b=\"c\"} 1\n",
        "# HELP a x\na{b=\"c\"} 1\nb 2",
        "# HELP a x\na{b=\"c\"} 1\nb  2\n",
        "# HELP a x\na{b=\"c\"} 1\r\nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\nb 2\n\n",
        "# HELP a x\na{b=\"c\"} \nb 2\n",
        "# HELP a x\na{b=\"c\"} 1\0\nb 2\n",
        "# HELP a x\na{b=\"c\"} 0x1\nb 2\n",
        "",
    ] {
        assert!(!is_read(first, other), "{other:?}");
    }
}

#[test]
fn the_samples_before_a_difference_are_counted() {
    let first = parse_text(b"a 1\nb 2\nc 3\n").unwrap();
    let labels = IdentityLabels::new([("i", "1")]);
    let before = |body: &str| first.layout().read(body.as_bytes(), &labels).unwrap_err();
    assert_eq!(before("x 1\nb 2\nc 3\n"), 0);
    assert_eq!(before("a 1\nb 2\nx 3\n"), 2);
    assert_eq!(before("a 1\nb 2\nc 3\nd 4\n"), 3);
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
    let read = |labels: &IdentityLabels| first.layout().read(b"a{j=\"own\"} 1\n", labels).is_ok();
    assert!(read(&IdentityLabels::new([("i", "another value")])));
    assert!(!read(&IdentityLabels::new([("j", "1")])));
    assert!(!read(&IdentityLabels::new([("i", "1"), ("j", "1")])));
}

#[test]
fn open_metrics() {
    let labels = IdentityLabels::new([("i", "1")]);
    let body = b"# TYPE a counter\na_total 1\n# EOF\n";
    let first = parse(Format::OpenMetrics, body, &labels).unwrap();
    assert!(first.layout().read(body, &labels).is_err());
}

/// The second body, read by lines with the layout of the first, says what it says by itself.
#[track_caller]
fn check_like(first: &str, body: &str) {
    let first = parse_text(first.as_bytes()).unwrap();
    let labels = IdentityLabels::new([("i", "1")]);
    let like = parse_like(Some(first.layout()), Format::Text, body.as_bytes(), &labels).unwrap();
    let alone = parse_text(body.as_bytes()).unwrap();
    assert_eq!(like.samples(), alone.samples());
    assert_eq!(like.duplicates_dropped(), alone.duplicates_dropped());
    assert_eq!(merged_text(like), merged_text(alone));
}

#[test]
fn lines_of_another_body() {
    let first = "a{b=\"1\"} 1\na{b=\"2\"} 2\nc 3\nd 4\n";
    check_like(first, "a{b=\"1\"} 1\na{b=\"own\"} 2\nc 3\nd 4\n");
    check_like(first, "a{b=\"1\"} 1\nd 4\ne 5\n");
    check_like(first, "e 5\na{b=\"1\"} 1\na{b=\"2\"} 2\nc 3 17\nd 4\n");
    check_like(first, "d 4\nc 3\na{b=\"2\"} 2\na{b=\"1\"} 1\n");
}

#[test]
fn duplicates_of_lines_of_another_body() {
    let first = "a{b=\"1\",c=\"2\"} 1\nd 2\ne 3\n";
    check_like(first, "a{b=\"1\",c=\"2\"} 1\nd 2\nd 2\ne 3\n");
    check_like(first, "a{c=\"2\",b=\"1\"} 7\na{b=\"1\",c=\"2\"} 1\nd 2\n");
    check_like(first, "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 7\nd 2\n");
}

#[test]
fn lines_of_another_body_under_another_type() {
    let first = "a{le=\"1\"} 1\na{le=\"2\"} 2\n";
    check_like(first, "# TYPE h histogram\na{le=\"1\"} 1\na{le=\"2\"} 2\n");
    check_like(first, "# TYPE a histogram\na{le=\"1\"} 1\na{le=\"2\"} 2\n");
    check_like("# TYPE h histogram\na{le=\"1\"} 1\n", first);
}
