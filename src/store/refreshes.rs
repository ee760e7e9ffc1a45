//! Pages of which somebody wants a younger proof, in rows: so that any process may want one, and one asks Notion.

use chrono::{DateTime, Utc};

use crate::{model::id::PageId, store::StoreError};

/// Wishes for a younger proof.
pub trait RefreshRows {
    /// Notes that somebody wants a page fetched, and waits for it until `until`. Who wants it as well does not wait for less.
    fn ask_refresh(&mut self, page: PageId, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<(), StoreError>;

    /// Returns what is noted of a page; `None` where it was fetched, or nobody wanted it.
    fn refresh(&mut self, page: PageId) -> Result<Option<Refresh>, StoreError>;

    /// Lists the pages that are wanted and that nobody has failed to fetch, the longest wanted first.
    fn wanted_refreshes(&mut self, now: DateTime<Utc>, limit: u32) -> Result<Vec<PageId>, StoreError>;

    /// Forgets the wish for a page: it was fetched.
    fn end_refresh(&mut self, page: PageId) -> Result<(), StoreError>;

    /// Notes why a page could not be fetched.
    fn fail_refresh(&mut self, page: PageId, why: &str) -> Result<(), StoreError>;

    /// Forgets wishes for which nobody waits any more; returns how many.
    fn forget_refreshes(&mut self, now: DateTime<Utc>) -> Result<u64, StoreError>;
}

/// A wish for a younger proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// Until when somebody waits for it.
    pub until: DateTime<Utc>,
    /// Why it could not be fetched, if that was tried.
    pub failed: Option<String>,
}
