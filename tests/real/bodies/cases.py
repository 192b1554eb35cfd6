"""The bodies: each job is named for the rule that it tests, each pod of it serves one body.

NOW stands for the time of the run in milliseconds, SECONDS for the same in seconds. A body whose second version is
given turns into it in the middle of the run. `None` as a body is a response with status 500.
"""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# job → body
ONE_POD = {
    # Lines
    "empty-body": "",
    "blank-lines": "\n\na 1\n\n\nb 2\n\n",
    "missing-last-newline": "a 1",
    "comment": "# a comment\na 1\n#another\n#\n",
    "tabs-and-blanks-between": "a \t  1\nb{c=\"d\"}\t2\n",
    "blank-before-name": " a 1\n",
    "blank-at-end": "a 1 \nb 2 NOW \n",
    "no-value": "a\n",
    "no-name": "1\n",
    "two-values": "a 1 2 3\n",
    "exemplar-tail": "a 1 # {b=\"c\"} 1\n",
    "nul-byte": "a{b=\"\0\"} 1\n",
    "nul-at-line-start": "a 1\n\0b 2\n",
    "byte-order-mark": "\ufeffa 1\n",
    "html": "<html><body>not found</body></html>\n",
    "json": "{\"a\": 1}\n",
    "bad-last-line": "a 1\nb 2\nc three\n",
    # Names
    "colons-in-name": ":a:b: 1\n",
    "digit-first": "1a 1\n",
    "hyphen-in-name": "a-b 1\n",
    "dot-in-name": "a.b 1\n",
    "quoted-name": "{\"my.metric\",b=\"c\"} 1\n",
    "quoted-name-last": "{b=\"c\",\"my.metric\"} 1\n",
    "quoted-names-twice": "{\"a\",\"b\"} 1\n",
    "quoted-label-name": "a{\"b.c\"=\"d\"} 1\n",
    "name-as-label": "a{__name__=\"b\"} 1\n",
    # Labels
    "empty-braces": "a{} 1\n",
    "trailing-comma": "a{b=\"c\",} 1\n",
    "comma-alone": "a{,} 1\n",
    "comma-twice": "a{b=\"c\",,d=\"e\"} 1\n",
    "comma-missing": "a{b=\"c\" d=\"e\"} 1\n",
    "blanks-in-braces": "a{ b = \"c\" , d = \"e\" } 1\n",
    "no-blank-before-value": "a{b=\"c\"}1\n",
    "escapes-in-value": "a{b=\"\\\\ \\\" \\n\"} 1\n",
    "unknown-escape": "a{b=\"\\x\"} 1\n",
    "separators-in-value": "a{b=\"{},= #\"} 1\n",
    "newline-in-value": "a{b=\"x\ny\"} 1\n",
    "empty-value": "a{b=\"\",c=\"d\"} 1\n",
    "label-twice": "a{b=\"c\",b=\"d\"} 1\n",
    "label-twice-once-empty": "a{b=\"c\",b=\"\"} 1\n",
    "unquoted-value": "a{b=c} 1\n",
    "single-quotes": "a{b='c'} 1\n",
    "unclosed-braces": "a{b=\"c\" 1\n",
    "hyphen-in-label": "a{pod-ip=\"c\"} 1\n",
    "order-of-labels": "a{z=\"1\",a=\"2\",m=\"3\"} 1\n",
    "long-label-value": "a{b=\"" + "x" * 20000 + "\"} 1\n",
    # Labels of ours
    "own-job-and-instance": "a{job=\"batch\",instance=\"worker-7\"} 1\n",
    "own-pod-labels": "a{pod_namespace=\"x\",pod_ip=\"y\"} 1\n",
    "exported-taken": "a{job=\"x\",exported_job=\"y\"} 1\n",
    "exported-twice-taken": "a{job=\"x\",exported_job=\"y\",exported_exported_job=\"z\"} 1\n",
    "own-job-empty": "a{job=\"\"} 1\n",
    # Values
    "values": "a 1\nb -1\nc +1\nd 1.\ne .5\nf 1e5\ng 1E-5\nh 0001\ni 1.7976931348623157e308\nj 12345678901234567890\n",
    "not-numbers": "a NaN\nb +Inf\nc -Inf\nd inf\ne infinity\nf nan\n",
    "out-of-range": "a 1e309\n",
    "too-small": "a 1e-400\n",
    "hex-float": "a 0x1p-2\n",
    "hex-number": "a 0x1f\n",
    "underscore": "a 1_000\n",
    "decimal-comma": "a 1,5\n",
    "all-digits-kept": "a 0.1\nb 1234567.1234567890123\nc 3.0000000000000004\n",
    # Timestamps
    "timestamp": "a 1 NOW\n",
    "timestamp-with-fraction": "a 1 NOW.5\n",
    "timestamp-with-plus": "a 1 +NOW\n",
    "timestamp-too-large": "a 1 9223372036854775808\n",
    "one-series-two-timestamps": "a 1 NOW\na 2 1NOW\n",
    # Series twice
    "series-twice": "a{b=\"c\"} 1\na{b=\"c\"} 1\nx 1\n",
    "series-twice-other-value": "a{b=\"c\"} 1\na{b=\"c\"} 2\n",
    "series-twice-other-order": "a{b=\"c\",d=\"e\"} 1\na{d=\"e\",b=\"c\"} 2\n",
    # Metadata
    "help-and-type": "# HELP a A text.\n# TYPE a counter\na 1\n",
    "help-with-escapes": "# HELP a back\\\\slash and \\n newline\n# TYPE a gauge\na 1\n",
    "help-without-text": "# HELP a\na 1\n",
    "type-without-samples": "# TYPE a counter\nb 1\n",
    "type-after-samples": "a 1\n# TYPE a counter\na{b=\"c\"} 2\n",
    "type-twice": "# TYPE a counter\n# TYPE a gauge\na 1\n",
    "type-unknown": "# TYPE a unknown\na 1\n",
    "type-of-no-kind": "# TYPE a frobnicator\na 1\n",
    "type-in-capitals": "# TYPE a COUNTER\na 1\n",
    "type-with-blank-at-end": "# TYPE a counter \na 1\n",
    "quoted-type": "# TYPE \"my.metric\" counter\n{\"my.metric\"} 1\n",
    # Histograms and summaries
    "histogram": "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\n"
                 "h_count 3\n",
    "histogram-large-bounds": "# TYPE h histogram\nh_bucket{le=\"1000000\"} 1\nh_bucket{le=\"1e+06\"} 1\n"
                              "h_bucket{le=\"10000000000\"} 1\nh_bucket{le=\"0.00001\"} 1\nh_bucket{le=\"+Inf\"} 3\n",
    "summary": "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"1\"} 2\ns_sum 4.5\ns_count 3\n",
    "histogram-untyped": "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n",
    "le-of-a-counter": "# TYPE c counter\nc{le=\"1\"} 2\n",
    "le-under-all-types-first": "# TYPE c counter\n# TYPE h histogram\n# TYPE z counter\nc 1\nh_bucket{le=\"0.100\"} 1\n"
                                "h_bucket{le=\"1\"} 2\nh_sum 3\nh_count 2\nz 1\n",
    "le-under-all-types-first-histogram-last": "# TYPE h histogram\n# TYPE z histogram\nh_bucket{le=\"0.100\"} 1\n"
                                               "h_bucket{le=\"1\"} 2\nz_bucket{le=\"1\"} 1\n",
    "le-of-a-family-typed-twice": "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\n# TYPE h gauge\n"
                                  "h_bucket{a=\"2\",le=\"1\"} 2\n# TYPE h histogram\nh_bucket{a=\"3\",le=\"1\"} 3\n",
    "quantile-of-a-family-typed-twice": "# TYPE s untyped\ns{a=\"1\",quantile=\"0.50\"} 1\n# TYPE s summary\n"
                                        "s{a=\"2\",quantile=\"0.50\"} 2\n",
    "le-before-its-type": "h_bucket{le=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"2\"} 2\n",
    # Not in the same words: Prometheus' scrape cache takes those for the series that they were first.
    "le-twice-under-two-types": "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE g gauge\nh_bucket{le=\"1\",} 2\n",
    "le-twice-under-two-types-histogram-last": "# TYPE g gauge\nx{le=\"1\"} 1\n# TYPE h histogram\nx{ le=\"1\"} 3\n",
    "le-in-all-spellings": "# TYPE h histogram\n" + "".join(
        f"h_bucket{{le=\"{le}\"}} {n}\n# TYPE g gauge\nh_bucket{{a=\"b\",le=\"{le}\"}} {n}\n# TYPE h histogram\n"
        for n, le in enumerate([
            "1", "1e3", "1e6", "0.50", ".25", "5.", "+2", "-0", "0.00001", "+Inf", "-inf", "nan", "+nan", "many", "1e400",
            "1_0", "0x1p-4", "0x_1.8p+9", "0x1", "1__1", " 1", "3,5"])),
    "le-under-another-histogram": "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nother{le=\"1\"} 2\n",
    "interleaved-families": "# TYPE a counter\n# TYPE b counter\na{x=\"1\"} 1\nb{x=\"1\"} 1\na{x=\"2\"} 2\nb{x=\"2\"} 2\n",
    # Names of Prometheus' own
    "own-up": "up{service=\"db\"} 7\n",
}

# job → OpenMetrics body
OPENMETRICS_POD = {
    "om-counter": "# HELP a Text.\n# TYPE a counter\n# UNIT a seconds\n# EOF\n".replace("# UNIT a seconds\n", "a_total 1\n"),
    "om-unit": "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n# EOF\n",
    "om-exemplars-on-buckets": "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {trace_id=\"x\",span=\"a\\\"b\"} 0.5 SECONDS.5\n"
    "h_bucket{le=\"+Inf\"} 2 # {trace_id=\"y\"} 3e0 SECONDS\nh_count 2\nh_sum 3.5\n# EOF\n",
    "om-exemplar-with-timestamp": "# TYPE a counter\na_total 1 SECONDS # {trace_id=\"z\"} 0.25 SECONDS.250\n# EOF\n",
    "om-quoted-names": "# TYPE \"http.requests\" counter\n{\"http.requests_total\",\"net.host\"=\"a\"} 1\n# EOF\n",
    "om-exemplar": "# TYPE a counter\na_total{b=\"c\"} 1 # {trace_id=\"x\"} 0.5 SECONDS\n# EOF\n",
    "om-timestamp": "# TYPE a gauge\na 1 SECONDS.123\n# EOF\n",
    "om-histogram": "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n# EOF\n",
    "om-info-and-stateset": "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n# EOF\n",
    "om-le-under-all-types-first": "# TYPE h histogram\n# TYPE g gauge\nh_bucket{le=\"0.100\"} 1\nh_bucket{le=\"1\"} 2\ng 1\n"
                                   "# EOF\n",
    "om-le-of-a-family-typed-twice": "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\n# TYPE h gaugehistogram\n"
                                     "h_bucket{a=\"2\",le=\"1\"} 2\n# EOF\n",
    "om-unknown": "# TYPE u unknown\nu 1\n# EOF\n",
    "om-without-eof": "# TYPE a gauge\na 1\n",
    "om-after-eof": "a 1\n# EOF\nb 2\n",
    "om-blank-line": "a 1\n\n# EOF\n",
}

# job → (Content-Type or None, body)
CONTENT_TYPES = {
    "type-of-html": ("text/html", "a 1\n"),
    "type-of-json": ("application/json", "a 1\n"),
    "type-plain": ("text/plain", "a 1\n"),
    "type-malformed": ("text/plain; version", "a 1\n"),
    "status-500": (TEXT, None),
}

# job → pod → body
SEVERAL_PODS = {
    "same-family": {"x": "# HELP a One.\n# TYPE a counter\na 1\n", "y": "# HELP a One.\n# TYPE a counter\na 2\n"},
    "help-differs": {"x": "# HELP a One.\n# TYPE a counter\na 1\n", "y": "# HELP a Two.\n# TYPE a counter\na 2\n"},
    "type-differs": {"x": "# TYPE a counter\na 1\n", "y": "# TYPE a gauge\na 2\n"},
    "one-untyped": {"x": "# TYPE a counter\na 1\n", "y": "a 2\n"},
    "labels-differ": {"x": "a{b=\"c\"} 1\n", "y": "a{d=\"e\"} 1\na 3\n"},
    "one-malformed": {"x": "a 1\nb{ 2\n", "y": "a 2\n"},
    "one-fails": {"x": None, "y": "a 2\n"},
    "histogram-in-both": {
        "x": "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n",
        "y": "# TYPE h histogram\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n",
    },
}

HISTOGRAM = "# TYPE l histogram\nl_bucket{le=\"1\"} 1\nl_bucket{le=\"1e3\"} 1\nl_bucket{le=\"+Inf\"} 2\nl_sum 3\nl_count 2\n"
SUMMARY = "# TYPE l summary\nl{quantile=\"0.50\"} 1\nl{quantile=\"1\"} 2\nl_sum 3\nl_count 2\n"
BARE = "l_bucket{le=\"1\"} 4\nl_bucket{le=\"many\"} 4\nl{quantile=\"0.50\"} 5\nl_sum 6\n"

SEVERAL_PODS |= {
    "histogram-beside-summary": {"x": HISTOGRAM, "y": SUMMARY},
    "histogram-beside-summary-and-untyped": {"x": BARE, "y": SUMMARY, "z": HISTOGRAM},
    "histogram-beside-gauge": {"x": HISTOGRAM, "y": "# TYPE l gauge\n" + BARE},
    "histogram-beside-type-alone": {"x": HISTOGRAM, "y": "# TYPE l gauge\n"},
    "histogram-beside-untyped": {"x": "# TYPE l untyped\n" + BARE, "y": HISTOGRAM},
    "histogram-beside-no-type": {"x": HISTOGRAM, "y": BARE},
    "histogram-beside-another-type": {"x": HISTOGRAM, "y": "# TYPE z histogram\n" + BARE},
    "summary-beside-counter": {"x": "# TYPE l counter\n" + BARE, "y": SUMMARY},
    "summary-beside-no-type": {"x": SUMMARY, "y": BARE},
    "histogram-named-like-a-part": {"x": HISTOGRAM, "y": "# TYPE l_sum histogram\nl_sum_bucket{le=\"1\"} 1\n"
                                                         "l_sum{le=\"1\"} 2\n"},
}

# Jobs whose bodies are compared once more as protobuf.
CONVERTED = sorted(ONE_POD | OPENMETRICS_POD | SEVERAL_PODS)

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
# An untyped metric `p` with the value 1.
PROTOBUF_BODY = b"\x12\x0a\x01p\x18\x03\x22\x0b\x2a\x09\x09\0\0\0\0\0\0\xf0\x3f"

# Jobs that are compared once more with the feature that stores TYPE and UNIT as labels. Where targets disagree on a
# TYPE it cannot be the same.
TYPE_LABELS = ["help-and-type", "histogram", "summary", "quoted-type", "om-counter", "own-up", "same-family",
               "histogram-in-both", "one-fails", "one-malformed"]

# job → (body, body in the second half of the run)
CHANGING = {
    "series-vanishes": ("a{b=\"1\"} 1\na{b=\"2\"} 1\n", "a{b=\"1\"} 1\n"),
    "series-appears": ("a 1\n", "a 1\nb 2\n"),
    "turns-malformed": ("a 1\n", "a one\n"),
    "turns-500": ("a 1\n", None),
    "recovers": ("a one\n", "a 1\n"),
    "label-changes": ("a{v=\"1\"} 1\n", "a{v=\"2\"} 1\n"),
    "type-changes": ("# TYPE a counter\na 1\n", "# TYPE a gauge\na 1\n"),
}

# job → (Content-Type or None, body): taken by the aggregator although Prometheus refuses them.
DEPARTURES = {
    "crlf": (TEXT, "# TYPE a counter\r\na 1\r\n"),
    "no-content-type": (None, "a 1\n"),
}
