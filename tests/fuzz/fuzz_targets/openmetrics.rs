//! One OpenMetrics body, as it is and with the end mark that it needs, and the text of either format made of it.
#![no_main]

use kubernetes_metrics_aggregator::exposition::Format;
use kubernetes_metrics_aggregator_fuzz::{check_parse, check_round_trip};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    check_parse(Format::OpenMetrics, body);
    // A body that has the mark already then goes on after it.
    let ended = [body, b"# EOF\n"].concat();
    for to in [Format::Text, Format::OpenMetrics] {
        check_round_trip(Format::OpenMetrics, to, body);
        check_round_trip(Format::OpenMetrics, to, &ended);
    }
});
