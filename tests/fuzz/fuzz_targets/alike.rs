//! The bodies of up to four targets in the text format, each read with the layout of the one before.
#![no_main]

use kubernetes_metrics_aggregator_fuzz::check_alike;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bodies: &[u8]| check_alike(bodies));
