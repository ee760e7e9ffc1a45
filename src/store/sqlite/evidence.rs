//! What the differences of a sweep and the events of the inbox say of each other.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    model::sweep::{
        DriftKind, SweepId,
        diagnosis::{Evidence, Heard},
    },
    store::{
        StoreError, SweepRows as _,
        sqlite::{
            SqliteRows,
            events::parsed,
            time::{from_micros, micros},
        },
    },
};

impl SqliteRows<'_> {
    /// Puts together what is known of the differences of a judged sweep.
    pub(super) fn evidence(&mut self, sweep: SweepId, now: DateTime<Utc>) -> Result<Evidence, StoreError> {
        let since = self.last_complete_sweep()?.unwrap_or_default();
        let untold = self.list(
            "SELECT kind, since FROM suppressd_drift WHERE sweep = ?1 AND told = 'never'",
            [sweep.0],
            |row| Ok((parsed(row, 0, "kind of drift", DriftKind::from_name)?, from_micros(row.get(1)?))),
        )?;
        // Once a sweep, and only where it found a difference: the kinds stand before the bodies in each row.
        let heard = self.list(
            "SELECT kind, max(received_at), total(received_at >= ?1) FROM suppressd_inbox \
             WHERE door = 'webhook' AND state <> 'unreadable' AND kind <> 'suppressd.doctor' GROUP BY kind",
            [micros(since)],
            |row| {
                let came = row.get::<_, f64>(2)?;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
                let since = came as u64;
                Ok((row.get(0)?, Heard { last: from_micros(row.get(1)?), since }))
            },
        )?;
        let lag = self.lag(
            "SELECT CAST(avg(received_at - occurred_at) AS INTEGER) FROM suppressd_inbox \
             WHERE door = 'webhook' AND state <> 'unreadable' AND received_at >= ?1",
            micros(since),
        )?;
        let late_by = self.lag(
            "SELECT CAST(avg(event.received_at - event.occurred_at) AS INTEGER) FROM suppressd_drift AS drift \
             JOIN suppressd_inbox AS event ON event.subject = drift.page_id \
             WHERE drift.sweep = ?1 AND drift.told = 'late' AND event.occurred_at >= drift.since \
               AND event.received_at > drift.found_at",
            sweep.0,
        )?;
        let told = self.drift_counts(sweep)?.told;
        Ok(Evidence { at: now, since, told, untold, heard: heard.into_iter().collect(), lag, late_by })
    }

    /// Reads a span of time, where there is one.
    fn lag(&self, sql: &str, of: i64) -> Result<Option<TimeDelta>, StoreError> {
        let lag = self.one(sql, [of], |row| row.get::<_, Option<i64>>(0))?;
        Ok(lag.flatten().map(TimeDelta::microseconds))
    }
}
