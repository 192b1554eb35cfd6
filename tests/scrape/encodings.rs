//! What `Content-Encoding` means: `gzip` and nothing else, as for Prometheus (`readResponse` in `scrape/scrape.go`).
//! Prometheus 3.5.3 treats each of these responses in the same way: `tests/real/bodies/responses.py`.

use super::{check_raw, check_taken};
use crate::support::fake_pod::{SMALL_BODY, gzip, raw};

/// A response with a header `Content-Encoding` for each of the values, unchanged, blanks included.
fn encoded(values: &[&[u8]], body: &[u8]) -> Vec<u8> {
    let mut response =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for value in values {
        response.extend([b"Content-Encoding:", *value, b"\r\n"].concat());
    }
    response.extend(b"Content-Type: text/plain\r\n\r\n");
    [&response, body].concat()
}

#[test]
fn an_encoding_other_than_gzip_is_ignored() {
    let values: [&[u8]; 9] = [
        b"",
        b" utf-8",
        b" none",
        b" identity",
        b" Identity",
        b" br",
        b" chunked",
        b" text/plain; version=0.0.4",
        b" \xe9",
    ];
    check_taken(&values.map(|value| encoded(&[value], SMALL_BODY.as_bytes())));
}

#[test]
fn gzip_is_decompressed_if_it_is_the_first_encoding() {
    let zipped = gzip(SMALL_BODY.as_bytes());
    check_taken(&[
        encoded(&[b" gzip"], &zipped),
        encoded(&[b" \t gzip \t "], &zipped),
        encoded(&[b" gzip", b" utf-8"], &zipped),
        encoded(&[b" utf-8", b" gzip"], SMALL_BODY.as_bytes()),
    ]);
}

#[test]
fn gzip_by_another_name_fails_the_pod() {
    let zipped = gzip(SMALL_BODY.as_bytes());
    let others: [&[&[u8]]; 5] = [
        &[b" GZIP"],
        &[b" x-gzip"],
        &[b" gzip, identity"],
        &[b" utf-8", b" gzip"],
        &[],
    ];
    for values in others {
        check_raw(encoded(values, &zipped), "parse: line 1");
    }
}

#[test]
fn a_body_that_is_not_the_gzip_it_claims_fails_the_pod() {
    let mut broken = gzip(SMALL_BODY.repeat(50).as_bytes());
    broken.truncate(broken.len() / 2);
    let more = [gzip(SMALL_BODY.as_bytes()), b"more".to_vec()].concat();
    for body in [&b"a 1\n"[..], &b""[..], &broken, &more] {
        let reason = "body: gzip that cannot be decompressed: ";
        check_raw(encoded(&[b" gzip"], body), reason);
    }
}

/// Two members, of which gzip makes one text (RFC 1952, section 2.2).
#[test]
fn gzip_of_two_members_is_one_body() {
    let zipped = [gzip(SMALL_BODY.as_bytes()), gzip(b"b 2\n")].concat();
    check_taken(&[encoded(&[b" gzip"], &zipped)]);
}

#[test]
fn the_length_counts_the_bytes_of_any_encoding() {
    let headers = "Content-Encoding: none\r\nContent-Length: 100\r\n";
    check_raw(raw(headers, b"a 1\n"), "body: ");
}
