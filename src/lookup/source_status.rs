//! How each source stands: what the cache holds of it, how far it is proven, and what is wrong with it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        id::{DataSourceId, TableId},
        page::Schema,
        sweep::{SourceReport, SweepState},
    },
    sources::filter::Stands,
    store::{Rows, SourceTally, StoreError, StoredSource, StoredSweep},
};

/// As many past sweeps are looked through for the last one of a source.
const SWEEPS_LOOKED_THROUGH: u32 = 50;

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// What the settings call it; `None` where nobody has told the database yet.
    pub name: Option<String>,
    /// Its data source; `None` where its schema was never read.
    pub id: Option<String>,
    /// The database or data source that the settings name; `None` where whoever asks has no settings for it.
    pub table: Option<String>,
    /// What Notion calls the table.
    pub title: Option<String>,
    /// When its schema was read.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Since when it is not in the settings any more: its rows count until they expire.
    pub retired_at: Option<DateTime<Utc>>,
    /// Published rows of it.
    pub entries: SourceEntries,
    /// Its pages.
    pub pages: u64,
    /// Those of them that give no key.
    pub pages_without_key: u64,
    /// Those of them for which Notion answers 404.
    pub pages_missing: u64,
    /// When one of its pages was last seen and written down; sweeps do not write down each page that is unchanged.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The instant up to which a complete sweep has proven every row.
    pub watermark: Option<DateTime<Utc>>,
    /// For how many seconds that is past.
    pub watermark_age_seconds: Option<i64>,
    /// The last sweep that came to it and was no dry run, among the last fifty sweeps.
    pub last_sweep: Option<SourceSweep>,
    /// What a person has to mend before it can be read again, as the running `serve` says.
    pub problem: Option<Trouble>,
    /// Whether the relevance filter is used for it.
    pub filter: FilterState,
    /// Why it is off or unused.
    pub filter_because: Option<String>,
}

/// Published rows, by the strength of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceEntries {
    /// With a strong key.
    pub strong: u64,
    /// With a weak one.
    pub weak: u64,
}

/// What a sweep made of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceSweep {
    /// The number of the sweep.
    pub sweep: i64,
    /// How it ended for this source.
    pub outcome: SweepState,
    /// When the sweep ended.
    pub completed_at: DateTime<Utc>,
    /// Pages that it showed.
    pub pages: u64,
    /// Why it was not complete.
    pub error: Option<String>,
}

/// What a person has to mend before a source can be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What it is.
    pub what: String,
    /// Whether Notion refuses its token.
    pub is_refused: bool,
}

/// Whether the relevance filter is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterState {
    /// It skips.
    On,
    /// It was wrong for some source, which is read without it until its mapping changes.
    Off,
    /// It cannot be used.
    Unused,
}

/// Lists the sources: those of the settings in their order, and whatever else the database knows and has rows of.
pub(super) fn of(
    rows: &mut dyn Rows,
    configured: &[(String, TableId)],
    stored: Vec<StoredSource>,
    (filters, troubles): (&BTreeMap<DataSourceId, Stands>, &BTreeMap<String, Trouble>),
    now: DateTime<Utc>,
) -> Result<Vec<Source>, StoreError> {
    let tallies = rows.source_tallies()?;
    let sweeps = rows.sweeps(SWEEPS_LOOKED_THROUGH)?;
    let mut left: Vec<Option<StoredSource>> = stored.into_iter().map(Some).collect();
    let mut sources = Vec::new();
    for (name, table) in configured {
        let is_it = |stored: &StoredSource| stored.retired_at.is_none() && table.is_of(stored.id, stored.database);
        let found = left.iter_mut().filter(|stored| stored.as_ref().is_some_and(is_it));
        // A database can have had another data source before.
        let found = found.max_by_key(|stored| stored.as_ref().map(|stored| stored.resolved_at));
        let stored = found.and_then(Option::take);
        sources.push(Known { name: Some(name), table: Some(*table), stored: stored.as_ref() }.tell(
            (&tallies, &sweeps),
            (filters, troubles),
            now,
        ));
    }
    for stored in left.iter().flatten() {
        let source = Known { name: stored.name.as_deref(), table: None, stored: Some(stored) };
        let source = source.tell((&tallies, &sweeps), (filters, troubles), now);
        if source.retired_at.is_none() || source.entries.strong + source.entries.weak > 0 {
            sources.push(source);
        }
    }
    Ok(sources)
}

/// What is known of a source, from the settings and from the store.
struct Known<'k> {
    name: Option<&'k str>,
    table: Option<TableId>,
    stored: Option<&'k StoredSource>,
}

impl Known<'_> {
    fn tell(
        &self,
        (tallies, sweeps): (&[SourceTally], &[StoredSweep]),
        (filters, troubles): (&BTreeMap<DataSourceId, Stands>, &BTreeMap<String, Trouble>),
        now: DateTime<Utc>,
    ) -> Source {
        let id = self.stored.map(|stored| stored.id);
        let tally = tallies.iter().find(|tally| Some(tally.id) == id);
        let count = |count: fn(&SourceTally) -> u64| tally.map_or(0, count);
        let schema: Option<Schema> = self.stored.and_then(|stored| serde_json::from_str(&stored.schema).ok());
        let watermark = self.stored.and_then(|stored| stored.watermark);
        let (filter, filter_because) = filter(id.and_then(|id| filters.get(&id)));
        Source {
            name: self.name.map(str::to_owned),
            id: id.map(|id| id.to_string()),
            table: self.table.map(|table| match table {
                TableId::DataSource(id) => id.to_string(),
                TableId::Database(id) => id.to_string(),
            }),
            title: schema.map(|schema| schema.title).filter(|title| !title.is_empty()),
            resolved_at: self.stored.map(|stored| stored.resolved_at),
            retired_at: self.stored.and_then(|stored| stored.retired_at),
            entries: SourceEntries { strong: count(|it| it.entries_strong), weak: count(|it| it.entries_weak) },
            pages: count(|it| it.pages),
            pages_without_key: count(|it| it.pages_without_key),
            pages_missing: count(|it| it.pages_missing),
            last_seen_at: tally.and_then(|tally| tally.last_seen_at),
            watermark,
            watermark_age_seconds: watermark.map(|at| (now - at).num_seconds()),
            last_sweep: sweeps.iter().find_map(|sweep| self.swept(sweep)),
            problem: self.name.and_then(|name| troubles.get(name)).cloned(),
            filter,
            filter_because,
        }
    }

    /// Returns what a sweep made of it, if it came to it.
    fn swept(&self, sweep: &StoredSweep) -> Option<SourceSweep> {
        let report = sweep.report.as_ref().filter(|report| !report.dry_run)?;
        let id = self.stored.map(|stored| stored.id);
        // What could not even be read is only known by its name.
        let is_it = |of: &&SourceReport| match of.data_source {
            Some(found) => Some(found) == id,
            None => Some(of.name.as_str()) == self.name,
        };
        let found = report.sources.iter().find(is_it)?;
        Some(SourceSweep {
            sweep: sweep.id.0,
            outcome: found.outcome,
            completed_at: report.completed_at,
            pages: found.pages,
            error: found.error.clone(),
        })
    }
}

fn filter(stands: Option<&Stands>) -> (FilterState, Option<String>) {
    match stands {
        None => (FilterState::Unused, Some("its schema has not been read yet".to_owned())),
        Some(Stands { wrong: Some(wrong), .. }) => (FilterState::Off, Some(wrong.told())),
        Some(Stands { unused: Some(why), .. }) => (FilterState::Unused, Some(why.clone())),
        Some(_) => (FilterState::On, None),
    }
}
