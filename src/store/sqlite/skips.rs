//! The rows of skipped events.

use chrono::{DateTime, Utc};
use rusqlite::params;

use crate::{
    model::{event::Subject, id::PageId},
    store::{
        SkipRows, StoreError, StoredEvent,
        sqlite::{
            SqliteRows,
            events::{STORED_EVENT, WAITING_FOR, parsed, stored_event},
            time::{from_micros, micros},
        },
    },
};

/// Selects the skipped events about `?1`, by the blocks in which there are any.
const SKIPPED_ABOUT: &str = "state = 'skipped' AND subject = ?1 \
                             AND seq >> 12 IN (SELECT block FROM suppressd_skipped_blocks)";

/// Selects the samples whose time has come by `?1`.
const DUE: &str = "is_sample = 1 AND state = 'skipped' AND due_at <= ?1";

impl SkipRows for SqliteRows<'_> {
    fn samples_are_due(&mut self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let due =
            self.one(&format!("SELECT 1 FROM suppressd_inbox WHERE {DUE} LIMIT 1"), params![micros(now)], |_| Ok(()))?;
        Ok(due.is_some())
    }

    fn take_up_samples(&mut self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        // What was looked at since says nothing of the skip any more.
        self.execute(
            &format!(
                "UPDATE suppressd_inbox SET is_sample = 0, due_at = NULL WHERE {DUE} AND NOT EXISTS (SELECT 1 \
                 FROM suppressd_pages AS page WHERE page.page_id = subject AND page.observed_at < received_at)"
            ),
            params![micros(now)],
        )?;
        // As in `reopen`, they get new places.
        let distance: Option<Option<i64>> = self.one(
            &format!("SELECT (SELECT max(seq) + 1 FROM suppressd_inbox) - min(seq) FROM suppressd_inbox WHERE {DUE}"),
            params![micros(now)],
            |row| row.get(0),
        )?;
        let Some(distance) = distance.flatten() else { return Ok(0) };
        self.execute(
            &format!("UPDATE suppressd_inbox SET seq = seq + ?2, state = 'waiting', due_at = NULL WHERE {DUE}"),
            params![micros(now), distance],
        )
    }

    fn only_samples_wait(&mut self, subject: Subject) -> Result<bool, StoreError> {
        let only: Option<Option<bool>> = self.one(
            &format!("SELECT min(is_sample) FROM suppressd_inbox WHERE {WAITING_FOR}"),
            params![subject.to_string()],
            |row| row.get(0),
        )?;
        Ok(only.flatten().unwrap_or(false))
    }

    fn newest_skipped(&mut self, page: PageId, since: DateTime<Utc>) -> Result<Option<StoredEvent>, StoreError> {
        self.one(
            &format!("{STORED_EVENT} WHERE {SKIPPED_ABOUT} AND received_at > ?2 ORDER BY seq DESC LIMIT 1"),
            params![page.to_string(), micros(since)],
            stored_event,
        )
    }

    fn unskip(&mut self, event: &str) -> Result<bool, StoreError> {
        let unskipped = self.execute(
            "UPDATE suppressd_inbox SET seq = (SELECT max(seq) + 1 FROM suppressd_inbox), state = 'waiting', \
             due_at = NULL, is_sample = 0 WHERE event_id = ?1 AND state = 'skipped'",
            params![event],
        )?;
        Ok(unskipped > 0)
    }

    fn rivals_of(&mut self, page: PageId, limit: u32) -> Result<Vec<(PageId, DateTime<Utc>)>, StoreError> {
        self.list(
            "SELECT DISTINCT page.page_id, page.observed_at FROM suppressd_claims AS own \
             JOIN suppressd_claims AS other ON other.canonical_key = own.canonical_key AND other.page_id <> own.page_id \
             JOIN suppressd_pages AS page ON page.page_id = other.page_id WHERE own.page_id = ?1 LIMIT ?2",
            params![page.to_string(), limit],
            |row| Ok((parsed(row, 0, "page id", |text| text.parse().ok())?, from_micros(row.get(1)?))),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;
    use crate::{
        model::{entry::Door, id::DataSourceId},
        store::{
            Appended, Disposition, EventFilter, EventRows as _, EventState, NewEvent, Seq, SourceRows as _,
            sqlite::{events, open},
        },
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        from_micros(seconds * 1_000_000)
    }

    fn page(n: u128) -> PageId {
        PageId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn database(path: &Path) -> Connection {
        let connection = open::writer(path, at(0)).unwrap();
        let known = "INSERT INTO suppressd_pages (page_id, source, standing, last_edited_time, observed_at, view, mapped) \
                     VALUES (?1, ?2, 'listed', 0, 1000000, 'page', '{}')";
        connection.execute(known, params![page(1).to_string(), page(0).to_string()]).unwrap();
        connection
    }

    /// An edit of page 1 that needs no look, received at that second, and perhaps a sample.
    fn skip(connection: &Connection, id: &str, second: i64, sampled_at: Option<i64>) -> Appended {
        let source = DataSourceId::from_uuid(page(0).uuid());
        let event = NewEvent {
            event_id: id.to_owned(),
            kind: "page.properties_updated".to_owned(),
            subject: Some(Subject::Page(page(1))),
            occurred_at: at(second),
            received_at: at(second),
            door: Door::Webhook,
            disposition: Disposition::Skip { source, sampled_at: sampled_at.map(at) },
            body: b"{}".to_vec(),
        };
        events::append(connection, &event).unwrap()
    }

    fn states(rows: &mut SqliteRows<'_>) -> Vec<(String, i64, EventState, bool)> {
        let mut events = rows.events(EventFilter::All, 100).unwrap();
        events.reverse();
        events.into_iter().map(|event| (event.event_id, event.seq.0, event.state, event.is_sample)).collect()
    }

    #[test]
    fn samples_wait_at_new_places_when_their_time_has_come_unless_their_page_was_seen_since() {
        let folder = tempfile::tempdir().unwrap();
        let connection = &database(&folder.path().join("cache.db"));
        let mut rows = SqliteRows::new(connection);
        assert_eq!(skip(connection, "a", 0, Some(10)), Appended::Skipped(Seq(1)), "the page was seen in second 1");
        skip(connection, "b", 2, Some(10));
        skip(connection, "c", 3, None);
        skip(connection, "d", 4, Some(10));
        skip(connection, "e", 5, Some(11));
        assert_eq!(skip(connection, "d", 6, Some(10)), Appended::Duplicate);
        assert_eq!((rows.samples_are_due(at(9)).unwrap(), rows.take_up_samples(at(9)).unwrap()), (false, 0));
        assert_eq!((rows.samples_are_due(at(10)).unwrap(), rows.take_up_samples(at(10)).unwrap()), (true, 2));
        let of = |id: &str, seq, state, is_sample| (id.to_owned(), seq, state, is_sample);
        assert_eq!(
            states(&mut rows),
            [
                of("a", 1, EventState::Skipped, false),
                of("c", 3, EventState::Skipped, false),
                of("e", 5, EventState::Skipped, true),
                of("b", 6, EventState::Waiting, true),
                of("d", 8, EventState::Waiting, true),
            ]
        );
        assert!(rows.only_samples_wait(Subject::Page(page(1))).unwrap());
        assert_eq!(rows.newest_skipped(page(1), at(4)).unwrap().unwrap().event_id, "e");
        assert_eq!(rows.newest_skipped(page(1), at(5)).unwrap(), None);
        assert!(rows.unskip("c").unwrap());
        assert!(!rows.unskip("c").unwrap(), "it waits");
        assert!(!rows.only_samples_wait(Subject::Page(page(1))).unwrap());
        let skipped = rows.events(EventFilter::InState(EventState::Skipped), 1).unwrap();
        assert_eq!(skipped.iter().map(|event| event.event_id.as_str()).collect::<Vec<_>>(), ["e"], "the newest");
        let tally = rows.tally().unwrap();
        assert_eq!(tally.sampled, 3);
        for (state, count) in [(EventState::Waiting, 3), (EventState::Skipped, 2), (EventState::Settled, 0)] {
            assert!(tally.by_state.contains(&(state, count)), "{tally:?}");
        }
    }

    #[test]
    fn every_question_about_skipped_events_is_answered_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let connection = database(&folder.path().join("cache.db"));
        for (condition, index) in [
            (format!("SELECT reason FROM suppressd_inbox WHERE {SKIPPED_ABOUT}"), "skipped (<expr>=? AND subject=?)"),
            (format!("SELECT reason FROM suppressd_inbox {}", events::NEWEST_SKIPPED), "skipped"),
            (format!("SELECT reason FROM suppressd_inbox WHERE {DUE}"), "samples (state=? AND due_at<?)"),
            ("SELECT count(*) FROM suppressd_inbox WHERE state = 'skipped'".to_owned(), "skipped"),
            ("SELECT count(*) FROM suppressd_inbox WHERE is_sample = 1".to_owned(), "samples"),
        ] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {condition}")).unwrap();
            let values = vec![""; plan.parameter_count()];
            let steps = plan.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.collect::<Result<_, _>>().unwrap();
            let is_served = |step: &String| step.contains(&format!("INDEX suppressd_inbox_{index}"));
            assert!(steps.iter().any(is_served), "{condition}: {steps:?}");
        }
    }

    /// A file that the first version left: what waits still waits, and its sources have no word on the filter.
    #[test]
    fn a_file_from_before_events_were_skipped_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        {
            #[expect(clippy::disallowed_methods, reason = "an earlier version made the file")]
            let earlier = Connection::open(&path).unwrap();
            earlier.execute_batch(include_str!("migrations/0001_inbox_and_cache.sql")).unwrap();
            earlier
                .execute_batch(
                    "CREATE TABLE suppressd_migrations \
                     (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT;
                     INSERT INTO suppressd_migrations VALUES (1, 'inbox_and_cache', '');
                     INSERT INTO suppressd_inbox (event_id, kind, occurred_at, received_at, door, state) \
                     VALUES ('e1', 'page.created', 0, 0, 'webhook', 'waiting')",
                )
                .unwrap();
        }
        let connection = &database(&path);
        let mut rows = SqliteRows::new(connection);
        skip(connection, "e2", 0, None);
        let of = |id: &str, seq, state| (id.to_owned(), seq, state, false);
        assert_eq!(states(&mut rows), [of("e1", 1, EventState::Waiting), of("e2", 2, EventState::Skipped)]);
        assert_eq!(rows.fact("relevance").unwrap(), None);
    }
}
