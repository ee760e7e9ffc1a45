//! What was skipped, in rows: events that touched nothing that a row depends on.

use chrono::{DateTime, Utc};

use crate::{
    model::{event::Subject, id::PageId},
    store::{StoreError, StoredEvent},
};

/// Skipped events, the samples among them, and what makes one count after all.
pub trait SkipRows {
    /// Returns whether there are samples whose time has come.
    fn samples_are_due(&mut self, now: DateTime<Utc>) -> Result<bool, StoreError>;

    /// Makes the samples wait whose time has come, where no look has proven their page since; returns how many.
    fn take_up_samples(&mut self, now: DateTime<Utc>) -> Result<u64, StoreError>;

    /// Returns whether some event waits for `subject`, and all that do are samples.
    fn only_samples_wait(&mut self, subject: Subject) -> Result<bool, StoreError>;

    /// Returns the newest event about `page` that was skipped and received after `since`, if there is one.
    fn newest_skipped(&mut self, page: PageId, since: DateTime<Utc>) -> Result<Option<StoredEvent>, StoreError>;

    /// Makes a skipped event wait; returns whether it was there.
    fn unskip(&mut self, event: &str) -> Result<bool, StoreError>;

    /// Lists pages that claim a key which `page` claims too, at most `limit`, with the instant at which each was last seen.
    fn rivals_of(&mut self, page: PageId, limit: u32) -> Result<Vec<(PageId, DateTime<Utc>)>, StoreError>;
}
