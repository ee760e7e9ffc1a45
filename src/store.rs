//! The port to the database: rows in the words of those who keep them, and one way to change them.
//!
//! An adapter gives transactions ([`Store`]) over row operations ([`Rows`]); whoever needs several rows to change
//! together writes one closure. Nothing here asks for the time: it is passed in.

mod census;
mod changes;
mod entries;
mod error;
mod events;
mod history;
mod issues;
mod names;
mod refreshes;
mod skips;
mod sources;
pub mod sqlite;
mod sweeps;

use std::{any::Any, fmt};

pub use crate::store::{
    census::{Census, CensusRows, EndedSweep, EntryCount, PageCount},
    changes::{ChangeRows, FeedState, RecordedChange},
    entries::{Backing, CacheRows, CacheTally, ClaimedKey, Held, Proof, Published},
    error::StoreError,
    events::{
        Appended, Cutoffs, Delay, Disposition, EventFilter, EventRows, EventState, NewEvent, Seq, StoredEvent, Tally,
        Waiting,
    },
    history::{ClaimCount, HistoryRows},
    issues::{IssueRows, ListedRow},
    names::{NameRows, Renaming},
    refreshes::{Refresh, RefreshRows},
    skips::SkipRows,
    sources::{SourceRows, SourceTally, StoredSource},
    sweeps::{ListedPage, Renewal, StoredSweep, SweepRows},
};

/// A database that holds the inbox and the cache.
pub trait Store: Clone + Send + Sync + 'static {
    /// Appends an event. When this returns, its row is committed and synced to the disk.
    ///
    /// Waiting appends share one commit; where too many wait, the append is refused at once with [`StoreError::Full`].
    fn append(&self, event: NewEvent) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// Runs `work` in a write transaction of its own: all of it is committed and synced, or none.
    fn write<T, F>(&self, work: F) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static;

    /// Runs `question` over one consistent view of the rows, which it cannot change.
    fn read<T, F>(&self, question: F) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static;

    /// As [`Store::read`], but on the calling thread: for callers that are not asynchronous.
    fn read_blocking<T>(&self, question: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError>) -> Result<T, StoreError>;

    /// Runs a question that touches few rows on the calling thread, which must not be kept: `None` where that cannot be
    /// done without waiting for somebody, or where the disk has lately been slow. The question is to be asked by
    /// [`Store::read`] then.
    ///
    /// To hand a question to another thread and its answer back costs several times what a single key does.
    fn read_briefly<T>(
        &self,
        question: impl Fn(&mut dyn Rows) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        // A store of which nobody knows how long it takes is asked on another thread.
        let _unasked = question;
        None
    }

    /// Returns a number that changes whenever **another process** has committed something.
    fn foreign_commits(&self) -> impl Future<Output = Result<i64, StoreError>> + Send;

    /// Takes the right to be the only one that does `task` on this database, across processes.
    ///
    /// `None` while somebody else has it. A holder that dies, however it dies, no longer has it.
    fn exclusive(&self, task: &str) -> Result<Option<Exclusive>, StoreError>;

    /// Returns whether somebody has the right to do `task`. Who asks is in nobody's way for longer than a moment.
    fn is_taken(&self, task: &str) -> Result<bool, StoreError>;
}

/// The right to be the only one at a task; given back when dropped.
pub struct Exclusive(#[expect(dead_code, reason = "it is kept for its `Drop`")] Box<dyn Any + Send + Sync>);

impl Exclusive {
    /// Ties the right to `guard`, which gives it back when it is dropped.
    pub fn held_by(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exclusive")
    }
}

/// Every row operation, within one transaction.
pub trait Rows:
    EventRows
    + SkipRows
    + CacheRows
    + ChangeRows
    + SourceRows
    + SweepRows
    + RefreshRows
    + HistoryRows
    + IssueRows
    + NameRows
    + CensusRows
{
}

impl<R> Rows for R where
    R: EventRows
        + SkipRows
        + CacheRows
        + ChangeRows
        + SourceRows
        + SweepRows
        + RefreshRows
        + HistoryRows
        + IssueRows
        + NameRows
        + CensusRows
{
}
