"""What is pushed to the Pushgateway, in protobuf: exemplars and native histograms that a client_golang server then
exposes in whatever format it is asked for.

The fields and their numbers are those of `io/prometheus/client/metrics.proto`.
"""

import struct


def varint(number):
    """Of a negative number, its 64 bits."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded + bytes([number]))


def field(number, value):
    """A float becomes a double, an int a varint; the rest has a length."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def zigzag(number):
    return number << 1 ^ number >> 63


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def label(name, value):
    return 1, message((1, name), (2, value))


def exemplar(trace_id, value, seconds):
    return message(label("trace_id", trace_id), (2, value), (3, message((1, seconds), (2, 250_000_000))))


def bucket(count, bound, *exemplars):
    return 3, message((1, count), (2, bound), *[(3, one) for one in exemplars])


def family(name, family_type, *metrics):
    whole = message((1, name), (2, f"Help of {name}."), (3, family_type), *[(4, metric) for metric in metrics])
    return varint(len(whole)) + whole


COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)


def native_histogram(schema):
    """Count 10: 2 in the zero bucket, 5 above it and 3 below."""
    return [
        (1, 10), (2, 12.5), (5, zigzag(schema)), (6, 0.001), (7, 2),
        (9, message((1, zigzag(-1)), (2, 1))), (10, zigzag(3)),
        (12, message((1, zigzag(0)), (2, 2))), (12, message((1, zigzag(3)), (2, 1))),
        (13, zigzag(1)), (13, zigzag(2)), (13, zigzag(-2)),
    ]


def body(seconds):
    """`seconds` is the time of the exemplars."""
    counter = message(label("path", "/"), (3, message((1, 1234567.0), (2, exemplar("counter", 1.0, seconds)))))
    classic = message((7, message(
        (1, 6), (2, 7.5), bucket(1, 0.5, exemplar("first", 0.25, seconds)), bucket(4, 1.0),
        bucket(6, float("inf"), exemplar("last", 3.0, seconds)))))
    native = [message(label("schema", str(schema)), (7, message(*native_histogram(schema)))) for schema in (0, 3)]
    both = message((7, message(
        bucket(5, 0.5, exemplar("classic", 0.25, seconds)), bucket(10, 2.0), bucket(10, float("inf")),
        *native_histogram(1))))
    quantiles = message((4, message(
        (1, 3), (2, 4.5), (3, message((1, 0.5), (2, 1.0))), (3, message((1, 0.99), (2, float("nan")))))))
    return b"".join([
        family("pushed_requests_total", COUNTER, counter),
        family("pushed_rows", GAUGE, message((2, message((1, -0.5))))),
        family("pushed_seconds", SUMMARY, quantiles),
        family("pushed_classic_seconds", HISTOGRAM, classic),
        family("pushed_native_seconds", HISTOGRAM, *native),
        family("pushed_both_seconds", HISTOGRAM, both),
        family("pushed_anything", UNTYPED, message((5, message((1, 7.0))))),
    ])
