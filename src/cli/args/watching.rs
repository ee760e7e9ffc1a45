//! Arguments of the command for those who watch: `metrics`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Prints how it stands as series for Prometheus, for those who run no `serve`.
///
/// A running `serve` shows these and more at /metrics of its private address. Whoever sweeps by cron or by a timer instead
/// has this written into the folder of node exporter's textfile collector after each sweep, and may use the same
/// alerts. Reads the database and the disk alone, so that what only a process knows is missing: what it counted, its
/// budgets, its parts, and whether Notion refuses a token.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  suppressd metrics
  suppressd metrics --output /var/lib/node_exporter/textfile/suppressd.prom
  suppressd reconcile; suppressd metrics --output /var/lib/node_exporter/textfile/suppressd.prom

Exit status: 0 written; 2 where the database cannot be read. Then it is written
all the same, with suppressd_store_readable 0, unless there is no database.")]
pub struct MetricsArgs {
    /// Write into this file instead of to stdout: whole or not at all, for whoever reads it at the same time. Only a new
    /// file is written, an empty one, or one that this command wrote.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}
