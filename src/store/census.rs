//! The cache counted for those who watch it: source by source.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        id::DataSourceId,
        sweep::{SweepReport, SweepState},
    },
    store::StoreError,
};

/// What those want to know who watch.
pub trait CensusRows {
    /// Counts pages and rows of each source. Goes through whole tables.
    fn census(&mut self, now: DateTime<Utc>) -> Result<Census, StoreError>;

    /// Returns the last sweep that ended and was no dry run.
    fn last_real_sweep(&mut self) -> Result<Option<EndedSweep>, StoreError>;

    /// Returns when the last complete sweep ended that was no dry run.
    fn last_complete_sweep_ended(&mut self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Returns when the newest event was received.
    fn last_received(&mut self) -> Result<Option<DateTime<Utc>>, StoreError>;
}

/// The cache, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Each source with a page.
    pub pages: Vec<PageCount>,
    /// Published rows, by the source of their page and by their prefix.
    pub entries: Vec<EntryCount>,
    /// Published rows that have expired.
    pub entries_expired: u64,
    /// Keys that several pages claim.
    pub keys_contested: u64,
}

/// The pages of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCount {
    /// The source.
    pub source: DataSourceId,
    /// Pages that are rows of it.
    pub listed: u64,
    /// Those of them that give no key.
    pub without_key: u64,
    /// Pages for which Notion answers 404.
    pub missing: u64,
}

/// Published rows of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryCount {
    /// The source of the page that they name; `None` where the cache does not know that page.
    pub source: Option<DataSourceId>,
    /// What stands before the colon in their keys.
    pub prefix: String,
    /// How many they are.
    pub rows: u64,
}

/// A sweep that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedSweep {
    /// How it ended.
    pub outcome: SweepState,
    /// What came of it; nothing where its process died.
    pub report: Option<SweepReport>,
    /// When the complete sweep before it began, if there was one.
    pub previous_at: Option<DateTime<Utc>>,
}
