//! The rows of the sources and their sweeps, and facts that outlive a process.

use rusqlite::params;

use crate::store::{
    SourceRows, StoreError, StoredSource, StoredSweep,
    sqlite::{
        SqliteRows,
        events::parsed,
        time::{from_micros, micros},
    },
};

impl SourceRows for SqliteRows<'_> {
    fn sources(&mut self) -> Result<Vec<StoredSource>, StoreError> {
        self.list(
            "SELECT source, schema, mapping, hard, resolved_at, watermark FROM suppressd_sources ORDER BY source",
            [],
            |row| {
                Ok(StoredSource {
                    id: parsed(row, 0, "data source id", |text| text.parse().ok())?,
                    schema: row.get(1)?,
                    mapping: row.get(2)?,
                    hard: row.get(3)?,
                    resolved_at: from_micros(row.get(4)?),
                    watermark: row.get::<_, Option<i64>>(5)?.map(from_micros),
                })
            },
        )
    }

    fn put_source(&mut self, source: &StoredSource) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO suppressd_sources (source, schema, mapping, hard, resolved_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (source) DO UPDATE SET schema = excluded.schema, mapping = excluded.mapping, hard = excluded.hard, \
             resolved_at = excluded.resolved_at",
            params![source.id.to_string(), source.schema, source.mapping, source.hard, micros(source.resolved_at)],
        )
        .map(drop)
    }

    fn last_sweep(&mut self) -> Result<Option<StoredSweep>, StoreError> {
        self.one(
            "SELECT started_at, completed_at, outcome FROM suppressd_sweeps ORDER BY sweep DESC LIMIT 1",
            [],
            |row| {
                Ok(StoredSweep {
                    started_at: from_micros(row.get(0)?),
                    completed_at: row.get::<_, Option<i64>>(1)?.map(from_micros),
                    outcome: row.get(2)?,
                })
            },
        )
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
