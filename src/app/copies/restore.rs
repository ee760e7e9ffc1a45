//! `restore`: a backup in the place of the database, which is put aside.
//!
//! Everything is made ready in a folder beside the database. What is then left to do is two steps: the old file gets a second
//! name, and the new one takes its place by a rename, so that at every instant a whole database stands there. Only
//! where the old one is so damaged that SQLite does not bring its WAL home, that is put aside before the rename: between
//! the two the old file lacks it, and both stand aside under one name. Where the old file is gone, what it left is put aside
//! before the rename as well: SQLite would play it into the new one.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    app::{
        AppError,
        copies::{
            CopyError, OtherTable, beside, folder_of, form,
            part::{self, Part},
            real, tables,
        },
        rights,
    },
    clock::Clock,
    config::Config,
    model::contents::Contents,
    store::{
        Store as _,
        sqlite::{self, Alone, Inspected, SqliteStore},
    },
};

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-journal", "-shm"];

/// Whether tables of other programs may be replaced with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are left alone: nothing is restored over them.
    Stay,
    /// They become those of the backup.
    AreReplaced,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The database.
    pub database: PathBuf,
    /// What its cache says now.
    #[serde(flatten)]
    pub contents: Contents,
    /// The version that the schema of the backup had; the database is up to date.
    pub schema_version: u32,
    /// Where the old database is.
    pub put_aside: Option<PathBuf>,
    /// When the newest event of the backup was received: what was told later is not in it.
    pub newest_event_at: Option<DateTime<Utc>>,
    /// Tables of other programs that were replaced, as they were.
    pub replaced_tables: Vec<OtherTable>,
    /// Tables of other programs that came with the backup.
    pub other_tables: Vec<OtherTable>,
}

/// Puts the backup at `file` in the place of the database.
pub async fn run(config: &Config, file: &Path, others: Others, clock: &Clock) -> Result<Restored, AppError> {
    let (database, file, now) = (real(&config.db_path), real(file), clock.now());
    if database == file {
        return Err(CopyError::Itself(file).into());
    }
    let locks = SqliteStore::unopened(&database);
    let Some(right) = rights::alone(&locks).await? else { return Err(CopyError::Busy(database).into()) };
    let part = Part::beside(&database)?;
    let new = form::unpacked(&part, &file)?;
    let inspected = sqlite::inspect(&new, &file).map_err(CopyError::unusable(&file))?;
    sqlite::make_ready(&new, now).map_err(CopyError::unusable(&file))?;
    let contents = sqlite::contents_of(&new).map_err(CopyError::unusable(&file))?;
    if contents != inspected.contents {
        return Err(CopyError::NotWhole { path: file, source: None }.into());
    }
    let newest_event_at = newest_event(&new, &file)?;
    sqlite::into_wal(&new).map_err(CopyError::unusable(&file))?;
    forget_second_names(&database)?;
    let old = taken(&database, &inspected, others)?;
    let aside = name_aside(&database, now);
    if old.is_some() {
        let metadata = fs::metadata(&database).map_err(CopyError::io("look at", &database))?;
        inherit(&new, &metadata)?;
        put_aside(&database, &aside)?;
    }
    clear_place(&database, &aside)?;
    let put_aside = old.is_some().then_some(aside);
    part::place(&new, &database)?;
    let replaced_tables = old.as_ref().map(|old| tables(&old.others)).unwrap_or_default();
    drop((old, right));
    let Inspected { version: schema_version, others, .. } = inspected;
    let other_tables = tables(&others);
    Ok(Restored { database, contents, schema_version, put_aside, newest_event_at, replaced_tables, other_tables })
}

fn newest_event(new: &Path, file: &Path) -> Result<Option<DateTime<Utc>>, CopyError> {
    let store = SqliteStore::open_for_reading(new).map_err(CopyError::unusable(file))?;
    let tally = store.read_blocking(|rows| rows.tally()).map_err(CopyError::unusable(file))?;
    Ok(tally.last_received_at)
}

/// Takes the old database away from everybody else; `None` where there is none. Where that is refused it is not touched.
fn taken(database: &Path, new: &Inspected, others: Others) -> Result<Option<Alone>, CopyError> {
    if !database.exists() {
        return Ok(None);
    }
    if others == Others::Stay {
        let path = database.to_owned();
        match sqlite::others_in(database) {
            Err(source) => return Err(CopyError::Unreadable { path, source }),
            Ok(old) if !old.is_empty() => return Err(CopyError::HoldsOthers { path, lost: lost(&old, &new.others) }),
            Ok(_) => (),
        }
    }
    let old = sqlite::alone(database).map_err(CopyError::unusable(database))?;
    old.map_or_else(|| Err(CopyError::Open(database.to_owned())), |old| Ok(Some(old)))
}

/// Says what would become of each table.
fn lost(old: &[(String, u64)], new: &[(String, u64)]) -> String {
    let told = old.iter().map(|(table, rows)| match new.iter().find(|(name, _)| name == table) {
        Some((_, then)) => format!("`{table}` ({rows} rows) becomes that of the backup ({then} rows)"),
        None => format!("`{table}` ({rows} rows) goes: the backup has none"),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Lets the new file belong to whom the old one did: the service that is to open it may be another user.
fn inherit(new: &Path, old: &fs::Metadata) -> Result<(), CopyError> {
    let there = fs::metadata(new).map_err(CopyError::io("look at", new))?;
    if (there.uid(), there.gid()) != (old.uid(), old.gid()) {
        chown(new, Some(old.uid()), Some(old.gid())).map_err(CopyError::io(
            "give the restored database the owner of the old one (be that user, or root):",
            new,
        ))?;
    }
    fs::set_permissions(new, old.permissions()).map_err(CopyError::io("set the mode of", new))
}

/// Finds a name for what is put aside that nothing has yet.
fn name_aside(database: &Path, now: DateTime<Utc>) -> PathBuf {
    let stem = beside(database, &format!(".before-restore-{}", now.format("%Y%m%dT%H%M%SZ")));
    let mut names = (1..1_000).map(|n: u32| if n == 1 { stem.clone() } else { beside(&stem, &format!("-{n}")) });
    let is_free = |path: &PathBuf| !path.exists() && BESIDE.iter().all(|suffix| !beside(path, suffix).exists());
    names.find(is_free).unwrap_or(stem)
}

/// Gives the old file a second name.
fn put_aside(database: &Path, aside: &Path) -> Result<(), CopyError> {
    // A file system without hard links gets a copy.
    if fs::hard_link(database, aside).is_err() {
        fs::copy(database, aside).map_err(CopyError::io("copy the old database to", aside))?;
        part::sync(aside)?;
    }
    part::sync(folder_of(database))
}

/// Takes what stands beside the place of the database out of the way: SQLite would play it into the new file.
fn clear_place(database: &Path, aside: &Path) -> Result<(), CopyError> {
    for suffix in BESIDE {
        let from = beside(database, suffix);
        match fs::rename(&from, beside(aside, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            moved => moved.map_err(CopyError::io("put aside", &from))?,
        }
    }
    part::sync(folder_of(database))
}

/// A restore that died between its last two steps left the database a second name, and nothing else.
fn forget_second_names(database: &Path) -> Result<(), CopyError> {
    let folder = folder_of(database);
    let (Ok(there), Some(name)) = (fs::metadata(database), database.file_name()) else { return Ok(()) };
    let prefix = format!("{}.before-restore-", name.to_string_lossy());
    let unread = || CopyError::io("read", folder);
    for entry in fs::read_dir(folder).map_err(unread())? {
        let entry = entry.map_err(unread())?;
        let is_same = entry.metadata().is_ok_and(|of| (of.dev(), of.ino()) == (there.dev(), there.ino()));
        if is_same && entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_file(entry.path()).map_err(CopyError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}
