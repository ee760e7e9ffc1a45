//! Whether a file is sound: its version, its journal, its pages, and what its rows must agree on. Changes nothing.

use std::path::Path;

use rusqlite::Connection;

use crate::store::{
    StoreError,
    sqlite::{SqliteStore, open, unavailable},
};

/// As many findings are told of one file.
const FINDINGS_MAX: usize = 5;

/// What every file must satisfy: each question counts the rows that do not.
const RULES: [(&str, &str); 5] = [
    (
        "claimed keys without a row",
        "SELECT count(DISTINCT canonical_key) FROM suppressd_claims AS claim WHERE NOT EXISTS \
         (SELECT 1 FROM suppression_cache AS row WHERE row.canonical_key = claim.canonical_key)",
    ),
    (
        "rows whose page claims other keys",
        "SELECT count(*) FROM suppression_cache AS row JOIN suppressd_pages AS page ON page.page_id = row.notion_page_id \
         WHERE NOT EXISTS (SELECT 1 FROM suppressd_claims AS claim \
         WHERE claim.canonical_key = row.canonical_key AND claim.page_id = row.notion_page_id)",
    ),
    (
        "claims of pages that are not known",
        "SELECT count(*) FROM suppressd_claims AS claim WHERE NOT EXISTS \
         (SELECT 1 FROM suppressd_pages AS page WHERE page.page_id = claim.page_id)",
    ),
    (
        "pages of sources that are not known",
        "SELECT count(*) FROM suppressd_pages AS page WHERE NOT EXISTS \
         (SELECT 1 FROM suppressd_sources AS source WHERE source.source = page.source)",
    ),
    (
        "events in a state that does not exist",
        "SELECT count(*) FROM suppressd_inbox \
         WHERE state NOT IN ('waiting', 'settled', 'parked', 'ignored', 'skipped', 'unreadable')",
    ),
];

/// What was found in a file.
#[derive(Debug)]
pub struct Examination {
    /// The version of its schema, and the newest that this program knows; 0 where it has none of our tables.
    pub version: (u32, u32),
    /// Its journal mode, in SQLite's words.
    pub journal_mode: String,
    /// Whether its published table is the one that was agreed.
    pub published: Result<(), StoreError>,
    /// What SQLite finds wrong with its pages; empty where it is sound.
    pub damage: Vec<String>,
    /// The rows that break a rule of ours, counted in words; `None` where that was not looked at.
    pub broken: Option<Vec<String>>,
    /// Tables of other programs.
    pub tables_of_others: Vec<String>,
}

impl SqliteStore {
    /// Returns the journal mode of the file at `path`, in SQLite's words.
    pub fn journal_mode(path: &Path) -> Result<String, StoreError> {
        journal_mode(&open::reader_of_any(path)?).map_err(|e| unavailable("asking for its journal mode", e))
    }

    /// Looks through the file at `path`, which must be there; `thorough` compares indexes with rows and rows with each
    /// other, and takes as long as reading all of it several times. Blocks on the disk.
    pub fn examine(path: &Path, thorough: bool) -> Result<Examination, StoreError> {
        let connection = open::reader_of_any(path)?;
        let failed = |e| unavailable("examining it", e);
        let journal_mode = journal_mode(&connection).map_err(failed)?;
        let version = (open::version(&connection)?, open::newest());
        let check = if thorough { "integrity_check" } else { "quick_check" };
        let damage =
            list(&connection, &format!("PRAGMA {check}({FINDINGS_MAX})")).unwrap_or_else(|e| vec![e.to_string()]);
        let is_ours = version.0 == version.1;
        Ok(Examination {
            version,
            journal_mode,
            published: open::refuse_foreign(path, &connection),
            damage: damage.into_iter().filter(|line| line != "ok").collect(),
            broken: (thorough && is_ours).then(|| broken(&connection)).transpose().map_err(failed)?,
            tables_of_others: list(
                &connection,
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'suppressd\\_%' ESCAPE '\\' \
                 AND name <> 'suppression_cache' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
            )
            .map_err(failed)?,
        })
    }
}

fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}

/// Counts what breaks each rule.
fn broken(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    for (what, sql) in RULES {
        let count: u64 = connection.query_row(sql, [], |row| row.get(0))?;
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    }
    Ok(found)
}

fn list(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
