//! The bytes of a client.
#![no_main]

use kubernetes_metrics_aggregator_fuzz::check_request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| check_request(bytes));
