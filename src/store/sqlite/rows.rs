//! The rows of the cache: pages, claims, published entries.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Params, Row, params};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{
        entry::{CachedPage, Cause, Change, Claim, Door, Entry, STATUS_UNKNOWN, Standing},
        id::PageId,
        key::{Candidate, Key, Origin},
        page::View,
    },
    store::{
        CacheRows, CacheTally, ClaimedKey, Held, Published, StoreError,
        sqlite::{
            SqliteRows,
            events::parsed,
            held,
            time::{from_isoformat, from_micros, isoformat, micros},
            unavailable,
        },
    },
};

/// The columns that [`page`] reads. Statements that every page of a sweep takes are put together when this is compiled.
macro_rules! page_columns {
    () => {
        "page.page_id, page.source, page.standing, page.last_edited_time, page.observed_at, page.view, \
         page.seen_by, page.missing_since, page.unfound_since, page.url, page.mapped"
    };
}

pub(crate) const PAGE: &str = page_columns!();

/// Selects the claims on the key `?1` by pages that are rows of their source; [`claim`] reads them.
macro_rules! claims {
    () => {
        concat!(
            "SELECT claim.canonical_key, claim.origin, ",
            page_columns!(),
            " FROM suppressd_claims AS claim JOIN suppressd_pages AS page ON page.page_id = claim.page_id \
             WHERE claim.canonical_key = ?1 AND page.standing = 'listed'"
        )
    };
}

pub(crate) const CLAIMS: &str = claims!();

/// Selects changes; [`change`] reads them.
pub(crate) const CHANGE: &str = "SELECT changed_at, canonical_key, before, after, door, cause FROM suppressd_changes";

impl CacheRows for SqliteRows<'_> {
    fn page(&mut self, id: PageId) -> Result<Option<CachedPage>, StoreError> {
        let sql = concat!("SELECT ", page_columns!(), " FROM suppressd_pages AS page WHERE page_id = ?1");
        self.one(sql, [id.to_string()], |row| page(row, 0))
    }

    fn put_page(&mut self, page: &CachedPage) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO suppressd_pages (page_id, source, standing, last_edited_time, observed_at, view, \
             seen_by, missing_since, unfound_since, url, mapped) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                page.id.to_string(),
                page.source.to_string(),
                page.standing.name(),
                micros(page.last_edited_time),
                micros(page.observed_at),
                view_name(page.view),
                page.seen_by.map(Door::name),
                page.missing_since.map(micros),
                page.unfound_since.map(micros),
                page.url,
                json(&page.values)?,
            ],
        )
        .map(drop)
    }

    fn pages(&mut self, after: Option<PageId>, limit: u32) -> Result<Vec<CachedPage>, StoreError> {
        self.list(
            &format!("SELECT {PAGE} FROM suppressd_pages AS page WHERE page_id > ?1 ORDER BY page_id LIMIT ?2"),
            params![after.map(|id| id.to_string()).unwrap_or_default(), limit],
            |row| page(row, 0),
        )
    }

    fn claims_of(&mut self, page: PageId) -> Result<Vec<Candidate>, StoreError> {
        self.list(
            "SELECT canonical_key, origin FROM suppressd_claims WHERE page_id = ?1 ORDER BY canonical_key",
            [page.to_string()],
            |row| Ok(Candidate { key: key(row, 0)?, origin: parsed(row, 1, "origin", Origin::from_name)? }),
        )
    }

    fn claimed_by(&mut self, page: PageId) -> Result<Vec<ClaimedKey>, StoreError> {
        // The rows of one page stand side by side, those of its keys do not: the `+` makes the index of pages lead there.
        self.list(
            "SELECT row.notion_page_id, row.status, row.company_name, row.cached_at, row.expires_at, row.metadata, \
               row.id IS NOT NULL, claim.canonical_key, claim.origin, \
               EXISTS (SELECT 1 FROM suppressd_claims AS other \
                 WHERE other.canonical_key = claim.canonical_key AND other.page_id <> claim.page_id) \
             FROM suppressd_claims AS claim LEFT JOIN suppression_cache AS row \
               ON row.notion_page_id = claim.page_id AND +row.canonical_key = claim.canonical_key \
             WHERE claim.page_id = ?1 ORDER BY claim.canonical_key",
            [page.to_string()],
            |row| {
                let (is_published, key) = (row.get::<_, bool>(6)?, key(row, 7)?);
                Ok(ClaimedKey {
                    row: if is_published { Some(published(row, &key)?) } else { None },
                    key,
                    origin: parsed(row, 8, "origin", Origin::from_name)?,
                    contested: row.get(9)?,
                })
            },
        )
    }

    fn put_claims(&mut self, page: PageId, claims: &[Candidate]) -> Result<(), StoreError> {
        self.execute("DELETE FROM suppressd_claims WHERE page_id = ?1", [page.to_string()])?;
        for claim in claims {
            self.execute(
                "INSERT OR REPLACE INTO suppressd_claims (canonical_key, page_id, origin) VALUES (?1, ?2, ?3)",
                params![claim.key.as_str(), page.to_string(), claim.origin.name()],
            )?;
        }
        Ok(())
    }

    fn claims_on(&mut self, on: &Key) -> Result<Vec<Claim>, StoreError> {
        self.list(concat!(claims!(), " ORDER BY page.page_id"), [on.as_str()], claim)
    }

    fn entry(&mut self, key: &Key) -> Result<Option<Published>, StoreError> {
        self.one(
            "SELECT notion_page_id, status, company_name, cached_at, expires_at, metadata FROM suppression_cache \
             WHERE canonical_key = ?1",
            [key.as_str()],
            |row| published(row, key),
        )
    }

    fn held(&mut self, key: &Key) -> Result<Option<Held>, StoreError> {
        let connection = self.connection;
        let mut statement = match self.held.take() {
            Some(statement) => statement,
            None => connection.prepare_cached(held::HELD).map_err(|e| unavailable("reading", e))?,
        };
        let held = statement.query_row([key.as_str()], held::held).optional().map_err(|e| unavailable("reading", e));
        self.held = Some(statement);
        held
    }

    fn prefix_is_held(&mut self, prefix: &str) -> Result<bool, StoreError> {
        // What begins with the prefix and its colon stands between that and the same with the next character.
        let held = self.one(
            "SELECT EXISTS (SELECT 1 FROM suppression_cache WHERE canonical_key >= ?1 || ':' AND canonical_key < ?1 || ';')",
            [prefix],
            |row| row.get(0),
        )?;
        Ok(held.unwrap_or(false))
    }

    fn put_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let metadata = json(&entry.metadata)?;
        let (cached_at, expires_at) = (isoformat(entry.cached_at), isoformat(entry.expires_at));
        let page = entry.page.to_string();
        let values =
            params![entry.key.as_str(), page, entry.status, entry.company_name, cached_at, expires_at, metadata];
        // An update keeps the row's `id`, on which the pipeline may hold a reference; an upsert would use up a new one.
        let updated = self.execute(
            "UPDATE suppression_cache SET notion_page_id = ?2, status = ?3, company_name = ?4, cached_at = ?5, \
             expires_at = ?6, metadata = ?7 WHERE canonical_key = ?1",
            values,
        )?;
        if updated == 0 {
            self.execute(
                "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, company_name, cached_at, \
                 expires_at, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                values,
            )?;
        }
        Ok(())
    }

    fn delete_entry(&mut self, key: &Key) -> Result<(), StoreError> {
        self.execute("DELETE FROM suppression_cache WHERE canonical_key = ?1", [key.as_str()]).map(drop)
    }

    fn cache_tally(&mut self, now: DateTime<Utc>) -> Result<CacheTally, StoreError> {
        let tally = self.one(
            "SELECT \
             (SELECT count(*) FROM suppression_cache), \
             (SELECT count(*) FROM suppression_cache WHERE expires_at <= ?1), \
             (SELECT count(*) FROM suppression_cache AS row WHERE NOT EXISTS \
               (SELECT 1 FROM suppressd_claims AS claim WHERE claim.canonical_key = row.canonical_key)), \
             (SELECT count(*) FROM suppressd_pages WHERE standing = 'listed'), \
             (SELECT count(*) FROM suppressd_pages AS page WHERE standing = 'listed' AND NOT EXISTS \
               (SELECT 1 FROM suppressd_claims AS claim WHERE claim.page_id = page.page_id)), \
             (SELECT count(*) FROM suppressd_pages WHERE missing_since IS NOT NULL), \
             (SELECT count(*) FROM (SELECT 1 FROM suppressd_claims GROUP BY canonical_key HAVING count(*) > 1))",
            [isoformat(now)],
            |row| {
                Ok(CacheTally {
                    entries: row.get(0)?,
                    expired: row.get(1)?,
                    foreign: row.get(2)?,
                    pages_listed: row.get(3)?,
                    pages_without_key: row.get(4)?,
                    pages_missing: row.get(5)?,
                    keys_contested: row.get(6)?,
                })
            },
        )?;
        Ok(tally.unwrap_or_default())
    }
}

impl SqliteRows<'_> {
    pub(crate) fn execute(&self, sql: &str, values: impl Params) -> Result<u64, StoreError> {
        let changed = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|e| unavailable("writing", e))?;
        Ok(changed as u64)
    }

    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(values, read).optional())
            .map_err(|e| unavailable("reading", e))
    }

    pub(crate) fn list<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(values, read)?.collect())
            .map_err(|e| unavailable("reading", e))
    }
}

pub(crate) fn page(row: &Row<'_>, first: usize) -> rusqlite::Result<CachedPage> {
    Ok(CachedPage {
        id: parsed(row, first, "page id", |text| text.parse().ok())?,
        source: parsed(row, first + 1, "data source id", |text| text.parse().ok())?,
        standing: parsed(row, first + 2, "standing", Standing::from_name)?,
        last_edited_time: from_micros(row.get(first + 3)?),
        observed_at: from_micros(row.get(first + 4)?),
        view: parsed(row, first + 5, "view", view_from_name)?,
        seen_by: held::door(row, first + 6)?,
        missing_since: row.get::<_, Option<i64>>(first + 7)?.map(from_micros),
        unfound_since: row.get::<_, Option<i64>>(first + 8)?.map(from_micros),
        url: row.get(first + 9)?,
        values: parsed(row, first + 10, "set of values", |text| serde_json::from_str(text).ok())?,
    })
}

/// Reads a row of [`CLAIMS`].
pub(crate) fn claim(row: &Row<'_>) -> rusqlite::Result<Claim> {
    Ok(Claim { key: key(row, 0)?, origin: parsed(row, 1, "origin", Origin::from_name)?, page: page(row, 2)? })
}

/// Reads a row of [`CHANGE`].
pub(crate) fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        changed_at: from_micros(row.get(0)?),
        key: key(row, 1)?,
        from: optional_json(row, 2)?,
        to: optional_json(row, 3)?,
        cause: Cause { door: parsed(row, 4, "door", Door::from_name)?, id: row.get(5)? },
    })
}

pub(crate) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Key> {
    parsed(row, column, "canonical key", |text| Key::try_from(text.to_owned()).ok())
}

pub(crate) fn published(row: &Row<'_>, key: &Key) -> rusqlite::Result<Published> {
    // Another program may have put anything into any column. That must not keep us from the row, nor from replacing it.
    let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str().ok());
    let page = text(0)?.unwrap_or_default().to_owned();
    let status = text(1)?.unwrap_or(STATUS_UNKNOWN).to_owned();
    let company_name = text(2)?.map(str::to_owned);
    let cached_at = text(3)?.and_then(from_isoformat);
    let expires_at = text(4)?.and_then(from_isoformat);
    let metadata = text(5)?.and_then(|json| serde_json::from_str(json).ok());
    Ok(match (page.parse(), cached_at, expires_at, metadata) {
        (Ok(page), Some(cached_at), Some(expires_at), Some(metadata)) => {
            let key = key.clone();
            Published::Entry(Box::new(Entry { key, page, status, company_name, cached_at, expires_at, metadata }))
        }
        _ => Published::Foreign { page, status, company_name, expires_at },
    })
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| unavailable("writing", e))
}

pub(crate) fn optional_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(None),
        Some(_) => parsed(row, column, "face", |text| serde_json::from_str(text).ok()).map(Some),
    }
}

const fn view_name(view: View) -> &'static str {
    match view {
        View::Page => "page",
        View::Query => "query",
    }
}

fn view_from_name(name: &str) -> Option<View> {
    [View::Page, View::Query].into_iter().find(|view| view_name(*view) == name)
}
