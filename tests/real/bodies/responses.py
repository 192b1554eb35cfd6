"""Whole responses, head included: what a Content-Encoding means.

Each job is named for the rule that it tests and has one pod. It is scraped at the path `/JOB`; what it sends there, and
at further paths, is written byte for byte, and the connection is closed. HOST stands for the address of the pods.
"""

import gzip

BODY = b"# TYPE a counter\na 1\n"
TYPE = b"Content-Type: text/plain; version=0.0.4\r\n"


def response(headers=b"", body=BODY, status=b"200 OK", version=b"HTTP/1.1"):
    """A response with these header lines before the usual Content-Type."""
    return version + b" " + status + b"\r\n" + headers + TYPE + b"\r\n" + body


def sized(headers=b"", body=BODY):
    return response(headers + b"Content-Length: %d\r\n" % len(body), body)


def encoded(*values, body=BODY):
    return sized(b"".join(b"Content-Encoding:" + value + b"\r\n" for value in values), body)


ZIPPED = gzip.compress(BODY, mtime=0)

# job → response at `/JOB`
ENCODINGS = {
    "encoding-utf-8": encoded(b" utf-8"),
    "encoding-none": encoded(b" none"),
    "encoding-identity": encoded(b" identity"),
    "encoding-identity-in-capitals": encoded(b" Identity"),
    "encoding-empty": encoded(b""),
    "encoding-media-type": encoded(b" text/plain; version=0.0.4"),
    "encoding-chunked": encoded(b" chunked"),
    "encoding-of-latin-1": encoded(b" \xe9"),
    "encoding-gzip": encoded(b" gzip", body=ZIPPED),
    "encoding-gzip-between-blanks": encoded(b" \t gzip \t ", body=ZIPPED),
    "encoding-gzip-in-capitals": encoded(b" GZIP", body=ZIPPED),
    "encoding-x-gzip": encoded(b" x-gzip", body=ZIPPED),
    "encoding-gzip-in-a-list": encoded(b" gzip, identity", body=ZIPPED),
    "encoding-gzip-first": encoded(b" gzip", b" utf-8", body=ZIPPED),
    "encoding-gzip-second": encoded(b" utf-8", b" gzip", body=ZIPPED),
    "encoding-gzip-second-of-text": encoded(b" utf-8", b" gzip"),
    "encoding-gzip-of-text": encoded(b" gzip"),
    "encoding-gzip-of-nothing": encoded(b" gzip", body=b""),
    "encoding-gzip-and-more": encoded(b" gzip", body=ZIPPED + b"more"),
    "encoding-gzip-twice": encoded(b" gzip", body=ZIPPED + gzip.compress(b"b 2\n", mtime=0)),
    "encoding-br-of-text": encoded(b" br"),
}

# job → path → response
ALL = {job: {"": whole} for job, whole in ENCODINGS.items()}
