//! The `lagdb` command.
fn main() {}
