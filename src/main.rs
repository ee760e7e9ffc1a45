//! The `suppressd` program.

fn main() {}
