//! One body in protobuf, read and spliced.
#![no_main]

use kubernetes_metrics_aggregator_fuzz::check_protobuf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| check_protobuf(body));
