//! Arguments of the commands that look after the program and its tables: `doctor`, `schema`.

use clap::{Args, Subcommand};

use crate::app::{doctor, schema};

/// Looks at everything that must be right, and says of each thing how it is and how to mend it.
///
/// Settings, the token and whose it is, the tables and their properties, statuses, the webhook's token and when an event came last,
/// the clock, the database, files and the room for them, the processes at work. Every check is made, whatever came of the
/// others. Works while `serve` runs and without; secrets are never shown, and nothing is changed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each line has a mark and a word: ✓ ok, ! warning, ✗ failed, - skipped (with why);
behind the arrow stands what to do.

--public-url sends one signed event of a kind that Notion does not have to that
address, as Notion would, and looks for it in the inbox, where it stays as
ignored. It says where on the way it broke: the name, the certificate, the
proxy, a body that was changed, another token, another server.

Beside a running `serve` the few requests to Notion are counted against the same
budget.

Examples:
  suppressd doctor
  suppressd doctor --public-url https://hooks.example.com
  suppressd doctor --offline --thorough
  suppressd doctor --json | jq '.checks[] | select(.state == \"failed\")'

Exit status: 0 all is well; 1 something asks for attention; 2 something failed.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct DoctorArgs {
    /// Send an event to this address, as Notion would, and follow it into the inbox.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Ask nobody beyond this machine: neither Notion nor the public address.
    #[arg(long)]
    pub offline: bool,
    /// Read the whole database: compare indexes with rows, and rows with each other.
    #[arg(long)]
    pub thorough: bool,
    /// Report as one object of JSON.
    #[arg(long)]
    pub json: bool,
}

impl DoctorArgs {
    /// Returns what is to be looked at.
    pub fn order(&self) -> doctor::Order {
        doctor::Order { public_url: self.public_url.clone(), offline: self.offline, thorough: self.thorough }
    }
}

/// What to do with the schema.
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Says how the properties and statuses of the CRM fit, as Notion shows them now.
    ///
    /// Changes nothing. Where another command has the right to ask Notion, it goes by what was read last, and says so.
    #[command(after_long_help = "\
Examples:
  suppressd schema validate
  suppressd schema validate --json | jq '.sources[].problems'

Exit status: 0 valid; 1 valid, with hints; 2 not valid, or an error.")]
    Validate(ValidateArgs),
    /// Adds the properties that keys are read from and that the CRM does not have. Never changes or removes one.
    ///
    /// The names are those of the settings; an empty property does no harm, and people or the pipeline fill it in. The
    /// connection needs the capability to update content. The company's name and the status are not added: their words
    /// are yours.
    #[command(after_long_help = "\
Added where they are missing: Canonical Key, Companies House Number, GitHub Org,
GitHub Repo and Location as text; Website, Crunchbase and PitchBook as URL.

Where an existing property looks like a missing one, nothing is sent: name the
existing one in the settings, or say --only NAME or --yes.

Examples:
  suppressd schema repair --dry-run
  suppressd schema repair --only 'Canonical Key'

Exit status: 0 nothing is missing, or it was added, or would be; 2 nothing was
added, because a person must decide first, or an error.")]
    Repair(RepairArgs),
}

/// How `schema validate` answers.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `schema repair` adds.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RepairArgs {
    /// Say exactly what would be sent, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Add them all, though an existing property looks like one of them.
    #[arg(long, conflicts_with = "only")]
    pub yes: bool,
    /// Add only the one of this name, whatever looks like it; may be said several times.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Report each source as one object of JSON.
    #[arg(long)]
    pub json: bool,
}

impl RepairArgs {
    /// Returns what is asked for.
    pub fn order(&self) -> schema::Order {
        schema::Order { dry_run: self.dry_run, yes: self.yes, only: self.only.clone() }
    }
}
