//! A copy of the whole file while others write, and whether a file is whole and ours.
//!
//! In WAL one read transaction spans the copy: it is the state of one instant, whoever commits meanwhile, and nobody waits
//! for it; the WAL cannot start anew until it ends. In another journal mode a reader keeps writers out. There the
//! copy lets go between its steps, and begins anew where somebody wrote; only when that has happened too often it keeps
//! them out to its end.

use std::{path::Path, time::Duration};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    config::DbConfig,
};

use crate::{
    model::contents::Contents,
    store::{
        SourceRows as _, StoreError,
        sqlite::{SqliteRows, contents::contents, open, unavailable},
    },
};

/// Pages of one step: a MiB of the usual size.
const STEP_PAGES: i32 = 256;

/// The rest between two steps where a step keeps writers out.
const REST: Duration = Duration::from_millis(5);

/// The wait where a step meets somebody else's lock.
const LOCKED_REST: Duration = Duration::from_millis(50);

/// How often a lock is waited for: half a minute in all.
const LOCKED_MAX: u32 = 600;

/// How often a copy may begin anew before it keeps writers out.
const RESTARTS_MAX: u32 = 3;

/// How far a copy is, in pages of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Pages that are copied.
    pub done: u64,
    /// Pages that there are.
    pub of: u64,
}

/// What a whole file of ours holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The version of its schema.
    pub version: u32,
    /// What its cache says.
    pub contents: Contents,
    /// The tables of other programs, with the number of their rows.
    pub others: Vec<(String, u64)>,
}

/// Copies the file at `of` to `to`, as it is at one instant. The copy is one file, without a WAL; nothing of it is synced.
pub(crate) fn online(of: &Path, to: &Path, told: &mut dyn FnMut(Copied)) -> Result<(), StoreError> {
    let source = open::reader_of_any_version(of)?;
    let failed = |e| unavailable("copying it", e);
    let mode: String = source.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    let mut target = open::connect(to, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    target.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF").map_err(failed)?;
    let is_held = mode == "wal";
    if is_held {
        hold(&source).map_err(failed)?;
    }
    step_by_step(&source, &mut target, is_held, told).map_err(failed)?;
    drop(target);
    as_one_file(to)
}

/// Begins a view of the file that lasts.
fn hold(source: &Connection) -> rusqlite::Result<()> {
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn step_by_step(
    source: &Connection,
    target: &mut Connection,
    mut is_held: bool,
    told: &mut dyn FnMut(Copied),
) -> rusqlite::Result<()> {
    let copying = Backup::new(source, target)?;
    let (mut left, mut restarts, mut locked) = (i32::MAX, 0, 0);
    loop {
        match copying.step(STEP_PAGES)? {
            StepResult::Done => return Ok(()),
            StepResult::Busy | StepResult::Locked if locked < LOCKED_MAX => {
                locked += 1;
                rest(LOCKED_REST);
            }
            StepResult::More => {
                let progress = copying.progress();
                let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
                told(Copied { done: count(progress.pagecount - progress.remaining), of: count(progress.pagecount) });
                restarts += u32::from(progress.remaining > left);
                left = progress.remaining;
                if !is_held && restarts > RESTARTS_MAX {
                    hold(source)?;
                    is_held = true;
                }
                if !is_held {
                    rest(REST);
                }
            }
            _ => {
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                    Some("another program keeps it locked".to_owned()),
                ));
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a copy runs on a thread of its own, and stands between two steps of it")]
fn rest(span: Duration) {
    std::thread::sleep(span);
}

/// Makes a file that nobody else has open one that lies alone: what its WAL holds comes home, and the WAL goes.
pub(crate) fn as_one_file(path: &Path) -> Result<(), StoreError> {
    let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))
        .map_err(|e| unavailable("making one file of it", e))?;
    if mode == "delete" { Ok(()) } else { Err(unavailable("making one file of it", "its WAL stays")) }
}

/// Puts a file that nobody else has open into WAL, with none beside it: from then on who has it open is seen, even idle.
pub(crate) fn into_wal(path: &Path) -> Result<(), StoreError> {
    let failed = |e| unavailable("switching it to WAL", e);
    let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0)).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    if Path::new(&wal).exists() { Err(unavailable("switching it to WAL", "its WAL stays")) } else { Ok(()) }
}

/// Looks at every page and row of a file that nobody writes: is it whole, is it ours, and what does it say?
///
/// Errors tell the file by the name that it is `known_as`.
pub(crate) fn inspect(path: &Path, known_as: &Path) -> Result<Inspected, StoreError> {
    let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let failed = |e| unavailable("checking it", e);
    // The first problem is as good as all of them.
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(unavailable("checking it", format!("it is damaged: {verdict}")));
    }
    let version = open::refuse_strange(known_as, &connection)?;
    if let Some(lacking) = open::lacking(&connection, version)? {
        return Err(unavailable("checking it", format!("{lacking} is missing")));
    }
    Ok(Inspected { version, contents: contents(&connection)?, others: others(&connection).map_err(failed)? })
}

/// Says what the cache of a file says, also while others write.
pub(crate) fn contents_of(path: &Path) -> Result<Contents, StoreError> {
    let connection = open::reader_of_any_version(path)?;
    connection.execute_batch("BEGIN").map_err(|e| unavailable("reading it", e))?;
    contents(&connection)
}

/// Stores a fact in a file of any version, without bringing it up to date.
pub(crate) fn note(path: &Path, name: &str, value: &str) -> Result<(), StoreError> {
    let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    open::refuse_strange(path, &connection)?;
    SqliteRows::new(&connection).put_fact(name, value)
}

/// As [`others`], of a file that is not to be changed.
pub(crate) fn others_in(path: &Path) -> Result<Vec<(String, u64)>, StoreError> {
    let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .and_then(|_| others(&connection))
        .map_err(|e| unavailable("reading it", e))
}

/// As [`others`], of a copy that nobody works on, which is read as it lies there; `None` where it is none of our files.
pub(crate) fn others_of_copy(path: &Path) -> Result<Option<Vec<(String, u64)>>, StoreError> {
    let connection = open::as_it_lies(path)?;
    if open::version(&connection)? == 0 {
        return Ok(None);
    }
    others(&connection).map(Some).map_err(|e| unavailable("reading it", e))
}

/// Lists the tables of other programs, with the number of their rows. Litestream keeps its place in two of its own.
pub(crate) fn others(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'suppression_cache' \
         AND substr(name, 1, 10) <> 'suppressd_' AND substr(name, 1, 7) <> 'sqlite_' \
         AND substr(name, 1, 12) <> '_litestream_' ORDER BY name",
    )?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let count = |name: String| {
        // What no module is there to read counts as one.
        let sql = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
        let rows = connection.query_row(&sql, [], |row| row.get(0)).unwrap_or(1);
        (name, rows)
    };
    Ok(names.into_iter().map(count).collect())
}
