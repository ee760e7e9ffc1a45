//! The digest of what a database says, whatever its row ids, its order and the times of its confirmations.
//!
//! Each row becomes a line of JSON with its keys in order; the lines are hashed in the order of their keys. Only columns of
//! the first schema are read, so that a copy has the digest that its original had before it was brought up to date.

use rusqlite::{Connection, Row, types::ValueRef};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::{
    model::contents::Contents,
    store::{StoreError, sqlite::unavailable},
};

/// Published rows. What the metadata of ours say is told apart, without their times and doors.
const ENTRIES: &str = "SELECT canonical_key, notion_page_id, status, company_name, metadata FROM suppression_cache \
                       ORDER BY CAST(canonical_key AS BLOB)";

const CLAIMS: &str = "SELECT claim.canonical_key, claim.page_id, claim.origin FROM suppressd_claims AS claim \
                      ORDER BY claim.canonical_key, claim.page_id";

const PAGES: &str =
    "SELECT page_id, source, url, mapped FROM suppressd_pages WHERE standing = 'listed' ORDER BY page_id";

const SOURCES: &str = "SELECT source, hard FROM suppressd_sources ORDER BY source";

/// What the metadata of a row say that a sweep does not change.
const LASTING: [&str; 5] = ["website", "source", "key_origin", "key_strength", "page_url"];

/// Reads everything within the transaction that is open on `connection`, if any.
pub(crate) fn contents(connection: &Connection) -> Result<Contents, StoreError> {
    let mut hash = Sha256::new();
    let entries = each(connection, ENTRIES, &mut hash, |row| {
        let metadata = row.get_ref(4)?.as_str().ok().and_then(|text| serde_json::from_str::<Json>(text).ok());
        let metadata: Vec<_> =
            LASTING.iter().map(|name| metadata.as_ref().and_then(|it| it.get(name)).cloned()).collect();
        Ok(json!(["entry", value(row, 0)?, value(row, 1)?, value(row, 2)?, value(row, 3)?, metadata]))
    })?;
    let claims = each(connection, CLAIMS, &mut hash, |row| {
        Ok(json!(["claim", value(row, 0)?, value(row, 1)?, value(row, 2)?]))
    })?;
    let pages = each(connection, PAGES, &mut hash, |row| {
        Ok(json!(["page", value(row, 0)?, value(row, 1)?, value(row, 2)?, parsed(row, 3)?]))
    })?;
    each(connection, SOURCES, &mut hash, |row| Ok(json!(["source", value(row, 0)?, parsed(row, 1)?])))?;
    Ok(Contents { digest: hex::encode(hash.finalize()), entries, claims, pages })
}

fn each(
    connection: &Connection,
    sql: &str,
    hash: &mut Sha256,
    line: impl Fn(&Row<'_>) -> rusqlite::Result<Json>,
) -> Result<u64, StoreError> {
    let mut read = || {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let mut text = String::new();
            write(&line(row)?, &mut text);
            text.push('\n');
            hash.update(text.as_bytes());
            count += 1;
        }
        Ok(count)
    };
    read().map_err(|e: rusqlite::Error| unavailable("reading what it says", e))
}

/// Reads a column, whatever another program may have put there.
pub(crate) fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Json> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!({ "real": number.to_bits() }),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match (row.get_ref(column)?, std::str::from_utf8(bytes)) {
            (ValueRef::Text(_), Ok(text)) => json!(text),
            _ => json!({ "blob": hex::encode(bytes) }),
        },
    })
}

/// Reads a column that holds JSON; as it stands where it does not.
fn parsed(row: &Row<'_>, column: usize) -> rusqlite::Result<Json> {
    let text = row.get_ref(column)?.as_str().ok().and_then(|text| serde_json::from_str(text).ok());
    text.map_or_else(|| value(row, column), Ok)
}

/// Writes JSON with the names of each object in order, whatever order this build of the library keeps them in.
fn write(json: &Json, into: &mut String) {
    match json {
        Json::Array(items) => {
            into.push('[');
            for item in items {
                write(item, into);
                into.push(',');
            }
            into.push(']');
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            into.push('{');
            for (name, member) in members {
                into.push_str(&Json::from(name.as_str()).to_string());
                into.push(':');
                write(member, into);
                into.push(',');
            }
            into.push('}');
        }
        plain => into.push_str(&plain.to_string()),
    }
}
