//! The arguments of `check` that ask about a whole file.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum, ValueHint};

use crate::model::verdict::Company;

/// The options that ask about something else, or answer otherwise. That `--json` is of no use is told by the command.
const OTHERS: [&str; 11] = [
    "values",
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

/// Stands for a column that says nothing of the company, whatever its name.
const NO_FIELD: &str = "none";

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
    /// Take the column HEADER for FIELD, as in "Landing page=website"; may be said several times.
    #[arg(long = "column", value_name = "HEADER=FIELD", requires = "input", conflicts_with_all = OTHERS)]
    pub columns: Vec<ColumnIs>,
}

/// What a column is to be taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnIs {
    /// The name of the column.
    pub header: String,
    /// The place of what it says in [`Company::FIELDS`]; `None` where it says nothing of the company.
    pub field: Option<usize>,
}

impl FromStr for ColumnIs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (header, field) =
            text.rsplit_once('=').ok_or_else(|| "write HEADER=FIELD, as in \"Landing page=website\"".to_owned())?;
        let field = field.trim();
        let at = Company::FIELDS.iter().position(|known| *known == field);
        if at.is_none() && field != NO_FIELD {
            return Err(format!("{field:?} is none of {}, {NO_FIELD}", Company::FIELDS.join(", ")));
        }
        Ok(Self { header: header.to_owned(), field: at })
    }
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
With --input every row is a company, and comes back as it is, in order, with
what was found beside it:
  CSV         more columns: suppressd_verdict, _reason, _firmness,
              _matched_key, _strength, _status, _company, _page_id, _page_url,
              _fresh_as_of, _age_seconds, _rests_on, _expires_at, _possible,
              _unusable and _error; the verdict of a row with an error is
              `error`
  JSON lines  the member `suppressd`: an object as with --json, or one that
              has only `error`

Columns and members are known by name. Only letters and digits count, and
words such as company, primary or official may stand before:
  key              key, canonical key
  domain           domain, domain name, root domain, host
  website          website, URL, web address, homepage, landing page, link
  companies_house  companies house number, company number, company
                   registration number, CH no., CRN
  crunchbase, pitchbook, github_org, github_repo
                   crunchbase url, pitchbook id, github, github repo, …
  name             company name, company, organisation, name
  location         location, city, headquarters, country
Which columns were taken for what, and which were not used, is told on stderr.
--column \"HEADER=FIELD\" says it otherwise, with FIELD one of the names at the
left, or none. An e-mail address is not used: its domain is often not the
company's. Of JSON, the members of an object `company` count, too.

A row without a key, and one that cannot be read, says so in suppressd_error,
and the others go on. Missing cells at the end of a row are empty. Of a line
that is no object of JSON, the text comes back as the member `unreadable`.
Results of an earlier run in the file are replaced. Write to another file than
the one that is read: the shell empties it first.
--max-age makes older answers stale; the cache alone is asked, so that --wait
does not go with it.

Exit status with --input: 0 every row was read, whatever the verdicts;
2 a row could not be read, or another error.
  suppressd check --input companies.csv > checked.csv
  suppressd check --input leads.csv --column \"Landing page=website\" > out.csv
  jq -c '.[]' list.json | suppressd check --input - |
    jq -c 'select(.suppressd.verdict == \"clear\"
                  and (.suppressd.possible | length == 0))'";
