//! Arguments of the commands that serve, or prepare for it: `serve`, `handshake`, `demo`.

use std::time::Duration;

use clap::{Args, ValueHint};
use url::Url;

use crate::{
    config::{Flags, settings},
    duration,
};

/// Receives webhooks, keeps the cache, answers lookups; until it is told to stop.
///
/// The first SIGINT or SIGTERM stops taking work and finishes what has begun; the second, or the end of the grace
/// period, stops at once. Nothing that was acknowledged is lost either way.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Needs NOTION_API_KEY and NOTION_DATABASE_ID. The token that signs deliveries is NOTION_VERIFICATION_TOKEN, \
or comes with the handshake: start `serve`, create the subscription in Notion, and see `suppressd handshake`.

Examples:
  suppressd serve
  suppressd --db-path signals.db serve --listen 0.0.0.0:8080
  suppressd --log-format json --config /etc/suppressd/suppressd.toml serve")]
pub struct ServeArgs {
    /// The public address.
    #[arg(long, value_name = "ADDRESS", help = settings::LISTEN.help())]
    pub listen: Option<String>,
    /// The private address.
    #[arg(long, value_name = "ADDRESS", help = settings::ADMIN_LISTEN.help())]
    pub admin_listen: Option<String>,
    /// The time of the daily sweep.
    #[arg(long, value_name = "HH:MM", help = settings::SWEEP_AT.help())]
    pub sweep_at: Option<String>,
}

impl ServeArgs {
    /// Returns the settings that these options stand for.
    pub fn flags(&self) -> Flags {
        let given = [
            (settings::LISTEN.key, self.listen.clone()),
            (settings::ADMIN_LISTEN.key, self.admin_listen.clone()),
            (settings::SWEEP_AT.key, self.sweep_at.clone()),
        ];
        given.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
    }
}

/// Sweeps the whole CRM once, and makes the cache right whatever events told or did not tell.
///
/// Reads every page of every source, archived ones too, asks one by one for pages that the cache knows and no query
/// showed, and lets rows expire only where all of that succeeded. `serve` does the same every night. Where a `serve` runs
/// on the same database it does the work, within the same budget, and this command waits for it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit status 0 where the sweep was complete, 3 where it was partial, 2 where it failed.

Examples:
  suppressd reconcile                    one sweep now
  suppressd reconcile --dry-run --json   what it would change; nothing is written
  suppressd reconcile --source deals     only this one of several sources
  suppressd reconcile --interval 900     every 15 minutes, for those without a public address")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct ReconcileArgs {
    /// Say what would change, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Let the rows that it confirms count for this many days, instead of what the settings say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub ttl_days: Option<u32>,
    /// Do it again and again, with this many seconds between the end of one and the beginning of the next.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub interval: Option<u64>,
    /// Sweep only this source of the settings; may be said several times. Nothing expires after that.
    #[arg(long = "source", value_name = "NAME")]
    pub sources: Vec<String>,
    /// Believe it where many pages answer 404 at once: they were really deleted, and their rows may expire.
    #[arg(long)]
    pub accept_missing: bool,
    /// Report as one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Offers the cache to models: an MCP server on stdin and stdout.
///
/// A client such as an editor or an agent starts it, talks to it, and ends it by closing its stdin. Its tools ask what
/// `check`, `keys` and `status` ask, sweep as `reconcile` does, and compare the CRM's schema with what is needed. It may run
/// beside `serve`, which then does the work that needs Notion. Without Notion's settings, what needs them says so, and the
/// rest answers. Logs go to stderr.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The same tools are served by `serve` over HTTP at /mcp of its private address, with its bearer token if there is one.

Examples:
  suppressd --db-path signals.db mcp
  claude mcp add suppressd -- suppressd --db-path /var/lib/suppressd/signals.db mcp

As most clients are told of it, in JSON:
  {\"mcpServers\": {\"suppressd\": {\"command\": \"suppressd\", \"args\": [\"--db-path\", \"signals.db\", \"mcp\"]}}}")]
pub struct McpArgs {}

/// Shows the verification tokens that Notion sent, or forgets one.
///
/// When a subscription is created, Notion sends a token to the webhook's address, once. `serve` stores it beside the
/// database, unless one is configured or stored already. Paste it into Notion to verify the subscription. Each connection
/// has a subscription of its own: a source of another connection names a variable with `verification_token_env`, and
/// while that variable is not set, a handshake more is taken and stored for it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  suppressd handshake             tells whether a token is stored, and what to do next
  suppressd handshake --show      prints it, to be pasted into Notion under «Verify subscription»
  suppressd handshake --reset     forgets it, so that the next handshake is taken
  suppressd handshake --reset --all                forgets those of all connections
  suppressd handshake --show --source portfolio    that of one connection of several")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct HandshakeArgs {
    /// Print the stored token.
    #[arg(long, conflicts_with = "reset")]
    pub show: bool,
    /// Mean only the connection to which this source of the settings belongs.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Forget the stored token, so that the next handshake is taken.
    #[arg(long)]
    pub reset: bool,
    /// With --reset: forget every stored token, so that Notion can send them again; a handshake does not say whose it is.
    #[arg(long, requires = "reset", conflicts_with = "source")]
    pub all: bool,
}

/// Asks the running service whether it is well: for the health checks of containers, and for scripts.
///
/// By itself it asks whether the process answers at its public address (`/healthz`), and with --ready whether every part of
/// it does its work (`/readyz` of the private address). A Notion that is down makes the service unready, and is no reason to
/// restart it. The addresses are those of the settings.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit status 0 where it is well; 1 where it is not, or does not answer in time; 2 where it cannot be asked.

Examples:
  suppressd health
  suppressd health --ready --timeout 2s
  suppressd health --url https://hooks.example.com/healthz")]
pub struct HealthArgs {
    /// Ask whether every part does its work, and name those that do not.
    #[arg(long)]
    pub ready: bool,
    /// Ask this address, without a token, instead of those of the settings.
    #[arg(long, value_name = "URL", conflicts_with = "ready", value_hint = ValueHint::Url)]
    pub url: Option<Url>,
    /// How long it may take to answer (2s, 1m).
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub timeout: Duration,
}

/// Shows everything at work, against a simulated Notion workspace inside the program.
///
/// Needs no account, no network and no settings. The workspace changes all the time and reports its changes as Notion
/// does, late, doubled, out of order or not at all; the demonstration tells how long each took to reach the cache, and
/// ends with a sweep and by comparing the cache with the workspace.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  suppressd demo
  suppressd demo --for 1m --pages 500 --seed 7 --json")]
pub struct DemoArgs {
    /// How long it runs (20s, 5m).
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub duration: Duration,
    /// How many companies the workspace holds in the beginning.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub pages: u32,
    /// What chance starts from: the same seed makes the same changes.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Ask for this bearer token on the private address, as `serve` does with `SUPPRESSD_ADMIN_TOKEN`.
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// Report as one object of JSON.
    #[arg(long)]
    pub json: bool,
}
