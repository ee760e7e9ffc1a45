//! The rows that explain a key.

use chrono::{DateTime, Utc};
use rusqlite::params;

use crate::{
    model::{
        entry::{Change, Claim},
        id::PageId,
        key::Key,
    },
    store::{
        ClaimCount, HistoryRows, StoreError, StoredEvent,
        sqlite::{
            SqliteRows,
            events::{STORED_EVENT, WAITING_FOR, stored_event},
            rows::{CHANGE, CLAIMS, change, claim, key},
            time::from_micros,
        },
    },
};

impl HistoryRows for SqliteRows<'_> {
    fn changes_of(&mut self, key: &Key, limit: u32) -> Result<Vec<Change>, StoreError> {
        self.list(
            &format!("{CHANGE} WHERE canonical_key = ?1 ORDER BY seq DESC LIMIT ?2"),
            params![key.as_str(), limit],
            change,
        )
    }

    fn first_change(&mut self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.one("SELECT changed_at FROM suppressd_changes ORDER BY seq LIMIT 1", [], |row| row.get(0).map(from_micros))
    }

    fn some_claims_on(&mut self, key: &Key, after: Option<PageId>, limit: u32) -> Result<Vec<Claim>, StoreError> {
        self.list(
            &format!("{CLAIMS} AND claim.page_id > ?2 ORDER BY claim.page_id LIMIT ?3"),
            params![key.as_str(), after.map(|id| id.to_string()).unwrap_or_default(), limit],
            claim,
        )
    }

    fn count_claims_on(&mut self, key: &Key) -> Result<ClaimCount, StoreError> {
        let count = self.one(
            "SELECT count(*), count(*) FILTER (WHERE page.unfound_since IS NULL) \
             FROM suppressd_claims AS claim JOIN suppressd_pages AS page ON page.page_id = claim.page_id \
             WHERE claim.canonical_key = ?1 AND page.standing = 'listed'",
            [key.as_str()],
            |row| Ok(ClaimCount { total: row.get(0)?, found: row.get(1)? }),
        )?;
        Ok(count.unwrap_or_default())
    }

    fn claimed_between(&mut self, from: &str, to: &str, limit: u32) -> Result<Vec<Key>, StoreError> {
        self.list(
            "SELECT DISTINCT canonical_key FROM suppressd_claims WHERE canonical_key >= ?1 AND canonical_key < ?2 \
             ORDER BY canonical_key LIMIT ?3",
            params![from, to, limit],
            |row| key(row, 0),
        )
    }

    fn pending_about(&mut self, page: PageId, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let (page, limit) = (page.to_string(), limit);
        // Each state by the index that has it.
        let waiting = format!("{STORED_EVENT} WHERE {WAITING_FOR} ORDER BY seq DESC LIMIT ?2");
        let parked = format!("{STORED_EVENT} WHERE state = 'parked' AND subject = ?1 ORDER BY seq DESC LIMIT ?2");
        let mut pending = self.list(&waiting, params![page, limit], stored_event)?;
        pending.extend(self.list(&parked, params![page, limit], stored_event)?);
        pending.sort_by_key(|event| std::cmp::Reverse(event.seq));
        pending.truncate(limit as usize);
        Ok(pending)
    }

    fn event(&mut self, event_id: &str) -> Result<Option<StoredEvent>, StoreError> {
        self.one(&format!("{STORED_EVENT} WHERE event_id = ?1"), [event_id], stored_event)
    }
}
