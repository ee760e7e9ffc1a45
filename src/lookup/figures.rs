//! How it stands, for those who watch it: what the store says of each series.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    lookup::status::last_backup,
    metrics::state::{
        ENTRIES, ENTRIES_EXPIRED, ENTRIES_EXPIRED_CLEANED, ENTRIES_SYNCED, ENTRIES_WITHOUT_CANONICAL_KEY, EVENTS,
        FILTER_ON, FRESHNESS_SECONDS, KEYS_CONTESTED, LAST_BACKUP_TIMESTAMP_SECONDS,
        LAST_EVENT_RECEIVED_TIMESTAMP_SECONDS, LAST_SUCCESSFUL_SYNC_TIMESTAMP_SECONDS, LAST_SWEEP_DRIFT,
        LAST_SWEEP_DRIFT_TOLD, LAST_SWEEP_OUTCOME, PAGES, PAGES_MISSING, QUEUE_DEPTH, QUEUE_OLDEST_AGE_SECONDS,
        Reading, SUBSCRIPTION_SUSPECT, SYNC_DURATION_SECONDS,
    },
    model::{
        id::{DataSourceId, TableId},
        key::{Prefix, Strength},
        sweep::{DriftKind, SweepState, Told},
    },
    sources::filter,
    store::{EndedSweep, Rows, StoreError, StoredSource},
};

/// What stands for the source of rows that another program wrote, or whose source left the settings.
const NO_SOURCE: &str = "none";

/// What the sources of the settings are called.
#[derive(Debug, Clone, Default)]
pub struct SourceNames(pub Vec<(String, TableId)>);

impl SourceNames {
    /// Returns what a stored source is called: where the settings do not name it, by its id; nothing once it left them.
    fn of(&self, stored: &StoredSource) -> Option<String> {
        let named = self.0.iter().find(|(_, table)| match table {
            TableId::DataSource(id) => *id == stored.id,
            TableId::Database(id) => Some(*id) == stored.database,
        });
        if stored.retired_at.is_some() {
            return None;
        }
        Some(named.map_or_else(|| stored.id.to_string(), |(name, _)| name.clone()))
    }

    /// Returns what each stored source is called that counts.
    fn by_id(&self, stored: &[StoredSource]) -> BTreeMap<DataSourceId, String> {
        stored.iter().filter_map(|stored| Some((stored.id, self.of(stored)?))).collect()
    }
}

/// Reads what takes a few rows only.
pub(super) fn at_once(rows: &mut dyn Rows, names: &SourceNames, now: DateTime<Utc>) -> Result<Reading, StoreError> {
    let mut reading = Reading::default();
    let last_received = rows.last_received()?;
    reading.set(&LAST_EVENT_RECEIVED_TIMESTAMP_SECONDS, [], timestamp(last_received));
    let waits_since = rows.oldest_waiting()?;
    reading.set(&QUEUE_OLDEST_AGE_SECONDS, [], waits_since.map_or(0.0, |since| age(since, now)));
    let stored = rows.sources()?;
    let standing = filter::standing(rows)?;
    for (name, _) in &names.0 {
        reading.set(&FRESHNESS_SECONDS, [name], f64::INFINITY);
        reading.whether(&FILTER_ON, [name], false);
    }
    for source in &stored {
        let Some(name) = names.of(source) else { continue };
        let proven = source.watermark.map_or(f64::INFINITY, |watermark| age(watermark, now));
        reading.set(&FRESHNESS_SECONDS, [&name], proven);
        let is_on = standing.get(&source.id).is_some_and(|stands| stands.wrong.is_none() && stands.unused.is_none());
        reading.whether(&FILTER_ON, [&name], is_on);
    }
    last_sweep(rows.last_real_sweep()?.as_ref(), &mut reading);
    reading.set(&LAST_SUCCESSFUL_SYNC_TIMESTAMP_SECONDS, [], timestamp(rows.last_complete_sweep_ended()?));
    if let Some(backup) = last_backup(rows)? {
        reading.set(&LAST_BACKUP_TIMESTAMP_SECONDS, [], timestamp(Some(backup.at)));
    }
    Ok(reading)
}

/// Reads what goes through whole tables.
pub(super) fn counted(rows: &mut dyn Rows, names: &SourceNames, now: DateTime<Utc>) -> Result<Reading, StoreError> {
    let mut reading = Reading::default();
    let tally = rows.tally()?;
    for (state, events) in tally.by_state {
        reading.count(&EVENTS, [state.name()], events);
    }
    reading.count(&QUEUE_DEPTH, [], tally.subjects_waiting);
    let by_id = names.by_id(&rows.sources()?);
    for name in names.0.iter().map(|(name, _)| name).chain(by_id.values()) {
        reading.count(&PAGES, [name], 0);
        reading.count(&ENTRIES_WITHOUT_CANONICAL_KEY, [name], 0);
        for strength in [Strength::Strong, Strength::Weak] {
            reading.count(&ENTRIES, [name, strength.name()], 0);
        }
    }
    let name = |source: Option<DataSourceId>| source.and_then(|id| by_id.get(&id)).map_or(NO_SOURCE, String::as_str);
    let census = rows.census(now)?;
    reading.count(&PAGES_MISSING, [], 0);
    for pages in census.pages {
        reading.add(&PAGES, [name(Some(pages.source))], pages.listed);
        reading.add(&ENTRIES_WITHOUT_CANONICAL_KEY, [name(Some(pages.source))], pages.without_key);
        reading.add(&PAGES_MISSING, [], pages.missing);
    }
    for entries in census.entries {
        let strength = Prefix::from_name(&entries.prefix).strength();
        reading.add(&ENTRIES, [name(entries.source), strength.name()], entries.rows);
    }
    reading.count(&ENTRIES_EXPIRED, [], census.entries_expired);
    reading.count(&KEYS_CONTESTED, [], census.keys_contested);
    Ok(reading)
}

fn last_sweep(last: Option<&EndedSweep>, reading: &mut Reading) {
    let ended_as = |outcome| last.is_some_and(|last| last.outcome == outcome);
    for outcome in [SweepState::Complete, SweepState::Partial, SweepState::Failed] {
        reading.whether(&LAST_SWEEP_OUTCOME, [outcome.name()], ended_as(outcome));
    }
    let report = last.and_then(|last| last.report.as_ref());
    reading.set(&SYNC_DURATION_SECONDS, [], report.map_or(0.0, |report| report.duration_seconds));
    reading.count(&ENTRIES_SYNCED, [], report.map_or(0, |report| report.counts.entries_synced));
    reading.count(&ENTRIES_EXPIRED_CLEANED, [], report.map_or(0, |report| report.counts.entries_expired_cleaned));
    let drift = report.map(|report| &report.drift);
    for kind in DriftKind::ALL {
        let found = drift.and_then(|drift| drift.by_kind.get(&kind)).copied();
        reading.count(&LAST_SWEEP_DRIFT, [kind.name()], found.unwrap_or(0));
    }
    for told in Told::ALL {
        let found = drift.and_then(|drift| drift.told.get(&told)).copied();
        reading.count(&LAST_SWEEP_DRIFT_TOLD, [told.name()], found.unwrap_or(0));
    }
    let diagnosis = report.and_then(|report| report.diagnosis.as_ref());
    reading.whether(&SUBSCRIPTION_SUSPECT, [], diagnosis.is_some_and(|diagnosis| diagnosis.subscription_suspect));
}

/// Returns seconds since 1970; 0 for never.
fn timestamp(at: Option<DateTime<Utc>>) -> f64 {
    at.map_or(0.0, |at| seconds(at.timestamp_millis()))
}

fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    seconds((now - since).num_milliseconds().max(0))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 280,000 years")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}
