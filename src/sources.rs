//! The configured sources: which data source each is, and which of its properties plays which role.
//!
//! What was read last is kept in the store, so that a start while Notion cannot be reached goes on with it, and so
//! that a property which was renamed meanwhile is still known by its id.

pub mod error;
mod gate;

use std::{
    cmp::Reverse,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};

use crate::{
    derive::{
        self,
        mapping::{self, Mapping, Names, Note},
        winner::HardStatuses,
    },
    model::{
        entry::Standing,
        id::{DataSourceId, DatabaseId, PageId, TableId},
        page::{Page, Parent, Schema, Snapshot},
        sighting::Sighting,
    },
    notion::{Notion, NotionError, Priority, Query, QueryPage},
    sources::{error::AskError, gate::Gate},
    store::{Store, StoreError, StoredSource},
};

/// What the settings say of a source.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name, for people.
    pub name: String,
    /// Where it is.
    pub table: TableId,
    /// What its properties are called.
    pub names: Names,
    /// Which of its statuses are hard.
    pub hard: HardStatuses,
}

/// All configured sources. Cheap to clone.
#[derive(Debug)]
pub struct Sources<N> {
    all: Arc<[Source<N>]>,
}

impl<N> Clone for Sources<N> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all) }
    }
}

/// One source, with the way to ask Notion about it.
#[derive(Debug)]
pub struct Source<N> {
    settings: SourceSettings,
    notion: N,
    table: RwLock<Option<Arc<Resolved>>>,
    gate: Gate,
}

/// What is known of a source since its schema was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its data source.
    pub data_source: DataSourceId,
    /// The database that holds it.
    pub database: Option<DatabaseId>,
    /// Which property plays which role.
    pub mapping: Mapping,
    /// Which of its statuses are hard.
    pub hard: HardStatuses,
}

impl<N: Notion> Sources<N> {
    /// Takes the sources of the settings, each with the client that asks with its token.
    pub fn new(sources: impl IntoIterator<Item = (SourceSettings, N)>) -> Self {
        let all = sources
            .into_iter()
            .map(|(settings, notion)| {
                let gate = Gate::of(&settings.name);
                Source { settings, notion, table: RwLock::default(), gate }
            })
            .collect();
        Self { all }
    }

    /// Lists what is known of the sources by now.
    pub fn resolved(&self) -> Vec<Arc<Resolved>> {
        self.all.iter().filter_map(Source::resolved).collect()
    }

    /// Returns what a person has to mend before all sources can be read again: the first problem of all.
    pub fn problem(&self) -> Option<String> {
        self.all.iter().find_map(|source| source.gate.problem())
    }

    /// Takes over what an earlier run stored; returns whether every source is known.
    pub async fn recall<S: Store>(&self, store: &S) -> Result<bool, StoreError> {
        let mut stored = store.read(|rows| rows.sources()).await?;
        // A database can have had another data source before.
        stored.sort_by_key(|stored| Reverse(stored.resolved_at));
        for source in self.all.iter() {
            let known = stored.iter().find_map(|stored| source.recognise(stored));
            if let Some(known) = known {
                source.know(known);
            }
        }
        Ok(self.resolved().len() == self.all.len())
    }

    /// Reads the schemas from Notion and stores what they say. One source that fails does not keep the others from that.
    pub async fn resolve<S: Store>(&self, store: &S, now: DateTime<Utc>) -> Result<(), AskError> {
        let mut outcome = Ok(());
        for source in self.all.iter() {
            let resolved = source.resolve(store, now).await;
            source.gate.note(&resolved);
            outcome = outcome.and(resolved);
        }
        outcome
    }

    /// Retrieves a page with the token of the source that is known to hold it, else with each until one sees it.
    ///
    /// A token that cannot ask now does not keep others from it; but that nobody sees a page is only known when all asked.
    pub async fn page(
        &self,
        id: PageId,
        known_in: Option<DataSourceId>,
        now: DateTime<Utc>,
        priority: Priority,
    ) -> Result<Snapshot, AskError> {
        let holds = |source: &&Source<N>| {
            known_in.is_some_and(|known| source.resolved().is_some_and(|table| table.data_source == known))
        };
        let mut unasked = None;
        for source in self.all.iter().filter(holds).chain(self.all.iter().filter(|source| !holds(source))) {
            match source.gate.guard(now, source.notion.page(id, priority)).await {
                Err(AskError::Notion(NotionError::NotFound)) => (),
                Err(error) if is_of_the_token(&error) && !holds(&source) => drop(unasked.get_or_insert(error)),
                outcome => return outcome,
            }
        }
        Err(unasked.unwrap_or(AskError::Notion(NotionError::NotFound)))
    }

    /// Asks for one page of results of a source that is known, with its token.
    pub async fn query(&self, query: &Query, now: DateTime<Utc>, priority: Priority) -> Result<QueryPage, AskError> {
        let asked = |source: &&Source<N>| source.resolved().is_some_and(|table| table.data_source == query.data_source);
        let source = self.all.iter().find(asked).ok_or(AskError::Unresolved)?;
        source.gate.guard(now, source.notion.query(query, priority)).await
    }

    /// Returns the client that asks about a source that is known.
    pub fn notion(&self, data_source: DataSourceId) -> Option<N> {
        let asked = |source: &&Source<N>| source.resolved().is_some_and(|table| table.data_source == data_source);
        self.all.iter().find(asked).map(|source| source.notion.clone())
    }

    /// Returns the source of this id; the first one where none is named or known.
    pub fn known(&self, id: Option<DataSourceId>) -> Option<Arc<Resolved>> {
        let all = self.resolved();
        all.iter().find(|table| Some(table.data_source) == id).or_else(|| all.first()).cloned()
    }

    /// Returns the source in which a page stands now, if it is one of ours.
    pub fn holding(&self, page: &Page) -> Option<Arc<Resolved>> {
        self.resolved().into_iter().find(|table| match page.parent {
            Parent::DataSource(id) => id == table.data_source,
            Parent::Database(id) => Some(id) == table.database,
            Parent::Elsewhere => false,
        })
    }

    /// Reads a snapshot by the mapping of the source in which the page stands, or last stood.
    pub fn sighting(&self, snapshot: &Snapshot, known_in: Option<DataSourceId>) -> Result<Sighting, AskError> {
        let holding = self.holding(&snapshot.page);
        let source = holding.clone().or_else(|| self.known(known_in));
        let source: &Resolved = source.as_deref().ok_or(AskError::Unresolved)?;
        let mut values = source.mapping.values(&snapshot.page);
        if holding.is_some() && known_in.is_some_and(|known| known != source.data_source) {
            source.mapping.empty_unmapped(&mut values);
        }
        Ok(Sighting {
            page: snapshot.page.id,
            source: source.data_source,
            standing: match holding {
                None => Standing::MovedOut,
                Some(_) => derive::standing(&snapshot.page, source.data_source, source.database),
            },
            last_edited_time: snapshot.page.last_edited_time,
            observed_at: snapshot.observed_at,
            view: snapshot.view,
            url: snapshot.page.url.clone(),
            values,
        })
    }
}

impl<N: Notion> Source<N> {
    fn resolved(&self) -> Option<Arc<Resolved>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know(&self, table: Resolved) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(table));
    }

    /// Reads what an earlier run stored, if it is of this source.
    fn recognise(&self, stored: &StoredSource) -> Option<Resolved> {
        let schema: Schema = serde_json::from_str(&stored.schema).ok()?;
        let ours = match self.settings.table {
            TableId::DataSource(id) => id == schema.data_source,
            TableId::Database(id) => Some(id) == schema.database,
        };
        ours.then_some(())?;
        Some(Resolved {
            data_source: schema.data_source,
            database: schema.database,
            mapping: serde_json::from_str(&stored.mapping).ok()?,
            hard: self.settings.hard.clone(),
        })
    }

    async fn resolve<S: Store>(&self, store: &S, now: DateTime<Utc>) -> Result<(), AskError> {
        let schemas = self.gate.guard(now, self.notion.schemas(self.settings.table, Priority::Webhook)).await?;
        let earlier = self.resolved();
        let schema = pick(schemas, earlier.as_deref(), &self.settings.name)?;
        let read = mapping::resolve(&schema, &self.settings.names, earlier.as_ref().map(|table| &table.mapping))
            .map_err(|e| AskError::Unmappable(e.to_string()))?;
        for note in &read.notes {
            match note {
                // Only the title must be there.
                Note::NotFound { .. } | Note::Title { .. } => {
                    tracing::info!(source.name = self.settings.name, "source {}: {note}", self.settings.name);
                }
                Note::Renamed { .. } | Note::NoText { .. } => {
                    tracing::warn!(source.name = self.settings.name, "source {}: {note}", self.settings.name);
                }
            }
        }
        let table = Resolved {
            data_source: schema.data_source,
            database: schema.database,
            mapping: read.mapping,
            hard: self.settings.hard.clone(),
        };
        let unwritable = |e: serde_json::Error| AskError::Unmappable(e.to_string());
        let row = StoredSource {
            id: table.data_source,
            schema: serde_json::to_string(&schema).map_err(unwritable)?,
            mapping: serde_json::to_string(&table.mapping).map_err(unwritable)?,
            hard: serde_json::to_string(&table.hard).map_err(unwritable)?,
            resolved_at: now,
            watermark: None,
        };
        store.write(move |rows| rows.put_source(&row)).await?;
        self.know(table);
        Ok(())
    }
}

/// Returns whether an error is about the token that asked rather than about what was asked for.
const fn is_of_the_token(error: &AskError) -> bool {
    matches!(
        error,
        AskError::Gated { .. } | AskError::Notion(NotionError::Refused { .. } | NotionError::RateLimited { .. })
    )
}

/// Picks the data source that is meant: the only one, or the one that was meant before.
fn pick(mut schemas: Vec<Schema>, earlier: Option<&Resolved>, name: &str) -> Result<Schema, AskError> {
    if schemas.len() > 1 {
        let before =
            schemas.iter().position(|schema| earlier.is_some_and(|table| table.data_source == schema.data_source));
        let Some(before) = before else {
            let all = schemas.iter().map(|schema| format!("{} «{}»", schema.data_source, schema.title));
            return Err(AskError::Ambiguous(all.collect()));
        };
        tracing::warn!(
            source.name = name,
            "source {name}: its database holds {} data sources now; only the one known before is watched",
            schemas.len()
        );
        return Ok(schemas.swap_remove(before));
    }
    schemas.pop().ok_or_else(|| AskError::Unmappable("the database holds no data source".to_owned()))
}
