//! What the compressor of merged texts has to keep.

use std::io::{Read, Write};

use flate2::bufread::GzDecoder;
use kubernetes_metrics_aggregator::gzip::LineGzip;

/// Bytes are the same after they have been compressed and decompressed, alone and several times behind each other.
///
/// # Panics
/// Where they are not.
pub fn check_gzip(text: &[u8]) {
    for times in [1, 3] {
        let text = text.repeat(times);
        let mut gzip = LineGzip::default();
        gzip.write_all(&text).expect("from memory into memory");
        let gzip = gzip.finish();
        let mut decoder = GzDecoder::new(&gzip[..]);
        let mut decompressed = Vec::new();
        decoder.read_to_end(&mut decompressed).expect("valid gzip");
        assert_eq!(decompressed, text);
        assert!(decoder.into_inner().is_empty(), "something behind it");
    }
}
