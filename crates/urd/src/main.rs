//! The `urd` binary.
fn main() {}
