//! `backup`: a copy of the whole database while others write, checked before it takes its place.

use std::{
    fs::{self, DirEntry, File},
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
            CopyError, OtherTable, beside, folder_of,
            form::{self, Form},
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

/// A longer name of a database is cut.
const STEM_MAX: usize = 100;

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
        refuse_place(&to, database)?;
    }
    let part = Part::beside(&to)?;
    let earlier = if is_folder { Vec::new() } else { earlier(&part, &to)? };
    let (copy, file) = part.create("copy.db")?;
    drop(file);
    sqlite::online(database, &copy, &mut told).map_err(CopyError::unusable(database))?;
    let inspected = sqlite::inspect(&copy, database)
        .map_err(|source| CopyError::NotWhole { path: database.clone(), source: Some(source) })?;
    refuse_loss(&to, &earlier, &inspected.others)?;
    let ready = if order.zstd { compressed(&part, &copy, database)? } else { copy };
    let bytes = fs::metadata(&ready).map_err(CopyError::io("look at", &ready))?.len();
    let (path, removed) = if is_folder {
        into_folder(&ready, order, database, at)?
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

/// Refuses what is no place for a copy.
fn refuse_place(to: &Path, database: &Path) -> Result<(), CopyError> {
    let Ok(there) = fs::metadata(to) else { return Ok(()) };
    let is_same = |of: fs::Metadata| (of.dev(), of.ino()) == (there.dev(), there.ino());
    if fs::metadata(database).is_ok_and(is_same) {
        return Err(CopyError::Itself(to.to_owned()));
    }
    if beside(to, "-wal").exists() {
        return Err(CopyError::WorkedOn(to.to_owned()));
    }
    if there.is_file() { Ok(()) } else { Err(CopyError::NotACopy(to.to_owned())) }
}

/// Lets only an earlier copy be overwritten, or an empty file; lists the tables of other programs that are in it.
fn earlier(part: &Part, to: &Path) -> Result<Vec<(String, u64)>, CopyError> {
    if !to.exists() {
        return Ok(Vec::new());
    }
    let none = || CopyError::NotACopy(to.to_owned());
    let others = match Form::of_file(to).map_err(CopyError::io("read", to))? {
        Form::Empty => return Ok(Vec::new()),
        Form::Sqlite if !beside(to, "-journal").exists() => sqlite::others_of_copy(to),
        Form::Zstd => {
            let copy = form::unpacked(part, to).map_err(|error| match error {
                CopyError::NoBackup(_) | CopyError::AnExport(_) | CopyError::TooLong { .. } => none(),
                error => error,
            })?;
            let others = sqlite::others_of_copy(&copy);
            fs::remove_file(&copy).map_err(CopyError::io("remove", &copy))?;
            others
        }
        Form::Sqlite | Form::Lines | Form::Other => return Err(none()),
    };
    others.ok().flatten().ok_or_else(none)
}

/// Refuses to overwrite an earlier copy with less.
fn refuse_loss(to: &Path, earlier: &[(String, u64)], now: &[(String, u64)]) -> Result<(), CopyError> {
    let more = earlier.iter().filter(|(table, _)| now.iter().all(|(name, _)| name != table));
    let tables = more.map(|(table, _)| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    if tables.is_empty() { Ok(()) } else { Err(CopyError::HoldsMore { path: to.to_owned(), tables }) }
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
fn into_folder(
    ready: &Path,
    order: &BackupOrder,
    database: &Path,
    at: DateTime<Utc>,
) -> Result<(PathBuf, Vec<PathBuf>), CopyError> {
    let folder = &order.to;
    // Two at once take turns: neither takes the name of the other, nor counts without it.
    let turn = File::open(folder).and_then(|turn| turn.lock().map(|()| turn)).map_err(CopyError::io("lock", folder))?;
    let stem = stem(database);
    let instant = at.format("%Y%m%dT%H%M%SZ").to_string();
    // A name that was removed within this second is not given again: it would be older than what stayed.
    let newest =
        ages(folder, &stem)?.into_iter().filter(|((then, _), _)| *then == instant).map(|((_, nth), _)| nth).max();
    let nth = newest.map_or_else(String::new, |nth| format!("-{}", nth.saturating_add(1)));
    let end = if order.zstd { ".db.zst" } else { ".db" };
    let path = folder.join(format!("{stem}-{instant}{nth}{end}"));
    part::place(ready, &path)?;
    let removed = match order.keep {
        None => Vec::new(),
        Some(keep) => prune(&path, &stem, keep)?,
    };
    drop(turn);
    Ok((path, removed))
}

/// Names a database in a file name: by its own, where that is plain. Two databases do not get the same name.
fn stem(database: &Path) -> String {
    let name = real(database).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.strip_suffix(".db").filter(|stem| !stem.is_empty()).unwrap_or(&name);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if stem.len() <= STEM_MAX && stem.chars().all(is_plain) && !stem.starts_with(['-', '.']) {
        return stem.to_owned();
    }
    let safe = stem.chars().filter(char::is_ascii_alphanumeric).take(STEM_MAX);
    let digest = hex::encode(Sha256::digest(&name));
    format!("{}_{}", safe.collect::<String>(), digest.get(..8).unwrap_or_default())
}

/// When a copy was made: its instant, and which of that second it is.
type Age = (String, u32);

/// Lists what has a name that we gave to a copy of this database, whatever it is.
fn ages(folder: &Path, stem: &str) -> Result<Vec<(Age, DirEntry)>, CopyError> {
    let failed = || CopyError::io("read", folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        if let Some(age) = entry.file_name().to_str().and_then(|name| age(name, stem)) {
            found.push((age, entry));
        }
    }
    Ok(found)
}

/// Removes the oldest copies of this database beyond `keep`, whatever their dates never the new one.
fn prune(new: &Path, stem: &str, keep: u32) -> Result<Vec<PathBuf>, CopyError> {
    let folder = folder_of(new);
    let mut ours = Vec::new();
    for (age, entry) in ages(folder, stem)? {
        let is_file = entry.file_type().map_err(CopyError::io("read", folder))?.is_file();
        if is_file && entry.path() != new {
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
        part::sync(folder)?;
    }
    Ok(removed)
}

/// Reads when a copy of this database was made from a name that we gave.
fn age(name: &str, stem: &str) -> Option<Age> {
    let name = name.strip_prefix(stem)?.strip_prefix('-')?;
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
            ("suppressd-test-20261122T031500Z.db", None),
            ("suppressd-20261122T031500Z-20261122T031500Z.db", None),
        ] {
            assert_eq!(age(name, "suppressd"), expected.map(|(instant, nth)| (instant.to_owned(), nth)), "{name}");
        }
    }

    #[test]
    fn a_database_is_named_by_its_own_name_and_no_two_alike() {
        for name in ["suppressd", "signals-2.old", "a_b"] {
            assert_eq!(stem(&Path::new("/nowhere").join(format!("{name}.db"))), name);
        }
        assert_eq!(stem(Path::new("/nowhere/signals.sqlite")), "signals.sqlite");
        let odd =
            ["a b.db", "ab.db", "a:b.db", ".ab.db", "-ab.db", ".db", "ab.sqlite", &"x".repeat(240), &"x".repeat(250)];
        let names: std::collections::BTreeSet<String> =
            odd.iter().map(|name| stem(&Path::new("/nowhere").join(name))).collect();
        assert_eq!(names.len(), odd.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() < 150 && !name.starts_with(['-', '.'])), "{names:?}");
    }

    #[test]
    fn a_name_that_was_removed_in_the_same_second_is_not_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = DateTime::from_timestamp(1_795_317_300, 0).unwrap();
        let order = BackupOrder { to: folder.path().join("backups"), zstd: false, keep: Some(1) };
        fs::create_dir(&order.to).unwrap();
        let made = ["one", "two", "three"].map(|said| {
            let ready = folder.path().join("copy.db");
            fs::write(&ready, said).unwrap();
            let (path, removed) = into_folder(&ready, &order, &folder.path().join("a.db"), at).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), said);
            assert_eq!(removed.len(), usize::from(said != "one"));
            path.file_name().unwrap().to_str().unwrap().to_owned()
        });
        assert_eq!(made, ["a-20261122T031500Z.db", "a-20261122T031500Z-2.db", "a-20261122T031500Z-3.db"]);
    }
}
