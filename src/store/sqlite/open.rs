//! Opening the file: pragmas, the journal, and whether the file is one that we may work in.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};

use crate::store::{
    StoreError,
    sqlite::{time::isoformat, unavailable},
};

/// The schema, one numbered file a step. Steps are never edited once released.
const MIGRATIONS: &[(u32, &str, &str)] = &[
    (1, "inbox_and_cache", include_str!("migrations/0001_inbox_and_cache.sql")),
    (2, "sweeps", include_str!("migrations/0002_sweeps.sql")),
    (3, "skipped_events", include_str!("migrations/0003_skipped_events.sql")),
    (4, "lookups", include_str!("migrations/0004_lookups.sql")),
    (5, "feed", include_str!("migrations/0005_feed.sql")),
    (6, "renamed", include_str!("migrations/0006_renamed.sql")),
    (7, "source_names", include_str!("migrations/0007_source_names.sql")),
];

/// How long a statement waits for somebody else's lock; the pipeline may be writing into the same file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: more than there are in this module's neighbours.
const PREPARED_MAX: usize = 64;

/// How the connection that writes works. A page that is new changes a dozen pages of the file, none of which its neighbours
/// change: with as little memory as SQLite takes by itself, a transaction of a hundred would be written out and read
/// back before it ends, and each would be copied from the WAL into the file by itself. What a savepoint may have to
/// undo is kept in memory, not in one more file.
const WRITER: &str = "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 8192; PRAGMA temp_store = MEMORY";

/// How a command reads that only asks. Every row of a large file leads to three pages that are in no small cache, and
/// to copy them is a third of its answer: here they are read where the system holds them. Where the disk then fails to give
/// a page, the process dies of a signal instead of telling an error, which a `serve` must not.
const MAPPED: &str = "PRAGMA mmap_size = 1073741824";

/// The columns of the published table that the pipeline relies on.
const PUBLISHED_COLUMNS: [&str; 8] =
    ["id", "canonical_key", "notion_page_id", "status", "company_name", "cached_at", "expires_at", "metadata"];

/// Opens the connection that writes, makes the file if need be, and brings its schema up to date.
pub(crate) fn writer(path: &Path, now: DateTime<Utc>) -> Result<Connection, StoreError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    refuse_foreign(path, &connection)?;
    refuse_newer(path, &connection)?;
    let wal = switch_to_wal(path, &connection)?;
    // Without WAL only EXTRA syncs the folder, so that a commit survives the loss of power.
    let synchronous = if wal { "FULL" } else { "EXTRA" };
    connection.pragma_update(None, "synchronous", synchronous).map_err(|e| unavailable("setting it up", e))?;
    connection.execute_batch(WRITER).map_err(|e| unavailable("setting it up", e))?;
    migrate(path, &mut connection, now)?;
    Ok(connection)
}

/// Makes a new file at `to` with what the file at `of` holds, and opens the connection that writes there.
pub(crate) fn copy(of: &Path, to: &Path, now: DateTime<Utc>) -> Result<Connection, StoreError> {
    let connection = writer(to, now)?;
    // Nobody needs it after a crash.
    connection.pragma_update(None, "synchronous", "OFF").map_err(|e| unavailable("setting it up", e))?;
    connection
        .execute("ATTACH DATABASE ?1 AS original", [of.to_string_lossy()])
        .and_then(|_| connection.execute_batch(concat!("BEGIN;", include_str!("copy.sql"), "COMMIT; DETACH original")))
        .map_err(|e| unavailable("copying it", e))?;
    Ok(connection)
}

/// As [`reader`], for a command that does nothing else.
pub(crate) fn mapped_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = reader(path)?;
    connection.execute_batch(MAPPED).map_err(|e| unavailable("setting it up", e))?;
    Ok(connection)
}

/// Opens a connection that can only read, on a file that is there and up to date.
pub(crate) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = reader_of_any(path)?;
    if refuse_newer(path, &connection)? < newest() {
        return Err(StoreError::Unprepared { path: path.display().to_string() });
    }
    Ok(connection)
}

/// As [`reader`], of any version that this program knows: a file is copied before it is brought up to date.
pub(crate) fn reader_of_any_version(path: &Path) -> Result<Connection, StoreError> {
    let connection = reader_of_any(path)?;
    refuse_strange(path, &connection)?;
    Ok(connection)
}

/// Refuses a file that is not ours, or too new; returns its version.
pub(crate) fn refuse_strange(path: &Path, connection: &Connection) -> Result<u32, StoreError> {
    refuse_foreign(path, connection)?;
    match refuse_newer(path, connection)? {
        0 => Err(StoreError::Unprepared { path: path.display().to_string() }),
        version => Ok(version),
    }
}

/// Opens a connection that can only read, on a file that is there, whatever is in it.
pub(crate) fn reader_of_any(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if !needs_more_than_reading(path, &connection) {
        return Ok(connection);
    }
    as_it_lies(path)
}

/// Opens a file that nobody works on without making or looking for anything beside it.
pub(crate) fn as_it_lies(path: &Path) -> Result<Connection, StoreError> {
    connect(&immutable(path), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// Returns whether the file is in WAL, nobody works on it, and its folder is not ours to put the WAL's files into.
fn needs_more_than_reading(path: &Path, connection: &Connection) -> bool {
    let refused = connection.table_exists(None, "suppressd_migrations").err().and_then(|e| e.sqlite_error_code());
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    matches!(refused, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) && path.exists() && !Path::new(&wal).exists()
}

/// Names a file so that SQLite reads it as it lies there. Without a WAL beside it, it is whole.
fn immutable(path: &Path) -> PathBuf {
    let path = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    format!("file:{path}?immutable=1").into()
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that opens connections, and it sets the pragmas")]
pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| unavailable("opening it", e))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| unavailable("setting it up", e))?;
    connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
    Ok(connection)
}

/// Returns whether the file is in WAL now. Somebody else's open connection can keep it from being switched.
fn switch_to_wal(path: &Path, connection: &Connection) -> Result<bool, StoreError> {
    let mode: Result<String, _> = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
    let mode = match mode {
        Ok(mode) => mode,
        Err(error) if is_busy(&error) => connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .map_err(|e| unavailable("asking for its journal mode", e))?,
        Err(error) => return Err(unavailable("switching it to WAL", error)),
    };
    if mode != "wal" {
        tracing::warn!(
            db.path = %path.display(), db.journal_mode = mode,
            "the database stays in journal mode {mode} because another program has it open: reads and writes wait for \
             each other until suppressd is started while nobody else has the file open",
        );
    }
    Ok(mode == "wal")
}

fn migrate(path: &Path, connection: &mut Connection, now: DateTime<Utc>) -> Result<(), StoreError> {
    let found = refuse_newer(path, connection)?;
    for (number, name, sql) in MIGRATIONS.iter().filter(|(number, ..)| *number > found) {
        let step = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| unavailable("migrating it", e))?;
        apply(&step, *number, name, sql, now).map_err(|e| unavailable("migrating it", e))?;
        step.commit().map_err(|e| unavailable("migrating it", e))?;
    }
    Ok(())
}

/// Applies a step unless another process was faster.
fn apply(step: &Transaction<'_>, number: u32, name: &str, sql: &str, now: DateTime<Utc>) -> rusqlite::Result<()> {
    step.execute_batch(
        "CREATE TABLE IF NOT EXISTS suppressd_migrations \
         (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT",
    )?;
    let claimed = step.execute(
        "INSERT OR IGNORE INTO suppressd_migrations (version, name, applied_at) VALUES (?1, ?2, ?3)",
        params![number, name, isoformat(now)],
    )?;
    if claimed == 1 { step.execute_batch(sql) } else { Ok(()) }
}

/// Returns the schema version; `PRAGMA user_version` is not ours to use in somebody else's file.
pub(crate) fn version(connection: &Connection) -> Result<u32, StoreError> {
    let there =
        connection.table_exists(None, "suppressd_migrations").map_err(|e| unavailable("asking for its version", e))?;
    if !there {
        return Ok(0);
    }
    connection
        .query_row("SELECT coalesce(max(version), 0) FROM suppressd_migrations", [], |row| row.get(0))
        .map_err(|e| unavailable("asking for its version", e))
}

pub(crate) fn newest() -> u32 {
    MIGRATIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0)
}

/// Returns the schema version, unless a newer program made it.
fn refuse_newer(path: &Path, connection: &Connection) -> Result<u32, StoreError> {
    let (found, known) = (version(connection)?, newest());
    if found > known {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known });
    }
    Ok(found)
}

/// Refuses a file whose published table is another one, before anything is written into it.
pub(crate) fn refuse_foreign(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let foreign = |problem: String| StoreError::Foreign {
        path: path.display().to_string(),
        table: "suppression_cache".to_owned(),
        problem,
    };
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info('suppression_cache')")
        .and_then(|mut columns| columns.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| unavailable("reading it", e))?;
    if columns.is_empty() {
        return Ok(());
    }
    if let Some(missing) = PUBLISHED_COLUMNS.iter().find(|wanted| !columns.iter().any(|column| column == *wanted)) {
        return Err(foreign(format!("it has no column {missing}")));
    }
    let unique: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_index_list('suppression_cache') AS list \
             WHERE list.\"unique\" AND NOT list.partial AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = 'canonical_key')",
            [],
            |row| row.get(0),
        )
        .map_err(|e| unavailable("reading it", e))?;
    if unique { Ok(()) } else { Err(foreign("its canonical_key is not unique".to_owned())) }
}

/// Says which table or column of ours a file of this version lacks, if any.
pub(crate) fn lacking(connection: &Connection, version: u32) -> Result<Option<String>, StoreError> {
    let failed = |e| unavailable("comparing its schema", e);
    let mut fresh = connect(Path::new(":memory:"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let step = fresh.transaction().map_err(failed)?;
    for (number, name, sql) in MIGRATIONS.iter().filter(|(number, ..)| *number <= version) {
        apply(&step, *number, name, sql, DateTime::UNIX_EPOCH).map_err(failed)?;
    }
    let there = our_columns(connection).map_err(failed)?;
    let missing = our_columns(&step).map_err(failed)?.into_iter().find(|(table, column)| {
        // Of the published table another program may have made more or less.
        let counts = table != "suppression_cache" || PUBLISHED_COLUMNS.contains(&column.as_str());
        counts && !there.contains(&(table.clone(), column.clone()))
    });
    Ok(missing.map(|(table, column)| {
        if there.iter().any(|(name, _)| *name == table) {
            format!("the column `{column}` of its table `{table}`")
        } else {
            format!("its table `{table}`")
        }
    }))
}

/// Lists the columns of all our tables.
fn our_columns(connection: &Connection) -> rusqlite::Result<BTreeSet<(String, String)>> {
    let mut statement = connection.prepare(
        "SELECT list.name, info.name FROM sqlite_schema AS list, pragma_table_info(list.name) AS info \
         WHERE list.type = 'table' AND (list.name = 'suppression_cache' OR substr(list.name, 1, 10) = 'suppressd_')",
    )?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
