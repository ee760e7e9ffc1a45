//! The rows of the sources, and facts that outlive a process.

use chrono::{DateTime, Utc};
use rusqlite::params;

use crate::{
    model::id::DataSourceId,
    store::{
        ChangeRows as _, SourceRows, SourceTally, StoreError, StoredSource,
        sqlite::{
            SqliteRows,
            events::parsed,
            rows::json,
            time::{from_micros, micros},
        },
    },
};

/// Counts pages and rows by source. The table of rows is shared: what says of no source that it is from there, is not.
const TALLIES: &str = "\
    WITH page AS (SELECT source, count(*) FILTER (WHERE standing = 'listed') AS listed, \
        count(*) FILTER (WHERE standing = 'listed' AND NOT EXISTS \
          (SELECT 1 FROM suppressd_claims AS claim WHERE claim.page_id = page.page_id)) AS keyless, \
        count(*) FILTER (WHERE missing_since IS NOT NULL) AS missing, max(observed_at) AS seen_at \
      FROM suppressd_pages AS page GROUP BY source), \
    row AS (SELECT source, count(*) FILTER (WHERE strength = 'strong') AS strong, \
        count(*) FILTER (WHERE strength = 'weak') AS weak \
      FROM (SELECT json_extract(metadata, '$.source') AS source, json_extract(metadata, '$.key_strength') AS strength \
        FROM suppression_cache WHERE json_valid(metadata)) GROUP BY source) \
    SELECT page.source, listed, keyless, missing, seen_at, coalesce(strong, 0), coalesce(weak, 0) \
    FROM page LEFT JOIN row ON row.source = page.source ORDER BY page.source";

impl SourceRows for SqliteRows<'_> {
    fn sources(&mut self) -> Result<Vec<StoredSource>, StoreError> {
        self.list(
            "SELECT source, schema, mapping, hard, resolved_at, watermark, retired_at, database, name FROM suppressd_sources \
             ORDER BY source",
            [],
            |row| {
                Ok(StoredSource {
                    id: parsed(row, 0, "data source id", |text| text.parse().ok())?,
                    name: row.get(8)?,
                    schema: row.get(1)?,
                    mapping: row.get(2)?,
                    hard: row.get(3)?,
                    resolved_at: from_micros(row.get(4)?),
                    watermark: row.get::<_, Option<i64>>(5)?.map(from_micros),
                    retired_at: row.get::<_, Option<i64>>(6)?.map(from_micros),
                    database: row
                        .get::<_, Option<String>>(7)?
                        .map(|_| parsed(row, 7, "database id", |text| text.parse().ok()))
                        .transpose()?,
                })
            },
        )
    }

    fn source_tallies(&mut self) -> Result<Vec<SourceTally>, StoreError> {
        self.list(TALLIES, [], |row| {
            Ok(SourceTally {
                id: parsed(row, 0, "data source id", |text| text.parse().ok())?,
                pages: row.get(1)?,
                pages_without_key: row.get(2)?,
                pages_missing: row.get(3)?,
                last_seen_at: row.get::<_, Option<i64>>(4)?.map(from_micros),
                entries_strong: row.get(5)?,
                entries_weak: row.get(6)?,
            })
        })
    }

    fn put_source(&mut self, source: &StoredSource) -> Result<(), StoreError> {
        let known: Option<(Option<i64>, bool, bool)> = self.one(
            "SELECT retired_at, hard = ?3, (SELECT group_concat(key || ' ' || json_extract(value, '$.id'), char(10)) \
               FROM json_each(mapping)) IS (SELECT group_concat(key || ' ' || json_extract(value, '$.id'), char(10)) \
               FROM json_each(?2)) FROM suppressd_sources WHERE source = ?1",
            params![source.id.to_string(), source.mapping, source.hard],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let (retired_at, same_hard, same_mapping) = known.unwrap_or((None, true, true));
        if !same_hard || retired_at.is_some() {
            self.rename_feed()?;
        }
        if !same_mapping {
            let times = self.remapped(source.id)? + 1;
            self.put_fact(&remapped(source.id), &times.to_string())?;
        }
        if let Some(retired_at) = retired_at {
            self.execute(
                "UPDATE suppressd_pages SET unfound_since = NULL WHERE source = ?1 AND unfound_since = ?2",
                params![source.id.to_string(), retired_at],
            )?;
        }
        self.execute(
            "INSERT INTO suppressd_sources (source, schema, mapping, hard, resolved_at, database, name) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8) ON CONFLICT (source) DO UPDATE SET \
             watermark = CASE WHEN ?7 THEN watermark END, \
             schema = excluded.schema, mapping = excluded.mapping, hard = excluded.hard, \
             resolved_at = excluded.resolved_at, database = excluded.database, retired_at = NULL, \
             name = coalesce(excluded.name, name)",
            params![
                source.id.to_string(),
                source.schema,
                source.mapping,
                source.hard,
                micros(source.resolved_at),
                source.database.map(|database| database.to_string()),
                same_mapping,
                source.name,
            ],
        )
        .map(drop)
    }

    fn remapped(&mut self, source: DataSourceId) -> Result<u64, StoreError> {
        Ok(self.fact(&remapped(source))?.and_then(|times| times.parse().ok()).unwrap_or(0))
    }

    fn retire_sources(&mut self, kept: &[DataSourceId], now: DateTime<Utc>) -> Result<u64, StoreError> {
        let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let kept = json(&kept)?;
        let leaving: Vec<(String, Option<i64>)> = self.list(
            "SELECT source, watermark FROM suppressd_sources \
             WHERE retired_at IS NULL AND source NOT IN (SELECT value FROM json_each(?1))",
            [&kept],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        for (source, watermark) in &leaving {
            self.execute(
                "UPDATE suppressd_pages SET unfound_since = ?2, observed_at = max(observed_at, coalesce(?3, observed_at)) \
                 WHERE source = ?1 AND standing = 'listed' AND unfound_since IS NULL",
                params![source, micros(now), watermark],
            )?;
            self.execute(
                "UPDATE suppressd_sources SET retired_at = ?2, watermark = NULL WHERE source = ?1",
                params![source, micros(now)],
            )?;
        }
        if !leaving.is_empty() {
            self.rename_feed()?;
        }
        Ok(leaving.len() as u64)
    }

    fn fact(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        self.one("SELECT value FROM suppressd_facts WHERE name = ?1", [name], |row| row.get(0))
    }

    fn put_fact(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO suppressd_facts (name, value) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
            params![name, value],
        )
        .map(drop)
    }

    fn foreign_commits(&mut self) -> Result<i64, StoreError> {
        Ok(self.one("PRAGMA data_version", [], |row| row.get(0))?.unwrap_or(0))
    }
}

/// The fact that says how often the mapping of a source has become another one.
fn remapped(source: DataSourceId) -> String {
    format!("remapped {source}")
}
