//! The rows of what a person should mend.

use std::ops::Range;

use rusqlite::params;

use crate::{
    model::{id::PageId, key::Key},
    store::{
        IssueRows, ListedRow, StoreError,
        sqlite::{
            SqliteRows,
            rows::{PAGE, key, page},
        },
    },
};

/// How many pages claim each key. A page that is no row of its source claims none.
const CLAIMANTS: &str =
    "SELECT canonical_key, count(*) AS pages FROM suppressd_claims WHERE canonical_key > ?1 GROUP BY canonical_key";

impl IssueRows for SqliteRows<'_> {
    fn listed_rows(&mut self, after: Option<PageId>, limit: u32) -> Result<Vec<ListedRow>, StoreError> {
        self.list(
            &format!(
                "SELECT EXISTS (SELECT 1 FROM suppressd_claims AS claim WHERE claim.page_id = page.page_id), {PAGE} \
                 FROM suppressd_pages AS page WHERE page.page_id > ?1 AND page.standing = 'listed' \
                 ORDER BY page.page_id LIMIT ?2"
            ),
            params![after.map(|id| id.to_string()).unwrap_or_default(), limit],
            |row| Ok(ListedRow { claims_a_key: row.get(0)?, page: page(row, 1)? }),
        )
    }

    fn contested(&mut self, after: Option<&str>, pages: Range<u64>, limit: u32) -> Result<Vec<Key>, StoreError> {
        self.list(
            &format!("{CLAIMANTS} HAVING pages >= ?2 AND pages < ?3 ORDER BY canonical_key LIMIT ?4"),
            params![after.unwrap_or_default(), pages.start, pages.end, limit],
            |row| key(row, 0),
        )
    }

    fn count_contested(&mut self, crowd: u64) -> Result<(u64, u64), StoreError> {
        let counts = self.one(
            &format!(
                "SELECT count(*) FILTER (WHERE pages > 1 AND pages < ?2), count(*) FILTER (WHERE pages >= ?2) \
                 FROM ({CLAIMANTS})"
            ),
            params!["", crowd],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(counts.unwrap_or_default())
    }
}
