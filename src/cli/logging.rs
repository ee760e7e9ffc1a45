//! Log lines: to stderr, for people or for collectors.

use std::io;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context as _, Error};
use tracing_subscriber::{EnvFilter, filter::ParseError, reload::Handle};

use crate::{
    app::reload::LogFilter,
    config::{Log, LogFormat},
};

/// Starts to log, for the whole process; only the first call can succeed. Colours appear only on a terminal.
///
/// Returns what makes other directives count.
pub fn start(log: &Log) -> anyhow::Result<LogFilter> {
    let filter = filter(&log.filter).context("the log filter cannot be read")?;
    let colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let lines = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(colours)
        // It would tell a line that cannot be written on stderr, which is what cannot be written, and panic.
        .log_internal_errors(false);
    let (started, changed) = match log.format {
        LogFormat::Text => {
            let lines = lines.with_env_filter(filter).with_filter_reloading();
            let changed = changed_by(lines.reload_handle());
            (lines.try_init(), changed)
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_env_filter(filter).with_filter_reloading();
            let changed = changed_by(lines.reload_handle());
            (lines.try_init(), changed)
        }
    };
    started.map_err(Error::from_boxed).context("logging cannot be started")?;
    Ok(changed)
}

/// Reads directives.
fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    // The MCP library logs every request, as warnings what is only a client's fault, and as an error each answer that a
    // client no longer takes; who wants it can still ask.
    EnvFilter::builder().parse(format!("rmcp=error,rmcp::service=off,{directives}"))
}

fn changed_by<S: 'static>(handle: Handle<EnvFilter, S>) -> LogFilter {
    Box::new(move |directives| {
        let filter = filter(directives).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    })
}
