//! The arguments of `check` that ask about a whole file.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// The options that ask about something else, or answer otherwise.
const OTHERS: [&str; 12] = [
    "values",
    "json",
    "wait",
    "name",
    "location",
    "companies_house",
    "crunchbase",
    "pitchbook",
    "github_org",
    "github_repo",
    "website",
    "domain",
];

/// A file of companies.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A file of companies")]
pub struct BulkArgs {
    /// Ask about every row of this file, CSV with a header or JSON lines; `-` is stdin.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = OTHERS)]
    pub input: Option<PathBuf>,
    /// The form of the file [default: JSON lines where it begins with `{`, else CSV].
    #[arg(long, value_name = "FORM", requires = "input", value_enum, conflicts_with_all = OTHERS)]
    pub input_format: Option<InputFormat>,
}

/// The form of a file of companies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Values parted by commas, semicolons or tabs, whichever the header shows.
    Csv,
    /// An object of JSON a line.
    Jsonl,
}

/// What the help of `check` says of it.
pub(crate) const INPUT_HELP: &str = "\
With --input every row is a company, and comes back as it is, in order, with what was found beside it:
  CSV          the columns suppressd_verdict, _reason, _firmness, _matched_key, _strength, _status, _company, _page_id,
               _page_url, _fresh_as_of, _age_seconds, _rests_on, _expires_at, _possible, _unusable and _error
  JSON lines   the member `suppressd`: an object as with --json, or one with `error`
Columns and members are known by name; case, blanks, `_` and `-` make no difference:
  key, canonical_key               domain, host
  website, url, homepage           companies_house, companies_house_number, company_number
  crunchbase, crunchbase_url       pitchbook, pitchbook_id
  github_org, github_url           github_repo
  name, company_name, company      location, city, country
A row that gives no key says so in suppressd_error, and the others go on. A row that cannot be read ends the run with its
line number; what came before it is written. Results of an earlier run in the file are replaced. --max-age makes older
answers stale; the cache alone is asked, so that --wait does not go with it.
Exit status with --input: 0 every row was read, whatever the verdicts; 2 an error.
  suppressd check --input companies.csv > checked.csv
  zcat leads.jsonl.gz | suppressd check --input - | jq -c 'select(.suppressd.verdict == \"clear\")'";
