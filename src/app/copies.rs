//! Copies of the database: made while others write, put back, and carried as lines of JSON.

pub mod backup;
pub mod export;
mod form;
pub mod import;
mod part;
pub mod restore;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    app::AppError,
    config::Config,
    model::contents::Contents,
    store::{StoreError, sqlite},
};

/// Tables of another program, in a file that is ours as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherTable {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
}

/// Why a copy was not made, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A database cannot be used.
    #[error("{} cannot be used: nothing was changed", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The copy that was just made is not what was copied.
    #[error("the copy of {} is not whole, and was thrown away: is the disk or the database damaged?", path.display())]
    NotWhole {
        /// The database.
        path: PathBuf,
        /// What is wrong, where it is known.
        #[source]
        source: Option<StoreError>,
    },
    /// The copy would overwrite what it is made of, or be read from what it is to replace.
    #[error("{} is the database itself: name another file", .0.display())]
    Itself(PathBuf),
    /// Something else stands where a copy is to go.
    #[error("{} is there and is no earlier copy, so it is not overwritten: name another file", .0.display())]
    NotACopy(PathBuf),
    /// A copy stands there that holds what this one would not.
    #[error(
        "{} holds tables that the database has none of ({tables}), so it is not overwritten: name another file",
        path.display()
    )]
    HoldsMore {
        /// The file.
        path: PathBuf,
        /// Their names.
        tables: String,
    },
    /// Something else stands where an export is to go.
    #[error("{} is there and is no earlier export, so it is not overwritten: name another file", .0.display())]
    NotAnExport(PathBuf),
    /// A database with a WAL is worked on, or its process died.
    #[error(
        "{} has a WAL beside it, so it is a database that somebody works on, not a copy: make a copy of it with \
         `suppressd --db-path {} backup FILE`",
        .0.display(), .0.display()
    )]
    WorkedOn(PathBuf),
    /// Something that is written as a folder is none.
    #[error("{} is no folder: make it first", .0.display())]
    NoFolder(PathBuf),
    /// Only in a folder there is anything to keep.
    #[error("--keep is for a folder of backups, and {} is none: make it, or leave --keep out", .0.display())]
    KeepNeedsFolder(PathBuf),
    /// The file is no copy.
    #[error("{} is no backup: it is neither a SQLite database nor one compressed with zstd", .0.display())]
    NoBackup(PathBuf),
    /// The file is an export.
    #[error("{0} is an export, not a backup: `suppressd import {0}` takes it")]
    AnExport(String),
    /// The file is a backup.
    #[error("{0} is a backup, not an export: `suppressd restore` takes such a file")]
    ABackup(String),
    /// A file unpacks to more than it says.
    #[error("{} is no backup: it goes on behind the {bytes} bytes of its database", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What it says.
        bytes: u64,
    },
    /// A suppressd works on the database.
    #[error("a suppressd works on {}: stop it first (`systemctl stop suppressd`, or end the command)", .0.display())]
    Busy(PathBuf),
    /// Another program has the database open.
    #[error("another program has {} open, and would go on with the old file: end it first", .0.display())]
    Open(PathBuf),
    /// Other programs' tables would be replaced with the file.
    #[error(
        "{} holds tables of other programs, which a restore replaces as well: {lost}; leave them alone with `suppressd \
         export` and `import`, or say --force",
        path.display()
    )]
    HoldsOthers {
        /// The database.
        path: PathBuf,
        /// What would become of each.
        lost: String,
    },
    /// Nobody can say what would be replaced.
    #[error(
        "{} cannot be read, so that nobody knows whether it holds tables of other programs: say --force to put it aside \
         all the same",
        path.display()
    )]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: StoreError,
    },
    /// A line of an export is wrong.
    #[error("line {line} of {file}: {what}; nothing was taken over")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1 on.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// An export ends too soon.
    #[error("{0} was cut off: its last line is missing; nothing was taken over")]
    CutOff(String),
    /// An export does not hold what its last line says.
    #[error(
        "the rows of {file} come to the digest {found}, and its last line says {expected}: it was changed or damaged; \
         nothing was taken over"
    )]
    OtherDigest {
        /// The file.
        file: String,
        /// What the rows come to.
        found: String,
        /// What the file says.
        expected: String,
    },
    /// A cache is there already.
    #[error(
        "{} holds a cache already, and two caches of different times cannot be merged: say --replace to put this one in \
         its place, or name another database with --db-path",
        .0.display()
    )]
    NotEmpty(PathBuf),
}

impl CopyError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    fn unusable(path: &Path) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |source| Self::Unusable { path, source }
    }
}

/// Says what the cache of the database says, in figures and as a digest.
pub fn digest(config: &Config) -> Result<Contents, AppError> {
    let path = &config.db_path;
    Ok(sqlite::contents_of(path).map_err(CopyError::unusable(path))?)
}

fn tables(others: &[(String, u64)]) -> Vec<OtherTable> {
    others.iter().map(|(table, rows)| OtherTable { table: table.clone(), rows: *rows }).collect()
}

/// Returns the path without links, where it is there.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_not_there| path.to_owned())
}

/// Returns the path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
