//! Tests from outside: a world is set up, things happen in it, and its rows and answers are looked at.
#![expect(clippy::unwrap_used, reason = "a failed step should fail the test")]

mod applying;
mod cache;
mod cli;
mod demo;
mod digest;
mod end_to_end;
mod handshake;
mod load;
mod mishaps;
mod past_sweeps;
mod pipeline;
mod planner;
mod private;
mod process;
mod program;
mod receiver;
mod reconcile;
mod relevance;
mod replay;
mod restart;
mod retention;
mod signals_db;
mod simulation;
mod skips;
mod sources;
mod stage;
mod stranger;
mod verdicts;
mod worker;
mod world;
