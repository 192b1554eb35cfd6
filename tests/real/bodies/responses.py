"""Whole responses, head included: what a Content-Encoding means, which redirects are followed, where a body ends.

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


def chunked(body, headers=b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.1"):
    return response(headers, body, version=version)


def redirect(location, status=b"307 Temporary Redirect", headers=b""):
    return b"HTTP/1.1 " + status + b"\r\nLocation: " + location + b"\r\n" + headers + b"Content-Length: 0\r\n\r\n"


ZIPPED = gzip.compress(BODY, mtime=0)
CHUNKS = b"15\r\n" + BODY + b"\r\n"

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

# job → response at `/JOB`
FRAMINGS = {
    "chunked": chunked(CHUNKS + b"0\r\n\r\n"),
    "chunked-with-extension": chunked(b"15;a=b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunked-with-trailer": chunked(CHUNKS + b"0\r\nX-Sum: 1\r\n\r\n"),
    "chunked-without-end": chunked(CHUNKS),
    "chunked-without-last-line": chunked(CHUNKS + b"0\r\n"),
    "chunked-half-of-last-line": chunked(CHUNKS + b"0\r\n\r"),
    "chunked-inside-of-trailer": chunked(CHUNKS + b"0\r\nX-Sum: 1\r\n"),
    "chunked-in-capitals": chunked(CHUNKS + b"0\r\n\r\n", b"Transfer-Encoding: CHUNKED\r\n"),
    "chunked-of-http-1.0": chunked(BODY, version=b"HTTP/1.0"),
    "chunked-twice": chunked(CHUNKS + b"0\r\n\r\n", 2 * b"Transfer-Encoding: chunked\r\n"),
    "chunked-after-gzip": chunked(CHUNKS + b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked-after-identity": chunked(CHUNKS + b"0\r\n\r\n", b"Transfer-Encoding: identity, chunked\r\n"),
    "transfer-encoding-identity": sized(b"Transfer-Encoding: identity\r\n"),
    "transfer-encoding-gzip": sized(b"Transfer-Encoding: gzip\r\n"),
    "transfer-encoding-empty": sized(b"Transfer-Encoding:\r\n"),
    "chunked-with-length": chunked(CHUNKS + b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    "length-twice": response(2 * b"Content-Length: 21\r\n"),
    "length-twice-other-blanks": response(b"Content-Length: 21\r\nContent-Length:21 \r\n"),
    "length-twice-other-digits": response(b"Content-Length: 21\r\nContent-Length: 021\r\n"),
    "lengths-that-differ": response(b"Content-Length: 21\r\nContent-Length: 17\r\n"),
    "length-list": response(b"Content-Length: 21, 21\r\n"),
    "length-with-zeros": response(b"Content-Length: 0021\r\n"),
    "length-with-plus": response(b"Content-Length: +21\r\n"),
    "length-negative": response(b"Content-Length: -1\r\n"),
    "length-of-63-bits": response(b"Content-Length: 9223372036854775807\r\n"),
    "length-over-63-bits": response(b"Content-Length: 9223372036854775808\r\n"),
    "length-of-http-1.0": response(b"Content-Length: 21\r\n", version=b"HTTP/1.0"),
    "no-length": response(),
    "lines-end-without-cr": sized().replace(b"\r\n", b"\n"),
    "early-hints-first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + chunked(CHUNKS + b"0\r\n\r\n"),
    "early-hints-first-without-last-line": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + chunked(CHUNKS + b"0\r\n"),
}

# job → further path → response; `/JOB` itself is the path ""
REDIRECTS = {
    "redirect-to-slash": {"": redirect(b"/redirect-to-slash/"), "/": sized()},
    "redirect-absolute": {"": redirect(b"http://HOST/redirect-absolute/x"), "/x": sized()},
    "redirect-scheme-in-capitals": {"": redirect(b"HTTP://HOST/redirect-scheme-in-capitals/x"), "/x": sized()},
    "redirect-protocol-relative": {"": redirect(b"//HOST/redirect-protocol-relative/x"), "/x": sized()},
    "redirect-relative": {"": redirect(b"redirect-relative/x"), "/x": sized()},
    "redirect-dots": {"": redirect(b"/y/../redirect-dots/./z/../x"), "/x": sized()},
    "redirect-dots-above": {"": redirect(b"../../redirect-dots-above/x"), "/x": sized()},
    "redirect-encoded-dots": {"": redirect(b"/redirect-encoded-dots/%2e%2e/x"), "/%2e%2e/x": sized()},
    "redirect-query": {"": redirect(b"?a=b"), "?a=b": sized()},
    "redirect-query-of-dots": {"": redirect(b"/redirect-query-of-dots?a=/../b"), "?a=/../b": sized()},
    "redirect-fragment": {"": redirect(b"/redirect-fragment/x#y?z"), "/x": sized()},
    "redirect-blank": {"": redirect(b"/redirect-blank/a b"), "/a%20b": sized()},
    "redirect-utf-8": {"": redirect("/redirect-utf-8/é".encode()), "/%C3%A9": sized()},
    "redirect-bad-byte": {"": redirect(b"/redirect-bad-byte/\xe9"), "/%E9": sized()},
    "redirect-bad-escape": {"": redirect(b"/redirect-bad-escape/%zz"), "/%zz": sized()},
    "redirect-tab": {"": redirect(b"/redirect-tab/a\tb"), "/a%09b": sized()},
    "redirect-location-twice": {
        "": redirect(b"/redirect-location-twice/x", headers=b"Location: /redirect-location-twice/y\r\n"),
        "/x": sized(), "/y": sized(body=b"b 1\n")},
    "redirect-301": {"": redirect(b"/redirect-301/x", b"301 Moved"), "/x": sized()},
    "redirect-302": {"": redirect(b"/redirect-302/x", b"302 Found"), "/x": sized()},
    "redirect-303": {"": redirect(b"/redirect-303/x", b"303 See Other"), "/x": sized()},
    "redirect-308": {"": redirect(b"/redirect-308/x", b"308 Permanent Redirect"), "/x": sized()},
    "redirect-300": {"": redirect(b"/redirect-300/x", b"300 Multiple Choices"), "/x": sized()},
    "redirect-304": {"": redirect(b"/redirect-304/x", b"304 Not Modified"), "/x": sized()},
    "redirect-305": {"": redirect(b"/redirect-305/x", b"305 Use Proxy"), "/x": sized()},
    "redirect-201": {"": redirect(b"/redirect-201/x", b"201 Created"), "/x": sized()},
    "redirect-without-location": {"": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"},
    "redirect-with-empty-location": {"": redirect(b"")},
    "redirect-with-body": {"": b"HTTP/1.1 302 Found\r\nLocation: /redirect-with-body/x\r\nContent-Length: 4\r\n\r\nb 1\n", "/x": sized()},
    "redirect-three-times": {"": redirect(b"/redirect-three-times/1"), "/1": redirect(b"2"), "/2": redirect(b"3"), "/3": sized()},
    "redirect-loop": {"": redirect(b"/redirect-loop")},
    "redirect-to-nothing": {"": redirect(b"/redirect-to-nothing/x"), "/x": response(status=b"404 Not Found")},
    "redirect-without-slashes": {"": redirect(b"http:/redirect-without-slashes/x"), "/x": sized()},
    "redirect-to-https": {"": redirect(b"https://HOST/redirect-to-https/x"), "/x": sized()},
    "redirect-to-closed-port": {"": redirect(b"http://127.0.0.1:1/")},
}

# job → path → response
ALL = {job: {"": whole} for job, whole in (ENCODINGS | FRAMINGS).items()} | REDIRECTS
