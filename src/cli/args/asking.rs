//! Arguments of the commands that ask the cache: `check`, `keys`, `status`, `sweeps`.

use std::time::Duration;

use clap::Args;

use crate::{
    cli::args::bulk::{BulkArgs, INPUT_HELP},
    duration,
    lookup::terms,
    model::verdict::Company,
};

/// Asks whether a company may be pushed: exit status 0 suppressed, 1 clear, 3 stale, 2 error.
///
/// Every VALUE is asked by itself; the options together describe one company, which is asked as well. A company is
/// suppressed if the CRM holds any of its keys. The answer comes from the local cache, also while `serve` runs; Notion
/// is asked only where --max-age wants a younger proof of a row than the cache has. `stale` means that what is known is
/// too old to say that it is clear: do not push, and see `suppressd status`. Of several answers the exit status tells error before suppressed, stale and clear.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = format!("{EXAMPLES}\n\n{INPUT_HELP}")
)]
pub struct CheckArgs {
    /// The company.
    #[command(flatten)]
    pub company: CompanyArgs,
    /// Or many of them.
    #[command(flatten)]
    pub bulk: BulkArgs,
    /// Have the page fetched where the proof is older than this (90s, 15m, 24h, 7d; at least 1s), and answer stale where that cannot
    /// be done [default: the setting `max_age_hours`, from the cache alone].
    #[arg(long, value_name = "DURATION", value_parser = terms::max_age)]
    pub max_age: Option<Duration>,
    /// Wait this long for a page that is fetched because of --max-age; 0s: ask the cache alone.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10s", requires = "max_age")]
    pub wait: Duration,
    /// Answer with one object of JSON a question.
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  suppressd check https://www.acme.ai/about
  suppressd check domain:acme.ai --max-age 15m --wait 5s
  suppressd check --name 'Acme Ltd' --location London --json
  suppressd check --input companies.csv > checked.csv
  answer=0; suppressd check acme.ai || answer=$?
  [ $answer = 1 ] && echo push

With --json each answer is an object with:
  asked        the value, or the first of the options: name, domain, …
  verdict      suppressed, clear or stale
  reason       why, in one sentence
  matched      the row that a key met, or null: key, strength (strong, weak),
               firmness (hard, soft), status, company_name, page, page_url,
               synced_from, expires_at
  possible     companies of a similar name where no key met a row:
               company_name, status, firmness, page, page_url, score (0 to 1);
               never a verdict by themselves
  fresh_as_of  up to when the answer is proven, or null; age_seconds: how long
               ago that is
  rests_on     what proved it: webhook, sweep, replay or lookup
  unusable     what the question says that gave no key, and why
  candidates   the keys that were looked up: key, origin
  error        why there is no answer, or null; then only `asked` is beside it";

/// Shows the keys that a company's identifiers give.
///
/// These are the keys under which `check` would look for it, in order of trust, and those identifiers that give none,
/// with the reason. Neither the database nor Notion is asked.
#[derive(Debug, Args)]
#[command(mut_arg("values", |values| values.required_unless_present_any(IDENTIFIERS)), after_long_help = "\
Examples:
  suppressd keys https://app.acme.co.uk github.com/acme/core
  suppressd keys --name 'Müller AG' --location Köln
  suppressd keys --companies-house 1234567 --json")]
pub struct KeysArgs {
    /// The company.
    #[command(flatten)]
    pub company: CompanyArgs,
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Shows how fresh the cache is, and what waits.
///
/// Tells of each source up to when it is proven, of the last sweep what it found, of the inbox what waits and what is
/// parked, and of the cache how much it holds. Reads the database alone, also while `serve` runs.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  suppressd status
  suppressd --db-path signals.db status --json")]
pub struct StatusArgs {
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Lists past sweeps, newest first, with what came of each.
///
/// A difference is a row that was not as its page when the sweep came to it. That no event had told it means: without
/// the sweep nobody would have known. Reads the database alone, also while `serve` runs.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Outcomes:
  asked     it waits for `serve`, which does the work
  running   it goes on, or its process died
  complete  it has seen everything: rows are proven, and expired ones are gone
  partial   it applied what it saw, and removed nothing: something was not to be had
  failed    it has seen nothing, or its process died

Differences:
  missing_row      the page had no row, or not this one
  stale_row        a row said something else than its page
  should_have_gone a row stood for a page that is in the trash or elsewhere
  key_changed      the page holds other keys than its rows

What became of the event that should have told it:
  never, late               none came, or only after the sweep had found it
  waiting, parked, skipped  one was here, and its page had not been looked at
  settled                   one was here and its page looked at; Notion showed something else then

Examples:
  suppressd sweeps
  suppressd sweeps --limit 100 --json
  suppressd sweeps --drift 12")]
pub struct SweepsArgs {
    /// List the differences that this sweep found; `--drift` may be left out.
    #[arg(long, value_name = "SWEEP")]
    pub drift: Option<i64>,
    /// The same.
    #[arg(value_name = "SWEEP", conflicts_with = "drift", hide = true)]
    pub sweep: Option<i64>,
    /// At most this many [default: 20 sweeps, or 1000 differences].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: Option<u32>,
    /// Answer with one object of JSON a sweep, or a difference.
    #[arg(long)]
    pub json: bool,
}

/// The options that describe a company by themselves.
const IDENTIFIERS: [&str; 8] =
    ["name", "companies_house", "crunchbase", "pitchbook", "github_org", "github_repo", "website", "domain"];

/// What is known of a company.
#[derive(Debug, Clone, Args)]
pub struct CompanyArgs {
    /// Canonical keys, web addresses or domains.
    #[arg(value_name = "VALUE")]
    pub values: Vec<String>,
    /// Its name.
    #[arg(long)]
    pub name: Option<String>,
    /// Where it is; counts together with the name.
    #[arg(long, requires = "name")]
    pub location: Option<String>,
    /// Its number at Companies House.
    #[arg(long, value_name = "NUMBER")]
    pub companies_house: Option<String>,
    /// Its Crunchbase slug or address.
    #[arg(long, value_name = "SLUG")]
    pub crunchbase: Option<String>,
    /// Its PitchBook id or address.
    #[arg(long, value_name = "ID")]
    pub pitchbook: Option<String>,
    /// Its organisation at GitHub.
    #[arg(long, value_name = "ORG")]
    pub github_org: Option<String>,
    /// A repository of it at GitHub.
    #[arg(long, value_name = "ORG/REPO")]
    pub github_repo: Option<String>,
    /// Its website.
    #[arg(long, value_name = "URL")]
    pub website: Option<String>,
    /// Its host name.
    #[arg(long, value_name = "HOST")]
    pub domain: Option<String>,
}

impl CompanyArgs {
    /// Returns what the options say; the values, which may be anything, stand beside them.
    pub fn company(&self) -> Company {
        let Self {
            values: _,
            name,
            location,
            companies_house,
            crunchbase,
            pitchbook,
            github_org,
            github_repo,
            website,
            domain,
        } = self.clone();
        Company {
            key: None,
            domain,
            website,
            companies_house,
            crunchbase,
            pitchbook,
            github_org,
            github_repo,
            name,
            location,
        }
    }
}
