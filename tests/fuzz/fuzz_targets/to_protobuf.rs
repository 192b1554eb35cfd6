//! Bodies of either format of lines, converted to protobuf.
#![no_main]

use kubernetes_metrics_aggregator::exposition::Format;
use kubernetes_metrics_aggregator_fuzz::check_to_protobuf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bodies: &[u8]| {
    check_to_protobuf(Format::Text, bodies);
    check_to_protobuf(Format::OpenMetrics, bodies);
});
