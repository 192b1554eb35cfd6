//! The program. Has no logic of its own yet.

fn main() {}
