//! Sweeps: what is asked for, how one stands, what came of it.

pub mod diagnosis;
mod drift;

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::model::sweep::drift::{Drift, DriftClass, DriftCounts, DriftKind, Told};
use crate::model::{id::DataSourceId, sweep::diagnosis::Diagnosis};

/// The number of a sweep; later ones have larger ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SweepId(pub i64);

impl fmt::Display for SweepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a sweep is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepOrder {
    /// Who wants it.
    pub asked_by: AskedBy,
    /// Whether it only says what it would change.
    #[serde(default)]
    pub dry_run: bool,
    /// How many days the rows that it confirms are to count, where that is not what the settings say.
    #[serde(default)]
    pub ttl_days: Option<u32>,
    /// Whether many pages may answer 404 at once without that being taken for a fault.
    #[serde(default)]
    pub accept_missing: bool,
    /// The names of the sources that it is about; empty where it is about all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

impl SweepOrder {
    /// Returns an order with nothing special.
    pub const fn by(asked_by: AskedBy) -> Self {
        Self { asked_by, dry_run: false, ttl_days: None, accept_missing: false, sources: Vec::new() }
    }

    /// Returns the same order for these sources only; for all of them where none is named.
    #[must_use]
    pub fn only(self, mut sources: Vec<String>) -> Self {
        sources.sort_unstable();
        sources.dedup();
        Self { sources, ..self }
    }

    /// Returns whether it is about a source.
    pub fn is_about(&self, source: &str) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|name| name == source)
    }

    /// Returns whether both want the same done, whoever gave them.
    pub fn does_the_same_as(&self, other: &Self) -> bool {
        Self { asked_by: other.asked_by, ..self.clone() } == *other
    }
}

/// Who wants a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// A person, by `reconcile`.
    Command,
    /// Somebody over HTTP.
    Api,
    /// A model, or whoever it works for, over MCP.
    Mcp,
    /// The hour that the settings name.
    Schedule,
    /// No complete sweep is young enough: at the start, after a failed one, or because the mapping has changed.
    Need,
}

impl AskedBy {
    /// Returns the word for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Api => "api",
            Self::Mcp => "mcp",
            Self::Schedule => "schedule",
            Self::Need => "need",
        }
    }
}

/// Where a sweep is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SweepState {
    /// It waits for who has the right to the work.
    Asked,
    /// It runs, or its process died.
    Running,
    /// It has seen everything.
    Complete,
    /// It applied what it saw, and removed and expired nothing: something was not to be had.
    Partial,
    /// It has seen nothing.
    Failed,
}

impl SweepState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Asked, Self::Running, Self::Complete, Self::Partial, Self::Failed];

    /// Returns the word under which it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }

    /// Reads a word that [`SweepState::name`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns whether it has ended, however it did.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Partial | Self::Failed)
    }
}

/// How far a running sweep is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SweepProgress {
    /// What it does, for people.
    pub doing: String,
    /// Pages that it has come to.
    pub pages: u64,
    /// Pages that there are, as far as an earlier sweep knows.
    pub pages_expected: Option<u64>,
    /// Requests that it has sent.
    pub requests: u64,
    /// How many seconds it will still take, where that can be said.
    pub remaining_seconds: Option<u64>,
}

/// What came of a sweep, as `reconcile --json` prints it.
///
/// An «entry» in these counts is a page, as in the job that suppressd replaces; with and without a key, strong and weak
/// go by the best key of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepReport {
    /// Its number; a dry run that nobody else was asked for has none.
    #[serde(default)]
    pub sweep: Option<SweepId>,
    /// How it ended.
    pub outcome: SweepState,
    /// Whether it only says what it would have changed.
    pub dry_run: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: DateTime<Utc>,
    /// How long it took.
    pub duration_seconds: f64,
    /// Everything that is counted.
    #[serde(flatten)]
    pub counts: SweepCounts,
    /// Differences by kind, and how many of them an event had told.
    pub drift: DriftCounts,
    /// What these differences mean as a whole; nothing in the reports of older versions.
    #[serde(default)]
    pub diagnosis: Option<Diagnosis>,
    /// How many things went wrong for good.
    pub errors_count: u64,
    /// The first ten of them.
    pub errors: Vec<String>,
    /// What a person should know, though it is no error.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Each source.
    pub sources: Vec<SourceReport>,
    /// What a dry run would change: the first hundred differences. Others keep theirs with the sweep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Drift>,
}

/// What came of the sweep of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceReport {
    /// Its name in the settings.
    pub name: String,
    /// Its data source, where that is known.
    pub data_source: Option<DataSourceId>,
    /// How it ended.
    pub outcome: SweepState,
    /// Pages that it showed.
    pub pages: u64,
    /// Why it was not complete.
    #[serde(default)]
    pub error: Option<String>,
}

/// The counts of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SweepCounts {
    /// Requests that were sent, those that failed too.
    pub notion_requests: u64,
    /// Requests that failed; most were sent again and did not fail then.
    pub notion_errors: u64,
    /// Pages that Notion gave, in queries and one by one.
    pub notion_pages_fetched: u64,
    /// Different pages that were looked at.
    pub entries_processed: u64,
    /// Those of them that hold a key.
    pub entries_with_canonical_key: u64,
    /// Those that hold none.
    pub entries_without_canonical_key: u64,
    /// Those whose best key is strong.
    pub entries_with_strong_key: u64,
    /// Those whose best key is weak.
    pub entries_with_weak_key: u64,
    /// Pages with a key that the cache stands for now: confirmed or written.
    pub entries_synced: u64,
    /// Rows that were deleted because they had expired.
    pub entries_expired_cleaned: u64,
    /// Pages that the cache did not know.
    pub pages_inserted: u64,
    /// Pages that said something else, or whose rows did.
    pub pages_updated: u64,
    /// Pages that were as the cache had them.
    pub pages_unchanged: u64,
    /// Pages that are no rows of their source any more, on proof.
    pub pages_removed: u64,
    /// Pages that answer 404: their rows stay until they expire.
    pub pages_missing: u64,
}
