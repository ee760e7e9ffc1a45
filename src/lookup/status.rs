//! How it stands, on one screen: events, queue, cache, sweep, budget.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::lookup::source_status::{FilterState, Source, SourceEntries, SourceSweep, Trouble};
use crate::{
    lookup::{
        Lookup,
        listing::ListedSweep,
        reloaded::{self, Reloaded},
        source_status,
        sweeps::OPEN_MAX,
    },
    model::{id::DataSourceId, sweep::SweepState},
    sources::filter::{self, Stands},
    store::{CacheTally, EventState, Rows, Store, StoreError, StoredSweep, Tally},
};

/// The fact under which a running `serve` says how it is.
pub const RUNNING: &str = "running";

/// The fact under which a running `serve` says when its next daily sweep is due; empty where none ever is.
pub const NEXT_SWEEP: &str = "next_sweep";

/// The fact that says when the last backup was made, and where.
pub const LAST_BACKUP: &str = "last_backup";

/// A `serve` says how it stands every five seconds; one that has not for this long is not running.
const SILENT_AFTER: TimeDelta = TimeDelta::seconds(20);

/// How it stands.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Status {
    /// When this was asked.
    pub at: DateTime<Utc>,
    /// The running `serve`, as it last said of itself; `None` where none ever ran.
    pub running: Option<Running>,
    /// What came of the last SIGHUP; `None` where none came since the start.
    pub settings: Option<Reloaded>,
    /// The inbox.
    pub events: Events,
    /// What needs no look.
    pub relevance: Relevance,
    /// The cache.
    pub cache: Cache,
    /// Each source.
    pub sources: Vec<Source>,
    /// The sweep that runs, or else the one that waits to; `None` where there is neither.
    pub running_sweep: Option<ListedSweep>,
    /// The last sweep that ended, however it did; `None` where none ever has.
    pub last_sweep: Option<ListedSweep>,
    /// What the differences mean that the last sweep found which was no dry run, and what to do.
    pub diagnosis: Option<String>,
    /// Whether that sweep says that the subscription in Notion is probably paused, gone, or without a kind of event.
    pub subscription_suspect: bool,
    /// When the last complete sweep of all sources began that was no dry run.
    pub last_complete_sweep_at: Option<DateTime<Utc>>,
    /// When a running `serve` makes its next daily sweep.
    pub next_sweep_at: Option<DateTime<Utc>>,
    /// The last backup that the database knows of.
    pub last_backup: Option<LastBackup>,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastBackup {
    /// When it was begun.
    pub at: DateTime<Utc>,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The digest of what its cache says.
    pub digest: String,
}

/// What a running `serve` says of itself every few seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Running {
    /// When it said so.
    pub at: DateTime<Utc>,
    /// Whether it was stopped then, in good order.
    #[serde(default)]
    pub stopped: bool,
    /// Its process.
    pub pid: u32,
    /// Subjects in its queue.
    pub queue: usize,
    /// Subjects that it looks at.
    pub looks: usize,
    /// The budget of each token, in the order of the sources.
    pub budgets: Vec<serde_json::Value>,
    /// What is wrong with its parts, by their names; empty where all is well.
    pub problems: BTreeMap<String, String>,
    /// What a person has to mend before a source can be read again, by the name of the source.
    #[serde(default)]
    pub sources: BTreeMap<String, Trouble>,
}

impl Running {
    /// Returns whether it still runs, as far as it was heard of.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        !self.stopped && now - self.at <= SILENT_AFTER
    }
}

/// The inbox in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Events {
    /// When the newest event was received.
    pub last_received_at: Option<DateTime<Utc>>,
    /// For how many seconds the oldest waiting event has waited; 0 where none waits.
    pub lag_seconds: i64,
    /// Pages and tables that wait to be looked at.
    pub subjects_waiting: u64,
    /// Events by state.
    pub by_state: BTreeMap<&'static str, u64>,
}

/// How the relevance filter stands: it skips edits that touched no property on which a row depends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Relevance {
    /// Whether it is used: off where it is off for some source.
    pub filter: FilterState,
    /// Why it is off or unused.
    pub because: Option<String>,
    /// Skipped events that are kept.
    pub skipped: u64,
    /// Skipped events that are kept and were, or will be, looked at all the same.
    pub sampled: u64,
}

/// The cache in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cache {
    /// Published rows.
    pub entries: u64,
    /// Published rows that have expired.
    pub entries_expired: u64,
    /// Published rows that another program wrote.
    pub entries_of_others: u64,
    /// Pages of the CRM.
    pub pages: u64,
    /// Pages of the CRM that give no key.
    pub pages_without_key: u64,
    /// Pages for which Notion answers 404.
    pub pages_missing: u64,
    /// Keys that several pages claim.
    pub keys_contested: u64,
}

impl<S: Store> Lookup<S> {
    /// Returns what a running `serve` last said of itself; `None` where none ever ran.
    pub async fn running(&self) -> Result<Option<Running>, StoreError> {
        self.store().read(running).await
    }

    /// Says how it stands.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let (at, configured) = (self.clock.now(), Arc::clone(&self.configured));
        self.store()
            .read(move |rows| {
                let tally = rows.tally()?;
                let stored = rows.sources()?;
                let mut standing = filter::standing(rows)?;
                let diagnosis = rows.last_report()?.and_then(|report| report.diagnosis);
                let is_current = |id| stored.iter().any(|source| source.id == id && source.retired_at.is_none());
                standing.retain(|id, _| is_current(*id));
                let running = running(rows)?;
                let sources = {
                    let alive = running.as_ref().filter(|running| running.is_alive(at));
                    let troubles = alive.map(|running| running.sources.clone()).unwrap_or_default();
                    source_status::of(rows, &configured, stored, (&standing, &troubles), at)?
                };
                Ok(Status {
                    at,
                    running,
                    settings: reloaded::last(rows)?,
                    relevance: relevance(&standing, &tally),
                    events: events(tally, at),
                    cache: cache(rows.cache_tally(at)?),
                    sources,
                    running_sweep: running_sweep(rows.open_sweeps(OPEN_MAX)?),
                    last_sweep: rows.last_sweep()?.map(ListedSweep::from),
                    subscription_suspect: diagnosis.as_ref().is_some_and(|it| it.subscription_suspect),
                    diagnosis: diagnosis.map(|it| it.sentence),
                    last_complete_sweep_at: rows.last_complete_sweep()?,
                    next_sweep_at: rows.fact(NEXT_SWEEP)?.and_then(|at| at.parse().ok()),
                    last_backup: last_backup(rows)?,
                })
            })
            .await
    }
}

fn running(rows: &mut dyn Rows) -> Result<Option<Running>, StoreError> {
    Ok(rows.fact(RUNNING)?.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Returns the last backup that the database knows of.
pub(super) fn last_backup(rows: &mut dyn Rows) -> Result<Option<LastBackup>, StoreError> {
    Ok(rows.fact(LAST_BACKUP)?.and_then(|json| serde_json::from_str(&json).ok()))
}

fn running_sweep(open: Vec<StoredSweep>) -> Option<ListedSweep> {
    // It was asked for first, so that it began first.
    let running = open.iter().position(|sweep| sweep.state == SweepState::Running).unwrap_or(0);
    open.into_iter().nth(running).map(ListedSweep::from)
}

fn events(tally: Tally, at: DateTime<Utc>) -> Events {
    Events {
        last_received_at: tally.last_received_at,
        lag_seconds: tally.oldest_waiting_at.map_or(0, |since| (at - since).num_seconds().max(0)),
        subjects_waiting: tally.subjects_waiting,
        by_state: tally.by_state.into_iter().map(|(state, count)| (state.name(), count)).collect(),
    }
}

fn relevance(standing: &BTreeMap<DataSourceId, Stands>, tally: &Tally) -> Relevance {
    let wrong = standing.iter().find_map(|(source, stands)| Some((source, stands.wrong.as_ref()?)));
    let unused = standing.iter().find_map(|(source, stands)| Some((source, stands.unused.as_ref()?)));
    let is_on = standing.values().any(|stands| stands.wrong.is_none() && stands.unused.is_none());
    let (filter, because) = match (wrong, unused) {
        (Some((source, wrong)), _) => (FilterState::Off, Some(format!("source {source}: {}", wrong.told()))),
        (None, Some((source, why))) => {
            (if is_on { FilterState::On } else { FilterState::Unused }, Some(format!("not for source {source}: {why}")))
        }
        (None, None) if is_on => (FilterState::On, None),
        (None, None) => (FilterState::Unused, Some("no schema has been read yet".to_owned())),
    };
    let skipped = tally.by_state.iter().find(|(state, _)| *state == EventState::Skipped).map_or(0, |(_, count)| *count);
    Relevance { filter, because, skipped, sampled: tally.sampled }
}

const fn cache(tally: CacheTally) -> Cache {
    Cache {
        entries: tally.entries,
        entries_expired: tally.expired,
        entries_of_others: tally.foreign,
        pages: tally.pages_listed,
        pages_without_key: tally.pages_without_key,
        pages_missing: tally.pages_missing,
        keys_contested: tally.keys_contested,
    }
}
