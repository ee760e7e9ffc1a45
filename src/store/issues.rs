//! What a person should mend in the CRM, in rows: pages one after the other, and keys that several of them claim.

use std::ops::Range;

use crate::{
    model::{entry::CachedPage, id::PageId, key::Key},
    store::StoreError,
};

/// Questions about all pages and keys, asked a block at a time.
pub trait IssueRows {
    /// Lists pages that are rows of their source, in the order of their ids, from after `after`.
    fn listed_rows(&mut self, after: Option<PageId>, limit: u32) -> Result<Vec<ListedRow>, StoreError>;

    /// Lists keys that so many `pages` claim, in their order, from after `after`.
    fn contested(&mut self, after: Option<&str>, pages: Range<u64>, limit: u32) -> Result<Vec<Key>, StoreError>;

    /// Counts keys that several pages claim: fewer than `crowd` of them, and at least as many.
    fn count_contested(&mut self, crowd: u64) -> Result<(u64, u64), StoreError>;
}

/// A page that is a row of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRow {
    /// The page.
    pub page: CachedPage,
    /// Whether it claims any key.
    pub claims_a_key: bool,
}
