//! Names of companies in rows, and the log of those that changed.

use crate::{model::id::PageId, store::StoreError};

/// The place of a page in the log of changed names: later changes have larger ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Renaming(pub i64);

/// Names, and the log of those that changed.
pub trait NameRows {
    /// Notes that the name of a page changed, or whether it is a row of its source.
    fn note_renamed(&mut self, page: PageId) -> Result<(), StoreError>;

    /// Returns the last note, if there is any.
    fn last_renamed(&mut self) -> Result<Option<(Renaming, PageId)>, StoreError>;

    /// Lists notes in their order, from `from` on, that one included.
    fn renamed(&mut self, from: Renaming, limit: u32) -> Result<Vec<(Renaming, PageId)>, StoreError>;

    /// Forgets notes but for the last `kept` ones, at most `limit` of them; returns how many.
    fn forget_renamed(&mut self, kept: u32, limit: u32) -> Result<u64, StoreError>;

    /// Lists the pages that are rows of their source and have a name, in the order of their ids, from after `after`.
    fn names(&mut self, after: Option<PageId>, limit: u32) -> Result<Vec<(PageId, String)>, StoreError>;
}
