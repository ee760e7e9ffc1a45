//! The history of the entries in rows, and where its readers stand in it.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        entry::{Change, Entry, Face},
        key::Key,
    },
    store::StoreError,
};

/// Changes of entries, in the order in which they were made; their numbers only grow, and none is given twice.
pub trait ChangeRows {
    /// Adds to the history.
    fn record_change(&mut self, change: &Change) -> Result<(), StoreError>;

    /// Returns what the history last told of a key; `None` where it tells nothing of it.
    fn told(&mut self, key: &Key) -> Result<Option<Option<Face>>, StoreError>;

    /// Lists the changes after the one with the number `after`, oldest first, each with the entry as it stands now.
    fn changes(&mut self, after: u64, limit: u32) -> Result<Vec<RecordedChange>, StoreError>;

    /// Returns when the change with this number was made, if it is kept.
    fn changed_at(&mut self, seq: u64) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Says how far the history goes.
    fn feed(&mut self) -> Result<FeedState, StoreError>;

    /// Gives the history another name: something has changed that it does not tell.
    fn rename_feed(&mut self) -> Result<(), StoreError>;

    /// Lists entries in the order of their keys, from after `after`: rows that another program wrote are none. Returns
    /// also the last key that was looked at, where there may be more behind it.
    fn entries(&mut self, after: Option<&str>, limit: u32) -> Result<(Vec<Entry>, Option<Key>), StoreError>;
}

/// A change with its place in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    /// Its number.
    pub seq: u64,
    /// What changed.
    pub change: Change,
    /// The entry of the key as it stands now, if one does.
    pub entry: Option<Entry>,
}

/// How far the history goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedState {
    /// Its name, by chance.
    pub id: String,
    /// Changes up to this number are forgotten.
    pub forgotten_through: u64,
    /// The newest change; 0 where there is none.
    pub newest: u64,
}
