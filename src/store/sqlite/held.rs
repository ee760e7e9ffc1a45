//! A published row as an answer needs it, read with the dates of its page at once.

use std::borrow::Cow;

use rusqlite::Row;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    model::{
        entry::{Door, STATUS_UNKNOWN},
        id::PageId,
    },
    store::{
        Backing, Held, Proof,
        sqlite::time::{from_isoformat, from_micros},
    },
};

pub(crate) const HELD: &str = "\
    SELECT row.notion_page_id, row.status, row.company_name, row.cached_at, row.expires_at, row.metadata, \
      page.observed_at, page.missing_since, page.seen_by \
    FROM suppression_cache AS row LEFT JOIN suppressd_pages AS page ON page.page_id = row.notion_page_id \
    WHERE row.canonical_key = ?1";

/// The metadata of an entry, of which only some is kept. What makes a row an entry must be there all the same.
#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    synced_from: String,
    page_url: Option<String>,
    #[serde(rename = "key_origin")]
    _key_origin: IgnoredAny,
    #[serde(rename = "key_strength")]
    _key_strength: IgnoredAny,
    #[serde(rename = "last_edited_time")]
    _last_edited_time: IgnoredAny,
}

/// Reads a row of [`HELD`]. Another program may have put anything into any column of the published table.
pub(crate) fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str().ok());
    let page: Option<PageId> = text(0)?.and_then(|id| id.parse().ok());
    let expires_at = text(4)?.and_then(from_isoformat);
    let whole = page.is_some() && expires_at.is_some();
    Ok(Held {
        page,
        status: text(1)?.unwrap_or(STATUS_UNKNOWN).to_owned(),
        company_name: text(2)?.map(str::to_owned),
        expires_at,
        backing: if whole { backing(row)? } else { None },
    })
}

fn backing(row: &Row<'_>) -> rusqlite::Result<Option<Backing>> {
    let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str().ok());
    let cached_at = text(3)?.and_then(from_isoformat);
    let metadata = text(5)?.and_then(|json| serde_json::from_str::<Metadata<'_>>(json).ok());
    let (Some(cached_at), Some(metadata)) = (cached_at, metadata) else { return Ok(None) };
    let Ok(source) = metadata.source.parse() else { return Ok(None) };
    let observed_at = row.get::<_, Option<i64>>(6)?.map(from_micros);
    let missing_since = row.get::<_, Option<i64>>(7)?.map(from_micros);
    let seen_by = door(row, 8)?;
    Ok(Some(Backing {
        source,
        synced_from: metadata.synced_from,
        page_url: metadata.page_url,
        cached_at,
        proof: observed_at.map(|observed_at| Proof { observed_at, seen_by, missing_since }),
    }))
}

/// Reads the name of a door, where one is.
pub(crate) fn door(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Door>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.and_then(Door::from_name))
}
