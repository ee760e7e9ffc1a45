//! Sources and sweeps in rows, and small facts that outlive a process.

use chrono::{DateTime, Utc};

use crate::{model::id::DataSourceId, store::StoreError};

/// What is known of the sources, and small facts that outlive a process.
pub trait SourceRows {
    /// Returns what was last stored of every source.
    fn sources(&mut self) -> Result<Vec<StoredSource>, StoreError>;

    /// Inserts or replaces the schema and mapping of a source; its watermark stays.
    fn put_source(&mut self, source: &StoredSource) -> Result<(), StoreError>;

    /// Returns the last sweep, if there ever was one.
    fn last_sweep(&mut self) -> Result<Option<StoredSweep>, StoreError>;

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
}

/// A past or running sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSweep {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended, if it has.
    pub completed_at: Option<DateTime<Utc>>,
    /// `complete`, `partial`, `failed`, or `running`.
    pub outcome: String,
}
