//! The cache in rows: pages, claims and published entries.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        entry::{CachedPage, Claim, Door, Entry},
        id::{DataSourceId, PageId},
        key::{Candidate, Key, Origin},
    },
    store::StoreError,
};

/// Pages, claims and entries.
pub trait CacheRows {
    /// Returns a page as it was last applied.
    fn page(&mut self, id: PageId) -> Result<Option<CachedPage>, StoreError>;

    /// Inserts or replaces a page.
    fn put_page(&mut self, page: &CachedPage) -> Result<(), StoreError>;

    /// Lists pages in the order of their ids, from after `after`.
    fn pages(&mut self, after: Option<PageId>, limit: u32) -> Result<Vec<CachedPage>, StoreError>;

    /// Lists the keys that a page claims.
    fn claims_of(&mut self, page: PageId) -> Result<Vec<Candidate>, StoreError>;

    /// Lists the keys that a page claims, each with what is published of it for this page: all of it with one question.
    fn claimed_by(&mut self, page: PageId) -> Result<Vec<ClaimedKey>, StoreError>;

    /// Replaces the claims of a page.
    fn put_claims(&mut self, page: PageId, claims: &[Candidate]) -> Result<(), StoreError>;

    /// Lists the claims on a key by pages that are rows of their source.
    fn claims_on(&mut self, key: &Key) -> Result<Vec<Claim>, StoreError>;

    /// Returns the published row of a key, whoever wrote it.
    fn entry(&mut self, key: &Key) -> Result<Option<Published>, StoreError>;

    /// Returns of the published row of a key, and of its page, what an answer rests on: all of it with one question.
    fn held(&mut self, key: &Key) -> Result<Option<Held>, StoreError>;

    /// Returns whether some published row has a key with this prefix, whoever wrote it.
    fn prefix_is_held(&mut self, prefix: &str) -> Result<bool, StoreError>;

    /// Publishes an entry.
    fn put_entry(&mut self, entry: &Entry) -> Result<(), StoreError>;

    /// Takes a published entry away.
    fn delete_entry(&mut self, key: &Key) -> Result<(), StoreError>;

    /// Counts what the cache holds.
    fn cache_tally(&mut self, now: DateTime<Utc>) -> Result<CacheTally, StoreError>;
}

/// A key that a page claims, and what is published of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKey {
    /// The key.
    pub key: Key,
    /// Which property gave it.
    pub origin: Origin,
    /// Whether another page claims it too.
    pub contested: bool,
    /// The published row, where it names the page.
    pub row: Option<Published>,
}

/// A row of the published table as an answer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The page that it names, if that can be read.
    pub page: Option<PageId>,
    /// The status that it gives.
    pub status: String,
    /// The name that it gives.
    pub company_name: Option<String>,
    /// When it expires, if that can be read.
    pub expires_at: Option<DateTime<Utc>>,
    /// What stands behind it; `None` where it does not read as an entry: somebody else wrote it, or wrote over it.
    pub backing: Option<Backing>,
}

/// What stands behind an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// The data source.
    pub source: DataSourceId,
    /// Which door brought the news.
    pub synced_from: String,
    /// The page's address.
    pub page_url: Option<String>,
    /// When the row was last confirmed in writing.
    pub cached_at: DateTime<Utc>,
    /// When its page was last seen; `None` where the cache does not know the page.
    pub proof: Option<Proof>,
}

/// When a page was last seen, or missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The instant before the request that showed it; for queries already set back by the lag of the index.
    pub observed_at: DateTime<Utc>,
    /// Which door brought that sighting, where it is known.
    pub seen_by: Option<Door>,
    /// Since when Notion has answered 404 for it, if it does.
    pub missing_since: Option<DateTime<Utc>>,
}

/// The cache in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheTally {
    /// Published entries that we stand behind.
    pub entries: u64,
    /// Those of them that have expired.
    pub expired: u64,
    /// Rows of the published table that somebody else wrote.
    pub foreign: u64,
    /// Pages that are rows of their source.
    pub pages_listed: u64,
    /// Pages that are rows of their source and claim no key.
    pub pages_without_key: u64,
    /// Pages for which Notion answers 404.
    pub pages_missing: u64,
    /// Keys that several pages claim.
    pub keys_contested: u64,
}

/// A row of the published table. The table is shared: not every row is one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It reads as an entry.
    Entry(Box<Entry>),
    /// Somebody else wrote it, or wrote over it.
    Foreign {
        /// The page that it names, in whatever form.
        page: String,
        /// The status that it gives.
        status: String,
        /// The name that it gives.
        company_name: Option<String>,
        /// When it expires, if that can be read.
        expires_at: Option<DateTime<Utc>>,
    },
}
