//! The program's own HTTP: a public door for Notion, a private one for people and the pipeline.
//!
//! A stranger at the public door can store nothing, learn nothing and stop nothing: connections, heads, bodies,
//! their time and their memory are bounded, and an answer says no more than its status.
//!
//! The private door is described by an OpenAPI document that is made of its routes. Each subject has a file with its
//! routes, the types that they take and give, and the handlers; `private` puts them together.

mod admission;
pub mod body;
pub mod changes;
mod check;
mod connection;
mod describe;
mod entrance;
mod events;
mod explain;
mod extract;
mod following;
mod issues;
pub mod listen;
mod metrics;
mod openapi;
mod panics;
mod parameters;
pub mod private;
mod problem;
pub mod public;
mod request;
mod seats;
mod state;
mod status;
mod sweeps;
