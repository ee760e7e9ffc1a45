//! `backup`: a copy of the whole database while others write, checked before it takes its place.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    app::{
        AppError,
        copies::{
            CopyError, OtherTable, SQLITE, ZSTD, beside, folder_of,
            part::{self, Part},
            real, tables,
        },
    },
    clock::Clock,
    config::Config,
    lookup::status::{LAST_BACKUP, LastBackup},
    model::contents::Contents,
    store::sqlite::{self, Copied},
};

/// How much zstd tries: the disk is slower than this.
const LEVEL: i32 = 3;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct BackupOrder {
    /// A file, or a folder for a file whose name says when.
    pub to: PathBuf,
    /// Whether it is to be compressed.
    pub zstd: bool,
    /// How many backups of the folder stay.
    pub keep: Option<u32>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// When it was begun.
    pub at: DateTime<Utc>,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The version of its schema.
    pub schema_version: u32,
    /// What its cache says.
    #[serde(flatten)]
    pub contents: Contents,
    /// Tables of other programs that are in it as well.
    pub other_tables: Vec<OtherTable>,
    /// Older backups that were removed.
    pub removed: Vec<PathBuf>,
    /// What is beside the database, in no backup, and needed as well.
    pub copy_as_well: Vec<PathBuf>,
    /// Why the database does not know of it, where it could not be noted there.
    pub not_noted: Option<String>,
}

/// Makes a backup; `told` hears how far it is.
pub fn run(
    config: &Config,
    order: &BackupOrder,
    clock: &Clock,
    mut told: impl FnMut(Copied),
) -> Result<BackedUp, AppError> {
    let (at, database) = (clock.now(), &config.db_path);
    let is_folder = order.to.is_dir();
    let to = if is_folder { order.to.join("backup") } else { real(&order.to) };
    if !is_folder {
        if order.to.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(CopyError::NoFolder(order.to.clone()).into());
        }
        if order.keep.is_some() {
            return Err(CopyError::KeepNeedsFolder(order.to.clone()).into());
        }
        refuse_to_overwrite(&to, database)?;
    }
    let part = Part::beside(&to)?;
    let (copy, file) = part.create("copy.db")?;
    drop(file);
    sqlite::online(database, &copy, &mut told).map_err(CopyError::unusable(database))?;
    let inspected = sqlite::inspect(&copy)
        .map_err(|source| CopyError::NotWhole { path: database.clone(), source: Some(source) })?;
    let ready = if order.zstd { compressed(&part, &copy, database)? } else { copy };
    let bytes = fs::metadata(&ready).map_err(CopyError::io("look at", &ready))?.len();
    let (path, removed) = if is_folder {
        into_folder(&ready, order, at)?
    } else {
        part::place(&ready, &to)?;
        (to, Vec::new())
    };
    let known = LastBackup { at, path: path.clone(), bytes, digest: inspected.contents.digest.clone() };
    let noted = serde_json::to_string(&known)
        .map_err(|e| e.to_string())
        .and_then(|known| sqlite::note(database, LAST_BACKUP, &known).map_err(|error| crate::causes::told(&error)));
    let token = &config.handshake_token_path;
    Ok(BackedUp {
        at,
        path,
        bytes,
        schema_version: inspected.version,
        contents: inspected.contents,
        other_tables: tables(&inspected.others),
        removed,
        copy_as_well: Some(token.clone()).filter(|path| path.exists()).into_iter().collect(),
        not_noted: noted.err(),
    })
}

/// Lets only an earlier copy be overwritten, or an empty file.
fn refuse_to_overwrite(to: &Path, database: &Path) -> Result<(), CopyError> {
    let Ok(there) = fs::metadata(to) else { return Ok(()) };
    let is_same = |of: fs::Metadata| (of.dev(), of.ino()) == (there.dev(), there.ino());
    if fs::metadata(database).is_ok_and(is_same) {
        return Err(CopyError::Itself(to.to_owned()));
    }
    if beside(to, "-wal").exists() {
        return Err(CopyError::WorkedOn(to.to_owned()));
    }
    if !there.is_file() {
        return Err(CopyError::NotACopy(to.to_owned()));
    }
    let mut beginning = Vec::new();
    let read = File::open(to).and_then(|file| file.take(SQLITE.len() as u64).read_to_end(&mut beginning));
    read.map_err(CopyError::io("read", to))?;
    if beginning.is_empty() || beginning == SQLITE || beginning.starts_with(ZSTD) {
        Ok(())
    } else {
        Err(CopyError::NotACopy(to.to_owned()))
    }
}

/// Compresses a copy, and reads it back.
fn compressed(part: &Part, copy: &Path, database: &Path) -> Result<PathBuf, CopyError> {
    let (path, file) = part.create("copy.db.zst")?;
    let written = || {
        let mut plain = Hashed { inner: File::open(copy)?, hash: Sha256::new() };
        let mut packer = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
        packer.include_checksum(true)?;
        io::copy(&mut plain, &mut packer)?;
        packer.finish()?.flush()?;
        Ok(plain.hash.finalize())
    };
    let before = written().map_err(CopyError::io("write", &path))?;
    let read = || {
        let mut back = Hashed { inner: zstd::Decoder::new(File::open(&path)?)?, hash: Sha256::new() };
        io::copy(&mut BufReader::new(&mut back), &mut io::sink())?;
        Ok(back.hash.finalize())
    };
    let after = read().map_err(CopyError::io("read back", &path))?;
    if before == after { Ok(path) } else { Err(CopyError::NotWhole { path: database.to_owned(), source: None }) }
}

/// Puts a copy into a folder under the name that says when, and removes what is not to be kept.
fn into_folder(ready: &Path, order: &BackupOrder, at: DateTime<Utc>) -> Result<(PathBuf, Vec<PathBuf>), CopyError> {
    let folder = &order.to;
    // Two at once take turns: neither takes the name of the other, nor counts without it.
    let turn = File::open(folder).and_then(|turn| turn.lock().map(|()| turn)).map_err(CopyError::io("lock", folder))?;
    let stem = format!("suppressd-{}", at.format("%Y%m%dT%H%M%SZ"));
    let end = if order.zstd { ".db.zst" } else { ".db" };
    let free = (1..).map(|n: u32| match n {
        1 => folder.join(format!("{stem}{end}")),
        n => folder.join(format!("{stem}-{n}{end}")),
    });
    let path = free.take(1_000).find(|path| !path.exists()).unwrap_or_else(|| folder.join(format!("{stem}{end}")));
    part::place(ready, &path)?;
    let removed = match order.keep {
        None => Vec::new(),
        Some(keep) => prune(folder, &path, keep)?,
    };
    drop(turn);
    Ok((path, removed))
}

/// Removes the oldest of our own beyond `keep`, whatever their dates never the new one.
fn prune(folder: &Path, new: &Path, keep: u32) -> Result<Vec<PathBuf>, CopyError> {
    let failed = || CopyError::io("read", folder);
    let mut ours = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let is_file = entry.file_type().map_err(failed())?.is_file();
        if let Some(age) = entry.file_name().to_str().and_then(age).filter(|_| is_file && entry.path() != new) {
            ours.push((age, entry.path()));
        }
    }
    ours.sort();
    let stay = usize::try_from(keep.saturating_sub(1)).unwrap_or(usize::MAX);
    let surplus = ours.len().saturating_sub(stay);
    let mut removed = Vec::new();
    for (_, path) in ours.into_iter().take(surplus) {
        fs::remove_file(&path).map_err(CopyError::io("remove", &path))?;
        removed.push(path);
    }
    if !removed.is_empty() {
        part::sync(folder_of(new))?;
    }
    Ok(removed)
}

/// Reads when a file was made from a name that we gave: its instant, and which of that second it is.
fn age(name: &str) -> Option<(String, u32)> {
    let name = name.strip_prefix("suppressd-")?;
    let stem = name.strip_suffix(".db.zst").or_else(|| name.strip_suffix(".db"))?;
    let (instant, nth) = match stem.split_once('-') {
        Some((instant, nth)) => (instant, nth.parse().ok().filter(|n: &u32| *n > 1 && n.to_string() == nth)?),
        None => (stem, 1),
    };
    let is_instant = chrono::NaiveDateTime::parse_from_str(instant, "%Y%m%dT%H%M%SZ").is_ok() && instant.len() == 16;
    is_instant.then(|| (instant.to_owned(), nth))
}

/// A reader that hashes what it reads.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_gave_say_when() {
        for (name, expected) in [
            ("suppressd-20261122T031500Z.db", Some(("20261122T031500Z", 1))),
            ("suppressd-20261122T031500Z.db.zst", Some(("20261122T031500Z", 1))),
            ("suppressd-20261122T031500Z-2.db", Some(("20261122T031500Z", 2))),
            ("suppressd-20261122T031500Z-02.db", None),
            ("suppressd-20261122T031500Z-1.db", None),
            ("suppressd-20261322T031500Z.db", None),
            ("suppressd-20261122T031500Z.db.gz", None),
            ("suppressd-20261122T031500Z.db-wal", None),
            ("suppressd-before-update.db", None),
            ("suppressd.db", None),
            ("my-suppressd-20261122T031500Z.db", None),
        ] {
            assert_eq!(age(name), expected.map(|(instant, nth)| (instant.to_owned(), nth)), "{name}");
        }
    }
}
