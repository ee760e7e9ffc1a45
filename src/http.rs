//! The program's own HTTP: a public door for Notion, a private one for people and the pipeline.
//!
//! A stranger at the public door can store nothing, learn nothing and stop nothing: connections, heads, bodies,
//! their time and their memory are bounded, and an answer says no more than its status.

pub mod answers;
pub mod body;
mod connection;
pub mod listen;
pub mod private;
mod problem;
pub mod public;
mod sweeps;
