//! One body in the text format.
#![no_main]

use kubernetes_metrics_aggregator::exposition::Format;
use kubernetes_metrics_aggregator_fuzz::check_parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| check_parse(Format::Text, body));
