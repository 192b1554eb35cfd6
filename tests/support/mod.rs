//! The only shared helpers: a pod that behaves as told, the built program as a process.

pub(crate) mod certificates;
pub(crate) mod fake_pod;
pub(crate) mod program;
