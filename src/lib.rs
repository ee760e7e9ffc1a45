//! A local suppression cache of a Notion CRM: webhooks in, rows out.
//!
//! The way of one event, and who may import whom, is told in `ARCHITECTURE.md`.

pub mod app;
pub mod cache;
mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod derive;
pub mod duration;
mod files;
pub mod http;
pub mod inbox;
pub mod intake;
pub mod library;
pub mod lifecycle;
pub mod lookup;
pub mod mcp;
pub mod metrics;
pub mod model;
mod nearest;
pub mod notion;
pub mod simulator;
pub mod sources;
pub mod store;
pub mod sweep;
pub mod worker;
