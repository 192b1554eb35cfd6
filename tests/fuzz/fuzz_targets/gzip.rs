//! Any bytes, compressed as a merged text and decompressed again.
#![no_main]

use kubernetes_metrics_aggregator_fuzz::check_gzip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| check_gzip(text));
