//! What becomes of a cache that is carried into another time: restored from a backup, or read from an export.
//!
//! Between the copy and now events were acknowledged which are not in it. So an absence is proven by nothing any more, and
//! each watermark goes: what asks for a key without a row is answered `stale`, and a sweep is asked for. A row keeps its
//! proof, with its age: where the watermark proved a page, the page takes that over.
//!
//! With an import this writes pages, claims and entries beside `Cache`. They are the rows that a `Cache`
//! wrote elsewhere, taken over whole or not at all; nothing is derived here, and no winner is picked.

use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, params};

use crate::{
    model::sweep::{AskedBy, SweepOrder},
    store::{
        ChangeRows as _, StoreError, SweepRows as _,
        sqlite::{SqliteRows, copy, open, time::isoformat, unavailable},
    },
};

/// Facts of the process that worked on the file, and what is spent by now.
const GONE: &str = "DELETE FROM suppressd_facts WHERE name IN ('running', 'budgets', 'next_sweep')";

/// The watermark proves a page that nothing newer contradicts.
const PROOF: &str = "\
    UPDATE suppressd_pages SET observed_at = source.watermark, seen_by = 'sweep' FROM suppressd_sources AS source \
    WHERE source.source = suppressd_pages.source AND source.watermark > suppressd_pages.observed_at \
      AND standing = 'listed' AND missing_since IS NULL AND unfound_since IS NULL; \
    UPDATE suppressd_sources SET watermark = NULL; \
    DELETE FROM suppressd_refreshes";

/// A published row of ours: one that its page claims.
const OURS: &str = "EXISTS (SELECT 1 FROM suppressd_claims AS claim \
    WHERE claim.canonical_key = row.canonical_key AND claim.page_id = row.notion_page_id)";

/// The columns of a published row, but for its number.
pub(crate) const ENTRY_COLUMNS: &str =
    "canonical_key, notion_page_id, status, company_name, cached_at, expires_at, metadata";

/// Keys of the old cache that are listed where the new one does not hold them.
const LOST_MAX: u32 = 20;

/// What an import found and left where it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Keys that had a row that counted, and have none now.
    pub lost: u64,
    /// Some of them.
    pub lost_keys: Vec<String>,
    /// Rows of other programs that stay as they were.
    pub others: u64,
}

/// A database that nobody else has open, held until this is dropped.
#[derive(Debug)]
pub struct Alone {
    /// The tables of other programs, with the number of their rows.
    pub others: Vec<(String, u64)>,
    /// `None` where it is too damaged to be held.
    _held: Option<Connection>,
}

/// Brings a copy up to date, and takes out of it what does not hold any more.
pub(crate) fn make_ready(path: &Path, now: DateTime<Utc>) -> Result<(), StoreError> {
    let connection = open::writer(path, now)?;
    begin(&connection)?;
    forget_what_was_proven(&connection, now)?;
    commit(&connection)?;
    drop(connection);
    copy::as_one_file(path)
}

/// Brings what stands in the WAL home and keeps everybody else out; `None` where somebody has the file open.
pub(crate) fn alone(path: &Path) -> Result<Option<Alone>, StoreError> {
    let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let hold = || {
        // A damaged file is put aside as it is, with what lies beside it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let others = copy::others(&connection)?;
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))?;
        // Who has it open in WAL, even idle, keeps it in WAL.
        if mode == "wal" {
            return Ok(None);
        }
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(Some(others))
    };
    match hold() {
        Ok(None) => Ok(None),
        Ok(Some(others)) => Ok(Some(Alone { others, _held: Some(connection) })),
        Err(error) => match rusqlite::Error::sqlite_error_code(&error) {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(None),
            // Of a damaged file nobody knows what it holds.
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Ok(Some(Alone { others: Vec::new(), _held: None }))
            }
            _ => Err(unavailable("closing it", error)),
        },
    }
}

/// Puts the cache of the file at `from`, which is up to date, in the place of that of `path`: all of it, or nothing.
///
/// `None` where a cache is there that is not to be replaced.
pub(crate) fn take_over(
    from: &Path,
    path: &Path,
    replaces: bool,
    now: DateTime<Utc>,
) -> Result<Option<TakenOver>, StoreError> {
    let connection = open::writer(path, now)?;
    let failed = |e| unavailable("taking it over", e);
    connection.execute("ATTACH DATABASE ?1 AS other", [from.to_string_lossy()]).map_err(failed)?;
    begin(&connection)?;
    let is_empty: bool = connection
        .query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM suppressd_pages) AND NOT EXISTS (SELECT 1 FROM suppression_cache)",
            [],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if !is_empty && !replaces {
        return Ok(None);
    }
    let lost = lost(&connection, now).map_err(failed)?;
    replace(&connection).map_err(failed)?;
    forget_what_was_proven(&connection, now)?;
    commit(&connection)?;
    Ok(Some(lost))
}

fn lost(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<TakenOver> {
    let missing = format!(
        "FROM suppression_cache AS row WHERE row.expires_at > ?1 AND {OURS} \
         AND row.canonical_key NOT IN (SELECT canonical_key FROM other.suppression_cache)"
    );
    let lost = connection.query_row(&format!("SELECT count(*) {missing}"), [isoformat(now)], |row| row.get(0))?;
    let lost_keys = connection
        .prepare(&format!("SELECT row.canonical_key {missing} ORDER BY 1 LIMIT ?2"))?
        .query_map(params![isoformat(now), LOST_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let others = connection.query_row(
        &format!(
            "SELECT count(*) FROM suppression_cache AS row WHERE NOT {OURS} \
             AND row.canonical_key NOT IN (SELECT canonical_key FROM other.suppression_cache)"
        ),
        [],
        |row| row.get(0),
    )?;
    Ok(TakenOver { lost, lost_keys, others })
}

fn replace(connection: &Connection) -> rusqlite::Result<()> {
    // Whoever has names in memory reads those of all these pages anew.
    connection.execute_batch(
        "INSERT INTO suppressd_renamed (page_id) \
         SELECT page_id FROM suppressd_pages UNION SELECT page_id FROM other.suppressd_pages",
    )?;
    // A row that stays keeps its number, to which another program may refer.
    connection.execute_batch(&format!(
        "DELETE FROM suppression_cache AS row WHERE {OURS} \
           AND canonical_key NOT IN (SELECT canonical_key FROM other.suppression_cache); \
         INSERT INTO suppression_cache ({ENTRY_COLUMNS}) SELECT {ENTRY_COLUMNS} FROM other.suppression_cache WHERE true \
           ON CONFLICT (canonical_key) DO UPDATE SET notion_page_id = excluded.notion_page_id, \
           status = excluded.status, company_name = excluded.company_name, cached_at = excluded.cached_at, \
           expires_at = excluded.expires_at, metadata = excluded.metadata; \
         DELETE FROM suppressd_facts WHERE name = 'derived_by'"
    ))?;
    for table in ["suppressd_sources", "suppressd_pages", "suppressd_claims"] {
        let columns = columns(connection, table)?.join(", ");
        connection.execute_batch(&format!(
            "DELETE FROM {table}; INSERT INTO {table} ({columns}) SELECT {columns} FROM other.{table}"
        ))?;
    }
    Ok(())
}

/// Lists the columns of a table of ours.
pub(crate) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn forget_what_was_proven(connection: &Connection, now: DateTime<Utc>) -> Result<(), StoreError> {
    connection
        .execute_batch(PROOF)
        .and_then(|()| connection.execute_batch(GONE))
        .map_err(|e| unavailable("making it ready", e))?;
    let mut rows = SqliteRows::new(connection);
    rows.rename_feed()?;
    if rows.next_sweep()?.is_none_or(|asked| asked.order.dry_run) {
        rows.ask_sweep(&SweepOrder::by(AskedBy::Need), now)?;
    }
    Ok(())
}

/// A connection that is dropped undoes what it did not commit.
fn begin(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| unavailable("writing", e))
}

fn commit(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("COMMIT").map_err(|e| unavailable("committing", e))
}
