//! Arguments of the commands that say why rows are as they are, and what to mend: `explain`, `issues`.

use crate::lookup::issues::IssueKind;

/// Explains why a key is as it is: its row, who claims it, who wins and why, and its history.
///
/// Every key that VALUE gives is explained, as `check` would look it up: the published row; the pages that claim the
/// key, the winner first, with the rule that decides; pages that held it before; events about these pages that wait or
/// are parked; and every change of the row with what caused it. Reads the database alone, also while `serve` runs.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Who wins a key that several pages claim, the first difference deciding:
  found            a page that complete sweeps find, before one that they do
                   not
  hard_status      a hard status, before a soft one
  later_edit       the page that was edited later
  smaller_page_id  the page with the smaller id

Changes are kept for the time that `retention.changes_days` says, a year by
default.

Examples:
  suppressd explain acme.ai
  suppressd explain companies_house:01234567 --limit 100
  suppressd explain https://www.acme.ai/about --json | jq '.keys[].history'

Exit status: 0 explained, also where nothing is known of the key; 2 VALUE gives
no key, or another error.")]
pub struct ExplainArgs {
    /// A canonical key, a web address or a domain.
    #[arg(value_name = "VALUE")]
    pub value: String,
    /// At most this many changes of each key, the newest ones.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Lists what a person should mend in the CRM, with page links.
///
/// Counts are exact, whatever is listed. Reads the database alone, also while `serve` runs.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Kinds:
  settings        a hard status of the settings that the table does not have,
                  or no status property at all
  duplicate_key   two to four pages hold one key: duplicates, or a key that is
                  not of all of them
  crowded_key     five pages or more hold one key: probably a host that many
                  companies share
  without_key     a page gives no key, so that nothing suppresses its company
  unreadable_key  a value stands where a key is expected, and gives none
  unknown_status  a status is empty, or none of the options of its table
  missing         Notion answers 404 for a page that is a row

With --json each issue is an object with: kind, what, what_to_do, pages (page,
page_url, company_name, status), pages_total, key, decided_by, unreadable
(property, text, why), source, since.
With --csv each page of an issue is a row; of an unreadable_key, each text.

Examples:
  suppressd issues
  suppressd issues --kind duplicate_key --kind crowded_key --limit 100
  suppressd issues --csv > to-mend.csv

Exit status: 0 listed, whether there are issues or not; 2 an error.")]
pub struct IssuesArgs {
    /// List issues of this kind; may be said several times [default: all kinds].
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    pub kinds: Vec<IssueKind>,
    /// At most this many of each kind [default: 20; all with --json and --csv].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: Option<u32>,
    /// Answer with one object of JSON an issue.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Answer with CSV.
    #[arg(long)]
    pub csv: bool,
}

fn kind(name: &str) -> Result<IssueKind, crate::lookup::issues::UnknownKind> {
    name.parse()
}
