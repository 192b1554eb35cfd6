//! The one test binary. What belongs where:
//!
//! * `support`: the fakes (API server, pods), the only shared helpers
//! * `exposition`: one body; valid and invalid lines
//! * `merge`: many bodies in one text

mod exposition;
mod merge;
