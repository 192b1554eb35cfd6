//! The header `Accept` of a scraper.
#![no_main]

use kubernetes_metrics_aggregator_fuzz::check_accept;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| check_accept(header));
