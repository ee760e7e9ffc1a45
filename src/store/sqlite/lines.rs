//! The cache as lines of JSON, and back: one object a row, its members named as the columns are.

use std::{collections::BTreeMap, io, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, types::Value};
use serde_json::{Map, Value as Json, json};

use crate::{
    model::{contents::Contents, id::PageId},
    store::{
        CacheRows as _, ChangeRows as _, SourceRows as _, StoreError,
        sqlite::{
            SqliteRows,
            carried::{ENTRY_COLUMNS, columns},
            contents::{contents, value},
            open,
            time::micros,
            unavailable,
        },
    },
};

/// What a line may hold, by its kind, and its table, in the order in which they are written.
const KINDS: [(&str, &str); 4] = [
    ("source", "suppressd_sources"),
    ("page", "suppressd_pages"),
    ("claim", "suppressd_claims"),
    ("entry", "suppression_cache"),
];

/// The member that says what a line is.
pub(crate) const KIND: &str = "kind";

/// The members that tell when something was so, by the kind of their line. One in the future would outdo whatever comes.
const TIMES: [(&str, &str); 3] = [("source", "watermark"), ("page", "last_edited_time"), ("page", "observed_at")];

/// Clocks of two machines differ by no more.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// Pages that are looked through at once.
const PAGES_AT_ONCE: u32 = 500;

/// What is to be written of a view of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What it says.
    pub contents: Contents,
    /// Its sources.
    pub sources: u64,
    /// The history of its changes.
    pub feed: String,
}

/// Why a line was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It does not say what a row does.
    #[error("{0}")]
    Unfit(String),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes everything of one view of the cache: first `begun` hears what there is, then `line` of each row.
pub(crate) fn write(
    path: &Path,
    begun: impl FnOnce(&View) -> io::Result<()>,
    mut line: impl FnMut(&Json) -> io::Result<()>,
) -> Result<View, StoreError> {
    let connection = open::reader(path)?;
    let failed = |e| unavailable("reading it", e);
    connection.execute_batch("BEGIN").map_err(failed)?;
    let mut rows = SqliteRows::new(&connection);
    let (sources, feed) = (rows.sources()?.len() as u64, rows.feed()?.id);
    let view = View { contents: contents(&connection)?, sources, feed };
    let unwritten = |e| unavailable("writing it down", e);
    begun(&view).map_err(unwritten)?;
    for (kind, table) in KINDS {
        let names = names(&connection, table).map_err(failed)?;
        let sql = format!("SELECT {} FROM {table} ORDER BY 1, 2", names.join(", "));
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let mut members = Map::from_iter([(KIND.to_owned(), json!(kind))]);
            for (at, name) in names.iter().enumerate() {
                members.insert(name.clone(), value(row, at).map_err(failed)?);
            }
            line(&Json::Object(members)).map_err(unwritten)?;
        }
    }
    Ok(view)
}

/// A database that is being filled with lines; nobody else knows of it.
#[derive(Debug)]
pub struct Filling {
    connection: Connection,
    /// No time lies behind it.
    latest: DateTime<Utc>,
    names: BTreeMap<&'static str, (&'static str, Vec<String>)>,
}

impl Filling {
    /// Makes a new file.
    pub(crate) fn new(path: &Path, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let connection = open::writer(path, now)?;
        let names = KINDS
            .into_iter()
            .map(|(kind, table)| Ok((kind, (table, names(&connection, table)?))))
            .collect::<rusqlite::Result<_>>()
            .and_then(|names| {
                // Nobody needs it after a crash.
                connection.execute_batch("PRAGMA synchronous = OFF; BEGIN")?;
                Ok(names)
            });
        let names = names.map_err(|e| unavailable("setting it up", e))?;
        Ok(Self { connection, latest: now + AHEAD_MAX, names })
    }

    /// Takes a line.
    pub(crate) fn take(&mut self, mut line: Map<String, Json>) -> Result<(), LineError> {
        let unfit = |what: String| LineError::Unfit(what);
        let kind = line.remove(KIND).and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        let Some((table, known)) = self.names.get(kind.as_str()) else {
            return Err(unfit(format!("its kind {kind:?} is none that this program knows")));
        };
        if let Some(name) = line.keys().find(|name| !known.contains(name)) {
            return Err(unfit(format!("a {kind} has no {name:?}")));
        }
        for (_, name) in TIMES.iter().filter(|(of, _)| *of == kind) {
            match line.get(*name) {
                None | Some(Json::Null) => (),
                // SQLite would take others for numbers as well.
                Some(Json::Number(time)) if time.as_i64().is_some_and(|time| time <= micros(self.latest)) => (),
                Some(_) => {
                    return Err(unfit(format!(
                        "the {name} of this {kind} lies more than {} minutes ahead, or is no time: is the clock of \
                         this machine right?",
                        AHEAD_MAX.num_minutes()
                    )));
                }
            }
        }
        let values: Option<Vec<Value>> = line.values().map(stored).collect();
        let values = values.ok_or_else(|| unfit(format!("a value of this {kind} is of no kind that a row holds")))?;
        let names = line.keys().cloned().collect::<Vec<_>>().join(", ");
        let places = vec!["?"; values.len()].join(", ");
        self.connection
            .prepare_cached(&format!("INSERT INTO {table} ({names}) VALUES ({places})"))
            .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(values)))
            .map(drop)
            .map_err(|error| match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::ConstraintViolation | rusqlite::ErrorCode::TypeMismatch) => {
                    unfit(format!("this {kind} is no row: {error}"))
                }
                _ => LineError::Store(unavailable("keeping it", error)),
            })
    }

    /// Says what all lines come to. Every row must be one that the program can read, and every claim one of a page.
    pub(crate) fn finish(self) -> Result<Contents, LineError> {
        let mut rows = SqliteRows::new(&self.connection);
        rows.sources()?;
        let mut after: Option<PageId> = None;
        loop {
            let pages = rows.pages(after, PAGES_AT_ONCE)?;
            for page in &pages {
                rows.claims_of(page.id)?;
            }
            let Some(last) = pages.last() else { break };
            after = Some(last.id);
        }
        let failed = |e| LineError::Store(unavailable("reading it", e));
        let stray: u64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM suppressd_claims WHERE page_id NOT IN (SELECT page_id FROM suppressd_pages)",
                [],
                |row| row.get(0),
            )
            .map_err(failed)?;
        if stray > 0 {
            return Err(LineError::Unfit(format!("{stray} of its claims are those of no page")));
        }
        let contents = contents(&self.connection)?;
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        Ok(contents)
    }
}

fn names(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    match table {
        // Another program may have given it columns of its own.
        "suppression_cache" => Ok(ENTRY_COLUMNS.split(", ").map(str::to_owned).collect()),
        table => columns(connection, table),
    }
}

/// Reads what [`value`] wrote.
fn stored(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Number(number) => Value::Integer(number.as_i64()?),
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(form) => match form.iter().next()? {
            (name, Json::Number(bits)) if name == "real" => Value::Real(f64::from_bits(bits.as_u64()?)),
            (name, Json::String(bytes)) if name == "blob" => Value::Blob(hex::decode(bytes).ok()?),
            _ => return None,
        },
        Json::Bool(_) | Json::Array(_) => return None,
    })
}
