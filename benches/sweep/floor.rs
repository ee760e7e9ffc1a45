//! The floors of a sweep: what asking for the rows costs, and what storing them costs, without anything in between.

use std::path::Path;

use rusqlite::{Connection, params_from_iter, types::Value};
use serde_json::{Value as Json, json};

use crate::notion::Notion;

/// Rows that are asked for at once, and pages that are stored in one transaction, as a sweep does both.
const AT_ONCE: usize = 100;

/// The tables that a first sweep fills, each with the column that names the page of a row.
const TABLES: [(&str, &str); 4] = [
    ("suppressd_pages", "page_id"),
    ("suppressd_claims", "page_id"),
    ("suppression_cache", "notion_page_id"),
    ("suppressd_changes", "after ->> 'page'"),
];

/// Asks for every row over HTTP and parses each answer into a tree of values; returns how many there were.
pub(crate) async fn fetch(notion: &Notion) -> usize {
    let http = reqwest::Client::builder().build().unwrap();
    let url = format!("{}/v1/data_sources/{}/query", notion.base_url, notion.data_source);
    let (mut rows, mut since, mut last) = (0, None::<String>, String::new());
    loop {
        let mut cursor = None::<String>;
        let capped = loop {
            let mut body = json!({
                "page_size": AT_ONCE,
                "sorts": [{"timestamp": "created_time", "direction": "ascending"}],
            });
            if let Some(since) = &since {
                body["filter"] = json!({"timestamp": "created_time", "created_time": {"on_or_after": since}});
            }
            if let Some(cursor) = &cursor {
                body["start_cursor"] = json!(cursor);
            }
            let request = http.post(&url).bearer_auth(&notion.token).header("Notion-Version", "2026-03-11");
            let answer = request.json(&body).send().await.unwrap().bytes().await.unwrap();
            let answer: Json = serde_json::from_slice(&answer).unwrap();
            let results = answer["results"].as_array().unwrap();
            rows += results.len();
            if let Some(row) = results.last() {
                row["created_time"].as_str().unwrap().clone_into(&mut last);
            }
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break answer["request_status"]["type"] == "incomplete";
            }
        };
        if !capped {
            return rows;
        }
        since = Some(last.clone());
    }
}

/// Every row of one page of results, by table.
type Chunk = Vec<(usize, Vec<Value>)>;

/// The rows that a sweep has made, in the order and the portions in which it made them.
pub(crate) fn rows_of(swept: &Path) -> Vec<Chunk> {
    let swept = open(swept);
    let pages: Vec<String> = column(&swept, "SELECT notion_page_id FROM suppression_cache GROUP BY 1 ORDER BY min(id)");
    let mut chunks = Vec::new();
    for pages in pages.chunks(AT_ONCE) {
        let mut chunk = Vec::new();
        for (at, (table, page)) in TABLES.iter().enumerate() {
            let marks = vec!["?"; pages.len()].join(", ");
            let mut select = swept.prepare_cached(&selected(table, page, &marks)).unwrap();
            let width = select.column_count();
            let mut rows = select.query(params_from_iter(pages)).unwrap();
            while let Some(row) = rows.next().unwrap() {
                chunk.push((at, (0..width).map(|column| row.get(column).unwrap()).collect()));
            }
        }
        chunks.push(chunk);
    }
    chunks
}

fn selected(table: &str, page: &str, marks: &str) -> String {
    if table == "suppressd_changes" {
        // It has no index by page; the keys of the pages lead there.
        return format!(
            "SELECT * FROM {table} WHERE canonical_key IN \
             (SELECT canonical_key FROM suppression_cache WHERE notion_page_id IN ({marks}))"
        );
    }
    format!("SELECT * FROM {table} WHERE {page} IN ({marks})")
}

/// Inserts such rows into the same tables of an empty file, each portion in one transaction that is synced.
pub(crate) fn insert(db: &Path, swept: &Path, chunks: &[Chunk]) {
    let schema: Vec<String> = column(
        &open(swept),
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'index') AND \
         tbl_name IN ('suppressd_pages', 'suppressd_claims', 'suppression_cache', 'suppressd_changes')",
    );
    let db = open(db);
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    // As our own store has it, so that the difference is not one of settings.
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 8192").unwrap();
    for sql in schema {
        db.execute_batch(&sql).unwrap();
    }
    for chunk in chunks {
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        for (table, values) in chunk {
            let (table, marks) = (TABLES[*table].0, vec!["?"; values.len()].join(", "));
            let mut insert = db.prepare_cached(&format!("INSERT INTO {table} VALUES ({marks})")).unwrap();
            insert.execute(params_from_iter(values)).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
    }
}

/// Notes from now on how many rows of each table are written, by whomever.
pub(crate) fn watch_writes(db: &Path) {
    let db = open(db);
    let tables: Vec<String> =
        column(&db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    db.execute_batch("CREATE TABLE written (name TEXT)").unwrap();
    for table in tables {
        for deed in ["INSERT", "UPDATE", "DELETE"] {
            db.execute_batch(&format!(
                "CREATE TRIGGER written_{table}_{deed} AFTER {deed} ON {table} BEGIN \
                 INSERT INTO written VALUES ('{table}'); END"
            ))
            .unwrap();
        }
    }
}

/// Returns how many rows of each table were written since.
pub(crate) fn writes(db: &Path) -> String {
    let db = open(db);
    let counts: Vec<String> = column(&db, "SELECT name || ' ' || count(*) FROM written GROUP BY name ORDER BY name");
    counts.join(", ")
}

fn column(db: &Connection, sql: &str) -> Vec<String> {
    let mut select = db.prepare(sql).unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[expect(clippy::disallowed_methods, reason = "the floor has nothing of the store, its pragmas included")]
fn open(db: &Path) -> Connection {
    Connection::open(db).unwrap()
}
