//! Beside Litestream, whose locks are imitated here: it holds a read transaction all the time, lets go of it only to bring the
//! WAL home, and takes the write lock for that moment.

use std::{fs, path::Path};

use chrono::DateTime;
use suppressd::{
    model::{entry::Door, event::Subject, id::PageId},
    store::{Appended, Disposition, EventFilter, NewEvent, Store as _, sqlite::SqliteStore},
};

use crate::pipeline::connect;

/// What it makes in every database.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); \
                      CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER)";

fn event(n: u32, body: usize) -> NewEvent {
    let at = DateTime::UNIX_EPOCH;
    NewEvent {
        event_id: n.to_string(),
        kind: "page.created".to_owned(),
        subject: Some(Subject::Page(PageId::from_uuid(uuid::Uuid::from_u128(n.into())))),
        occurred_at: at,
        received_at: at,
        door: Door::Webhook,
        disposition: Disposition::Look,
        body: vec![b' '; body],
    }
}

/// What tells one WAL from the next.
fn salts(database: &Path) -> Vec<u8> {
    fs::read(format!("{}-wal", database.display())).unwrap().get(16..24).unwrap().to_vec()
}

#[tokio::test]
async fn the_service_goes_on_while_litestream_reads_and_brings_the_wal_home() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("cache.db");
    let store = SqliteStore::open(&database, 100, DateTime::UNIX_EPOCH).unwrap();
    store.leave_checkpoints().unwrap();
    let (reading, writing) = (connect(&database), connect(&database));
    writing.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    writing.execute_batch(TABLES).unwrap();
    let hold = "BEGIN; SELECT count(*) FROM _litestream_seq";
    reading.execute_batch(hold).unwrap();
    let mut n = 0;
    for (round, mode) in ["PASSIVE", "RESTART", "TRUNCATE"].into_iter().cycle().take(12).enumerate() {
        for _ in 0..20 {
            n += 1;
            assert!(matches!(store.append(event(n, 2_000)).await.unwrap(), Appended::Waiting(_)), "round {round}");
        }
        // Nobody can begin the WAL anew under a reader, ourselves included.
        let busy: i64 = writing.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
        reading.execute_batch("ROLLBACK").unwrap();
        writing.execute_batch("BEGIN IMMEDIATE; INSERT INTO _litestream_lock VALUES (1); ROLLBACK").unwrap();
        let busy: i64 = writing.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0, "round {round}: nobody is in its way");
        writing
            .execute_batch(
                "INSERT OR REPLACE INTO _litestream_seq VALUES (1, coalesce((SELECT seq FROM _litestream_seq), 0) + 1)",
            )
            .unwrap();
        reading.execute_batch(hold).unwrap();
    }
    let kept = store.read(|rows| rows.events(EventFilter::All, 1000)).await.unwrap();
    assert_eq!(kept.len(), 240);
    let whole: String = writing.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

/// More than SQLite or our own setting would leave in a WAL: it is ours to bring home, or Litestream's.
#[tokio::test]
async fn the_wal_is_left_alone_where_litestream_copies_it_and_only_there() {
    for left in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("cache.db");
        let store = SqliteStore::open(&database, 100, DateTime::UNIX_EPOCH).unwrap();
        if left {
            store.leave_checkpoints().unwrap();
        }
        store.append(event(0, 10)).await.unwrap();
        let first = salts(&database);
        for n in 1..13 {
            store.append(event(n, 4_000_000)).await.unwrap();
        }
        assert_eq!(salts(&database) == first, left, "a WAL that begins anew costs Litestream a snapshot");
    }
}
