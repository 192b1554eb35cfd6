//! The bodies of up to four targets, read with what is known of the lines of those before, in both formats.
#![no_main]

use kubernetes_metrics_aggregator::exposition::Format;
use kubernetes_metrics_aggregator_fuzz::check_cache;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bodies: &[u8]| {
    check_cache(Format::Text, bodies);
    check_cache(Format::OpenMetrics, bodies);
});
