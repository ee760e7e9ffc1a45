//! The rows of the inbox.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use crate::{
    model::{entry::Door, event::Subject, id::DataSourceId},
    store::{
        Appended, Cutoffs, Delay, Disposition, EventFilter, EventRows, EventState, NewEvent, Seq, SourceRows as _,
        StoreError, StoredEvent, Tally, Waiting,
        sqlite::{
            SqliteRows,
            tally::{self, PARKED},
            time::{from_micros, micros},
            unavailable,
        },
    },
};

/// Selects the events that wait for the subject `?1`. It names the blocks, so that their index serves it.
pub(crate) const WAITING_FOR: &str = "state = 'waiting' AND subject = ?1 \
                           AND seq >> 8 IN (SELECT block FROM suppressd_waiting_blocks)";

/// Selects when the event with the first place that waits was received. Of the many that may wait, only those of one
/// block are read, and in the index alone.
const OLDEST_WAITING: &str = "SELECT received_at FROM suppressd_inbox WHERE seq = (SELECT seq FROM suppressd_inbox \
    INDEXED BY suppressd_inbox_waiting WHERE state = 'waiting' AND seq NOT IN (SELECT seq FROM suppressd_inbox \
    INDEXED BY suppressd_inbox_samples WHERE is_sample = 1 AND state = 'waiting') ORDER BY seq >> 8, seq LIMIT 1)";

/// Selects the newest skipped events, block by block as their index has them.
pub(crate) const NEWEST_SKIPPED: &str =
    "INDEXED BY suppressd_inbox_skipped WHERE state = 'skipped' ORDER BY seq >> 12 DESC, seq DESC LIMIT ?1";

/// Appends an event, within the transaction that many share.
pub(crate) fn append(connection: &Connection, event: &NewEvent) -> Result<Appended, StoreError> {
    let state = match event.disposition {
        Disposition::Unreadable => EventState::Unreadable,
        Disposition::Look if event.subject.is_some() => EventState::Waiting,
        Disposition::LookIfKnown if is_known(connection, event.subject)? => EventState::Waiting,
        Disposition::Skip { source, .. } if is_proven(connection, event.subject, source)? => EventState::Skipped,
        Disposition::Skip { .. } => EventState::Waiting,
        Disposition::Look | Disposition::LookIfKnown | Disposition::Ignore => EventState::Ignored,
    };
    let inserted = insert(connection, event, state).map_err(|e| unavailable("writing an event", e))?;
    match (inserted, state) {
        (Some(seq), EventState::Waiting) => Ok(Appended::Waiting(seq)),
        (Some(seq), EventState::Skipped) => Ok(Appended::Skipped(seq)),
        (Some(seq), _) => Ok(Appended::Kept(seq)),
        (None, EventState::Waiting) if event.door == Door::Replay => reopen(connection, event),
        (None, _) => Ok(Appended::Duplicate),
    }
}

fn insert(connection: &Connection, event: &NewEvent, state: EventState) -> rusqlite::Result<Option<Seq>> {
    let sampled_at = match event.disposition {
        Disposition::Skip { sampled_at, .. } if state == EventState::Skipped => sampled_at,
        _ => None,
    };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO suppressd_inbox \
             (event_id, kind, subject, occurred_at, received_at, door, state, body, due_at, is_sample) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9 IS NOT NULL) ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute(params![
            event.event_id,
            event.kind,
            event.subject.map(|subject| subject.to_string()),
            micros(event.occurred_at),
            micros(event.received_at),
            event.door.name(),
            state.name(),
            event.body,
            sampled_at.map(micros),
        ])?;
    Ok((inserted == 1).then(|| Seq(connection.last_insert_rowid())))
}

/// A replay is asked for by a person: what was settled, parked or ignored before waits once more.
///
/// It was received again, and gets a new place: a look that has begun covers what stood below its place when it began.
fn reopen(connection: &Connection, event: &NewEvent) -> Result<Appended, StoreError> {
    connection
        .prepare_cached(
            "UPDATE suppressd_inbox SET seq = (SELECT max(seq) + 1 FROM suppressd_inbox), state = 'waiting', door = ?2, \
             received_at = ?4, attempts = 0, due_at = NULL, is_sample = 0, reason = NULL, subject = ?3 WHERE event_id = ?1 RETURNING seq",
        )
        .and_then(|mut update| {
            let subject = event.subject.map(|subject| subject.to_string());
            let received_at = micros(event.received_at);
            update.query_row(params![event.event_id, event.door.name(), subject, received_at], |row| row.get(0).map(Seq))
        })
        .map(Appended::Reopened)
        .map_err(|e| unavailable("writing an event", e))
}

/// A page is known if the cache has it, or if an event that waits may yet bring it in.
fn is_known(connection: &Connection, subject: Option<Subject>) -> Result<bool, StoreError> {
    let Some(subject) = subject else { return Ok(false) };
    connection
        .prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM suppressd_pages WHERE page_id = ?1) \
                 OR EXISTS (SELECT 1 FROM suppressd_inbox WHERE {WAITING_FOR})"
        ))
        .and_then(|mut known| known.query_row([subject.to_string()], |row| row.get(0)))
        .map_err(|e| unavailable("looking a page up", e))
}

/// A page is proven if it was last seen as a row of `source`, and nothing but its mapped values decides its entries.
fn is_proven(connection: &Connection, subject: Option<Subject>, source: DataSourceId) -> Result<bool, StoreError> {
    let Some(subject) = subject else { return Ok(false) };
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM suppressd_pages \
                WHERE page_id = ?1 AND source = ?2 AND standing = 'listed' AND missing_since IS NULL \
                AND unfound_since IS NULL) \
             AND NOT EXISTS (SELECT 1 FROM suppressd_claims AS own JOIN suppressd_claims AS other \
                ON other.canonical_key = own.canonical_key AND other.page_id <> own.page_id WHERE own.page_id = ?1)",
        )
        .and_then(|mut proven| proven.query_row([subject.to_string(), source.to_string()], |row| row.get(0)))
        .map_err(|e| unavailable("looking a page up", e))
}

impl EventRows for SqliteRows<'_> {
    fn waiting(&mut self, limit: u32) -> Result<Vec<Waiting>, StoreError> {
        self.list(
            // An event that came after a failure was never put off, and makes its subject due.
            "SELECT subject, max(seq), iif(count(*) = count(due_at), max(attempts), 0), \
             iif(count(*) = count(due_at), max(due_at), NULL) FROM suppressd_inbox \
             WHERE state = 'waiting' AND subject IS NOT NULL GROUP BY subject ORDER BY min(seq) LIMIT ?1",
            params![limit],
            |row| {
                Ok(Waiting {
                    subject: parsed(row, 0, "subject", |text| text.parse().ok())?,
                    through: Seq(row.get(1)?),
                    attempts: row.get(2)?,
                    due_at: row.get::<_, Option<i64>>(3)?.map(from_micros),
                })
            },
        )
    }

    fn newest_waiting(&mut self, subject: Subject) -> Result<Option<StoredEvent>, StoreError> {
        let newest = self.list(
            &format!(
                "{STORED_EVENT} WHERE {WAITING_FOR} ORDER BY occurred_at DESC, kind = 'page.deleted', seq DESC LIMIT 1"
            ),
            params![subject.to_string()],
            stored_event,
        )?;
        Ok(newest.into_iter().next())
    }

    fn oldest_waiting(&mut self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.time(OLDEST_WAITING)
    }

    fn newest_parked(&mut self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.time(&format!(
            "SELECT received_at FROM suppressd_inbox WHERE seq = \
             (SELECT max(seq) FROM suppressd_inbox INDEXED BY suppressd_inbox_unusual WHERE {PARKED})"
        ))
    }

    fn settle(&mut self, subject: Subject, through: Seq) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let settled: Vec<Option<i64>> = self.list(
            &format!(
                "UPDATE suppressd_inbox SET state = 'settled', due_at = NULL, reason = NULL \
                 WHERE {WAITING_FOR} AND seq <= ?2 RETURNING iif(is_sample, NULL, received_at)"
            ),
            params![subject.to_string(), through.0],
            |row| row.get(0),
        )?;
        Ok(settled.into_iter().flatten().map(from_micros).collect())
    }

    fn put_off(&mut self, subject: Subject, through: Seq, delay: &Delay) -> Result<u64, StoreError> {
        self.execute(
            &format!(
                "UPDATE suppressd_inbox SET due_at = ?3, attempts = ?4, reason = ?5 WHERE {WAITING_FOR} AND seq <= ?2"
            ),
            params![subject.to_string(), through.0, micros(delay.due_at), delay.attempts, delay.reason],
        )
    }

    fn park(&mut self, subject: Subject, through: Seq, reason: &str) -> Result<u64, StoreError> {
        self.execute(
            &format!("UPDATE suppressd_inbox SET state = 'parked', due_at = NULL, reason = ?3 WHERE {WAITING_FOR} AND seq <= ?2"),
            params![subject.to_string(), through.0, reason],
        )
    }

    fn unpark(&mut self, event: Option<&str>) -> Result<u64, StoreError> {
        // As in `reopen`, they get new places, in their old order.
        let distance: Option<Option<i64>> = self.one(
            &format!(
                "SELECT (SELECT max(seq) + 1 FROM suppressd_inbox) - min(seq) FROM suppressd_inbox \
                 WHERE {PARKED} AND (?1 IS NULL OR event_id = ?1)"
            ),
            params![event],
            |row| row.get(0),
        )?;
        let Some(distance) = distance.flatten() else { return Ok(0) };
        self.execute(
            &format!(
                "UPDATE suppressd_inbox SET seq = seq + ?2, state = 'waiting', attempts = 0, due_at = NULL, \
                 reason = NULL WHERE {PARKED} AND (?1 IS NULL OR event_id = ?1)"
            ),
            params![event, distance],
        )
    }

    fn events(&mut self, filter: EventFilter, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        match filter {
            EventFilter::All => {
                self.list(&format!("{STORED_EVENT} ORDER BY seq DESC LIMIT ?1"), params![limit], stored_event)
            }
            EventFilter::InState(EventState::Skipped) => {
                self.list(&format!("{STORED_EVENT} {NEWEST_SKIPPED}"), params![limit], stored_event)
            }
            // The state stands in the text of the statement, so that the partial indexes serve it.
            EventFilter::InState(state) => self.list(
                &format!("{STORED_EVENT} WHERE state = '{}' ORDER BY seq DESC LIMIT ?1", state.name()),
                params![limit],
                stored_event,
            ),
        }
    }

    fn bodies(&mut self, after: Seq, limit: u32) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        self.list(
            "SELECT seq, body FROM suppressd_inbox WHERE seq > ?1 AND body IS NOT NULL ORDER BY seq LIMIT ?2",
            params![after.0, limit],
            |row| Ok((Seq(row.get(0)?), row.get(1)?)),
        )
    }

    fn tally(&mut self) -> Result<Tally, StoreError> {
        tally::of_events(self)
    }

    fn prune(&mut self, retention: &Cutoffs, limit: u32) -> Result<u64, StoreError> {
        let events = self.execute(
            // The newest row stays whatever its age, so that no place in the inbox is ever given twice.
            "DELETE FROM suppressd_inbox WHERE received_at < ?1 AND seq < (SELECT max(seq) FROM suppressd_inbox) AND \
             seq IN (SELECT seq FROM suppressd_inbox WHERE state NOT IN ('waiting', 'parked') ORDER BY seq LIMIT ?2)",
            params![micros(retention.events_before), limit],
        )?;
        let changes = self.prune_changes(micros(retention.changes_before), limit)?;
        let sweeps = self.prune_sweeps(micros(retention.sweeps_before), limit)?;
        Ok(events + changes + sweeps + self.prune_bodies(micros(retention.bodies_before), limit)?)
    }
}

impl SqliteRows<'_> {
    /// Drops bodies from the oldest on, remembering how far it came, so that no step looks at the whole inbox.
    fn prune_bodies(&mut self, before: i64, limit: u32) -> Result<u64, StoreError> {
        const THROUGH: &str = "bodies_pruned_through";
        let after: i64 = self.fact(THROUGH)?.and_then(|seq| seq.parse().ok()).unwrap_or(0);
        let through: Option<i64> = self
            .connection
            .prepare_cached(
                "WITH step AS (SELECT seq, received_at FROM suppressd_inbox WHERE seq > ?1 ORDER BY seq LIMIT ?3) \
                 SELECT max(seq) FROM step WHERE seq < coalesce((SELECT min(seq) FROM step WHERE received_at >= ?2), \
                 9223372036854775807)",
            )
            .and_then(|mut oldest| oldest.query_row(params![after, before, limit], |row| row.get(0)))
            .map_err(|e| unavailable("reading events", e))?;
        let Some(through) = through else { return Ok(0) };
        let dropped = self.execute(
            "UPDATE suppressd_inbox SET body = NULL WHERE seq > ?1 AND seq <= ?2 AND state NOT IN ('waiting', 'parked')",
            params![after, through],
        )?;
        self.put_fact(THROUGH, &through.to_string())?;
        // Having come further is something, also where every body on the way is still needed.
        Ok(dropped.max(1))
    }

    pub(crate) fn time(&self, sql: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let micros: Option<Option<i64>> = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut time| time.query_row(named_params! {}, |row| row.get(0)).optional())
            .map_err(|e| unavailable("reading events", e))?;
        Ok(micros.flatten().map(from_micros))
    }
}

pub(crate) const STORED_EVENT: &str = "SELECT seq, event_id, kind, subject, occurred_at, received_at, door, state, attempts, \
                            due_at, reason, is_sample FROM suppressd_inbox";

pub(crate) fn stored_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        seq: Seq(row.get(0)?),
        event_id: row.get(1)?,
        kind: row.get(2)?,
        subject: row.get::<_, Option<String>>(3)?.and_then(|text| text.parse().ok()),
        occurred_at: from_micros(row.get(4)?),
        received_at: from_micros(row.get(5)?),
        door: parsed(row, 6, "door", Door::from_name)?,
        state: parsed(row, 7, "state", |name| EventState::ALL.into_iter().find(|state| state.name() == name))?,
        attempts: row.get(8)?,
        due_at: row.get::<_, Option<i64>>(9)?.map(from_micros),
        reason: row.get(10)?,
        is_sample: row.get(11)?,
    })
}

/// Reads a text column into a checked value; what does not parse is an error, never a default.
pub(crate) fn parsed<T>(
    row: &Row<'_>,
    column: usize,
    name: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?;
    let text =
        text.as_str().map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, text.data_type(), e.into()))?;
    parse(text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            format!("{text:?} is no {name}").into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::open;

    #[test]
    fn the_first_that_waits_is_found_in_its_block_by_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open::writer(&folder.path().join("cache.db"), DateTime::UNIX_EPOCH).unwrap();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {OLDEST_WAITING}")).unwrap();
        let steps: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        for wanted in [
            "SCAN suppressd_inbox USING COVERING INDEX suppressd_inbox_waiting",
            "SEARCH suppressd_inbox USING COVERING INDEX suppressd_inbox_samples (state=?)",
            // In the order of the blocks: only within one is there anything to sort.
            "USE TEMP B-TREE FOR LAST TERM OF ORDER BY",
        ] {
            assert!(steps.iter().any(|step| step == wanted), "{wanted}: {steps:?}");
        }
    }

    #[test]
    fn who_looks_for_a_subject_finds_it_in_each_block_by_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open::writer(&folder.path().join("cache.db"), DateTime::UNIX_EPOCH).unwrap();
        let plan = format!("EXPLAIN QUERY PLAN SELECT reason FROM suppressd_inbox WHERE {WAITING_FOR}");
        let mut plan = connection.prepare(&plan).unwrap();
        let steps: Vec<String> = plan.query_map([""], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        let wanted = "SEARCH suppressd_inbox USING INDEX suppressd_inbox_waiting (<expr>=? AND subject=?)";
        assert!(steps.iter().any(|step| step == wanted), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN suppressd_inbox")), "{steps:?}");
    }
}
