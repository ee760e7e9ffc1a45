//! Log lines: to stderr, for people or for collectors.

use std::io;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context as _, Error};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts to log, for the whole process; only the first call can succeed. Colours appear only on a terminal.
pub fn start(log: &Log) -> anyhow::Result<()> {
    // The MCP library logs every request, as warnings what is only a client's fault, and as an error each answer that a
    // client no longer takes; who wants it can still ask.
    let filter = format!("rmcp=error,rmcp::service=off,{}", log.filter);
    let filter = EnvFilter::builder().parse(filter).context("the log filter cannot be read")?;
    let colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        // It would tell a line that cannot be written on stderr, which is what cannot be written, and panic.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(Error::from_boxed).context("logging cannot be started")
}
