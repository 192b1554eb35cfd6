//! The one test binary. What belongs where:
//!
//! * `support`: the fakes (API server, pods), the only shared helpers
