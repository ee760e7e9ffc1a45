//! Tests from outside: a world is set up, things happen in it, and its rows and answers are looked at.
#![expect(clippy::unwrap_used, reason = "a failed step should fail the test")]

mod applying;
mod bulk;
mod cache;
mod carried;
mod cli;
#[path = "../../benches/common/companies.rs"]
mod companies;
mod connections;
mod copies;
mod copies_faults;
mod copies_refused;
mod crm;
mod demo;
mod digest;
mod doctor;
mod documents;
mod doors;
mod end_to_end;
mod explain;
mod feed;
mod followers;
#[expect(
    unreachable_pub,
    clippy::panic,
    reason = "it is the library of the fuzz targets, and a panic is what they look for"
)]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
mod fuzzed;
mod handshake;
mod hangup;
mod hostile;
mod issues;
mod litestream;
mod load;
mod mcp;
mod metrics;
mod mishaps;
mod missed;
mod names;
mod openapi;
mod past_sweeps;
mod pipeline;
mod planner;
mod private;
mod program;
mod receiver;
mod reconcile;
mod rederive;
mod refresh;
mod relevance;
mod reload;
mod replay;
mod restart;
mod retention;
mod service;
#[cfg(target_os = "linux")]
mod siege;
mod signals_db;
mod simulation;
mod skips;
mod sources;
mod stage;
mod stranger;
mod sweep;
mod sweep_absent;
mod sweep_drift;
mod sweep_failures;
mod sweep_time;
mod sweeping;
mod verdicts;
mod worker;
mod world;
