//! The bodies of up to four targets in the text format, merged in either format, and the merged text read again.
#![no_main]

use kubernetes_metrics_aggregator::exposition::Format;
use kubernetes_metrics_aggregator_fuzz::check_round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bodies: &[u8]| {
    check_round_trip(Format::Text, Format::Text, bodies);
    check_round_trip(Format::Text, Format::OpenMetrics, bodies);
});
