//! Arguments of the command that follows the cache: `changes`.

/// Lists the last changes of the cache, oldest first, and follows those that come.
///
/// Each row tells the number of the change, when it was made, the key, what its row said before and says now, and why.
/// Reads the database alone, also while `serve` runs: `serve` gives the same to other caches, at `/v1/changes`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  suppressd changes
  suppressd changes --follow
  suppressd changes --after 1200 --limit 1000 --json | jq -r .key

With --json each change is an object with:
  seq         its number: later changes have larger ones
  changed_at  when it was made
  key         the key
  from, to    what the row said before and then, or null: page, status, company_name, source, page_url
  entry       the row as it stands now, or null
  cause       why: door (webhook, sweep, replay, settings, lookup) and id

Exit status: 0 listed, or ended by Ctrl-C; 2 the changes after SEQ are not all kept, or another error.")]
pub struct ChangesArgs {
    /// Only changes after this one.
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
    /// Go on with the changes that come, until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
    /// At most this many; without --after the newest ones, and with --follow only to begin with.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Answer with one object of JSON a change.
    #[arg(long)]
    pub json: bool,
}
