//! Merged texts as gzip: whatever is written, one gzip member that another implementation decompresses to the same.

use std::io::{Read, Write};

use flate2::Crc;
use flate2::bufread::GzDecoder;
use kubernetes_metrics_aggregator::gzip::LineGzip;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The furthest that a match may reach (RFC 1951, section 2).
const WINDOW: usize = 32 * 1024;

fn compress<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut gzip = LineGzip::default();
    for text in texts {
        gzip.write_all(text).unwrap();
    }
    gzip.finish()
}

/// Decompresses, and checks that nothing comes behind the member.
fn decompress(gzip: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(gzip);
    let mut text = Vec::new();
    decoder.read_to_end(&mut text).unwrap();
    assert!(decoder.into_inner().is_empty(), "something behind it");
    text
}

/// How long the text is as gzip, which decompresses to the same.
fn checked(text: &[u8]) -> usize {
    let gzip = compress([text]);
    assert!(decompress(&gzip) == text, "{:?}", text.get(..200));
    gzip.len()
}

/// Bytes that follow no pattern.
fn random(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// The sample lines of so many pods, for one family.
fn pods(pods: usize, line: impl Fn(usize, usize) -> String) -> String {
    let lines = (0..pods).flat_map(|pod| (0..30).map(move |number| (pod, number)));
    lines.map(|(pod, number)| line(pod, number)).collect()
}

fn sample(pod: usize, series: usize) -> String {
    let (code, value) = (200 + series % 5, pod * series);
    let pod = format!("pod=\"web-7d9c5b7f4-{pod:05}\",ip=\"10.0.0.{pod}\"");
    format!("http_requests_total{{code=\"{code}\",path=\"/api/{series}\",{pod}}} {value}\n")
}

#[test]
fn the_member_has_the_head_the_checksum_and_the_length_of_rfc_1952() {
    let text = b"a 1\n";
    let gzip = compress([&text[..]]);
    assert_eq!(gzip[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff]);
    let mut crc = Crc::new();
    crc.update(text);
    let end = [crc.sum().to_le_bytes(), 4_u32.to_le_bytes()].concat();
    assert_eq!(gzip[gzip.len() - 8..], end);
}

#[test]
fn nothing_is_a_member_too() {
    assert_eq!(decompress(&compress([])), b"");
    assert_eq!(decompress(&compress([&b""[..], b""])), b"");
}

#[test]
fn every_byte_has_a_code() {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    checked(&all);
    for byte in 0..=u8::MAX {
        checked(&[byte]);
    }
}

/// A byte takes 12 bits at most, and what comes before and behind takes 130 bytes.
#[test]
fn what_cannot_be_compressed_becomes_half_as_long_again_at_most() {
    for length in [1, 1_000, 100_000, 3_000_000] {
        let longest = length * 3 / 2 + 130;
        let gzip = checked(&random(length));
        assert!(gzip <= longest, "{length}: {gzip}");
    }
}

/// A response waits for its client in memory, and the send budget counts its length.
#[test]
fn the_member_takes_no_more_memory_than_its_length() {
    for length in [0, 1_000, 100_000, 3_000_000] {
        let gzip = compress([&random(length)[..]]);
        assert_eq!(gzip.capacity(), gzip.len());
    }
}

#[test]
fn matches_of_every_length() {
    for length in 1..800 {
        let same = "x".repeat(length);
        let text = format!("a{{b=\"{same}\"}} 1\na{{b=\"{same}\"}} 2\na{{b=\"{same}y\"}} 3\n");
        let gzip = checked(text.as_bytes());
        assert!(gzip < 200, "{length}: {gzip}");
    }
}

#[test]
fn matches_up_to_the_window_and_not_beyond() {
    let line = format!("{}\n", "b".repeat(150));
    for before in (1..200).chain(WINDOW - 200..WINDOW - 100) {
        let mut text = line.clone().into_bytes();
        text.extend(random(before));
        text.push(b'\n');
        text.extend(line.as_bytes());
        checked(&text);
    }
    for length in [WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW, 1 << 21] {
        checked("a".repeat(length).as_bytes());
        let lines = format!("a{{b=\"{}\"}} 1\n", "c".repeat(length)).repeat(3);
        checked(lines.as_bytes());
    }
}

/// The value of the line before comes again behind a line without labels, so a match goes on into the next line.
#[test]
fn a_match_may_end_in_the_next_line() {
    checked(b"12345 7\na{b=\"c\"} 12345\na{b\n12345 8\n");
}

#[test]
fn lines_of_many_pods_take_few_bytes_each() {
    let alike = pods(200, sample);
    // Every seventh line is missing, and every fifth has another label.
    let differing = pods(200, |pod, number| match pod + number {
        n if n % 7 == 0 => String::new(),
        n if n % 5 == 0 => sample(pod, number).replace("{", &format!("{{worker=\"{pod}\",")),
        _ => sample(pod, number),
    });
    let stamped = pods(200, |pod, number| {
        let stamp = 1_750_000_000_000_usize + pod * 1_009;
        sample(pod, number).replace('\n', &format!(" {stamp}\n"))
    });
    for (name, text, most) in [
        ("alike", alike, 12),
        ("differing", differing, 20),
        ("stamped", stamped, 20),
    ] {
        let lines = text.lines().count();
        let gzip = checked(text.as_bytes());
        assert!(
            gzip <= lines * most,
            "{name}: {} bytes a line",
            gzip / lines
        );
    }
}

/// A line of a merged text, or of one that is broken in some way.
fn line() -> impl Strategy<Value = String> {
    let name = select(vec![
        "a",
        "http_requests_total",
        "# TYPE a",
        "# HELP a b}c",
        "",
    ]);
    let labels = vec(("[ab]{1,3}", "[\"}{, \\\\é0-9]{0,40}"), 0..4);
    let value = select(vec![
        "1",
        "",
        "NaN",
        "0.123456789",
        "1 1750000000001",
        "2 # {a=\"b\"} 3 4.5",
        "1 ",
    ]);
    let end = select(vec!["\n", "\n", "\n", "\n", "\n\n", ""]);
    (name, labels, 0..3_usize, value, end).prop_map(|(name, labels, pod, value, end)| {
        let labels: String = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\","))
            .collect();
        format!(
            "{name}{{{labels}pod=\"web-{}\"}} {value}{end}",
            "x".repeat(pod * 200)
        )
    })
}

/// Lines of which many come again, in runs, and some of them changed.
fn lines() -> impl Strategy<Value = String> {
    let copies = vec(
        (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            "[0-9a]{0,3}",
        ),
        0..60,
    );
    (vec(line(), 1..20), copies).prop_map(|(mut lines, copies)| {
        for (from, to, more) in copies {
            let (from, to) = (from.index(lines.len()), to.index(lines.len()));
            let run = lines[from.min(to)..=from.max(to)].to_vec();
            if lines.len() < 1_000 {
                lines.extend(
                    run.into_iter()
                        .map(|line| line.replace("\"} ", &format!("{more}\"}} "))),
                );
            }
        }
        lines.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_stay(texts in vec(vec(any::<u8>(), 0..600), 0..6)) {
        let gzip = compress(texts.iter().map(Vec::as_slice));
        prop_assert_eq!(decompress(&gzip), texts.concat());
    }

    #[test]
    fn few_different_bytes_stay(text in vec(select(b"a\n} {".to_vec()), 0..3_000)) {
        let gzip = compress([&text[..]]);
        prop_assert_eq!(decompress(&gzip), text);
    }

    #[test]
    fn lines_stay_wherever_they_are_cut(text in lines(), cuts in vec(any::<prop::sample::Index>(), 0..4)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let texts = cuts.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]);
        prop_assert_eq!(decompress(&compress(texts)), text.as_bytes());
    }
}
