//! `import`: lines of JSON become the cache, all of them or none.
//!
//! They are gathered in a database of their own first, so that nothing is published of a file that was cut off, changed, or
//! is none; then one transaction takes all of it over.

use std::{
    io::{self, BufRead, Read},
    path::Path,
};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{
    app::{
        AppError,
        copies::{
            CopyError,
            export::{END, End, FORMAT, HEADER},
            form::{Form, plain},
            part::Part,
            real,
        },
        rights,
    },
    clock::Clock,
    config::Config,
    model::contents::Contents,
    store::sqlite::{self, Filling, KIND, LineError, SqliteStore, TakenOver},
};

/// No row of ours is longer.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is to become of a cache that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldCache {
    /// It stays, and nothing is imported.
    Stays,
    /// The new one takes its place.
    IsReplaced,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// What the file said, and the cache says now.
    #[serde(flatten)]
    pub contents: Contents,
    /// Rows of other programs that stay beside it.
    pub entries_of_others: u64,
    /// Keys that had a row before, and have none now.
    pub keys_lost: u64,
    /// Some of them.
    pub keys_lost_list: Vec<String>,
}

/// Takes over what `from` holds; without it what stdin brings.
pub async fn run(config: &Config, from: Option<&Path>, old: OldCache, clock: &Clock) -> Result<Imported, AppError> {
    let (database, now) = (real(&config.db_path), clock.now());
    let locks = SqliteStore::unopened(&database);
    let Some(right) = rights::alone(&locks).await? else { return Err(CopyError::Busy(database).into()) };
    let name = from.map_or_else(|| "stdin".to_owned(), |path| path.display().to_string());
    let source: Box<dyn Read> = match from {
        None => Box::new(io::stdin().lock()),
        Some(path) => Box::new(crate::files::open(path).map_err(CopyError::io("read", path))?),
    };
    let mut lines = plain(source).map_err(unread(&name))?;
    if Form::of(lines.fill_buf().map_err(unread(&name))?) == Form::Sqlite {
        return Err(CopyError::ABackup(name).into());
    }
    let part = Part::beside(&database)?;
    let (path, file) = part.create("import.db")?;
    drop(file);
    let filling = Filling::new(&path, now).map_err(CopyError::unusable(&path))?;
    let contents = gathered(&name, lines, filling)?;
    let taken = sqlite::take_over(&path, &database, old == OldCache::IsReplaced, now)
        .map_err(CopyError::unusable(&database))?;
    let Some(TakenOver { lost, lost_keys, others }) = taken else { return Err(CopyError::NotEmpty(database).into()) };
    drop(right);
    Ok(Imported { contents, entries_of_others: others, keys_lost: lost, keys_lost_list: lost_keys })
}

fn gathered(file: &str, mut source: Box<dyn BufRead>, mut filling: Filling) -> Result<Contents, CopyError> {
    let mut lines = Lines { file, number: 0 };
    let header = lines.next(&mut source)?.ok_or_else(|| CopyError::CutOff(file.to_owned()))?;
    if header.get(KIND).and_then(Json::as_str) != Some(HEADER) {
        return Err(lines.wrong("it is no export of suppressd's"));
    }
    match header.get("format").and_then(Json::as_u64) {
        Some(format) if format <= FORMAT => (),
        format => {
            let format = format.map_or_else(|| "unknown".to_owned(), |format| format.to_string());
            return Err(
                lines.wrong(format!("its format is {format}, this program knows {FORMAT}: use a newer suppressd"))
            );
        }
    }
    let end = loop {
        let Some(line) = lines.next(&mut source)? else { return Err(CopyError::CutOff(file.to_owned())) };
        match line.get(KIND).and_then(Json::as_str) {
            Some(END) => break line,
            _ => filling.take(line).map_err(|error| lines.unfit(&error))?,
        }
    };
    let end: End = serde_json::from_value(Json::Object(end)).map_err(|error| lines.wrong(error.to_string()))?;
    if lines.next(&mut source)?.is_some() {
        return Err(lines.wrong("it stands behind the last one"));
    }
    let contents = filling.finish().map_err(|error| lines.unfit(&error))?;
    if contents != end.contents {
        let (found, expected) = (contents.digest, end.contents.digest);
        return Err(CopyError::OtherDigest { file: file.to_owned(), found, expected });
    }
    Ok(contents)
}

/// Where we are in a file.
struct Lines<'a> {
    file: &'a str,
    number: u64,
}

impl Lines<'_> {
    /// Reads the next line; `None` at the end.
    fn next(&mut self, source: &mut dyn BufRead) -> Result<Option<Map<String, Json>>, CopyError> {
        let mut line = Vec::new();
        self.number += 1;
        if source.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(unread(self.file))? == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            return Err(if line.len() as u64 == LINE_BYTES_MAX {
                self.wrong("it is longer than any row is")
            } else {
                CopyError::CutOff(self.file.to_owned())
            });
        }
        match serde_json::from_slice(&line) {
            Ok(Json::Object(members)) => Ok(Some(members)),
            Ok(_) => Err(self.wrong("it is not a JSON object")),
            Err(error) => Err(self.wrong(format!("it is not JSON: {error}"))),
        }
    }

    fn wrong(&self, what: impl Into<String>) -> CopyError {
        CopyError::Line { file: self.file.to_owned(), line: self.number, what: what.into() }
    }

    fn unfit(&self, error: &LineError) -> CopyError {
        self.wrong(crate::causes::told(error))
    }
}

fn unread(file: &str) -> impl FnOnce(io::Error) -> CopyError {
    move |error| match error.kind() {
        io::ErrorKind::UnexpectedEof => CopyError::CutOff(file.to_owned()),
        _ => CopyError::io("read", Path::new(file))(error),
    }
}
