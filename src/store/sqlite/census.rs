//! The cache counted: each figure in one pass over the table, or the index, that has it.

use chrono::{DateTime, Utc};

use crate::{
    model::sweep::SweepId,
    store::{
        Census, CensusRows, EndedSweep, EntryCount, PageCount, StoreError, SweepRows as _,
        sqlite::{
            SqliteRows,
            events::parsed,
            sweeps::WHOLE,
            tally::NEWEST_RECEIVED,
            time::{from_micros, isoformat},
        },
    },
};

impl CensusRows for SqliteRows<'_> {
    fn census(&mut self, now: DateTime<Utc>) -> Result<Census, StoreError> {
        let pages = self.list(
            "SELECT source, sum(standing = 'listed'), \
             sum(standing = 'listed' AND NOT EXISTS \
               (SELECT 1 FROM suppressd_claims AS claim WHERE claim.page_id = page.page_id)), \
             sum(missing_since IS NOT NULL) \
             FROM suppressd_pages AS page GROUP BY source",
            [],
            |row| {
                Ok(PageCount {
                    source: parsed(row, 0, "data source id", |text| text.parse().ok())?,
                    listed: row.get(1)?,
                    without_key: row.get(2)?,
                    missing: row.get(3)?,
                })
            },
        )?;
        let entries = self.list(
            "SELECT page.source, substr(canonical_key, 1, max(instr(canonical_key, ':') - 1, 0)) AS prefix, count(*) \
             FROM suppression_cache AS row LEFT JOIN suppressd_pages AS page ON page.page_id = row.notion_page_id \
             GROUP BY page.source, prefix",
            [],
            |row| {
                let source = row.get::<_, Option<String>>(0)?;
                let source = source.map(|_| parsed(row, 0, "data source id", |text| text.parse().ok())).transpose()?;
                Ok(EntryCount { source, prefix: row.get(1)?, rows: row.get(2)? })
            },
        )?;
        let (entries_expired, keys_contested) = self
            .one(
                "SELECT (SELECT count(*) FROM suppression_cache WHERE expires_at <= ?1), \
                 (SELECT count(*) FROM (SELECT 1 FROM suppressd_claims GROUP BY canonical_key HAVING count(*) > 1))",
                [isoformat(now)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .unwrap_or_default();
        Ok(Census { pages, entries, entries_expired, keys_contested })
    }

    fn last_real_sweep(&mut self) -> Result<Option<EndedSweep>, StoreError> {
        let last = self.one(
            "SELECT max(sweep) FROM suppressd_sweeps WHERE state IN ('complete', 'partial', 'failed') AND NOT dry_run",
            [],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        let Some(id) = last.flatten() else { return Ok(None) };
        let previous_at = self.one(
            &format!("SELECT max(started_at) FROM suppressd_sweeps WHERE {WHOLE} AND sweep < ?1"),
            [id],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        let previous_at = previous_at.flatten().map(from_micros);
        let sweep = self.sweep(SweepId(id))?;
        Ok(sweep.map(|sweep| EndedSweep { outcome: sweep.state, report: sweep.report, previous_at }))
    }

    fn last_complete_sweep_ended(&mut self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let last = self.one(
            &format!("SELECT completed_at FROM suppressd_sweeps WHERE {WHOLE} ORDER BY sweep DESC LIMIT 1"),
            [],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        Ok(last.flatten().map(from_micros))
    }

    fn last_received(&mut self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.time(NEWEST_RECEIVED)
    }
}
