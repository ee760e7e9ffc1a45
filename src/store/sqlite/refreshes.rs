//! The rows of wishes for a younger proof.

use chrono::{DateTime, Utc};
use rusqlite::params;

use crate::{
    model::id::PageId,
    store::{
        Refresh, RefreshRows, StoreError,
        sqlite::{
            SqliteRows,
            events::parsed,
            time::{from_micros, micros},
        },
    },
};

impl RefreshRows for SqliteRows<'_> {
    fn ask_refresh(&mut self, page: PageId, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO suppressd_refreshes (page_id, asked_at, until) VALUES (?1, ?2, ?3) \
             ON CONFLICT (page_id) DO UPDATE SET until = max(until, excluded.until), failed = NULL, \
             asked_at = CASE WHEN failed IS NULL THEN asked_at ELSE excluded.asked_at END",
            params![page.to_string(), micros(now), micros(until)],
        )
        .map(drop)
    }

    fn refresh(&mut self, page: PageId) -> Result<Option<Refresh>, StoreError> {
        self.one(
            "SELECT asked_at, until, failed FROM suppressd_refreshes WHERE page_id = ?1",
            [page.to_string()],
            |row| {
                Ok(Refresh { asked_at: from_micros(row.get(0)?), until: from_micros(row.get(1)?), failed: row.get(2)? })
            },
        )
    }

    fn wanted_refreshes(&mut self, now: DateTime<Utc>, limit: u32) -> Result<Vec<PageId>, StoreError> {
        self.list(
            "SELECT page_id FROM suppressd_refreshes WHERE failed IS NULL AND until > ?1 ORDER BY asked_at, page_id LIMIT ?2",
            params![micros(now), limit],
            |row| parsed(row, 0, "page id", |text| text.parse().ok()),
        )
    }

    fn end_refresh(&mut self, page: PageId) -> Result<(), StoreError> {
        self.execute("DELETE FROM suppressd_refreshes WHERE page_id = ?1", [page.to_string()]).map(drop)
    }

    fn fail_refresh(&mut self, page: PageId, why: &str) -> Result<(), StoreError> {
        self.execute("UPDATE suppressd_refreshes SET failed = ?2 WHERE page_id = ?1", params![page.to_string(), why])
            .map(drop)
    }

    fn forget_refreshes(&mut self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        self.execute("DELETE FROM suppressd_refreshes WHERE until <= ?1", [micros(now)])
    }
}
