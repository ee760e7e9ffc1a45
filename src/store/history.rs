//! The history of a key in rows, and what else explains it: who claims it, and which events may yet change it.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        entry::{Change, Claim},
        id::PageId,
        key::Key,
    },
    store::{StoreError, StoredEvent},
};

/// Questions about one key.
pub trait HistoryRows {
    /// Lists the newest changes of the entry of a key, newest first.
    fn changes_of(&mut self, key: &Key, limit: u32) -> Result<Vec<Change>, StoreError>;

    /// Returns when the oldest change that is kept was applied, of whatever entry.
    fn first_change(&mut self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Lists the claims on a key by pages that are rows of their source, in the order of the pages, from after `after`.
    fn some_claims_on(&mut self, key: &Key, after: Option<PageId>, limit: u32) -> Result<Vec<Claim>, StoreError>;

    /// Counts the claims on a key by pages that are rows of their source.
    fn count_claims_on(&mut self, key: &Key) -> Result<ClaimCount, StoreError>;

    /// Lists keys that some page claims, in their order, from `from` on and before `to`.
    fn claimed_between(&mut self, from: &str, to: &str, limit: u32) -> Result<Vec<Key>, StoreError>;

    /// Lists the events about a page that wait or are parked, newest first.
    fn pending_about(&mut self, page: PageId, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Returns an event by its id.
    fn event(&mut self, event_id: &str) -> Result<Option<StoredEvent>, StoreError>;
}

/// How many pages claim a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimCount {
    /// All of them.
    pub total: u64,
    /// Those of them that complete sweeps find.
    pub found: u64,
}
