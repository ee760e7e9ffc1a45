//! The rows of names, and of the log of those that changed.

use rusqlite::params;

use crate::{
    model::id::PageId,
    store::{
        NameRows, Renaming, StoreError,
        sqlite::{SqliteRows, events::parsed},
    },
};

impl NameRows for SqliteRows<'_> {
    fn note_renamed(&mut self, page: PageId) -> Result<(), StoreError> {
        self.execute("INSERT INTO suppressd_renamed (page_id) VALUES (?1)", [page.to_string()]).map(drop)
    }

    fn last_renamed(&mut self) -> Result<Option<(Renaming, PageId)>, StoreError> {
        self.one("SELECT seq, page_id FROM suppressd_renamed ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((Renaming(row.get(0)?), parsed(row, 1, "page id", |text| text.parse().ok())?))
        })
    }

    fn renamed(&mut self, from: Renaming, limit: u32) -> Result<Vec<(Renaming, PageId)>, StoreError> {
        self.list(
            "SELECT seq, page_id FROM suppressd_renamed WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
            params![from.0, limit],
            |row| Ok((Renaming(row.get(0)?), parsed(row, 1, "page id", |text| text.parse().ok())?)),
        )
    }

    fn forget_renamed(&mut self, kept: u32, limit: u32) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM suppressd_renamed WHERE seq <= (SELECT max(seq) FROM suppressd_renamed) - ?1 \
             AND seq < (SELECT min(seq) FROM suppressd_renamed) + ?2",
            params![kept, limit],
        )
    }

    fn names(&mut self, after: Option<PageId>, limit: u32) -> Result<Vec<(PageId, String)>, StoreError> {
        self.list(
            "SELECT page_id, mapped ->> '$.company_name' AS name FROM suppressd_pages \
             WHERE page_id > ?1 AND standing = 'listed' AND name IS NOT NULL ORDER BY page_id LIMIT ?2",
            params![after.map(|id| id.to_string()).unwrap_or_default(), limit],
            |row| Ok((parsed(row, 0, "page id", |text| text.parse().ok())?, row.get(1)?)),
        )
    }
}
