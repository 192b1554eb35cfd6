//! The names, labels, values and other texts that generated bodies consist of.

/// Names with their possible types; those that are likely to clash come with several.
pub(super) const NAMES: &[(&str, &[&str])] = &[
    ("a", &["counter", "gauge", "untyped"]),
    ("c", &["gauge"]),
    ("c_total", &["counter"]),
    ("c_created", &["gauge"]),
    ("h_created", &["gauge"]),
    ("b", &["counter", "summary", "histogram"]),
    (
        "h",
        &["histogram", "histogram", "histogram", "summary", "gauge"],
    ),
    ("h_bucket", &["counter", "histogram"]),
    ("h_sum", &["gauge", "untyped", "summary", "histogram"]),
    ("h_sum_count", &["gauge"]),
    ("h_count", &["counter"]),
    (
        "s",
        &["summary", "summary", "summary", "histogram", "counter"],
    ),
    ("s_sum", &["gauge"]),
    ("s_count", &["counter"]),
    ("s_bucket", &["untyped"]),
    ("up", &["gauge", "counter", "histogram"]),
    ("scrape_samples_scraped", &["gauge"]),
    ("Z:z_9", &["gauge"]),
    ("a 1", &["gauge"]),
    ("x.y", &["histogram", "counter"]),
    ("x.y_bucket", &["counter"]),
    (" é\"\\\n", &["gauge"]),
];

pub(super) const LABEL_NAMES: &[&str] = &[
    "c",
    "d",
    "long_label_name",
    "le",
    "quantile",
    "i",
    "j",
    "exported_i",
    "exported_exported_i",
    "job",
    "x.y",
    "é \"\\",
];

pub(super) const LABEL_VALUES: &[&str] = &[
    "",
    "v",
    "w",
    "1",
    "1.0",
    "1e0",
    "0.50",
    ".5",
    "1e6",
    "+Inf",
    "inf",
    "nan",
    "many",
    "a long value, {with} = # all sorts",
    "\"",
    "\\",
    "\n",
    "\\t\\",
    "é\u{1F600}",
    "x\"y\\z\nn",
    "\\n",
    ",i=\"0\"}",
    "\r",
    "\0",
];

pub(super) const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "+1.5",
    ".5",
    "5.",
    "1e5",
    "1E-300",
    "NaN",
    "nan",
    "+Inf",
    "-inf",
    "Infinity",
    "12345678901234567890",
    "0.1234567890123456789012345",
];

pub(super) const TIMESTAMPS: &[&str] = &["0", "5", "05", "1700000000000", "9223372036854775807"];

/// Some of [`TIMESTAMPS`], in seconds.
pub(super) const SECONDS: &[(&str, &str)] =
    &[("0", "0"), ("5", "5e-3"), ("1700000000000", "1.7e9")];

/// With the blank before it.
pub(super) const EXEMPLAR: &str = " # {a=\"b\"} 1 5.5";

pub(super) const HELPS: &[&str] = &[
    "",
    "x",
    "y z",
    "with \\\\ and \\n and \"",
    "  blanks ",
    "# TYPE a",
    "é\\",
];

pub(super) const FILLERS: &[&str] = &[
    "",
    " ",
    " \t ",
    "# a comment",
    "#",
    "#TYPE a x",
    "# EOF",
    "# helps",
];
