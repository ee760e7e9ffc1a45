//! Sources in rows, and small facts that outlive a process.

use chrono::{DateTime, Utc};

use crate::{
    model::id::{DataSourceId, DatabaseId},
    store::StoreError,
};

/// What is known of the sources, and small facts that outlive a process.
pub trait SourceRows {
    /// Returns what was last stored of every source.
    fn sources(&mut self) -> Result<Vec<StoredSource>, StoreError>;

    /// Counts what the cache holds of every source that it holds anything of.
    fn source_tallies(&mut self) -> Result<Vec<SourceTally>, StoreError>;

    /// Inserts or replaces the schema and mapping of a source. Its watermark stays only if the mapping does: what a
    /// sweep read from other properties proves nothing.
    fn put_source(&mut self, source: &StoredSource) -> Result<(), StoreError>;

    /// Returns how often the mapping of a source has become another one.
    fn remapped(&mut self, source: DataSourceId) -> Result<u64, StoreError>;

    /// Notes of every source but `kept` that it is not in the settings any more: no sweep finds its pages. That is taken
    /// back for the pages when the source is put again.
    fn retire_sources(&mut self, kept: &[DataSourceId], now: DateTime<Utc>) -> Result<u64, StoreError>;

    /// Returns a fact that was stored under `name`.
    fn fact(&mut self, name: &str) -> Result<Option<String>, StoreError>;

    /// Stores a fact under `name`.
    fn put_fact(&mut self, name: &str, value: &str) -> Result<(), StoreError>;

    /// Returns a number that changes whenever somebody else has committed; means something in a write only.
    fn foreign_commits(&mut self) -> Result<i64, StoreError>;
}

/// What is stored of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSource {
    /// The data source.
    pub id: DataSourceId,
    /// What the settings called it last, where that is known.
    pub name: Option<String>,
    /// The database that holds it, where that is known.
    pub database: Option<DatabaseId>,
    /// Its schema, in JSON.
    pub schema: String,
    /// Which property plays which role, in JSON.
    pub mapping: String,
    /// Which of its statuses are hard, in JSON.
    pub hard: String,
    /// When schema and mapping were read.
    pub resolved_at: DateTime<Utc>,
    /// The instant up to which a complete sweep has proven every row, if there was one.
    pub watermark: Option<DateTime<Utc>>,
    /// Since when it is not in the settings any more.
    pub retired_at: Option<DateTime<Utc>>,
}

/// What the cache holds of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceTally {
    /// The data source.
    pub id: DataSourceId,
    /// Its pages that are rows of it.
    pub pages: u64,
    /// Those of them that claim no key.
    pub pages_without_key: u64,
    /// Those of its pages for which Notion answers 404.
    pub pages_missing: u64,
    /// When one of its pages was last seen and written down.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Published rows with a strong key that name a page of it.
    pub entries_strong: u64,
    /// Those with a weak key.
    pub entries_weak: u64,
}
