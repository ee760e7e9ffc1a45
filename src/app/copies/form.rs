//! What a file is, by how it begins; and the database that a copy holds, whatever form the copy has.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::app::copies::{CopyError, beside, part::Part};

/// How a SQLite database begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// How a zstd frame begins.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The head of a SQLite database.
const HEAD_BYTES: u64 = 100;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing.
    Empty,
    /// A SQLite database.
    Sqlite,
    /// Something compressed with zstd.
    Zstd,
    /// Lines of JSON.
    Lines,
    /// Something else.
    Other,
}

impl Form {
    /// Tells it by the first bytes: at least 16, or all there are.
    pub(super) fn of(beginning: &[u8]) -> Self {
        if beginning.is_empty() {
            Self::Empty
        } else if beginning.starts_with(SQLITE) {
            Self::Sqlite
        } else if beginning.starts_with(ZSTD) {
            Self::Zstd
        } else if beginning.starts_with(b"{\"") {
            Self::Lines
        } else {
            Self::Other
        }
    }

    /// Looks at a regular file.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&beginning(&mut crate::files::open(path)?, HEAD_BYTES)?))
    }
}

fn beginning(source: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    source.take(bytes).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Unpacks what is packed.
pub(super) fn plain(source: Box<dyn Read>) -> io::Result<Box<dyn BufRead>> {
    let mut source = BufReader::new(source);
    Ok(if Form::of(source.fill_buf()?) == Form::Zstd {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(source)?))
    } else {
        Box::new(source)
    })
}

/// Brings the database that a copy holds into the folder.
pub(super) fn unpacked(part: &Part, file: &Path) -> Result<PathBuf, CopyError> {
    // An empty one is left by somebody who only read.
    if fs::metadata(beside(file, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(CopyError::WorkedOn(file.to_owned()));
    }
    let unread = || CopyError::io("read", file);
    let mut source = crate::files::open(file).map_err(unread())?;
    let head = beginning(&mut source, HEAD_BYTES).map_err(unread())?;
    source.rewind().map_err(unread())?;
    let (path, mut target) = part.create("unpacked.db")?;
    if Form::of(&head) != Form::Zstd {
        database(&head, file)?;
        io::copy(&mut source, &mut target).map_err(unread())?;
        return Ok(path);
    }
    let mut plain = zstd::Decoder::new(BufReader::new(source)).map_err(unread())?;
    let head = beginning(&mut plain, HEAD_BYTES).map_err(unread())?;
    database(&head, file)?;
    // A few bytes may unpack to more than any disk holds.
    let bytes = declared(&head).ok_or_else(|| CopyError::NoBackup(file.to_owned()))?;
    target.write_all(&head).map_err(unread())?;
    let rest = bytes.saturating_sub(head.len() as u64);
    io::copy(&mut (&mut plain).take(rest), &mut target).map_err(unread())?;
    let beyond = beginning(&mut plain, 1).map_err(unread())?;
    if beyond.is_empty() { Ok(path) } else { Err(CopyError::TooLong { path: file.to_owned(), bytes }) }
}

/// Refuses what is no database.
fn database(head: &[u8], file: &Path) -> Result<(), CopyError> {
    match Form::of(head) {
        Form::Sqlite => Ok(()),
        Form::Lines => Err(CopyError::AnExport(file.display().to_string())),
        Form::Empty | Form::Zstd | Form::Other => Err(CopyError::NoBackup(file.to_owned())),
    }
}

/// Reads how large a database is from its head: the size of a page, and how many there are.
fn declared(head: &[u8]) -> Option<u64> {
    let page = match u16::from_be_bytes(*head.get(16..)?.first_chunk()?) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let pages = u32::from_be_bytes(*head.get(28..)?.first_chunk()?);
    Some(page * u64::from(pages)).filter(|bytes| *bytes > 0)
}
