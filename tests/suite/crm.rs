//! A cache with a CRM of two tables in it, filled through the code that every door uses, and asked through the lookup.

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{
        Rules,
        mapping::{self, Names},
        winner::HardStatuses,
    },
    lookup::{Lookup, LookupSettings},
    model::{
        entry::{Cause, Door, Standing},
        id::DataSourceId,
        page::{Role, Schema, SchemaProperty, Value, Values, View},
        sighting::Sighting,
    },
    store::{Rows, Store as _, StoreError, StoredSource, sqlite::SqliteStore},
};
use tempfile::TempDir;

use crate::{
    pipeline::connect,
    stage::{OTHER_SOURCE, SOURCE, page_id, start},
};

/// How long rows count.
pub(crate) const TTL: TimeDelta = TimeDelta::days(7);

/// The options of the status in the first table.
pub(crate) const OPTIONS: [&str; 3] = ["Sourced", "Passed", "Lost"];

/// The first table has a status with [`OPTIONS`]; the second one has none.
#[derive(Debug)]
pub(crate) struct Crm {
    folder: TempDir,
    pub(crate) store: SqliteStore,
    cache: Cache,
}

/// A page as it is seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) page: u128,
    pub(crate) source: DataSourceId,
    pub(crate) standing: Standing,
    /// The minute of its last edit.
    pub(crate) edited: i64,
    pub(crate) values: Vec<(Role, String)>,
}

/// Page `n` of the first table, which says this.
pub(crate) fn seen(n: u128, values: &[(Role, &str)]) -> Seen {
    let values = values.iter().map(|(role, text)| (*role, (*text).to_owned())).collect();
    Seen { page: n, source: SOURCE, standing: Standing::Listed, edited: 0, values }
}

pub(crate) fn by(door: Door, id: &str) -> Cause {
    Cause { door, id: id.to_owned() }
}

impl Crm {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let settings = CacheSettings { ttl: TTL, index_lag: TimeDelta::seconds(60), rules: Rules::default() };
        let crm = Self { folder, store, cache: Cache::new(settings) };
        crm.table(SOURCE, &[("Status", "select", &OPTIONS)], &["Passed", "Lost"]).await;
        crm.table(OTHER_SOURCE, &[], &["Passed", "Lost"]).await;
        crm
    }

    /// Stores a table that has these properties beside a title and a few texts.
    pub(crate) async fn table(&self, id: DataSourceId, more: &[(&str, &str, &[&str])], hard: &[&str]) {
        let texts =
            ["Website", "Canonical Key", "Companies House Number"].map(|name| (name, "rich_text", [].as_slice()));
        let title = ("Company Name", "title", [].as_slice());
        let properties = [title].into_iter().chain(texts).chain(more.iter().copied());
        let schema = Schema {
            data_source: id,
            database: None,
            title: "Companies".to_owned(),
            unmapped: Vec::new(),
            properties: properties
                .map(|(name, kind, options)| SchemaProperty {
                    id: name.to_owned(),
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                    options: options.iter().map(|option| (*option).to_owned()).collect(),
                })
                .collect(),
        };
        let mapping = mapping::resolve(&schema, &Names::default(), None).unwrap().mapping;
        let hard = HardStatuses::new(hard);
        let source = StoredSource {
            id,
            name: None,
            database: None,
            schema: serde_json::to_string(&schema).unwrap(),
            mapping: serde_json::to_string(&mapping).unwrap(),
            hard: serde_json::to_string(&hard).unwrap(),
            resolved_at: start(),
            watermark: None,
            retired_at: None,
        };
        self.cache.learn(id, hard);
        self.rows(move |rows| rows.put_source(&source)).await;
    }

    pub(crate) async fn rows<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    /// The cache does something with its rows.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache, &mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let cache = self.cache.clone();
        self.rows(move |rows| work(&cache, rows)).await
    }

    /// A page is seen live, at an instant.
    pub(crate) async fn see(&self, seen: Seen, cause: Cause, at: DateTime<Utc>) {
        let mut values = Values::default();
        for (role, text) in &seen.values {
            values.set(*role, Value::text(text));
        }
        let sighting = Sighting {
            page: page_id(seen.page),
            source: seen.source,
            standing: seen.standing,
            last_edited_time: start() + TimeDelta::minutes(seen.edited),
            observed_at: at,
            view: View::Page,
            url: Some(format!("https://app.notion.com/p/{}", seen.page)),
            values,
        };
        self.with(move |cache, rows| cache.apply(rows, &sighting, &cause, at)).await;
    }

    /// Pages are seen at the start.
    pub(crate) async fn see_all(&self, all: impl IntoIterator<Item = Seen>) {
        for seen in all {
            self.see(seen, by(Door::Sweep, "1"), start()).await;
        }
    }

    /// The lookup, at an instant.
    pub(crate) fn lookup(&self, at: DateTime<Utc>) -> Lookup<SqliteStore> {
        let (clock, _hands) = Clock::with_hands(at);
        let settings = LookupSettings { max_age: TTL, rules: Rules::default(), tables: Vec::new() };
        Lookup::new(self.store.clone(), clock, settings)
    }

    pub(crate) fn sql(&self, sql: &str) {
        connect(&self.folder.path().join("cache.db")).execute_batch(sql).unwrap();
    }
}
