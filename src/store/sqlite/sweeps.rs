//! The rows of sweeps and of the differences that they found.

use chrono::{DateTime, Utc};
use rusqlite::{Row, params};
use serde::de::DeserializeOwned;

use crate::{
    model::{
        entry::CachedPage,
        id::{DataSourceId, PageId},
        sweep::{
            AskedBy, Drift, DriftCounts, DriftKind, SweepId, SweepOrder, SweepProgress, SweepReport, SweepState, Told,
            diagnosis::Evidence,
        },
    },
    store::{
        ListedPage, Renewal, StoreError, StoredSweep, SweepRows,
        sqlite::{
            SqliteRows,
            events::parsed,
            rows::{PAGE, json, page},
            tally::PARKED,
            time::{from_isoformat, from_micros, isoformat, micros},
        },
    },
};

const SWEEP: &str = "SELECT sweep, asked_at, what, state, started_at, completed_at, progress, report \
                     FROM suppressd_sweeps";

const DRIFT: &str = "SELECT page_id, kind, canonical_key, since, found_at, told FROM suppressd_drift";

/// Is true of complete sweeps of all sources that were no dry run.
pub(crate) const WHOLE: &str = "state = 'complete' AND NOT dry_run AND json_extract(what, '$.sources') IS NULL";

/// The state of the newest event that can have told a difference, and whether it came in time. One pass over the inbox,
/// which has no index by page: the pages of the sweep are few beside it.
const JUDGE: &str = "\
    SELECT drift.page_id, drift.kind, drift.canonical_key, drift.since, drift.found_at, \
      iif(drift.told = 'waiting', drift.told, coalesce((SELECT CASE WHEN told.received_at > drift.found_at THEN 'late' ELSE told.state END FROM told \
        WHERE told.subject = drift.page_id AND told.occurred_at >= drift.since \
        ORDER BY told.received_at > drift.found_at, told.seq DESC LIMIT 1), drift.told)) \
    FROM suppressd_drift AS drift WHERE drift.sweep = ?1";

const TOLD: &str = "\
    WITH told AS MATERIALIZED ( \
      SELECT subject, occurred_at, received_at, state, seq FROM suppressd_inbox \
      WHERE occurred_at >= (SELECT min(since) FROM suppressd_drift WHERE sweep = ?1) \
        AND state NOT IN ('ignored', 'unreadable') \
        AND subject IN (SELECT page_id FROM suppressd_drift WHERE sweep = ?1))";

impl SweepRows for SqliteRows<'_> {
    fn ask_sweep(&mut self, order: &SweepOrder, now: DateTime<Utc>) -> Result<SweepId, StoreError> {
        self.execute(
            "INSERT INTO suppressd_sweeps (asked_at, what, dry_run, state) VALUES (?1, ?2, ?3, 'asked')",
            params![micros(now), json(order)?, order.dry_run],
        )?;
        Ok(SweepId(self.connection.last_insert_rowid()))
    }

    fn next_sweep(&mut self) -> Result<Option<StoredSweep>, StoreError> {
        self.one(&format!("{SWEEP} WHERE state = 'asked' ORDER BY sweep LIMIT 1"), [], sweep)
    }

    fn sweep(&mut self, id: SweepId) -> Result<Option<StoredSweep>, StoreError> {
        self.one(&format!("{SWEEP} WHERE sweep = ?1"), [id.0], sweep)
    }

    fn sweeps(&mut self, limit: u32) -> Result<Vec<StoredSweep>, StoreError> {
        self.list(&format!("{SWEEP} ORDER BY sweep DESC LIMIT ?1"), [limit], sweep)
    }

    fn open_sweeps(&mut self, limit: u32) -> Result<Vec<StoredSweep>, StoreError> {
        self.list(&format!("{SWEEP} WHERE state IN ('asked', 'running') ORDER BY sweep LIMIT ?1"), [limit], sweep)
    }

    fn last_sweep(&mut self) -> Result<Option<StoredSweep>, StoreError> {
        let over = "state IN ('complete', 'partial', 'failed')";
        self.one(&format!("{SWEEP} WHERE {over} ORDER BY sweep DESC LIMIT 1"), [], sweep)
    }

    fn last_complete_sweep(&mut self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let last = self.one(
            &format!("SELECT started_at FROM suppressd_sweeps WHERE {WHOLE} ORDER BY sweep DESC LIMIT 1"),
            [],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        Ok(last.flatten().map(from_micros))
    }

    fn begin_sweep(&mut self, id: SweepId, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.execute(
            "UPDATE suppressd_sweeps SET state = 'running', started_at = ?2 WHERE sweep = ?1",
            params![id.0, micros(now)],
        )
        .map(drop)
    }

    fn tell_sweep(&mut self, id: SweepId, progress: &SweepProgress) -> Result<(), StoreError> {
        self.execute(
            "UPDATE suppressd_sweeps SET progress = ?2 WHERE sweep = ?1 AND state = 'running'",
            params![id.0, json(progress)?],
        )
        .map(drop)
    }

    fn end_sweep(&mut self, id: SweepId, report: &SweepReport) -> Result<(), StoreError> {
        self.execute(
            "UPDATE suppressd_sweeps SET state = ?2, completed_at = ?3, report = ?4, progress = NULL WHERE sweep = ?1",
            params![id.0, report.outcome.name(), micros(report.completed_at), json(report)?],
        )
        .map(drop)
    }

    fn give_back_sweep(&mut self, id: SweepId) -> Result<(), StoreError> {
        self.execute(
            "UPDATE suppressd_sweeps SET state = 'asked', started_at = NULL, progress = NULL WHERE sweep = ?1",
            [id.0],
        )?;
        self.execute("DELETE FROM suppressd_drift WHERE sweep = ?1", [id.0]).map(drop)
    }

    fn abandon_sweeps(&mut self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE suppressd_sweeps SET state = 'failed', completed_at = ?1 WHERE state = 'running'",
            [micros(now)],
        )
    }

    fn record_drift(&mut self, sweep: SweepId, drift: &[Drift]) -> Result<(), StoreError> {
        for found in drift {
            self.execute(
                "INSERT OR REPLACE INTO suppressd_drift (sweep, page_id, kind, canonical_key, since, found_at, told) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    sweep.0,
                    found.page.to_string(),
                    found.kind.name(),
                    found.key,
                    micros(found.since),
                    micros(found.found_at),
                    found.told.name(),
                ],
            )?;
        }
        Ok(())
    }

    fn judge_drift(&mut self, sweep: SweepId) -> Result<Vec<Drift>, StoreError> {
        self.list(&format!("{TOLD} {JUDGE}"), [sweep.0], drift)
    }

    fn drift(&mut self, sweep: SweepId, limit: u32) -> Result<Vec<Drift>, StoreError> {
        self.list(&format!("{DRIFT} WHERE sweep = ?1 ORDER BY page_id LIMIT ?2"), params![sweep.0, limit], drift)
    }

    fn drift_counts(&mut self, sweep: SweepId) -> Result<DriftCounts, StoreError> {
        let rows = self.list(
            "SELECT kind, told, count(*) FROM suppressd_drift WHERE sweep = ?1 GROUP BY kind, told",
            [sweep.0],
            |row| {
                let kind = parsed(row, 0, "kind of drift", DriftKind::from_name)?;
                Ok((kind, parsed(row, 1, "way of telling", Told::from_name)?, row.get(2)?))
            },
        )?;
        let mut counts = DriftCounts::none();
        for (kind, told, n) in rows {
            counts.add(kind, told, n);
        }
        Ok(counts)
    }

    fn drift_evidence(&mut self, sweep: SweepId, now: DateTime<Utc>) -> Result<Evidence, StoreError> {
        self.evidence(sweep, now)
    }

    fn last_report(&mut self) -> Result<Option<SweepReport>, StoreError> {
        let found = self.one(
            &format!(
                "{SWEEP} WHERE state IN ('complete', 'partial', 'failed') AND NOT dry_run AND report IS NOT NULL \
                 ORDER BY sweep DESC LIMIT 1"
            ),
            [],
            sweep,
        )?;
        Ok(found.and_then(|sweep| sweep.report))
    }

    fn set_watermark(&mut self, source: DataSourceId, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.execute(
            "UPDATE suppressd_sources SET watermark = ?2 WHERE source = ?1",
            params![source.to_string(), micros(at)],
        )
        .map(drop)
    }

    fn drop_watermark(&mut self, source: DataSourceId) -> Result<(), StoreError> {
        self.execute("UPDATE suppressd_sources SET watermark = NULL WHERE source = ?1", [source.to_string()]).map(drop)
    }

    fn listed(
        &mut self,
        source: DataSourceId,
        after: Option<PageId>,
        limit: u32,
    ) -> Result<Vec<ListedPage>, StoreError> {
        self.list(
            "SELECT page_id, observed_at, unfound_since FROM suppressd_pages \
             WHERE page_id > ?2 AND source = ?1 AND standing = 'listed' ORDER BY page_id LIMIT ?3",
            params![source.to_string(), after.map(|id| id.to_string()).unwrap_or_default(), limit],
            |row| {
                Ok(ListedPage {
                    id: parsed(row, 0, "page id", |text| text.parse().ok())?,
                    observed_at: from_micros(row.get(1)?),
                    unfound_since: row.get::<_, Option<i64>>(2)?.map(from_micros),
                })
            },
        )
    }

    fn count_listed(&mut self, source: DataSourceId) -> Result<u64, StoreError> {
        let count = self.one(
            "SELECT count(*) FROM suppressd_pages WHERE source = ?1 AND standing = 'listed'",
            [source.to_string()],
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0))
    }

    fn lost(
        &mut self,
        seen_before: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<CachedPage>, StoreError> {
        self.list(
            &format!(
                "SELECT {PAGE} FROM suppressd_pages AS page WHERE page.standing = 'listed' AND page.observed_at <= ?1 \
                 AND page.unfound_since IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM suppression_cache AS row \
                   WHERE row.notion_page_id = page.page_id AND row.expires_at > ?2) LIMIT ?3"
            ),
            params![micros(seen_before), isoformat(now), limit],
            |row| page(row, 0),
        )
    }

    fn renew_entries(&mut self, renewal: &Renewal, limit: u32) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE suppression_cache SET expires_at = ?3 WHERE id IN (SELECT row.id FROM suppression_cache AS row \
               JOIN suppressd_claims AS own \
                 ON own.canonical_key = row.canonical_key AND own.page_id = row.notion_page_id \
             WHERE row.expires_at > ?1 AND row.expires_at <= ?2 AND EXISTS \
               (SELECT 1 FROM suppressd_claims AS claim JOIN suppressd_pages AS page ON page.page_id = claim.page_id \
                 WHERE claim.canonical_key = row.canonical_key \
                   AND page.standing = 'listed' AND page.unfound_since IS NULL) LIMIT ?4)",
            params![isoformat(renewal.now), isoformat(renewal.expiring_until), isoformat(renewal.expires_at), limit],
        )
    }

    fn clean_unclaimed(&mut self, now: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        let (mut cleaned, mut after) = (0, i64::MIN);
        loop {
            let expired: Vec<(i64, Option<String>)> = self.list(
                "SELECT row.id, CASE typeof(row.expires_at) WHEN 'text' THEN row.expires_at END \
                 FROM suppression_cache AS row WHERE row.id > ?3 AND row.expires_at <= ?1 AND NOT EXISTS \
                   (SELECT 1 FROM suppressd_claims AS claim WHERE claim.canonical_key = row.canonical_key) \
                 ORDER BY row.id LIMIT ?2",
                params![isoformat(now), limit, after],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let Some((last, _)) = expired.last() else { return Ok(cleaned) };
            after = *last;
            // What nobody can read may be meant to count for ever. It does not keep others from being cleaned.
            for (id, expires_at) in expired {
                if expires_at.as_deref().and_then(from_isoformat).is_some_and(|at| at <= now) {
                    cleaned += self.execute("DELETE FROM suppression_cache WHERE id = ?1", [id])?;
                }
            }
            if cleaned >= limit.into() {
                return Ok(cleaned);
            }
        }
    }

    fn settle_parked(&mut self, source: DataSourceId, before: DateTime<Utc>) -> Result<u64, StoreError> {
        self.execute(
            &format!(
                "UPDATE suppressd_inbox SET state = 'settled', reason = 'a complete sweep has seen its page since' \
                 WHERE {PARKED} AND occurred_at < ?2 AND EXISTS \
                   (SELECT 1 FROM suppressd_pages AS page WHERE page.page_id = subject AND page.source = ?1 \
                    AND page.missing_since IS NULL)"
            ),
            params![source.to_string(), micros(before)],
        )
    }
}

impl SqliteRows<'_> {
    /// Drops old sweeps, and differences whose sweep is gone; the last complete sweep stays.
    pub(crate) fn prune_sweeps(&self, before: i64, limit: u32) -> Result<u64, StoreError> {
        let sweeps = self.execute(
            &format!(
                "DELETE FROM suppressd_sweeps WHERE sweep IN (SELECT sweep FROM suppressd_sweeps WHERE asked_at < ?1 AND \
                   state NOT IN ('asked', 'running') AND sweep < (SELECT max(sweep) FROM suppressd_sweeps WHERE {WHOLE}) \
                 ORDER BY sweep LIMIT ?2)"
            ),
            params![before, limit],
        )?;
        let drift = self.execute(
            "DELETE FROM suppressd_drift WHERE (sweep, page_id) IN (SELECT sweep, page_id FROM suppressd_drift \
               WHERE sweep < coalesce((SELECT min(sweep) FROM suppressd_sweeps), 0) LIMIT ?1)",
            [limit],
        )?;
        Ok(sweeps + drift)
    }
}

fn sweep(row: &Row<'_>) -> rusqlite::Result<StoredSweep> {
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(from_micros));
    Ok(StoredSweep {
        id: SweepId(row.get(0)?),
        asked_at: from_micros(row.get(1)?),
        // What nobody can read must not keep every later sweep from beginning.
        order: lenient(row, 2)?.unwrap_or(SweepOrder::by(AskedBy::Command)),
        state: parsed(row, 3, "state", SweepState::from_name)?,
        started_at: time(4)?,
        completed_at: time(5)?,
        progress: lenient(row, 6)?,
        report: lenient(row, 7)?,
    })
}

/// Reads JSON; nothing where there is none, or none of this kind.
fn lenient<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    Ok(row.get_ref(column)?.as_str().ok().and_then(|json| serde_json::from_str(json).ok()))
}

fn drift(row: &Row<'_>) -> rusqlite::Result<Drift> {
    let told = parsed(row, 5, "way of telling", Told::from_name)?;
    Ok(Drift {
        page: parsed(row, 0, "page id", |text| text.parse().ok())?,
        kind: parsed(row, 1, "kind of drift", DriftKind::from_name)?,
        key: row.get(2)?,
        since: from_micros(row.get(3)?),
        found_at: from_micros(row.get(4)?),
        told,
        class: told.class(),
    })
}
