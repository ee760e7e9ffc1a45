//! The rows of the history of the entries.

use chrono::{DateTime, Utc};
use rusqlite::{Row, params};

use crate::{
    model::{
        entry::{Cause, Change, Door, Entry, Face},
        key::Key,
    },
    store::{
        ChangeRows, FeedState, Published, RecordedChange, SourceRows as _, StoreError,
        sqlite::{
            SqliteRows,
            events::parsed,
            rows::{json, key, optional_json, published},
            time::{from_micros, micros},
        },
    },
};

/// The fact that names the history.
const FEED: &str = "feed";

/// The fact that says how far it is forgotten.
const FORGOTTEN_THROUGH: &str = "changes_forgotten_through";

/// Selects a published row of ours: one that its page claims.
const OURS: &str = "EXISTS (SELECT 1 FROM suppressd_claims AS claim \
    WHERE claim.canonical_key = row.canonical_key AND claim.page_id = row.notion_page_id)";

/// The columns that [`published`] reads.
const ROW: &str = "row.notion_page_id, row.status, row.company_name, row.cached_at, row.expires_at, row.metadata";

impl ChangeRows for SqliteRows<'_> {
    fn record_change(&mut self, change: &Change) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO suppressd_changes (changed_at, canonical_key, before, after, door, cause) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                micros(change.changed_at),
                change.key.as_str(),
                change.from.as_ref().map(json).transpose()?,
                change.to.as_ref().map(json).transpose()?,
                change.cause.door.name(),
                change.cause.id,
            ],
        )
        .map(drop)
    }

    fn told(&mut self, key: &Key) -> Result<Option<Option<Face>>, StoreError> {
        self.one(
            "SELECT after FROM suppressd_changes WHERE canonical_key = ?1 ORDER BY seq DESC LIMIT 1",
            [key.as_str()],
            |row| optional_json(row, 0),
        )
    }

    fn changes(&mut self, after: u64, limit: u32) -> Result<Vec<RecordedChange>, StoreError> {
        let sql = format!(
            "SELECT {ROW}, row.id IS NOT NULL, change.seq, change.changed_at, change.canonical_key, change.before, \
               change.after, change.door, change.cause \
             FROM suppressd_changes AS change LEFT JOIN suppression_cache AS row \
               ON row.canonical_key = change.canonical_key AND {OURS} \
             WHERE change.seq > ?1 ORDER BY change.seq LIMIT ?2"
        );
        self.list(&sql, params![signed(after), limit], |row| {
            let key = key(row, 9)?;
            Ok(RecordedChange {
                seq: row.get(7)?,
                entry: if row.get(6)? { entry(row, &key)? } else { None },
                change: Change {
                    changed_at: from_micros(row.get(8)?),
                    key,
                    from: optional_json(row, 10)?,
                    to: optional_json(row, 11)?,
                    cause: Cause { door: parsed(row, 12, "door", Door::from_name)?, id: row.get(13)? },
                },
            })
        })
    }

    fn changed_at(&mut self, seq: u64) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.one("SELECT changed_at FROM suppressd_changes WHERE seq = ?1", [signed(seq)], |row| {
            row.get(0).map(from_micros)
        })
    }

    fn feed(&mut self) -> Result<FeedState, StoreError> {
        let feed = self.one(
            "SELECT coalesce((SELECT value FROM suppressd_facts WHERE name = ?1), ''), \
             (SELECT CAST(value AS INTEGER) FROM suppressd_facts WHERE name = ?2), \
             coalesce((SELECT max(seq) FROM suppressd_changes), 0)",
            [FEED, FORGOTTEN_THROUGH],
            |row| {
                let forgotten_through = row.get::<_, Option<u64>>(1)?.unwrap_or(0);
                Ok(FeedState { id: row.get(0)?, forgotten_through, newest: row.get(2)? })
            },
        )?;
        Ok(feed.unwrap_or_else(|| FeedState { id: String::new(), forgotten_through: 0, newest: 0 }))
    }

    fn rename_feed(&mut self) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO suppressd_facts (name, value) VALUES (?1, lower(hex(randomblob(8))))",
            [FEED],
        )
        .map(drop)
    }

    fn entries(&mut self, after: Option<&str>, limit: u32) -> Result<(Vec<Entry>, Option<Key>), StoreError> {
        let sql = format!(
            "SELECT {ROW}, row.canonical_key FROM suppression_cache AS row \
             WHERE row.canonical_key > ?1 AND {OURS} ORDER BY row.canonical_key LIMIT ?2"
        );
        let rows = self.list(&sql, params![after.unwrap_or_default(), limit], |row| {
            let key = key(row, 6)?;
            Ok((entry(row, &key)?, key))
        })?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
        let last = rows.last().filter(|_| is_full).map(|(_, key)| key.clone());
        Ok((rows.into_iter().filter_map(|(entry, _)| entry).collect(), last))
    }
}

impl SqliteRows<'_> {
    /// Forgets changes that were made before, from the oldest on. The newest stays whatever its age, so that no number is
    /// ever given twice.
    pub(crate) fn prune_changes(&mut self, before: i64, limit: u32) -> Result<u64, StoreError> {
        let through: Option<u64> = self
            .one(
                "SELECT max(seq) FROM (SELECT seq, changed_at FROM suppressd_changes ORDER BY seq LIMIT ?2) \
                 WHERE changed_at < ?1 AND seq < (SELECT max(seq) FROM suppressd_changes)",
                params![before, limit],
                |row| row.get(0),
            )?
            .flatten();
        let Some(through) = through else { return Ok(0) };
        // What has a later date and stands before goes too: the clock was set. No reader may find a gap.
        let forgotten = self.execute("DELETE FROM suppressd_changes WHERE seq <= ?1", [signed(through)])?;
        self.put_fact(FORGOTTEN_THROUGH, &through.to_string())?;
        Ok(forgotten)
    }
}

/// Reads a row of ours; `None` where somebody else wrote over it.
fn entry(row: &Row<'_>, key: &Key) -> rusqlite::Result<Option<Entry>> {
    Ok(match published(row, key)? {
        Published::Entry(entry) => Some(*entry),
        Published::Foreign { .. } => None,
    })
}

/// No number in the table is larger than what SQLite can count to.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
