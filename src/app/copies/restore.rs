//! `restore`: a backup in the place of the database, which is put aside.
//!
//! Everything is made ready in a folder beside the database. What is then left to do is two steps: the old file gets a second
//! name, and the new one takes its place by a rename, so that at every instant a whole database stands there. Only
//! where the old one is so damaged that SQLite does not bring its WAL home, that is put aside before the rename: between
//! the two the old file lacks it, and both stand aside under one name.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read as _, Seek as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    app::{
        AppError,
        copies::{
            CopyError, OtherTable, SQLITE, ZSTD, beside, folder_of,
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
    let new = unpacked(&part, &file)?;
    let inspected = sqlite::inspect(&new).map_err(CopyError::unusable(&file))?;
    sqlite::make_ready(&new, now).map_err(CopyError::unusable(&file))?;
    let contents = sqlite::contents_of(&new).map_err(CopyError::unusable(&file))?;
    if contents != inspected.contents {
        return Err(CopyError::NotWhole { path: file, source: None }.into());
    }
    let newest_event_at = newest_event(&new, &file)?;
    forget_second_names(&database)?;
    let old = taken(&database, &inspected, others)?;
    let put_aside = match &old {
        None => None,
        Some(old) => {
            let metadata = fs::metadata(&database).map_err(CopyError::io("look at", &database))?;
            inherit(&new, &metadata)?;
            Some(put_aside(&database, old, now)?)
        }
    };
    part::place(&new, &database)?;
    let replaced_tables = old.as_ref().map(|old| tables(&old.others)).unwrap_or_default();
    drop((old, right));
    let Inspected { version: schema_version, others, .. } = inspected;
    let other_tables = tables(&others);
    Ok(Restored { database, contents, schema_version, put_aside, newest_event_at, replaced_tables, other_tables })
}

/// Brings what the file holds into the folder, whatever form it has.
fn unpacked(part: &Part, file: &Path) -> Result<PathBuf, CopyError> {
    // An empty one is left by somebody who only read.
    if fs::metadata(beside(file, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(CopyError::WorkedOn(file.to_owned()));
    }
    let unread = || CopyError::io("read", file);
    let mut source = crate::files::open(file).map_err(unread())?;
    let mut beginning = Vec::new();
    (&mut source).take(SQLITE.len() as u64).read_to_end(&mut beginning).map_err(unread())?;
    source.rewind().map_err(unread())?;
    let (path, mut target) = part.create("restored.db")?;
    let copied = if beginning == SQLITE {
        io::copy(&mut source, &mut target)
    } else if beginning.starts_with(ZSTD) {
        let mut plain = zstd::Decoder::new(BufReader::new(source)).map_err(unread())?;
        io::copy(&mut plain, &mut target)
    } else if beginning.starts_with(b"{\"") {
        return Err(CopyError::AnExport(file.display().to_string()));
    } else {
        return Err(CopyError::NoBackup(file.to_owned()));
    };
    copied.map_err(unread())?;
    let mut beginning = Vec::new();
    let begins = File::open(&path).and_then(|file| file.take(SQLITE.len() as u64).read_to_end(&mut beginning));
    begins.map_err(CopyError::io("read", &path))?;
    if beginning == SQLITE { Ok(path) } else { Err(CopyError::NoBackup(file.to_owned())) }
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

/// Gives the old file a second name, and takes what stands beside it out of the way of the new one.
fn put_aside(database: &Path, old: &Alone, now: DateTime<Utc>) -> Result<PathBuf, CopyError> {
    let stem = beside(database, &format!(".before-restore-{}", now.format("%Y%m%dT%H%M%SZ")));
    let mut aside = (1..1_000).map(|n: u32| if n == 1 { stem.clone() } else { beside(&stem, &format!("-{n}")) });
    let aside = aside.find(|path| !path.exists()).unwrap_or(stem);
    // A file system without hard links gets a copy.
    if fs::hard_link(database, &aside).is_err() {
        fs::copy(database, &aside).map_err(CopyError::io("copy the old database to", &aside))?;
        part::sync(&aside)?;
    }
    if !old.is_whole() {
        for suffix in ["-wal", "-journal"] {
            let (from, to) = (beside(database, suffix), beside(&aside, suffix));
            if from.exists() {
                fs::rename(&from, &to).map_err(CopyError::io("put aside", &from))?;
            }
        }
        let index = beside(database, "-shm");
        if index.exists() {
            fs::remove_file(&index).map_err(CopyError::io("remove", &index))?;
        }
    }
    part::sync(folder_of(database))?;
    Ok(aside)
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
